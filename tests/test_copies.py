"""Planted copies are found, and what was not planted is not."""

import cv2
import numpy as np
import pandas as pd
import pytest

from skinsynth.core.errors import UserError
from skinsynth.evaluation import copies


def textures(seed, n, size=32):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6, 6, 3)).astype(np.float32)
    x = np.stack([cv2.resize(i, (size, size), interpolation=cv2.INTER_CUBIC) for i in x])
    return np.clip(128 + 50 * x, 0, 255).astype(np.uint8)


def pixels(images):
    small = np.asarray(images, np.float32).reshape(-1, 8, 4, 8, 4, 3).mean((2, 4)).reshape(-1, 192)
    return small - 128


def edges(images):
    grey = np.asarray(images, np.float32).mean(-1)
    gradient = np.stack(np.gradient(grey, axis=(1, 2)), -1)
    return gradient.reshape(len(grey), 8, 4, 8, 4, 2).mean((2, 4)).reshape(len(grey), 128)


def jpeg(image):
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return cv2.imdecode(code, cv2.IMREAD_COLOR)


def sides(encode, images):
    return np.stack([encode(side) for side in copies.augmented(images)])


def both(images):
    return [sides(pixels, images), sides(edges, images)]


def test_200_planted_copies_of_2000_samples_are_found():
    train, val, samples = textures(0, 500), textures(1, 400), textures(2, 2000)
    planted = train[:200].copy()
    planted[50:100] = planted[50:100, :, ::-1]
    planted[100:150] = np.rot90(planted[100:150], axes=(1, 2))
    planted[150:] = [jpeg(i) for i in planted[150:]]
    samples[::10] = planted

    gallery = [pixels(train), edges(train)]
    scales = copies.spread(gallery, both(val))
    # siblings: the same thing photographed again, here shifted, brighter and noisier
    again = np.roll(train[200:300], 1, axis=1).astype(int) + 8
    again = np.clip(again + np.random.default_rng(0).normal(0, 8, again.shape), 0, 255).astype(
        np.uint8
    )
    negative, _ = copies.nearest(gallery, both(val), scales)
    positive, _ = copies.nearest(gallery, both(again), scales)
    c = copies.calibrate(positive, negative)
    assert c.auc.low > 0.95 and c.found > 0.9 and c.fpr <= 0.01

    score, index = copies.nearest(gallery, both(samples), scales)
    found = score > c.threshold
    assert found[::10].mean() >= 0.95
    assert (index[::10][found[::10]] == np.arange(200)[found[::10]]).mean() > 0.99
    assert np.delete(found, np.s_[::10]).mean() <= 0.02
    rate = copies.copy_rate(score, c.threshold)
    assert rate.low < 0.1 < rate.high or rate.value == pytest.approx(0.1, abs=0.02)
    assert rate.n == 2000


def test_planted_copies_lie_above_the_threshold_and_other_images_below():
    train, val = textures(0, 300), textures(1, 300)
    gallery = [pixels(train), edges(train)]
    scales = copies.spread(gallery, both(val))
    score = lambda x: copies.nearest(gallery, both(x), scales)  # noqa: E731
    chance, (found, match) = score(val)[0], score(copies.planted(train[:100]))
    assert (found > np.quantile(chance, 0.99)).mean() >= 0.95
    assert (match == np.arange(100)).mean() >= 0.95
    assert not np.array_equal(copies.planted(train[:8]), train[:8])


def test_eight_sides_are_the_whole_group():
    image = textures(0, 1)
    assert len({side.tobytes() for side in copies.augmented(image)}) == 8
    again = copies.augmented(np.rot90(image, axes=(1, 2)))
    assert {s.tobytes() for s in again} == {s.tobytes() for s in copies.augmented(image)}
    with pytest.raises(UserError, match="square"):
        copies.augmented(image[:, :20])


def test_without_its_sides_a_turned_copy_is_missed():
    train = textures(0, 100)
    turned = np.rot90(train, axes=(1, 2))
    assert copies.nearest(pixels(train), pixels(turned))[0].mean() < 0.6
    score, index = copies.nearest(pixels(train), sides(pixels, turned))
    assert score == pytest.approx(np.ones(100)) and (index == np.arange(100)).all()


def test_two_spaces_have_to_mean_the_same_image():
    a, b = np.eye(3)[[0, 1, 2]], np.eye(3)[[0, 1, 2]]
    query = [np.eye(3)[[0]], np.eye(3)[[1]]]  # one space says image 0, the other image 1
    assert copies.nearest([a, b], query)[0] == pytest.approx([1.0])  # not 2
    same = [np.eye(3)[[1]], np.eye(3)[[1]]]
    score, index = copies.nearest([a, b], same, [0.5, 1])
    assert score == pytest.approx([3.0]) and index == [1]
    with pytest.raises(UserError, match="as many"):
        copies.nearest([a, b], query[0])


