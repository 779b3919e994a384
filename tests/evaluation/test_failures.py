"""Failures: planted hair and colour score high, and chance is measured on held-out originals."""

import numpy as np
import pandas as pd
import pytest

from skinsynth import phantom
from skinsynth.evaluation import failures, panel
from skinsynth.evaluation.compared import Compared


@pytest.fixture(scope="module")
def skin():
    classes = np.array([c for c in ("nv", "vasc") for _ in range(40)])
    return np.stack(
        [phantom.dermatoscopy(0, i, c, 64).clean for i, c in enumerate(classes)]
    ), classes


def test_failure_score_finds_planted_hair_and_colour(skin):
    images, classes = skin
    score = failures.ExcessScore(images[::2], classes[::2], panel.Judge().embed)
    plain = images[1::2][:10]
    usual = score.parts(plain, classes[1::2][:10]).max(0)
    striped = plain.copy()
    for x in range(4, 60, 9):
        striped[:, 3:61, x] = (striped[:, 3:61, x] * 0.2).astype(np.uint8)
    green = plain.copy()
    green[..., 1] = np.minimum(255, green[..., 1].astype(int) + 90)
    hair, _, features = score.parts(striped, classes[1::2][:10])
    _, colour, _ = score.parts(green, classes[1::2][:10])
    assert np.median(hair) > np.max(score.parts(plain, classes[1::2][:10])[0])
    assert colour.min() > np.median(usual) and np.median(colour) > 2 * np.median(usual)
    assert np.median(features) > np.median(score.parts(plain, classes[1::2][:10])[2])


def test_search_ranks_the_samples_and_tells_how_often_chance_passes(skin):
    images, classes = skin
    rows = np.random.default_rng(0).permutation(80)
    split = np.where(np.isin(np.arange(80), rows[:50]), "train", "test")
    about = {"dx": classes, "split": split, "lesion_id": np.arange(80)}
    fakes = images[split == "test"].copy()
    fakes[3, :, ::5] = 0  # dark stripes
    names = [f"{k}.png" for k in range(len(fakes))]
    meta = {"file_name": names, "class": classes[split == "test"], "seed": np.arange(len(fakes))}
    models = {"8ch": images[split == "test"], "8ch+ML": fakes}
    compared = Compared(panel.Judge(), pd.DataFrame(about), images, models, pd.DataFrame(meta))
    search = failures.Search(compared, images)
    highest, median = search.shown
    assert highest[0] == 3 and len(highest) == len(median) == 7
    assert search.heading(3).startswith(f"{meta['class'][3]} ") and "\n" in search.heading(3)
    assert search.scores.score.idxmax() == 3
    samples, chance, excess = search.hair_and_colour()
    assert excess.value == pytest.approx(samples.value - chance.value) and excess.value >= 0
    table = search.table({"8ch": models["8ch"]}).set_index("images")
    assert table.index.tolist() == ["held-out originals", "8ch+ML", "8ch"]
    assert table.loc["8ch", "mean score"] == pytest.approx(
        table.loc["held-out originals", "mean score"]
    ), "the same images, the same scores"
    assert table.loc["8ch+ML", "mean score"] > table.loc["8ch", "mean score"]


def test_hair_cover_counts_marked_pixels(skin):
    images, _ = skin
    striped = images[:2].copy()
    striped[:, 3:61, 10:60:9] = 0
    assert (failures.hair_cover(striped) > failures.hair_cover(images[:2])).all()
