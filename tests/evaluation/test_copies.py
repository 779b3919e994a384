"""Planted copies are found, and what was not planted is not."""

from dataclasses import asdict

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from test_similarity import edges, pixels, sides, textures

from skinsynth.core.errors import UserError
from skinsynth.core.store import write_json
from skinsynth.diffusion import vae
from skinsynth.evaluation import copies, panel, similarity
from skinsynth.evaluation.compared import Compared
from skinsynth.numerics import stats


def jpeg(image):
    code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return cv2.imdecode(code, cv2.IMREAD_COLOR)


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
    scales = similarity.spread(gallery, both(val))
    negative, _ = similarity.nearest(gallery, both(val), scales)
    thresholds = copies.Thresholds(negative, ["nv"] * 400)
    assert thresholds.fpr <= 0.01
    # siblings: the same thing photographed again, here shifted, brighter and noisier
    again = np.roll(train[200:300], 1, axis=1).astype(int) + 8
    again = again + np.random.default_rng(0).normal(0, 8, again.shape)
    again = np.clip(again, 0, 255).astype(np.uint8)
    positive, _ = similarity.nearest(gallery, both(again), scales)
    assert (positive > thresholds.own["nv"]).mean() > 0.9

    score, index = similarity.nearest(gallery, both(samples), scales)
    limit = thresholds(["nv"] * 2000)
    found = score > limit
    assert found[::10].mean() >= 0.95
    assert (index[::10][found[::10]] == np.arange(200)[found[::10]]).mean() > 0.99
    assert np.delete(found, np.s_[::10]).mean() <= 0.02
    rate = copies.Found(score, index, limit, np.arange(2000)).share
    assert rate.low < 0.1 < rate.high or rate.value == pytest.approx(0.1, abs=0.02)
    assert rate.n == 2000


def test_planted_copies_lie_above_the_threshold_and_other_images_below():
    train, val = textures(0, 300), textures(1, 300)
    gallery = [pixels(train), edges(train)]
    scales = similarity.spread(gallery, both(val))
    chance, _ = similarity.nearest(gallery, both(val), scales)
    found, match = similarity.nearest(gallery, both(copies.planted(train[:100])), scales)
    assert (found > np.quantile(chance, 0.99)).mean() >= 0.95
    assert (match == np.arange(100)).mean() >= 0.95
    assert not np.array_equal(copies.planted(train[:8]), train[:8])


def test_the_threshold_holds_its_rate_on_new_images():
    rates = []
    for i in range(300):
        rng = np.random.default_rng([4, i])
        thresholds = copies.Thresholds(rng.normal(size=200), ["nv"] * 200)
        rates.append((rng.normal(size=2000) > thresholds.own["nv"]).mean())
    assert np.mean(rates) == pytest.approx(thresholds.fpr, rel=0.15) and thresholds.fpr <= 0.01
    few = copies.Thresholds(np.arange(9.0), ["df"] * 9)
    assert few(["df"]) == [8] and few.fpr == pytest.approx(0.1)  # says that 1 % is not to be had
    with pytest.raises(UserError, match="2 unseen lesions"):
        copies.Thresholds([1.0], ["df"])


def test_a_class_with_enough_negatives_has_a_threshold_of_its_own():
    scores = np.concatenate([np.arange(100.0), [500, 600]])
    thresholds = copies.Thresholds(scores, ["nv"] * 100 + ["df", "mel"])
    assert list(thresholds(["nv", "df", "vasc"])) == [99, 600, 600]
    assert thresholds.fpr == pytest.approx(1 / 3)
    one = copies.Thresholds(scores[:-1], ["nv"] * 100 + ["df"])  # one is too few: that of all
    assert one(["df"]) == [500] and one.fpr <= 0.02


def test_the_share_takes_a_threshold_for_each_sample():
    found = copies.Found(
        np.array([0.5, 0.5, 0.9]), np.zeros(3, int), np.array([0.4, 0.6, 0.8]), np.arange(3)
    )
    assert found.share.value == pytest.approx(2 / 3) and found.share.low > 0


def test_pairs_of_one_lesion_are_told_from_strangers():
    images = textures(0, 40)
    noise = np.random.default_rng(1).integers(-20, 21, images.shape)
    again = np.clip(images.astype(int) + noise, 0, 255).astype(np.uint8)
    pictures, names = np.concatenate([images, again]), np.tile(np.arange(40), 2)

    def auc(names):
        def describe(x, turned=False):
            return similarity.describe(x, pixels, turned)

        return copies.pair_auc(pictures, names, np.zeros(80), describe, [1, 1])

    same = auc(names)
    wrong = auc(np.concatenate([np.arange(40), np.roll(np.arange(40), 7)]))
    assert same.value > 0.95 and same.n == 40 and wrong.low < 0.5 < wrong.high + 0.05


