"""What changes along paths, and how much sets vary: each measure on cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from skinsynth.core.config import CLASSES
from skinsynth.evaluation import along, fillings, spread
from skinsynth.interpolation.paths import ALPHAS
from skinsynth.interpolation.walks import Walk
from skinsynth.numerics import stats


class Means:
    """A judge whose features are the mean colours and their halves."""

    names = ("FD-means",)

    def embed(self, images):
        means = np.asarray(images, float).mean((1, 2)) / 255
        return np.concatenate([means, means[:, ::-1] / 2], 1)


def faded(n=14, leave=0.0):
    """A Walk of dark squares that fade into light skin; `leave`: share of the contrast left at alpha 0."""
    rng = np.random.default_rng(0)
    mask = np.zeros((32, 32), bool)
    mask[12:20, 12:20] = True
    depth = rng.uniform(40, 120, n)
    skin = np.full((n, 32, 32, 3), 200.0)
    dark = skin - depth[:, None, None, None] * mask[None, :, :, None]
    start = skin + leave * (dark - skin)
    path = np.stack([(1 - a) * start + a * dark for a in ALPHAS], 1).round().astype(np.uint8)
    masks = np.repeat(mask[None], n, 0)
    labels, ids = np.array(CLASSES * (n // 7)), np.arange(n) // 2
    return Walk(path[:, -1], masks, path[:, 0], path, labels, ids, skin.astype(np.uint8))


def test_the_lesion_probe_learns_which_of_the_two_is_the_lesion():
    walk = faded(28)
    probe = along.LesionProbe(Means(), walk.images, walk.skin)
    assert probe.auc(walk.images, walk.skin, walk.ids).value == 1
    seen = along.follow(probe, walk.path)
    assert seen.shape == (28, 11) and (np.diff(seen, axis=1) >= -1e-9).all()
    table = along.by_alpha({"lesion probe": seen}, walk.ids)
    assert list(table.alpha) == list(ALPHAS) and (table.n == 28).all()
    assert table["lesion probe"].is_monotonic_increasing and table["lesion probe high"].max() <= 1


def test_order_tells_an_even_path_from_a_jump_and_from_none():
    even, jump = np.linspace(0, 1, 11), np.repeat([0.0, 1.0], [6, 5])
    rank, step = along.order(np.stack([even, even[::-1], jump, np.full(11, 0.3)]))
    assert rank[:2] == pytest.approx([1, -1]) and 0.8 < rank[2] < 0.9 and rank[3] == 0
    assert step == pytest.approx([0.1, 0.1, 1, 0])


def test_tables_of_the_order_have_a_row_or_a_curve_for_each_set_and_interpolation():
    walk, values = faded(), np.tile(np.linspace(0, 1, 11), (14, 1))
    keys = ("samples", "linear"), ("samples", "spherical"), ("phantom", "linear")
    walks, seen = dict.fromkeys(keys, walk), dict.fromkeys(keys, values)
    table = along.order_table(walks, seen)
    assert list(table)[:4] == ["paths of", "interpolation", "n", "median rank"]
    assert list(zip(table["paths of"], table.interpolation, strict=True)) == list(keys)
    assert (table["rank 0.9 or more"] == 1).all()
    curves = along.order_curves(walks, seen)
    assert list(curves)[:3] == ["paths", "alpha", "lesion probe"] and len(curves) == 33
    assert curves.paths.iloc[11] == "samples, spherical"


def test_a_true_path_agrees_with_the_truth_and_one_with_a_residue_less_so():
    true, marked = faded(), faded(leave=0.5)
    table = along.truth_table({("a", "linear"): true, ("a", "spherical"): marked})
    exact, off = (table.iloc[k] for k in (0, 1))
    assert exact.n == off.n == 14
    assert off["alpha 0"] < off["alpha 0.5"] < 40, "nearer the lesion, nearer the truth"
    assert np.isnan(exact["alpha 0"]), "equal images: no finite PSNR"
    assert along.truth_table({}).empty


def test_residue_grows_with_contrast_where_a_share_of_it_is_left():
    found = along.residues(faded(leave=0.2))
    assert found.residue.to_numpy() == pytest.approx(0.2 * found.contrast, abs=1.5)
    assert along.residue_relation(found).value == 1
    assert along.residue_relation(found, within=False).value > 0.9
    empty = found.assign(residue=np.where(found.index < 6, np.nan, found.residue))
    assert along.residue_relation(empty) is None
    unpainted = faded()
    unpainted.normal[3] = unpainted.images[3]
    assert along.residues(unpainted).isna().any(axis=1).to_numpy().nonzero()[0].tolist() == [3]
    assert np.isnan(along.contrast(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)))


def test_a_class_mixture_is_no_relation_within_the_classes():
    """Within each class the residue rises with the contrast; the class of more contrast has less of it."""
    rng = np.random.default_rng(0)
    contrast = rng.uniform(0, 1, 60) + np.repeat([0, 10], 30)
    residue = contrast - np.repeat([0, 20], 30)
    found = pd.DataFrame({"class": np.repeat(["nv", "mel"], 30), "seed": np.tile(np.arange(30), 2)})
    found = found.assign(contrast=contrast, residue=residue)
    within, pooled = (along.residue_relation(found, own) for own in (True, False))
    assert within.value == pytest.approx(1) and pooled.value < -0.3
    said = along.residue_said(within, pooled)
    assert "leaves more residue (r = 1.00" in said and f"{pooled.value:.2f}" in said
    mirrored = along.residue_relation(found.assign(residue=-residue))
    assert "less residue, not more" in along.residue_said(mirrored, pooled)
    unclear = stats.Estimate(0.1, -0.2, 0.4, 60)
    assert "neither clearly" in along.residue_said(unclear, pooled)
    assert "so few paths" in along.residue_said(None, None)
    # unequal classes count by their images, and ranks have the mean 0 in each
    ranks = along.ranks([5, 1, 3, 9, 7], ["a", "a", "a", "b", "b"])
    assert ranks == pytest.approx([1 / 3, -1 / 3, 0, 0.25, -0.25])


def test_each_filling_has_its_own_residue():
    walk = faded(28, leave=0.2)
    table = along.residue_table(walk, {"path": walk.path[:, 0], "truth": walk.skin})
    first, truth = (table.iloc[k] for k in (0, 1))
    own = along.residues(walk)
    assert first["residue (grey levels)"] == pytest.approx(own.residue.mean())
    assert first["within classes"] == pytest.approx(along.residue_relation(own).value)
    assert truth["residue (grey levels)"] == 0 and np.isnan(truth["within classes"])


def test_fillings_rank_the_truth_above_the_lesion():
    walk = faded()
    records = pd.DataFrame({"lesion_id": np.arange(14)})
    images = {"lesion left as it is": walk.images, "the truth": walk.skin}
    filled = fillings.Fillings(records, walk.skin, walk.masks, walk.masks, images)
    table = fillings.table(filled, Means()).set_index("method")
    left, truth = table.loc["lesion left as it is"], table.loc["the truth"]
    assert truth["PSNR inside (dB)"] > 80 and left["PSNR inside (dB)"] < 20
    assert truth["colour shift"] == truth.rim == 0 and left["colour shift"] > 10
    assert truth["FD-means"] == pytest.approx(0, abs=1e-9) and left["FD-means"] > 0
    jumps = fillings.rim(walk.images, walk.masks)
    assert jumps == pytest.approx(0, abs=1e-3), "both sides of the painted edge are skin"


def test_variance_is_the_trace_of_the_covariance():
    x = np.random.default_rng(0).normal(size=(50, 7))
    assert spread.variance(x) == pytest.approx(np.trace(np.cov(x.T)))


def test_variance_of_paths_lies_between_seeds_or_within_them():
    rng = np.random.default_rng(0)
    seeds, steps = rng.normal(size=(6, 1, 4)), rng.normal(size=(1, 9, 4))
    paths = np.repeat(seeds, 9, 1)
    assert spread.within(paths) == pytest.approx(0)
    assert spread.between(paths) == pytest.approx(spread.variance(seeds[:, 0]))
    paths = np.repeat(steps, 6, 0)
    assert spread.between(paths) == pytest.approx(0)
    assert spread.within(paths) == pytest.approx(spread.variance(steps[0]))
    assert np.isnan(spread.between(steps))


def test_permutation_finds_a_wider_set_and_no_more():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(60, 5))
    wide, same = a.copy(), a.copy()
    wide[30:] *= 2
    same[30:] = rng.normal(size=(30, 5))
    seen, p = spread.variance_test(a, wide, 500)
    assert seen > 0 and p < 0.01
    assert spread.variance_test(a, same, 500)[1] > 0.05
    assert spread.variance_test(wide, a, 500)[0] == pytest.approx(-seen)


def test_permutation_is_calibrated():
    """Under the null p is below 0.1 in about a tenth of the cases."""
    low = 0
    for k in range(200):
        rng = np.random.default_rng(k)
        a = rng.normal(size=(20, 3))
        b = np.concatenate([a[:10], rng.normal(size=(10, 3))])
        low += spread.variance_test(a, b, 99, seed=k)[1] <= 0.1
    assert 5 <= low <= 36


@pytest.fixture
def sets():
    """(embeddings of A, of a wider AI and of a control that is A, labels, seeds): 12 images a class."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(84, 5))
    embedded = {"A": a, "AI": np.where(np.arange(84)[:, None] % 2, a, 2 * a), "control": a}
    return embedded, np.repeat(CLASSES, 12), np.tile(np.arange(12), 7)


