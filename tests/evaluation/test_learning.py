"""Logs of trainings as curves; what the adapters do, as a table."""

import numpy as np
import pandas as pd
import pytest

from skinsynth.evaluation import conditioning, learning
from skinsynth.numerics import stats

LOG = pd.DataFrame(
    [
        [1, 4.0, None],
        [2, 2.0, None],
        [2, None, 3.0],
        [3, 1.0, None],
        [4, 3.0, None],
        [4, None, 1.5],
    ],
    columns=["step", "loss", "validation"],
)


def test_training_is_averaged_between_two_checks():
    table = learning.curves({"a": LOG, "b": LOG.assign(loss=LOG.loss + 1)})
    assert list(table.model) == ["a", "a", "b", "b"] and list(table.step) == [2, 4, 2, 4]
    assert list(table.training) == [3.0, 2.0, 4.0, 3.0] and list(table.validation) == [3.0, 1.5] * 2


def test_ends_of_a_training():
    row = learning.ends({"a": LOG}).iloc[0]
    assert (row["steps"], row["first"], row["last"]) == (4, 3.0, 1.5)
    assert row["fell"] == pytest.approx(0.5)
    worse = pd.concat([LOG, pd.DataFrame({"step": [6], "validation": [2.0]})])
    row = learning.ends({"a": worse}).iloc[0]
    assert (row["lowest"], row["at"], row["last"]) == (1.5, 4, 2.0) and row["fell"] < 0


class Colours:
    """A judge that sees mean colours."""

    def embed(self, images):
        return np.asarray(images, float).mean((1, 2)) + 1


def test_a_setting_that_loses_the_reference_is_farther_from_it():
    rng = np.random.default_rng(0)
    references = rng.integers(0, 200, (12, 1, 1, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    near = references + rng.integers(0, 9, references.shape, np.uint8)
    pixels = {"off": np.full_like(references, 100), "on": near, "half": near + np.uint8(10)}
    rows = conditioning.adapters(Colours(), pixels, references, np.tile([0, 1, 2, 3], 3), "on")
    rows = stats.frame("adapters", rows).set_index("adapters")
    assert list(rows.index) == ["off", "on", "half"] and (rows.n == 12).all()
    assert rows["minus as trained"]["off"] > 0 and np.isnan(rows["minus as trained"]["on"])
    assert rows["to the reference"]["off"] > rows["to the reference"]["on"]
    assert rows["change (grey levels)"]["half"] == pytest.approx(10)


def test_the_ending_of_a_training_is_read_off_its_measured_steps():
    log = pd.DataFrame({"step": [0, 50, 80, 85, 100], "validation": [9, 1, 4, np.nan, 2]})
    assert learning.ending(log) == (0.5, 50)
    assert learning.ending(log[:1]) == (0, 0)


def test_a_measure_is_followed_from_half_of_a_training_to_its_end():
    way = pd.DataFrame({"images": [10, 20, 40] * 2, "model": ["a"] * 3 + ["b"] * 3})
    way["FD"], reach = [9.0, 8, 5, 9, 8, 7], [1, 1, 2, 1, 1, 2]
    way["FD low"], way["FD high"] = way.FD - reach, way.FD + reach
    assert learning.later(way, "FD") == (20, 40, {"a": (8, 5, True), "b": (8, 7, False)})