@pytest.fixture(scope="module")
def originals():
    """(images, records): 500 train lesions, 60 of them photographed twice, 300 unseen ones, 60 of the test split."""
    lesions = textures(0, 500)
    again = np.rot90(lesions[:60], axes=(1, 2)).astype(int) + 12  # a second photograph
    again = np.clip(again, 0, 255).astype(np.uint8)
    images = np.concatenate([lesions, again, textures(1, 300), textures(3, 60)])
    groups = {"L": range(500), "M": range(60), "U": range(300), "T": range(60)}
    names = [f"{'L' if k == 'M' else k}{i}" for k, numbers in groups.items() for i in numbers]
    dx = np.where(np.arange(len(images)) % 5 == 0, "df", "nv")
    split = ["train"] * 560 + ["val"] * 300 + ["test"] * 60
    ids = [f"I{i}" for i in range(len(images))]
    return images, pd.DataFrame(dict(image_id=ids, lesion_id=names, dx=dx, split=split))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A VAE on disk that has learnt nothing."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vae")
    vae.new_vae(8).save_pretrained(folder / "vae")
    write_json(folder / "latent_format.json", asdict(vae.LatentFormat((0.0,) * 4, (0.01,) * 4)))
    return folder


@pytest.fixture(scope="module")
def near(originals):
    return copies.Checker(*originals, pixels)


def test_the_checker_finds_planted_copies_among_2000_samples(near, originals):
    """The shipped search, whitening, margin, class thresholds and all: 200 copies in 2,000 samples."""
    assert set(near.thresholds.own) == {"nv"} and near.thresholds.fpr == pytest.approx(1 / 61)
    assert near.pairs.value > 0.95 and near.lesions == 60
    copied, fresh = copies.planted(originals[0][100:300]), textures(2, 1800)
    samples, classes = np.concatenate([copied, fresh]), np.array(["nv"] * 200 + ["nv", "df"] * 900)
    result = near.search(samples, classes)
    found = result.score > result.limit
    assert found[:200].mean() >= 0.95
    assert (result.match[:200] == np.arange(100, 300)).mean() >= 0.95
    assert found[200:].mean() <= 0.03
    assert near.search(samples[200:], classes[200:]).share.value == found[200:].mean()
    assert near.auc in near.numbers.values() and "60 originals with a sibling" in str(near)
    images, records = originals
    with pytest.raises(UserError, match="only 0 train lesions have a second photograph: too few"):
        copies.Checker(images, records.assign(lesion_id=records.image_id), pixels)


def test_the_table_of_copies_holds_chance_and_planted_ones_beside_samples(
    near, originals, untrained
):
    images, records = originals
    labels = np.array(["df", "nv"] * 12)
    meta = pd.DataFrame({"class": labels, "seed": np.arange(24)})
    meta["file_name"] = [f"{i}.png" for i in range(24)]
    copied = copies.planted(images[200:224])

    def judge(x, labels, ids):
        features = pixels(x)
        return panel.Features(features, features, labels, stats.make_groups(np.asarray(ids)))

    compared = Compared(judge, records, images, {"good": textures(5, 24), "bad": copied}, meta)
    found = copies.search(near, compared, compared.pixels)
    lost = copies.search(near, compared, compared.pixels, untrained)
    assert lost[copies.PLANTED].share.value == 0, "a copy that its autoencoder wipes out is none"
    table = copies.shares(found, compared, compared.pixels).set_index("images")
    assert list(table.index) == [copies.CHANCE, "good", "bad", copies.PLANTED]
    assert list(table[copies.SHARE][["bad", copies.PLANTED]]) == [1, 1]
    assert table[copies.SHARE][copies.CHANCE] < 0.2 and table[copies.SHARE]["good"] < 0.2
    assert table.coverage.notna().tolist() == [False, True, True, False]
    pictures, pairs = copies.nearest_pairs(found["bad"], compared, copied, n=3)
    assert [x.shape for x in pictures] == [(3, 32, 32, 3)] * 2
    rows = [int(name.removesuffix(".png")) for name in pairs.file]
    assert list(pairs.nearest) == [f"I{200 + i}" for i in rows]
    assert (pairs.score > pairs.threshold).all() and pairs.score.is_monotonic_decreasing
    assert np.array_equal(pictures[0], copied[rows])