def test_table_6_has_the_gain_the_control_and_the_fidelity(sets):
    embedded, labels, seeds = sets
    right = {"A": np.arange(84) % 4 == 0, "AI": np.arange(84) % 2 == 0}
    table = spread.by_class(embedded, right, labels, seeds)
    assert list(table["class"]) == list(CLASSES) and (table.n == 12).all()
    assert (table["AI minus A"] > 0).all() and (table["control minus A"] == 0).all()
    assert np.allclose(table.AI - table.A, table["AI minus A"])
    assert table["A named right"].to_numpy() == pytest.approx(0.25)
    assert table["AI named right"].to_numpy() == pytest.approx(0.5)
    alone = spread.permutations(embedded, labels)
    assert np.allclose(alone["AI minus A"], table["AI minus A"]) and alone.p.between(0, 1).all()
    own = labels == "nv"  # one class alone, not corrected for seven
    p = spread.variance_test(embedded["A"][own], embedded["AI"][own])[1]
    assert alone.set_index("class").p["nv"] == p
    gains = spread.gains(embedded["A"], embedded["AI"], labels, seeds)
    assert [e.label for e in gains.values()] == list(CLASSES)
    assert gains["mel"].value == pytest.approx(table.set_index("class").loc["mel", "AI minus A"])


