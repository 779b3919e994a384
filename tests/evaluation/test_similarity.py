"""The nearest training image is found from every side, in all spaces at once."""

import cv2
import numpy as np
import pytest

from skinsynth.evaluation import similarity


def textures(seed, n, size=32):
    """Coarse random pictures uint8 (n, size, size, 3), no two alike."""
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


def sides(encode, images):
    return np.stack([encode(side) for side in similarity.sides(images)])


def test_eight_sides_are_the_whole_group():
    image = textures(0, 1)
    seen = {side.tobytes() for side in similarity.sides(image)}
    assert len(seen) == 8
    turned = np.rot90(image, axes=(1, 2))
    assert {side.tobytes() for side in similarity.sides(turned)} == seen


def test_without_its_sides_a_turned_copy_is_missed():
    train = textures(0, 100)
    turned = np.rot90(train, axes=(1, 2))
    assert similarity.nearest([pixels(train)], [pixels(turned)])[0].mean() < 0.6
    score, index = similarity.nearest([pixels(train)], [sides(pixels, turned)])
    assert score == pytest.approx(np.ones(100)) and (index == np.arange(100)).all()


def test_two_spaces_have_to_mean_the_same_image():
    gallery = [np.eye(3), np.eye(3)]
    query = [np.eye(3)[[0]], np.eye(3)[[1]]]  # one space says image 0, the other image 1
    assert similarity.nearest(gallery, query)[0] == pytest.approx([1.0])  # not 2
    same = [np.eye(3)[[1]], np.eye(3)[[1]]]
    score, index = similarity.nearest(gallery, same, [0.5, 1])
    assert score == pytest.approx([3.0]) and index == [1]


def test_blocks_change_nothing(monkeypatch):
    train, query = [pixels(textures(0, 50))], [pixels(textures(1, 70))]
    score, index = similarity.nearest(train, query)
    monkeypatch.setattr("skinsynth.numerics.arrays.BLOCK", 9)
    again = similarity.nearest(train, query)
    assert np.allclose(score, again[0]) and (index == again[1]).all()


def test_a_copy_stands_out_from_the_next_ones():
    """An image that resembles many is no copy of any: the margin tells them apart, the likeness alone does not."""
    rng = np.random.default_rng(0)
    crowd = 1 + 0.05 * rng.normal(size=(30, 8))
    alone = np.eye(8)[:4] * 5
    train = [np.concatenate([crowd, alone])]
    query = [np.stack([np.ones(8), alone[0] + 0.05])]
    plain, margin = (similarity.nearest(train, query, others=k)[0] for k in (0, 10))
    assert plain[0] > 0.99 and plain[1] > 0.99
    assert margin[0] < 0.05 < 0.5 < margin[1]


def test_whitening_makes_training_features_even():
    x = np.random.default_rng(0).normal(size=(200, 5)) @ np.diag([10, 5, 1, 0.1, 0.01]) + 3
    y = similarity.whitening(x)(x)
    assert np.allclose(np.cov(y.T), np.eye(y.shape[1]) * 200 / 199, atol=1e-6)
    assert np.allclose(y.mean(0), 0, atol=1e-9)


def test_a_gallery_describes_its_own_images_as_it_holds_them():
    images = textures(0, 40)
    gallery = similarity.Gallery(images, pixels)
    for held, plain, turned in zip(
        gallery.spaces, gallery.describe(images), gallery.describe(images, True), strict=True
    ):
        assert np.allclose(held, plain) and np.allclose(held, turned[0]) and len(turned) == 8
