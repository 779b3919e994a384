"""The class in the samples: what a probe names them, and what guidance changes."""

import numpy as np
import pandas as pd
import pytest
import torch

from skinsynth.core.config import CLASSES
from skinsynth.core.machine import device
from skinsynth.evaluation import conditioning, fidelity, panel
from skinsynth.evaluation.compared import Compared


class Grey(torch.nn.Module):
    """Names class k where the image's mean grey level is 30 k."""

    def forward(self, x):
        level = (x.mean((1, 2, 3)) + 1) * 127.5  # x lies in [-1, 1]
        return -((level[:, None] / 30 - torch.arange(7, device=x.device)) ** 2)


def grey(classes):
    return np.stack([np.full((8, 8, 3), 30 * k, np.uint8) for k in classes])


@pytest.fixture
def probe():
    return Grey().to(device())


def test_the_probe_names_what_it_sees(probe):
    wrong = [*range(6), 0]
    right = fidelity.named_right(probe, grey(wrong), CLASSES)
    assert right.tolist() == [True] * 6 + [False]


def fidelity_table(probe, monkeypatch, originals, samples):
    """Label fidelity of three images a class; originals, samples: the class number that each image shows."""
    monkeypatch.setattr(fidelity, "round_trip", lambda stage, images: images)
    classes, n = np.repeat(CLASSES, 3), np.arange(21)
    records = pd.DataFrame({"dx": classes, "split": "test", "lesion_id": n})
    meta = pd.DataFrame({"class": classes, "seed": n % 3})
    compared = Compared(None, records, grey(originals), {"8ch+ML": grey(samples)}, meta)
    return fidelity.table(compared, probe, None, grey(originals))


def test_chance_is_what_the_probe_says_of_other_classes(probe, monkeypatch):
    right = np.repeat(range(7), 3)
    always = np.full(21, 5)  # every sample looks like nv
    table = fidelity_table(probe, monkeypatch, right, always).set_index("class")
    assert table.loc["nv", "samples"] == table.loc["nv", fidelity.CHANCE] == 1
    assert (table[fidelity.UNSHOWN] == 1).all(), "samples without reference images are others"
    above = {e.label: e for e in fidelity.above_chance(table.reset_index())}
    assert above["nv"].value == 0 and above["nv"].low < 0, "more than one in seven, yet chance"
    assert above["mel"].value == 0 and table.lesions.tolist() == [3] * 7
    good = fidelity.above_chance(fidelity_table(probe, monkeypatch, right, right))
    assert len(good) == 7 and all(e.value == 1 and e.low > 0 for e in good)


def test_a_class_whose_originals_the_probe_does_not_know_is_not_judged(probe, monkeypatch):
    blind = np.repeat([0, 1, 2, 5, 4, 5, 6], 3)  # originals of df are taken for nv
    table = fidelity_table(probe, monkeypatch, blind, np.repeat(range(7), 3))
    assert fidelity.unknown(table) == ["df"]
    assert [e.label for e in fidelity.above_chance(table)] == [c for c in CLASSES if c != "df"]


def test_the_matrix_has_samples_by_row_and_originals_by_column():
    labels = np.repeat(CLASSES, 4)
    x = np.random.default_rng(0).normal(size=(28, 3)) + 9 * np.repeat(np.eye(7, 3), 4, 0)
    x[:, 0] += 5 * np.repeat(np.arange(7), 4)
    real = panel.Features(x, x, labels, np.arange(28))
    swapped = panel.Features(x, x, np.repeat(np.roll(CLASSES, 1), 4), np.arange(28))
    assert fidelity.nearest_to_own(fidelity.class_matrix(real, real)) == 7
    matrix = fidelity.class_matrix(real, swapped).set_index("samples")
    assert matrix.loc["akiec"].idxmin() == "bcc"  # samples called akiec lie on the originals of bcc


def test_strength_and_gain_follow_the_class(probe):
    told, untold = grey(np.repeat(range(7), 2)), grey([3] * 14)
    sets = {"unconditional": untold, "guidance 3": told}
    table = conditioning.strength(probe, sets).set_index("row")
    column = "probability of the class asked for"
    assert table.loc["unconditional", column] == pytest.approx(1 / 7)
    assert np.isnan(table.loc["unconditional", f"{column} low"])
    assert table.loc["guidance 3", column] > 0.4 and table.n.tolist() == [14, 14]
    gain = conditioning.gain(probe, told, untold)
    assert gain.value == pytest.approx(table[column].iloc[1] - table[column].iloc[0])
    assert np.array_equal(conditioning.one_each(told), grey(range(7)))


def test_the_class_token_alone_makes_classes_differ_or_not():
    rng = np.random.default_rng(0)
    told = np.repeat(rng.normal(size=(7, 5)), 6, 0) + rng.normal(size=(42, 5)) / 9
    less = conditioning.without_class(lambda x: x, told)
    assert less.value < -0.7 and less.high < 0
    none = conditioning.without_class(lambda x: x, rng.normal(size=(42, 5)))
    assert none.low < 0 < none.high, "a token that does nothing"