def test_other_shares_are_measured_as_table_6_is(sets):
    embedded, labels, seeds = sets
    right = np.arange(84) % 4 == 0
    tried = {(0.5, "all"): (embedded["AI"], right), (0.25, "none"): (embedded["A"], ~right)}
    table = spread.sensitivity(embedded["A"], tried, labels, seeds)
    assert list(table)[:4] == ["share interpolated", "alpha", "n", "AI minus A"]
    assert list(table["share interpolated"]) == [0.5, 0.25] and list(table.alpha) == ["all", "none"]
    gains = spread.gains(embedded["A"], embedded["AI"], labels, seeds).values()
    expected = np.mean([e.value for e in gains])
    assert table["AI minus A"].to_numpy() == pytest.approx([expected, 0])
    assert list(table["named right"]) == [0.25, 0.75]


@pytest.mark.parametrize("wider", [3, 4])
def test_widening_is_a_mean_over_the_classes(sets, wider):
    """All seven enter it and its interval, the wider and the narrower ones."""
    embedded, labels, seeds = sets
    factor = np.where(np.isin(labels, CLASSES[:wider]), 3.0, 0.5)[:, None]
    after = embedded["A"] * factor
    plane = spread.plane(embedded["A"])
    found = spread.typical_widening(plane, embedded["A"], after, labels, seeds)
    ratios = np.log([9] * wider + [0.25] * (7 - wider))
    assert found.value == pytest.approx(ratios.mean())
    assert found.low <= found.value <= found.high and found.n == 84
    own = spread.by_component(plane, {"A": embedded["A"], "AI": after}, labels, seeds)
    assert (own["ln(AI / A)"] > 0).sum() == wider


def test_sides_count_whole_intervals_only():
    ends = ((0.1, 0.3), (-0.1, 0.3), (-0.3, -0.1), (0.0, 0.2))
    assert spread.sides(stats.Estimate(0, low, high, 9) for low, high in ends) == (1, 1)


def test_the_plane_is_that_of_a_and_points_say_which_set_they_are_of(sets):
    embedded, labels, seeds = sets
    plane = spread.plane(embedded["A"])
    moved = np.arange(84) % 2 == 0
    points = spread.points(
        plane,
        {"A": (embedded["A"], labels), "interpolated": (embedded["AI"][moved], labels[moved])},
    )
    assert list(points) == ["component 1", "component 2", "class", "set"] and len(points) == 126
    assert points["component 1"][:84].var(ddof=1) == pytest.approx(plane.explained_variance_[0])
    table = spread.by_component(plane, {n: embedded[n] for n in ("A", "AI")}, labels, seeds)
    own = points["component 2"][:84][labels == "nv"].var(ddof=1)
    assert table.set_index("class").loc["nv", "A, component 2"] == pytest.approx(own)
    paths = np.repeat(embedded["A"][:, None], 9, 1)
    found = spread.along_paths(paths, labels, seeds)
    assert list(found)[:2] == ["class", "paths"] and np.allclose(found["within seeds"], 0)
    assert (found["between seeds"] > 0).all()
