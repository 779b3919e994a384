"""The tables about hair removal read off what was drawn, for methods whose result is known."""

import numpy as np
import pytest
import torch
from torch import nn

from skinsynth.data import hair, hairtest
from skinsynth.evaluation import hair_removal
from skinsynth.numerics import stats

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
    assert len(kinds) == 6 and hair_removal.draw_kinds(bare[:0]) == {}
    wanted = hairtest.draw(bare, "brown", "many", "thick", seed=3)
    assert np.array_equal(kinds["brown, thick"].images, wanted.images)


METHODS = {"DullRazor": {}, "textbook": {"how": idle}}


def test_medians_are_over_images(drawn):
    table = hair_removal.medians(hair_removal.scored(drawn, METHODS)).set_index(["hair", "method"])
    score = hairtest.score(drawn["dark"])
    assert len(table) == 4 and (table.n == 3).all()
    row = table.loc["dark", "DullRazor"]
    assert row.F1 == np.median(score["F1"]) and row.Dice == np.median(score["Dice"])
    assert row["PSNR after"] == np.median(score["PSNR after"]) > row["PSNR before"]
    assert table.loc["dark", "textbook"].F1 == 0


def test_gains_are_after_minus_before_and_the_ceiling_is_the_true_mask(drawn):
    rows = hair_removal.gains(hair_removal.scored(drawn, METHODS), list("aab"))
    kinds = ("dark", "light", hair_removal.MEAN)
    assert list(rows) == [f"hair restored (dB): {kind}" for kind in kinds]
    score, row = hairtest.score(drawn["dark"]), rows["hair restored (dB): dark"]
    assert list(row) == ["DullRazor", "textbook", hair_removal.PAIRED, "true mask given"]
    gain = score["PSNR after"] - score["PSNR before"]
    assert row["DullRazor"].value == pytest.approx(gain.mean()) and gain.mean() > 5
    assert row["DullRazor"].method == "t over clusters" and row["textbook"].value == 0
    ceiling = score["PSNR ceiling"] - score["PSNR before"]
    assert row["true mask given"].value == pytest.approx(ceiling.mean())
    assert row[hair_removal.PAIRED].value == pytest.approx(gain.mean()), (
        "the textbook here finds nothing"
    )
    light = rows["hair restored (dB): light"][hair_removal.PAIRED].value
    mean = rows[f"hair restored (dB): {hair_removal.MEAN}"][hair_removal.PAIRED]
    assert mean.value == pytest.approx((gain.mean() + light) / 2) and mean.n == 3
    assert hair_removal.gains({}, []) == {}


def estimate(value):
    return stats.Estimate(value, value - 1, value + 1, 9)


def test_the_sentences_follow_the_numbers():
    assert "no validation image without hair" in hair_removal.in_words({})
    kinds = {"dark": (3, 2), "light": (0.5, 4)}
    rows = {
        f"hair restored (dB): {kind}": {"DullRazor": estimate(a), "textbook": estimate(b)}
        for kind, (a, b) in kinds.items()
    }
    pair = {
        mean: {f"hair restored (dB): {hair_removal.MEAN}": {hair_removal.PAIRED: estimate(mean)}}
        for mean in (0.5, 3)
    }
    said = hair_removal.in_words(rows | pair[3])
    assert "under 1 of 2 kinds of hair, not under the others (light)." in said
    assert "is nearer to the truth than with the textbook's, over all kinds (3 dB [2, 4]" in said
    assert "is no nearer to" in hair_removal.in_words(rows | pair[0.5])
    assert "label" not in said
    shares = zip(hair_removal.COSTS, ((0.1, 0.9), (0.02, 0.3), (0, 0)), strict=True)
    rows |= {
        f"hairless images: {what}": {"DullRazor": estimate(a), "textbook": estimate(b)}
        for what, (a, b) in shares
    }
    said = hair_removal.in_words(rows | pair[3])
    assert "ours change 10.0% and flip the label of 2.0%" in said and "90.0% and flip 30.0%" in said


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
    rows = hair_removal.cost(images, masks, list("aabbcc"), bright, methods)
    assert list(rows) == [f"hairless images: {what}" for what in hair_removal.COSTS]
    for what, row in rows.items():
        assert [row[name].value for name in methods] == [0, 1] and row["idle"].n == 6, what


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
