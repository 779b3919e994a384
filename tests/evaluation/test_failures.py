"""Failures: what a sample shares with its own reference image scores high, and chance is measured on originals."""

import numpy as np
import pandas as pd
import pytest

from skinsynth import phantom
from skinsynth.evaluation import failures
from skinsynth.evaluation.compared import Compared


@pytest.fixture(scope="module")
def skin():
    classes = np.array([c for c in ("nv", "vasc") for _ in range(40)])
    return np.stack(
        [phantom.dermatoscopy(0, i, c, 64).clean for i, c in enumerate(classes)]
    ), classes


def stripes(images):
    out = images.copy()
    for x in range(4, 60, 9):
        out[:, 3:61, x] = (out[:, 3:61, x] * 0.2).astype(np.uint8)
    return out


def greener(images):
    out = images.astype(int)
    out[..., 1] += 60
    return out.clip(0, 255).astype(np.uint8)


def test_only_what_image_and_reference_share_counts(skin):
    images, classes = skin
    score = failures.Reflection(images[::2], classes[::2])
    plain, other, kinds = images[1::2][:10], images[1::2][10:20], classes[1::2][:10]
    usual = score(plain, other, kinds)
    hair, _ = score(stripes(plain), stripes(other), kinds)
    assert hair.min() > usual[0].max()
    one_side = score(stripes(plain), other, kinds)[0], score(plain, stripes(other), kinds)[0]
    for found, bare in zip(one_side, (other, plain), strict=True):
        assert (found <= failures.hair_cover(bare)).all(), "hair on one side alone is none shared"
    _, colour = score(greener(plain), greener(other), kinds)
    assert np.median(colour) > usual[1].max()
    alone = [score(greener(plain), other, kinds)[1], score(plain, greener(other), kinds)[1]]
    assert (alone[0] < colour).all(), "its reference is not green"
    assert np.median(alone[1]) < 0, "nearer to its class than to a green reference"


def test_a_recoloured_image_keeps_its_picture_and_takes_the_colours(skin):
    images, _ = skin
    own, other = images[:3], greener(images[40:43])
    found = failures.recoloured(own, other)
    of_found, of_other, of_own = map(failures.measures.colour_statistics, (found, other, own))
    assert np.abs(of_found - of_other).mean() < 0.2 * np.abs(of_own - of_other).mean()
    alike = [
        np.corrcoef(a[..., 0].ravel(), b[..., 0].ravel())[0, 1]
        for a, b in zip(found, own, strict=True)
    ]
    assert min(alike) > 0.7


def test_partners_are_others_of_the_class():
    classes = np.array(["nv", "mel", "nv", "nv", "df"])
    found = failures.partners(classes, np.random.default_rng(0))
    assert (classes[found] == classes).all() and found[4] == 4
    assert (found[:4] != np.arange(4))[[0, 2, 3]].all() and sorted(found) == [*range(5)]


def searched(skin, reflect):
    """A search over samples of which, if `reflect`, a tenth repeat their own reference image, which is green."""
    images, classes = (x.copy() for x in skin)
    split = np.where(np.arange(80) % 2, "train", "test")
    green = np.flatnonzero(split == "train")[::10]
    images[green] = greener(images[green])
    fakes, own = images[split == "test"].copy(), np.arange(1, 80, 2)
    follows = np.isin(own, green) if reflect else np.zeros(40, bool)
    fakes[follows] = images[own[follows]]
    about = {"dx": classes, "split": split, "lesion_id": np.arange(80)}
    about["image_id"] = [f"i{k}" for k in range(80)]
    meta = {"file_name": [f"{k}.png" for k in range(40)], "class": classes[split == "test"]}
    meta |= {"seed": np.arange(40), "reference": [f"i{k}" for k in own]}
    models = {"8ch+ML": fakes}
    compared = Compared(None, pd.DataFrame(about), images, models, pd.DataFrame(meta))
    return failures.Search(compared, images), np.flatnonzero(follows)


def test_search_finds_samples_that_follow_their_own_reference(skin):
    search, follows = searched(skin, reflect=True)
    assert set(search.highest(4)) == set(follows) and len(follows) == 4
    assert search.heading(follows[0]).endswith("colour")
    assert search.scores.reference[3] == "i7" and search.scores.score.idxmax() in follows
    chance, samples, swapped, planted = (row["either"] for row in search.shares().values())
    assert samples.value == pytest.approx(0.1) and swapped.value < samples.value
    assert search.excess().value == pytest.approx(samples.value - chance.value)
    assert np.median(search.planted[1]) > search.held[1].max() and not search.sees()[0]
    search.limit = search.held[1].max() + 0.5  # above it none as it is, most in other colours
    seen, said = search.sees()
    assert seen and said.startswith("Of 40 held-out originals 0 pass by colour as they are")
    nothing, _ = searched(skin, reflect=False)
    assert nothing.excess().low <= 0


def test_hair_that_nobody_finds_tells_nothing_of_its_removal(skin):
    images, _ = skin
    assert failures.hair_effect(images[:8], images[8:16], np.arange(8)) is None
    more = failures.hair_effect(images[:8], stripes(images[:8]), np.arange(8))
    assert more.high < 0, "first minus second"


def test_hair_cover_counts_marked_pixels(skin):
    images, _ = skin
    striped = images[:2].copy()
    striped[:, 3:61, 10:60:9] = 0
    assert (failures.hair_cover(striped) > failures.hair_cover(images[:2])).all()
