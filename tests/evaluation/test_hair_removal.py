"""The tables about hair removal read off what was drawn, for methods whose result is known."""

import numpy as np
import pytest
import torch
from torch import nn

from skinsynth.data import hair, hairtest
from skinsynth.evaluation import hair_removal

SKIN = (205, 150, 140)


@pytest.fixture(scope="module")
def bare():
    """Three images (64 pixels) of plain skin with a little grain."""
    grain = np.random.default_rng(0).normal(SKIN, 2, (3, 64, 64, 3))
    return np.clip(grain, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def drawn(bare):
    return {
        "dark": hairtest.draw(bare, "dark", "many", "thick"),
        "light": hairtest.draw(bare, "light", "many", "thick"),
    }


def steps(mask, inpainted):
    return hair.HairSteps(None, np.zeros(mask.shape, np.uint8), mask, inpainted)


def idle(image):
    """Finds no hair."""
    return steps(np.zeros(image.shape[:2], bool), image)


def painter(image):
    """Takes the whole image for hair and paints it black."""
    return steps(np.ones(image.shape[:2], bool), np.zeros_like(image))


def test_every_kind_of_hair_is_drawn_as_it_is_called(bare):
    kinds = hair_removal.draw_kinds(bare, seed=3)
    assert len(kinds) == 12 and hair_removal.draw_kinds(bare[:0]) == {}
    wanted = hairtest.draw(bare, "brown", "few", "thick", seed=3)
    assert np.array_equal(kinds["brown, thick, few"].images, wanted.images)


def test_restored_is_the_median_over_images(drawn):
    table = hair_removal.restored(drawn).set_index("hair")
    score = hairtest.score(drawn["dark"])
    assert list(table.index) == ["dark", "light"] and (table.n == 3).all()
    row = table.loc["dark"]
    assert row.F1 == np.median(score["F1"]) and row.Dice == np.median(score["Dice"])
    assert row["PSNR before (dB)"] == np.median(score["PSNR before"])
    assert row.after == np.median(score["PSNR after"]) > row["PSNR before (dB)"]
    assert row.ceiling == np.median(score["PSNR ceiling"])
    lazy = hair_removal.restored(drawn, how=idle)
    assert (lazy.after == lazy["PSNR before (dB)"]).all() and (lazy.F1 == 0).all()


def test_methods_side_by_side_keep_their_names(drawn):
    table = hair_removal.restored_by(drawn, {"idle": {"how": idle}, "own": {}})
    own = hair_removal.restored(drawn)
    assert (table["F1, idle"] == 0).all() and table["F1, own"].equals(own.F1)
    assert table["PSNR after (dB), own"].equals(own.after)
    assert list(table.columns[:2]) == ["hair", "n"] and list(table.hair) == list(drawn)


def test_pictures_show_truth_and_findings_of_one_image(drawn):
    hairy = drawn["light"]
    image, true, found, with_light, inpainted, before = hair_removal.pictures(hairy, 1)
    assert np.array_equal(image, hairy.images[1]) and np.array_equal(before, hairy.clean[1])
    assert np.array_equal(true, hairy.masks[1]) and with_light.sum() > found.sum()
    assert np.array_equal(inpainted, hair.dullrazor(image).inpainted)


def test_the_cost_tells_a_careful_method_from_a_painter(bare):
    images = np.repeat(bare, 2, 0)
    images[:, 30:32, 8:56] = 60  # thin dark structure inside the lesion
    masks = np.zeros(images.shape[:3], bool)
    masks[:, 20:44] = True
    bright = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():  # class 0 where an image is bright, else class 1
        bright[2].weight.copy_(torch.tensor([[1.0] * 3, [-1.0] * 3]))
        bright[2].bias.zero_()
    methods = {"idle": {"how": idle}, "painter": {"how": painter}}
    table = hair_removal.cost(images, masks, list("aabbcc"), bright, methods).set_index("method")
    assert (table.n == 6).all()
    for column in ("images changed", "labels flipped", "fine structure lost"):
        assert list(table[column]) == [0, 1], column


def test_darkness_is_positive_for_dark_hair_and_sees_the_mask_only():
    clean = np.full((2, 8, 8, 3), 150, np.uint8)
    images, masks = clean.copy(), np.zeros((2, 8, 8), bool)
    masks[:, 2] = True
    images[0, 2], images[1, 2], images[:, 5] = 110, 180, 0
    assert list(hair_removal.darkness(images, clean, masks)) == [40, -30]


def test_hair_is_sorted_by_its_darkness(drawn):
    both = [np.concatenate(x) for x in zip(*drawn.values(), strict=True)]
    table = hair_removal.restored_by_darkness(hairtest.Hairy(*both), range(6))
    assert list(table.hair) == ["25 grey levels or more darker", "lighter than the skin"]
    assert list(table.n) == [3, 3]
    score = hairtest.score(drawn["dark"])
    gain = (score["PSNR after"] - score["PSNR before"]).mean()
    assert table["gain (dB)"][0] == pytest.approx(gain) and gain > 5
    assert abs(table["gain (dB)"][1]) < 1, "light hair is not seen"
    assert table["PSNR after"][0] == np.median(score["PSNR after"])
    assert table["F1 (median, quartiles)"][0].startswith(f"{np.median(score['F1']):.2f} [")
    few = hair_removal.restored_by_darkness(hairtest.Hairy(*(x[:5] for x in both)), range(5))
    assert list(few.hair) == ["25 grey levels or more darker"], "two images are too few"
