"""The judges: published LPIPS values, planted faults that are seen, and a verdict that needs them seen."""

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from skinsynth import phantom, recipe
from skinsynth.core import config, store
from skinsynth.evaluation import faults, judges, measures, metrics, panel, planting
from skinsynth.networks import published
from skinsynth.numerics import stats
from skinsynth.project import ledger

REFERENCE = ROOT.parent / "shared" / "lpips-reference"
CFG = config.configure(
    "smoke", size=64, n_train=500, n_test=20, n_pad=6, samples=20, classify_steps=2
)


def _pairs(names, folder):
    ref, *others = (cv2.imread(str(folder / f"{n}.png"))[None, ..., ::-1] for n in names)
    return ref, others


@pytest.mark.parametrize("backbone,values", [("alex", (0.722, 0.138)), ("vgg", (0.569, 0.422))])
def test_lpips_gives_the_published_values(backbone, values):
    """The authors publish AlexNet's 0.722 and 0.138 for their three pictures."""
    if not REFERENCE.is_dir():
        pytest.skip("the authors' three pictures are not here")
    ref, others = _pairs(("ex_ref", "ex_p0", "ex_p1"), REFERENCE)
    found = [measures.lpips_distance(published.LPIPS(backbone), ref, x)[0] for x in others]
    assert found == pytest.approx(values, abs=1e-3)


@pytest.mark.parametrize("backbone,values", [("alex", (0.0909, 0.0186)), ("vgg", (0.1089, 0.0277))])
def test_lpips_of_pictures_of_our_own(backbone, values):
    """A drawn lesion against its blurred and its shifted self: values measured with these weights."""
    x = phantom.dermatoscopy(0, 0, "bkl", 64).clean[None]
    faulty = faults.blur(x, 1.0), faults.colour_shift(x, 16)
    net = published.LPIPS(backbone)
    assert [measures.lpips_distance(net, x, y)[0] for y in faulty] == pytest.approx(
        values, abs=2e-4
    )
    assert measures.lpips_distance(net, x, x)[0] < 1e-6


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKINSYNTH_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield store.Run("judges")


@pytest.fixture(scope="module")
def sight(run):
    return pd.read_csv(recipe.judged(run, CFG) / "judges.csv")


def test_the_judge_sees_what_stand_ins_did_not(sight):
    """A blur of one pixel, and that most kinds of images are missing, in distance and in coverage."""
    for measure in ("FD-EfficientNet", "KD-EfficientNet", "coverage"):
        assert judges.smallest(sight, measure, "blur")[0] <= 1, measure
        assert judges.smallest(sight, measure, "a part many times")[0] <= 90, measure


def test_typical_images_are_held_against_as_many_others(sight):
    """That a part is repeated moves coverage, whichever part it is; only what is lost beyond that may count."""
    rows = sight[(sight.measure == "coverage") & (sight["size"] == 50)].set_index("fault").moved
    assert rows["a part many times"] < -0.1 < rows["typical ones only"]


def test_every_fault_stands_in_the_table_with_every_measure_of_sets(sight):
    assert set(sight.fault) == set(faults.FAULTS)
    for fault in set(sight.fault) - {"labels mixed"}:
        assert {*panel.NAMES, "precision", "recall", "density", "coverage"} <= set(
            sight[sight.fault == fault].measure
        )
    assert (sight.low <= sight.moved).all() and (sight.moved <= sight.high).all()


def test_faults_are_of_the_size_they_say():
    x = np.stack([phantom.dermatoscopy(0, i, "nv", 64).clean for i in range(4)])

    def rng():
        return np.random.default_rng(0)

    assert np.abs(faults.noise(x, 12, rng()) - x.astype(float)).std() == pytest.approx(7.2, abs=2)
    assert np.abs(faults.blocks(x, 12, rng()).astype(float) - x).max() <= 12
    shift = (faults.colour_shift(x, 8).astype(float) - x).mean((0, 1, 2))
    assert shift == pytest.approx([8, 0, -8], abs=0.6)
    assert faults.contrast(x, 30).std() / x.std() < 1
    y = np.array(["mel"] * 5 + ["nv"] * 15 + ["mel"] * 20 + ["bkl"] * 20)
    rows = faults.FAULTS["melanoma only"].plant(y, 20, 1, rng(), None)
    assert (y[rows] == "mel").all() and len(rows) == 20
    rows = faults.FAULTS["melanoma missing"].plant(y, 20, 1, rng(), None)
    assert (y[rows] != "mel").all() and len(rows) == 20 and set(range(5, 20)) <= set(rows)
    rows = faults.FAULTS["a part many times"].plant(y, 20, 90, rng(), None)
    assert len(rows) == 20 and len(set(rows)) == 2
    odd = np.arange(60.0)
    rows = faults.FAULTS["typical ones only"].plant(y, 20, 50, rng(), odd)
    assert sorted(set(rows)) == [0, 1, *range(5, 13)] and (y[rows] == y[:20]).all()


def _table(*seen):
    rows = [
        dict(fault="blur", size=s, unit="px", measure="FD", n=50, seen=v)
        for s, v in zip((0.5, 0.7, 1.0, 2.0), seen, strict=True)
    ]
    return pd.DataFrame(rows)


def test_seen_means_at_this_size_and_every_larger_one():
    def said(*seen):
        return judges.sees(_table(*seen), "FD", "detail")

    assert said(False, False, True, True) == (
        True,
        "FD sees a blur of 1 px, not 0.7 (in 50 originals).",
    )
    assert said(True, False, False, True) == (
        True,
        "FD sees a blur of 2 px, not 1 (in 50 originals).",
    )
    assert said(True, True, True, True) == (True, "FD sees a blur of 0.5 px (in 50 originals).")
    assert said(True, True, True, False) == (False, "FD does not see a blur of 2 px.")
    assert judges.sees(_table(True, True, True, True), "FD", "colour") == (
        False,
        "FD was not tested on colour.",
    )


