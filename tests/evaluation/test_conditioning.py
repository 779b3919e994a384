"""The class in the samples: what a probe names them, and what guidance changes."""

import numpy as np
import pandas as pd
import pytest
import torch

from skinsynth.core.config import CLASSES
from skinsynth.core.machine import device
from skinsynth.evaluation import conditioning, fidelity, panel


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


def test_chance_is_taken_from_every_class():
    table = pd.DataFrame({"class": ["mel"], "n": [7], "samples": [0.5], "samples low": [0.2]})
    (e,) = fidelity.above_chance(table.assign(**{"samples high": 0.8}))
    assert (e.label, e.n) == ("mel", 7) and e.value == pytest.approx(0.5 - 1 / 7)
    assert (e.low, e.high) == pytest.approx((0.2 - 1 / 7, 0.8 - 1 / 7))


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


def test_without_class_the_classes_look_alike():
    rng = np.random.default_rng(0)
    told = np.repeat(rng.normal(size=(7, 5)), 6, 0) + rng.normal(size=(42, 5)) / 9
    untold = rng.normal(size=(42, 5))
    less = conditioning.class_share_difference(lambda x: x, untold, told)
    assert less.value < -0.7 and less.high < 0
