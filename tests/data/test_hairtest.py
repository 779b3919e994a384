"""Hair drawn for the test of hair removal, and the scores that read it."""

import numpy as np
import pytest

from skinsynth import phantom
from skinsynth.core.config import CLASSES
from skinsynth.data import hair, hairtest


@pytest.fixture(scope="module")
def bare():
    drawn = [phantom.dermatoscopy(21, i, CLASSES[i % 7], 64) for i in range(28)]
    return np.stack([p.clean for p in drawn]), np.stack([p.mask for p in drawn])


def test_drawn_hair_is_where_it_says_and_as_dark_as_it_says(bare):
    images, _ = bare
    dark, light = (hairtest.draw(images, tone, "many", "thick") for tone in ("dark", "light"))
    assert np.array_equal(dark.images[~dark.masks], images[~dark.masks])
    assert np.array_equal(dark.masks, light.masks), "the same hairs in another colour"
    inside = dark.masks
    assert (dark.images[inside].astype(int) - images[inside]).mean() < -30
    assert (light.images[inside].astype(int) - images[inside]).mean() > 5
    few = hairtest.draw(images, "dark", "few", "thick")
    assert few.masks.mean() < 0.5 * inside.mean()
    again = hairtest.draw(images, "dark", "many", "thick")
    assert np.array_equal(again.images, dark.images)


def test_scores_of_a_perfect_an_idle_and_a_careless_method(bare):
    drawn = hairtest.draw(bare[0], "dark", "many", "thick")
    truth = dict(zip(map(bytes, drawn.images), drawn.masks, strict=True))

    def method(mask_of):
        def how(x):
            mask = mask_of(x)
            return hair.HairSteps(None, np.zeros(mask.shape, np.uint8), mask, hair.fill(x, mask))

        return hairtest.score(drawn, how=how)

    perfect, idle = method(lambda x: truth[bytes(x)]), method(lambda x: np.zeros(x.shape[:2], bool))
    assert (perfect["F1"] == 1).all() and perfect["PSNR after"] == pytest.approx(
        perfect["PSNR ceiling"]
    )
    assert (idle["F1"] == 0).all() and idle["PSNR after"] == pytest.approx(idle["PSNR before"])
    own, book = hairtest.score(drawn), hairtest.score(drawn, how=hair.textbook)
    assert np.median(own["F1"]) > 0.85 and np.median(own["Dice"]) > np.median(book["Dice"])


def test_light_hair_is_seen_only_when_asked_for(bare):
    drawn = hairtest.draw(bare[0], "light", "many", "thick")
    blind, seeing = hairtest.score(drawn), hairtest.score(drawn, light=True)
    assert np.median(blind["F1"]) < 0.1 and np.median(seeing["F1"]) > 0.25
    assert np.median(seeing["PSNR after"]) > np.median(seeing["PSNR before"]) + 1


def test_the_cost_counts_what_is_lost(bare):
    images, masks = bare
    out, lost = hairtest.erased(images, masks)
    assert np.nanmean(lost) < 0.1 and np.array_equal(out.shape, images.shape)
    _, careless = hairtest.erased(images, masks, how=hair.textbook)
    assert np.nanmean(careless) > 0.5, "the textbook's values at 64 px take the lesion's structure"
