"""Each rule of the ledger, and what flips it."""

import re

import numpy as np
import pytest

from skinsynth.core.errors import UserError
from skinsynth.core.store import Run, read_json, write_json
from skinsynth.numerics import stats
from skinsynth.numerics.stats import Estimate
from skinsynth.project import ledger
from skinsynth.project.markdown import typeset

IDS = """table1-mse table1-lpips table1-msssim table2-fid table2-is table5-fid-8ch table5-is-8ch
table5-fid-ml table5-is-ml table5-is-ml-below-8ch table3-synthetic-below table3-combined-highest
table4-combined-highest table6-variance fig3-depth fig6-boundary fig6-colour fig6-texture
fig7-classes fig9-sharper fig9-diversity fig10-guidance fig10-noclass fig11-residue fig11-alpha
fig13-hair fig14-hair""".split()


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path))
    return Run("micro")


def part(low, high, label=""):
    return Estimate((low + high) / 2, low, high, 100, label)


SEEN = (True, "The measure sees it.")


def ruling(run, claim_id, *parts, **more):
    ledger.record(run, claim_id, list(parts), **(dict(profile="micro", sight=SEEN) | more))
    return next(row for row in ledger.evaluate(run) if row["id"] == claim_id)


def test_every_claim_is_there_and_no_number_of_the_paper_but_two():
    known = ledger.load()
    assert set(known) == set(IDS)
    for name, claim in known.items():
        assert claim["item"] == name.split("-")[0]
        assert re.fullmatch(r"fig([1-9]|1[0-4])|table[1-6]", claim["item"])
        assert "Kim et al. 2025" in claim["source"]
        assert (claim["margin"] > 0) == (claim["direction"] == "equivalent")
    numbers = {n: c["paper_value"] for n, c in known.items() if c["paper_value"] != "not available"}
    assert list(numbers) == ["table2-fid"] and "protocol unknown" in numbers["table2-fid"]
    assert known["table6-variance"]["n_parts"] == known["fig7-classes"]["n_parts"] == 7


@pytest.mark.parametrize(
    ("claim_id", "low", "high", "expected"),
    [
        ("table1-mse", -0.02, -0.01, "reproduced"),
        ("table1-mse", 0.01, 0.02, "not reproduced"),
        ("table1-mse", -0.02, 0.001, "inconclusive"),
        ("table1-msssim", 0.01, 0.02, "reproduced"),
        ("table1-msssim", -0.02, -0.01, "not reproduced"),
        ("table2-is", -0.04, 0.04, "reproduced"),
        ("table2-is", -0.02, 0.06, "inconclusive"),  # no difference shown is no equivalence
        ("table2-is", 0.02, 0.06, "inconclusive"),
        ("table2-is", -0.09, -0.06, "not reproduced"),
        ("table2-is", -0.4, 0.4, "inconclusive"),
        ("fig11-alpha", 0.2, 0.3, "not testable here"),
    ],
)
def test_verdict_follows_the_interval(run, claim_id, low, high, expected):
    row = ruling(run, claim_id, part(low, high))
    assert row["verdict"] == expected
    assert row["low"] == low and row["n"] == 100 and row["why"].endswith(".")
    assert row["smallest_detectable"] == pytest.approx((high - low) / 2 * 2.8 / 1.96, rel=1e-2)


def test_the_margin_counts():
    e = part(0.01, 0.03)
    assert ledger.judge(e, "greater", 0) == "reproduced"
    assert ledger.judge(e, "greater", 0.02) == "inconclusive"
    assert ledger.judge(e, "greater", 0.05) == "not reproduced"
    assert ledger.judge(part(-0.03, -0.01), "less", 0.02) == "inconclusive"
    small = dict(direction="greater", margin=0.05, n_parts=1)
    assert "smaller than the margin" in ledger._why("not reproduced", [e], e, small)


def test_all_seven_classes_need_all_seven_intervals(run):
    good = [part(0.1, 0.2, c) for c in "abcdefg"]
    row = ruling(run, "table6-variance", *good)
    assert row["verdict"] == "reproduced" and "All 7" in row["why"] and len(row["parts"]) == 7
    row = ruling(run, "table6-variance", *good[:6])
    assert row["verdict"] == "inconclusive" and "Only 6 of the 7" in row["why"]
    row = ruling(run, "table6-variance", *good[:6], part(-0.05, 0.1, "g"))
    assert row["verdict"] == "inconclusive"
    assert "6 of 7" in row["why"] and "for g" in row["why"] and row["low"] == -0.05
    row = ruling(run, "table6-variance", *good[:6], part(-0.2, -0.1, "g"))
    assert row["verdict"] == "not reproduced" and "for g" in row["why"]
    barely = ruling(run, "table6-variance", *good[:6], part(-0.2, -0.001, "g"))
    assert (
        barely["verdict"] == "inconclusive"
        and "is contrary; widened for 7 looks at once (Bonferroni) it includes zero"
        in barely["why"]
    )


