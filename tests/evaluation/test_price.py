"""The price of guidance: each class counts the same for the use of a set, lesions stay together."""

import numpy as np
import pandas as pd
import pytest

from skinsynth.core.config import CLASSES
from skinsynth.evaluation import conditioning, panel
from skinsynth.evaluation.compared import Compared
from skinsynth.numerics import stats


def _table(classes, split="val"):
    lesions = [f"L{split}{i // 2}" for i in range(len(classes))]
    return pd.DataFrame({"dx": classes, "lesion_id": lesions, "split": split})


def test_utility_is_the_mean_over_the_classes():
    table = _table(["nv"] * 80 + ["df"] * 20)
    answers = np.tile(np.eye(7)[CLASSES.index("nv")], (100, 1))  # always naevus
    e = conditioning.utility(answers, table)
    assert e.value == pytest.approx(0.5) and 0 <= e.low <= 0.5 <= e.high <= 1 and e.n == 100
    answers[80:90] = np.eye(7)[CLASSES.index("df")]
    e = conditioning.utility(answers, table)
    assert e.value == pytest.approx(0.75) and 0.5 < e.low < 0.75 < e.high <= 1


def test_a_set_without_variety_loses_recall_and_coverage():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (80, 4, 4, 3), dtype=np.uint8)
    records = pd.concat([_table(["nv"] * 40, "test"), _table(["nv"] * 40)], ignore_index=True)

    def judge(x, labels, ids):
        features = x.reshape(len(x), -1) / 255
        return panel.Features(features, features, labels, stats.make_groups(np.asarray(ids)))

    judge.names = panel.NAMES
    meta = pd.DataFrame({"class": ["nv"] * 40, "seed": np.arange(40)})
    compared = Compared(judge, records, images, {}, meta)
    varied = rng.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    noise = rng.integers(0, 3, varied.shape, dtype=np.uint8)
    alike = np.clip(images[:1].astype(int) + noise, 0, 255).astype(np.uint8)
    answers = np.tile(np.eye(7)[CLASSES.index("nv")], (40, 1))
    table = conditioning.price(compared, {1: (varied, answers), 5: (alike, answers)})
    assert list(table.guidance) == [1, 5] and list(table.n) == [40, 40]
    assert {panel.NAMES[1], "precision low", "coverage high", "utility"} <= set(table)
    assert not {"density", panel.NAMES[0]} & set(table)
    assert table.recall[1] < table.recall[0] and table.coverage[1] < table.coverage[0]
    assert table.utility.tolist() == [1, 1]
    assert "utility" not in conditioning.price(compared, {1: (varied, None)})