def test_blocks_change_nothing(monkeypatch):
    train, query = pixels(textures(0, 50)), pixels(textures(1, 70))
    score, index = copies.nearest(train, query)
    monkeypatch.setattr(copies, "BLOCK", 9)
    again = copies.nearest(train, query)
    assert np.allclose(score, again[0]) and (index == again[1]).all()


def test_the_threshold_holds_its_rate_on_new_images():
    rates = []
    for i in range(300):
        rng = np.random.default_rng([4, i])
        c = copies.calibrate(rng.normal(3, 1, 50), rng.normal(size=200))
        rates.append((rng.normal(size=2000) > c.threshold).mean())
    assert np.mean(rates) == pytest.approx(c.fpr, rel=0.15) and c.fpr <= 0.01
    few = copies.calibrate(np.ones(5), np.arange(9.0))
    assert few.threshold == 8 and few.fpr == pytest.approx(0.1)  # says that 1 % is not to be had
    with pytest.raises(UserError, match="2 positives"):
        copies.calibrate([1.0], [1.0, 2.0])


def test_rate_takes_a_threshold_for_each_sample():
    e = copies.copy_rate([0.5, 0.5, 0.9], [0.4, 0.6, 0.8])
    assert e.value == pytest.approx(2 / 3) and e.low > 0


def test_a_copy_stands_out_from_the_next_ones():
    """An image that resembles many is no copy of any: the margin tells them apart, the likeness alone does not."""
    rng = np.random.default_rng(0)
    crowd = 1 + 0.05 * rng.normal(size=(30, 8))
    alone = np.eye(8)[:4] * 5
    train = np.concatenate([crowd, alone])
    query = np.stack([np.ones(8), alone[0] + 0.05])
    plain, margin = (copies.nearest(train, query, others=k)[0] for k in (0, 10))
    assert plain[0] > 0.99 and plain[1] > 0.99
    assert margin[0] < 0.05 < 0.5 < margin[1]


def test_whitening_makes_training_features_even():
    x = np.random.default_rng(0).normal(size=(200, 5)) @ np.diag([10, 5, 1, 0.1, 0.01]) + 3
    y = copies.Whitening.fit(x)(x)
    assert np.allclose(np.cov(y.T), np.eye(y.shape[1]) * 200 / 199, atol=1e-6) and np.allclose(
        y.mean(0), 0, atol=1e-9
    )


def test_pairs_of_one_lesion_are_told_from_strangers():
    images = textures(0, 40)
    again = np.clip(
        images.astype(int) + np.random.default_rng(1).integers(-20, 21, images.shape), 0, 255
    ).astype(np.uint8)
    both, names = np.concatenate([images, again]), np.tile(np.arange(40), 2)
    describe = lambda x, turned=False: copies.describe(x, pixels, turned)  # noqa: E731
    same = copies.pair_auc(both, names, np.zeros(80), describe, [1, 1])
    wrong = copies.pair_auc(
        both,
        np.concatenate([np.arange(40), np.roll(np.arange(40), 7)]),
        np.zeros(80),
        describe,
        [1, 1],
    )
    assert same.value > 0.95 and same.n == 40 and wrong.low < 0.5 < wrong.high + 0.05


def test_the_checker_finds_planted_copies_among_2000_samples():
    """The shipped search, whitening, margin, class thresholds and all: 200 copies in 2,000 samples."""
    lesions = textures(0, 500)
    again = np.clip(np.rot90(lesions[:60], axes=(1, 2)).astype(int) + 12, 0, 255).astype(
        np.uint8
    )  # a second photograph
    unseen, fresh = textures(1, 300), textures(2, 1800)
    images = np.concatenate([lesions, again, unseen])
    names = (
        [f"L{i}" for i in range(500)] + [f"L{i}" for i in range(60)] + [f"U{i}" for i in range(300)]
    )
    dx = np.where(np.arange(len(images)) % 5 == 0, "df", "nv")
    records = pd.DataFrame({"lesion_id": names, "dx": dx, "split": ["train"] * 560 + ["val"] * 300})
    near = copies.checker(images, records, pixels)
    assert set(near.own) == {"nv"} and near.fpr == pytest.approx(1 / 61) and near.pairs.value > 0.95

    copied = copies.planted(lesions[100:300])
    samples, of_class = np.concatenate([copied, fresh]), np.array(["nv"] * 200 + ["nv", "df"] * 900)
    score, match = near(samples)
    found = score > near.thresholds(of_class)
    assert found[:200].mean() >= 0.95 and (match[:200] == np.arange(100, 300)).mean() >= 0.95
    assert found[200:].mean() <= 0.03
    assert (
        copies.copy_rate(score[200:], near.thresholds(of_class[200:])).value == found[200:].mean()
    )