def test_the_summary_says_how_large_a_fault_each_measure_sees():
    rows = [
        *_table(False, False, True, True).to_dict("records"),
        *_table(False, False, False, False).assign(measure="KD").to_dict("records"),
        *_table(True, True, True, True).assign(measure="MSE").to_dict("records"),
        dict(fault="hair", size=4, unit="hairs", measure="KD", seen=True),
    ]
    table = judges.summary(pd.DataFrame(rows))
    assert table.to_dict("records") == [
        {"measure": "FD", "blur (px)": "1", "hair (hairs)": "–"},
        {"measure": "KD", "blur (px)": "none to 2", "hair (hairs)": "4"},
    ]
    pairs = judges.summary(pd.DataFrame(rows), pairs=True)
    assert pairs.to_dict("records") == [{"measure": "MSE", "blur (px)": "0.5"}]


def test_properties_show_the_smallest_deciding_fault_or_no(sight):
    table = judges.properties(sight).set_index("measure")
    assert list(table)[:3] == ["detail (blur)", "colour (colour shift)", "hair"]
    for measure, row in table.iterrows():
        for head, said in row.items():
            seen = judges.sees(sight, measure, head.split(" (")[0])
            assert (said not in ("no", "–")) == seen[0], (measure, head)
            assert (said == "–") == ("was not tested" in seen[1])
    least = judges.smallest(sight, "coverage", "blur")[0]
    assert table.loc["coverage", "detail (blur)"] == f"{least:g} px"
    assert table.loc["label fidelity", "variety"] == "–"
    assert "variance (CLIP, plane)" in table.index, "Fig 12 rests on a measure that was tested"


def test_movements_stand_in_one_row_for_each_fault_and_size(sight):
    names = (*panel.NAMES, "coverage")
    table = judges.movements(sight, names)
    asked = sight[sight.measure.isin(names)]
    assert len(table) == len(asked.drop_duplicates(["fault", "size"]))
    first = asked[(asked.fault == "blur") & (asked["size"] == 0.5)].set_index("measure")
    row = table.set_index("fault").loc["blur, 0.5 px"]
    assert [row[f"{m} low"] for m in names] == list(first.low[list(names)])
    assert row.n == first.n.max()


def test_examples_show_each_fault_of_the_pixels_that_can_be_planted(run):
    shown = planting.examples(recipe.records(run, CFG), seed=0)
    of_pixels = {k for k, f in faults.FAULTS.items() if f.property not in ("variety", "class")}
    assert set(shown) == {"original"} | of_pixels
    changed = [
        not np.array_equal(x, shown["original"]) for k, x in shown.items() if k != "original"
    ]
    assert all(changed)


def test_a_verdict_needs_a_measure_that_sees(run):
    claim = ledger.load()["fig9-sharper"]
    assert claim["property"] == "detail"
    parts = [stats.Estimate(-1.0, -1.2, -0.8, 50, str(k)) for k in range(claim["n_parts"])]
    for sight, wanted in (
        ((True, "It sees a blur of 1 px."), "reproduced"),
        ((False, "It does not see a blur of 2 px."), "the judge cannot see it"),
        (None, "not testable here"),
    ):
        ledger.record(run, "fig9-sharper", parts, profile="micro", sight=sight)
        row = next(r for r in ledger.evaluate(run) if r["id"] == "fig9-sharper")
        assert row["verdict"] == wanted and (sight is None or sight[1] in row["why"])


def test_every_claim_on_pictures_names_a_property_and_a_decisive_fault_stands_for_it():
    named = {k: c["property"] for k, c in ledger.load().items() if c["property"]}
    assert set(named.values()) <= set(judges.DECIDES) and len(named) >= 20
    for decisive in judges.DECIDES.values():
        assert set(decisive) <= set(faults.FAULTS)


def test_a_collapsed_noisy_or_blurred_generator_is_told_from_a_good_one():
    x = np.stack(
        [phantom.dermatoscopy(0, i, c, 64).clean for i, c in enumerate(["nv", "vasc"] * 40)]
    )
    judge = panel.Judge()

    def measured(images):
        return judge(images, ["nv"] * len(images), range(len(images)))

    real, other = measured(x[::2]), measured(x[1::2])
    assert np.abs(real.features).max() > 0 and real.probabilities.sum(1) == pytest.approx(
        np.ones(40), abs=1e-5
    )
    again = judge.embed(x[:3])
    assert np.allclose(again, judge.embed(x[:7])[:3], atol=1e-4), (
        "the batch changes nothing but float noise"
    )
    collapsed = np.repeat(x[:1], 40, 0).astype(int) + np.random.default_rng(0).integers(
        -1, 2, (40, 1, 1, 1)
    )
    found = {
        k: v.mean()
        for k, v in metrics.prdc(
            real.features, measured(collapsed.clip(0, 255).astype(np.uint8)).features
        ).items()
    }
    assert found["precision"] > 0.9 and found["recall"] < 0.1 and found["coverage"] < 0.2
    floor = metrics.frechet_distance(real.features, other.features)
    noise = np.random.default_rng(1).integers(0, 256, x[1::2].shape, dtype=np.uint8)
    for wrong in (noise, x[1::2, :, :, ::-1]):
        assert metrics.frechet_distance(real.features, measured(wrong).features) > 1.4 * floor
