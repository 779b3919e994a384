"""Tables 2 and 5: rows at equal numbers, one line for a metric, the way from the floor to a wrong set."""

import numpy as np
import pandas as pd
import pytest

from skinsynth.evaluation import ablation, distances, panel
from skinsynth.evaluation.compared import Compared


def cloud(seed, shift, n=200):
    x = np.random.default_rng(seed).normal(size=(n, 4)) + shift
    p = np.abs(x) / np.abs(x).sum(1, keepdims=True)
    return panel.Features(x, p, np.array(["nv", "mel"] * (n // 2)), np.arange(n) % 20)


def judge(images, labels, ids):
    """Mean colours as features: what is tested here is which images are compared."""
    x = images.mean((1, 2)).astype(float)
    return panel.Features(x, x / x.sum(1, keepdims=True), np.asarray(labels), np.asarray(ids))


def small(references):
    """A set of 60 train and 20 test images of two classes, and a model's samples."""
    rng, classes = np.random.default_rng(0), ["mel", "nv"] * 40
    images = rng.integers(1, 255, (80, 4, 4, 3), dtype=np.uint8)
    split, ids = ["train"] * 60 + ["test"] * 20, np.arange(80)
    about = {"dx": classes, "split": split, "lesion_id": ids, "image_id": [f"i{k}" for k in ids]}
    meta = {"class": ["mel"] * 12 + ["nv"] * 12, "seed": [*range(12)] * 2, "reference": references}
    pixels = {"8ch+ML": rng.integers(1, 255, (24, 4, 4, 3), dtype=np.uint8)}
    return Compared(judge, pd.DataFrame(about), images, pixels, pd.DataFrame(meta))


def test_excess_is_none_at_the_floor_and_one_at_the_far_end():
    real, floor, far = cloud(0, 0), cloud(1, 0), cloud(2, 4)
    near, half, whole = (
        distances.excess_share(real, fake, floor, far) for fake in (cloud(3, 0), cloud(4, 2), far)
    )
    assert abs(near.value) < 0.02 and whole.value == pytest.approx(1)
    assert half.low < 0.25 < half.high and half.high - half.low < 0.1  # a distance of squares


def test_one_line_adds_a_metric_to_the_table(monkeypatch):
    shift = distances.of_features(lambda real, fake: abs(real.mean() - fake.mean()))
    monkeypatch.setitem(distances.METRICS, "shift of the mean", ("unused", shift))
    compared = small(["i0"] * 24)
    compared.__dict__["real"] = cloud(0, 0)
    table = distances.rows(compared, {"near": cloud(1, 0), "far": cloud(2, 4)})
    assert table.model.tolist() == ["near", "far"] and table.n.tolist() == [200, 200]
    near, far = table["shift of the mean"]
    assert near < 0.2 < 3.5 < far and table[panel.NAMES[0]][0] < table[panel.NAMES[0]][1]
    assert table.precision[0] > 0.8 and table.precision[1] == 0


def test_a_claim_on_the_proposed_method_has_a_part_with_and_one_without_reference_images():
    features = {"8ch+ML": cloud(1, 0), distances.UNSHOWN: cloud(2, 3), "4ch": cloud(3, 1)}
    shown, unshown = distances.both(panel.fd_difference, features, "4ch", cloud(0, 0))
    assert (shown.label, unshown.label) == ("with reference images", "without reference images")
    assert shown.high < 0 < unshown.low
    assert distances.in_words(shown).startswith("nearer (-")
    assert distances.in_words(unshown).startswith("farther (")
    alike = panel.fd_difference(cloud(0, 0), cloud(1, 0), cloud(4, 0))
    assert distances.in_words(alike).startswith("neither nearer")


def test_the_margin_of_the_score_is_what_halves_of_the_originals_show():
    few, many = (panel.margin_of_score(cloud(0, 0, n)) for n in (100, 1600))
    assert 0 < many < few, "more images, less chance"
    surer = cloud(0, 0, 400)
    surer.probabilities[:] = [0.25] * 4  # every image says the same
    assert panel.margin_of_score(surer) == pytest.approx(0, abs=1e-9)


def test_what_stands_beside_the_samples():
    compared = small(["i3"] * 12 + ["i8"] * 12)
    assert len(compared.target) == len(compared.take) == 20
    (wrong,) = distances.melanoma_only(compared).values()
    assert set(wrong.labels) == {"mel"} and len(wrong.labels) == 20
    (shown,) = distances.shown_references(compared).values()
    assert set(shown.groups) == {3, 8} and shown.labels.tolist() == ["mel"] * 10 + ["nv"] * 10
    assert distances.shown_references(small([None] * 24)) == {}
    real, fake = compared.groups
    seeds = compared.seeds[compared.take]
    assert len(set(real)) == 20
    assert len(set(zip(seeds, fake, strict=True))) == len(set(seeds)), "a seed is in one group"


def test_first_images_are_those_of_the_first_seeds():
    compared = small(["i0"] * 24)
    assert np.array_equal(compared.first("8ch+ML", "nv", 2), compared.pixels["8ch+ML"][12:14])
    assert np.array_equal(compared.first("original", "nv", 2), compared.images[[61, 63]])


def test_what_is_nearer_is_decided_by_the_distance_that_few_images_do_not_bias():
    """The course of a training and the verdicts on distance rest on the kernel distance."""
    rng, base = np.random.default_rng(3), small(["i0"] * 24)
    names = ("baseline", "4ch", "8ch", "8ch+ML")
    pixels = {name: rng.integers(1, 255, (24, 16, 16, 3), dtype=np.uint8) for name in names}
    images = rng.integers(1, 255, (80, 16, 16, 3), dtype=np.uint8)
    compared = Compared(judge, base.records, images, pixels, base.meta)
    features = ablation.features_of(compared, pixels["8ch"][::-1])
    found = ablation.differences(compared, features, pixels["8ch"][::-1])
    by_kernel = panel.kd_difference(compared.real, features["8ch"], features["4ch"])
    assert found["table5-fid-8ch"] == [by_kernel]
    by_frechet = panel.fd_difference(compared.real, features["8ch"], features["4ch"])
    assert found["table5-fid-8ch"] != [by_frechet] and ablation.MEASURES[0] == panel.NAMES[1]