def test_an_interval_that_could_not_be_had_is_never_a_success(run):
    nan = Estimate(0.3, np.nan, np.nan, 1, "g")
    assert ruling(run, "table1-msssim", nan)["verdict"] == "inconclusive"
    good = [part(0.1, 0.2, c) for c in "abcdef"]
    assert ruling(run, "table6-variance", *good, nan)["verdict"] == "inconclusive"


def test_no_evidence_and_smoke_are_not_testable(run):
    rows = ledger.evaluate(run)
    assert {r["verdict"] for r in rows} == {"not testable here"}
    assert read_json(run.root / "claims.json") == rows
    row = ruling(run, "table1-mse", part(-2, -1), profile="smoke")
    assert row["verdict"] == "not testable here" and "plumbing" in row["why"]
    row = ruling(run, "table2-fid", note="fewer than 2 samples a class")
    assert row["why"] == "fewer than 2 samples a class"


def test_a_verdict_on_a_property_is_taken_back_where_nobody_tested_the_judge(run, tmp_path):
    rows = [
        ruling(run, name, part(-0.3, -0.1)) for name in ("table1-mse", "table3-synthetic-below")
    ]
    assert [row["verdict"] for row in rows] == ["reproduced"] * 2
    write_json(tmp_path / "new.json", rows)
    assert ledger.recorded(tmp_path / "new.json")[0]["verdict"] == "reproduced"
    write_json(
        tmp_path / "old.json", [{k: v for k, v in row.items() if k != "sight"} for row in rows]
    )
    old = ledger.recorded(tmp_path / "old.json")
    assert [row["verdict"] for row in old] == ["not testable here", "reproduced"]
    assert "older than that test" in old[0]["why"]


def test_bad_evidence_is_refused(run):
    with pytest.raises(UserError, match="unknown claim 'table9'"):
        ledger.record(run, "table9", [part(0, 1)], "micro")
    with pytest.raises(UserError, match="1 parts, got 2"):
        ledger.record(run, "table1-mse", [part(0, 1, "a"), part(0, 1, "b")], "micro")
    with pytest.raises(UserError, match="label"):
        ledger.record(run, "fig6-colour", [part(0, 1), part(0, 1)], "micro")
    assert not (run.root / "evidence").exists()


def test_a_null_effect_is_seldom_called_reproduced(run):
    claim, found = ledger.load()["table1-mse"], []
    for i in range(200):
        e = stats.mean_interval(np.random.default_rng([1, i]).normal(size=30))
        found.append(ledger.judge(e, claim["direction"], 0))
    assert found.count("reproduced") <= 12 and found.count("inconclusive") >= 180


def test_markdown_of_one_item_lists_its_claims(run):
    ledger.record(
        run,
        "fig6-colour",
        [part(-0.3, -0.1, "vasc"), part(-0.2, 0.1, "df")],
        "micro",
        note="48 each",
        sight=SEEN,
    )
    text = ledger.markdown(run, "fig6")
    assert (
        text.count("- The paper says") == 3 and "48 each" in text and text.count("Measured:") == 1
    )
    assert "**inconclusive**. 1 of 2 parts agree; the interval [−0.2, 0.1] for df" in text
    assert "no claim" in ledger.markdown(run, "fig2")


def test_what_a_later_chapter_tests_reads_the_same_before_and_after_it(run):
    before = ledger.markdown(run, "fig14")
    assert "Chapter 4 tests it." in before
    row = ruling(run, "fig14-hair", part(-2, -1))
    assert row["verdict"] == "reproduced" and ledger.markdown(run, "fig14") == before


def test_a_misspelt_field_is_named(tmp_path):
    (tmp_path / "claims.yml").write_text("fig5-x: {statement: a, item: fig5, directoin: less}")
    with pytest.raises(UserError, match="fig5-x"):
        ledger.load(tmp_path / "claims.yml")


def test_typeset_changes_numbers_and_no_names():
    text = "FD-micro of 4ch-8ch: -0.5 [-9.02e-05, 1e-7], n = 7; (-.1), 2-3"
    assert typeset(text) == (
        "FD-micro of 4ch-8ch: −0.5 [−9.02\u00a0×\u00a010<sup>−5</sup>, 1\u00a0×\u00a010<sup>−7</sup>], n\u00a0=\u00a07; (−.1), 2-3"
    )
