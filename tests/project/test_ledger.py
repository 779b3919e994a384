"""Each rule of the ledger, and what flips it."""

import re

import numpy as np
import pytest

from skinsynth.book import pages
from skinsynth.core import store
from skinsynth.core.errors import UserError
from skinsynth.core.store import Run, read_json, write_json
from skinsynth.evaluation import distances
from skinsynth.numerics import stats
from skinsynth.numerics.stats import Estimate
from skinsynth.project import ledger, verdicts, words
from skinsynth.project.markdown import typeset
from skinsynth.project.verdicts import UNTESTABLE

IDS = """table1-mse table1-lpips table1-msssim table2-fid table2-is table5-fid-8ch table5-is-8ch
table5-fid-ml table5-is-ml table5-is-ml-below-8ch table3-synthetic-below table3-combined-highest
table4-combined-highest table6-variance fig3-depth fig6-boundary fig6-colour fig6-texture
fig7-classes fig9-sharper fig9-diversity fig10-guidance fig10-noclass fig11-residue fig11-alpha fig12-spread
fig13-hair fig14-hair""".split()
OURS = ["levels", "endpoint", "dose", "rsi", "mel-sensitivity"]  # questions of this project


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose ledger has claims of a fixed number of parts, whatever the book's claims become."""
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path))
    known, parts = (
        ledger.load(),
        {"table6-variance": 7, "fig6-colour": 2, "fig6-boundary": 4, "fig9-sharper": 3},
    )
    for name, claim in known.items():
        claim["n_parts"] = parts.get(name, 1)
    monkeypatch.setattr(ledger, "load", lambda: known)
    return Run("micro")


def part(low, high, label=""):
    return Estimate((low + high) / 2, low, high, 100, label)


SEEN = (True, "The measure sees it.")


def ruling(run, claim_id, *parts, **more):
    ledger.record(run, claim_id, list(parts), **(dict(profile="micro", sight=SEEN) | more))
    return next(row for row in ledger.evaluate(run) if row["id"] == claim_id)


def test_every_claim_is_there_and_no_number_of_the_paper_but_two():
    known = ledger.load()
    assert set(known) == {*IDS, *OURS}
    assert {c["answer"] for c in known.values()} - {""} == set(pages.TOPICS)
    for name in OURS:
        claim = known.pop(name)
        assert claim["kind"] == "ours" and claim["direction"] == "greater"
        assert re.search(
            r"since 2\d November|22 November 2026 \(commit [0-9a-f]{12}\)", claim["named"]
        )
        assert (store.ROOT / claim["source"]).exists()
    for name, claim in known.items():
        assert claim["kind"] == "paper" and not claim["named"]
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
    assert verdicts.judge(e, "greater", 0) == "reproduced"
    assert verdicts.judge(e, "greater", 0.02) == "inconclusive"
    assert verdicts.judge(e, "greater", 0.05) == "not reproduced"
    assert verdicts.judge(part(-0.03, -0.01), "less", 0.02) == "inconclusive"
    small = dict(direction="greater", margin=0.05, n_parts=1)
    assert "smaller than the margin" in verdicts._why("not reproduced", [e], e, small)


def test_all_seven_classes_need_all_seven_intervals(run):
    good = [part(0.1, 0.2, c) for c in "abcdefg"]
    row = ruling(run, "table6-variance", *good)
    assert row["verdict"] == "reproduced" and "All 7" in row["why"] and len(row["parts"]) == 7
    row = ruling(run, "table6-variance", *good[:6])
    assert row["verdict"] == "inconclusive" and "Only 6 of the 7" in row["why"]
    row = ruling(run, "table6-variance", *good[:6], part(-0.05, 0.1, "g"))
    assert row["verdict"] == "inconclusive"
    assert "6 of 7" in row["why"] and "(g)" in row["why"] and row["low"] == -0.05
    row = ruling(run, "table6-variance", *good[:6], part(-0.2, -0.1, "g"))
    assert row["verdict"] == "not reproduced" and "(g)" in row["why"]
    barely = ruling(run, "table6-variance", *good[:6], part(-0.2, -0.001, "g"))
    assert (
        barely["verdict"] == "inconclusive"
        and "lies below zero, but widened for 7 parts (Bonferroni) to" in barely["why"]
    )


def test_what_is_measured_in_two_ways_is_contrary_only_in_both(run):
    """fig6-boundary: two classes, each with reference images and without."""
    assert set(verdicts.WAYS) == set(distances.BOTH)
    labels = [f"{c}, {way}" for c in ("vasc", "df") for way in verdicts.WAYS]

    one = [
        part(0.2, 0.3, x) if x == "df, without reference images" else part(-0.1, 0.1, x)
        for x in labels
    ]
    row = ruling(run, "fig6-boundary", *one)
    assert (
        row["verdict"] == "inconclusive" and "with reference images none does clearly" in row["why"]
    )
    two = [part(0.2, 0.3, labels[0]), *one[1:]]
    row = ruling(run, "fig6-boundary", *two)
    assert row["verdict"] == "not reproduced" and ", as one with" in row["why"]
    row = ruling(run, "fig6-boundary", part(0.2, 0.3, labels[1]))
    assert row["verdict"] == "inconclusive", "the other way was not measured"
    step = [
        part(0.1, 0.2, "4ch to 8ch"),
        *(part(-0.2, -0.1, f"8ch to 8ch+ML, {w}") for w in verdicts.WAYS),
    ]
    assert ruling(run, "fig9-sharper", *step)["verdict"] == "not reproduced", "a part of both ways"


def test_an_interval_that_could_not_be_had_is_never_a_success(run):
    nan = Estimate(0.3, np.nan, np.nan, 1, "g")
    assert ruling(run, "table1-msssim", nan)["verdict"] == "inconclusive"
    good = [part(0.1, 0.2, c) for c in "abcdef"]
    row = ruling(run, "table6-variance", *good, nan)
    assert row["verdict"] == "inconclusive" and "Only 6 of the 7 parts" in row["why"]


def test_no_evidence_and_smoke_are_not_testable(run):
    rows = ledger.evaluate(run)
    assert {r["verdict"] for r in rows} == {"not testable here"}
    assert read_json(run.root / "claims.json") == rows
    row = ruling(run, "table1-mse", part(-2, -1), profile="smoke")
    assert row["verdict"] == "not testable here" and "plumbing" in row["why"]
    row = ruling(run, "table2-fid", note="fewer than 2 samples a class")
    assert row["why"] == "fewer than 2 samples a class"


def test_no_verdict_on_a_property_where_nobody_tested_the_judge(run):
    seen, unseen = (ruling(run, "table1-mse", part(-0.3, -0.1), sight=x) for x in (SEEN, None))
    assert (seen["verdict"], unseen["verdict"]) == ("reproduced", "not testable here")
    assert "not tested whether the measure sees detail" in unseen["why"]
    free = ruling(run, "table3-synthetic-below", part(-0.3, -0.1), sight=None)
    assert free["verdict"] == "reproduced", "no judge stands between"


def test_a_verdict_on_another_quantity_is_taken_back(run, tmp_path):
    row = ruling(run, "table3-synthetic-below", part(-0.3, -0.1))
    write_json(tmp_path / "old.json", [row, row | {"quantity": "error of S minus error of R0"}])
    same, other = ledger.recorded(tmp_path / "old.json")
    assert (same["verdict"], other["verdict"]) == ("reproduced", "not testable here")
    assert "another quantity: error of S minus error of R0" in other["why"]


def test_an_interval_over_all_that_is_possible_tells_no_power(run):
    assert "four times in five" in words.power(ruling(run, "table3-synthetic-below", part(-1, 0.5)))
    assert "Nothing can be told" in words.power(ruling(run, "table3-synthetic-below", part(-1, 1)))


@pytest.mark.parametrize(
    ("claim_id", "ends", "room", "expected"),
    [  # half widths of 0.03: 0.043 would be found four times in five
        ("fig9-diversity", (-0.03, 0.03), 0.03, "not testable here"),
        ("fig9-diversity", (-0.03, 0.03), 0.3, "inconclusive"),
        ("fig9-diversity", (-0.03, 0.03), None, "inconclusive"),
        ("fig9-diversity", (0.01, 0.07), 0.03, "not reproduced"),  # it rose
        ("fig9-diversity", (-0.07, -0.01), 0.03, "reproduced"),  # what was found had room
        ("mel-sensitivity", (-1, 1), 0.4, "not testable here"),
        ("fig11-residue", (-0.9, 0.9), 1, "not testable here"),
    ],
)
def test_a_number_that_cannot_move_far_enough_is_no_open_question(
    run, claim_id, ends, room, expected
):
    row = ruling(run, claim_id, part(*ends), room=room)
    assert row["verdict"] == expected
    said = {"fig9-diversity": "fall by 0.03", "mel-sensitivity": "rise by 0.4"}
    if expected == UNTESTABLE:
        assert said.get(claim_id, "rise by 1") in row["why"] and words.power(row) == ""
    blind = ruling(run, claim_id, part(*ends), room=room, sight=(False, "It sees nothing."))
    if row["property"]:
        assert blind["verdict"] == "the judge cannot see it"


def test_one_part_without_room_is_enough(run):
    ends = [(-0.03, 0.03, "a"), (-0.01, 0.002, "b")]
    row = ruling(run, "fig6-colour", *(part(*e) for e in ends), room=0.035)
    assert row["verdict"] == UNTESTABLE and "0.043 or more" in row["why"]


def test_power_of_a_correlation_is_said_as_one(run):
    row = ruling(run, "fig11-residue", part(-0.5, 0.1))
    assert words.power(row).startswith("A true correlation of 0.43 would be found")
    assert ledger.load()["fig3-depth"]["number"] == "correlation"


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
        found.append(verdicts.judge(e, claim["direction"], 0))
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
    text = words.markdown(run, "fig6")
    assert (
        text.count("- The paper says") == 3 and "48 each" in text and text.count("Measured:") == 1
    )
    assert "**inconclusive**. 1 of 2 parts agree; the interval [−0.2, 0.1] (df)" in text
    assert "no claim" in words.markdown(run, "fig2")


def test_what_a_later_chapter_tests_reads_the_same_before_and_after_it(run):
    before = words.markdown(run, "fig14")
    assert "Chapter 4 tests it." in before
    row = ruling(run, "fig14-hair", part(-2, -1))
    assert row["verdict"] == "reproduced" and words.markdown(run, "fig14") == before


OWN = "x: {kind: ours, statement: a, item: x, source: b, test: c, quantity: d, direction: less"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OWN + "}", "`named` belongs"),
        (OWN.replace("kind: ours", "named: today") + "}", "`named` belongs"),
        (OWN + ", named: today, trained: generator}", "trained should be some of autoencoders"),
    ],
)
def test_a_question_of_ours_says_when_it_was_named_and_what_was_trained(tmp_path, text, message):
    (tmp_path / "claims.yml").write_text(text)
    with pytest.raises(UserError, match=message):
        ledger.load(tmp_path / "claims.yml")


@pytest.mark.parametrize(
    ("low", "high", "answer", "why"),
    [
        (0.1, 0.2, "yes", "The interval [0.1, 0.2] lies above zero."),
        (-0.2, -0.1, "no", "The interval [-0.2, -0.1] lies below zero."),
        (-0.1, 0.2, "open", "The interval [-0.1, 0.2] includes zero."),
    ],
)
def test_our_own_question_has_words_of_its_own_for_the_same_rule(run, low, high, answer, why):
    row = ruling(run, "endpoint", part(low, high))
    assert row["verdict"] == answer and row["why"] == why and "claim" not in row["why"]
    assert ruling(run, "endpoint", part(low, high), profile="smoke")["verdict"] == UNTESTABLE
    text = words.markdown(run, "endpoint")
    assert text.startswith("- Our own question: Do synthetic") and "*The primary endpoint" in text
    assert "endpoint" not in words.markdown(run, "table3"), "apart from the paper's statements"


def test_a_margin_of_the_run_decides_and_the_file_s_stands_where_there_is_none(run):
    row = ruling(run, "table2-is", part(-0.08, 0.06))
    assert row["verdict"] == "inconclusive" and row["margin"] == 0.05
    row = ruling(run, "table2-is", part(-0.08, 0.06), margin=np.float64(0.1))
    assert row["verdict"] == "reproduced" and row["margin"] == 0.1 and "±0.1" in row["why"]
    row = ruling(run, "table2-is", part(0.2, 0.3), margin=0.1)
    assert row["verdict"] == "not reproduced" and "lies outside the margin" in row["why"]


def test_power_of_an_equivalence_is_the_half_width_that_is_found_four_times_in_five(run):
    row = ruling(run, "table2-is", part(-0.01, 0.03))
    assert "an interval of ±0.0302 would be found" in words.power(row)
    assert "±0.02: that is narrow enough" in words.power(row)
    wide = ruling(run, "table2-is", part(-0.1, 0.1))
    assert "that is too wide" in words.power(wide)
    needed, se = 0.6046 * 0.05, 0.6046 * 0.05 / 1.95996
    values = np.random.default_rng(0).normal(0, se, 20_000)
    found = [
        verdicts.judge(Estimate(v, v - needed, v + needed, 9), "equivalent", 0.05) for v in values
    ]
    assert found.count("reproduced") / len(found) == pytest.approx(0.8, abs=0.01)
    one = ruling(run, "table1-mse", part(-0.2, -0.1))
    assert words.power(one).startswith("A true difference of 0.071 would")


@pytest.mark.parametrize(
    ("claim_id", "method", "seeds", "text", "short"),
    [
        (
            "table2-fid",
            "jackknife",
            None,
            "One training run of each generator, and the",
            "one training of each generator",
        ),
        (
            "table2-fid",
            "t over 3 seeds and 90 clusters",
            None,
            "3 training runs of each generator, which the interval covers.",
            "3 trainings of each generator",
        ),
        (
            "table2-fid",
            "jackknife",
            2,
            "2 training runs of each generator, which the interval does not",
            "2 trainings (not covered) of each generator",
        ),
        (
            "table3-synthetic-below",
            "t over 2 seeds and 90 clusters",
            None,
            "which the interval covers, though two that agree by chance make it too narrow; one training run of each generator",
            "2 trainings of the network, one training of each generator",
        ),
        (
            "table3-synthetic-below",
            "t over clusters",
            None,
            "The interval does not cover training the classifiers again; one",
            "one training of each generator",
        ),
        ("fig3-depth", "t", None, "", ""),
        ("fig11-alpha", "t", None, "", ""),
    ],
)
def test_a_verdict_says_how_often_its_models_were_trained(
    run, claim_id, method, seeds, text, short
):
    low = Estimate(-0.2, -0.3, -0.1, 90, method=method)
    row = ruling(run, claim_id, low, seeds=seeds)
    said = words.trainings(row)
    assert text in said[0] and said[1] == short and words.reason(row).endswith(said[0])
    told = ruling(run, claim_id, low, note="each model had one training run")
    assert words.reason(told).count("raining run") == 1, "a note that says it is not doubled"


def test_a_misspelt_field_is_named(tmp_path):
    (tmp_path / "claims.yml").write_text("fig5-x: {statement: a, item: fig5, directoin: less}")
    with pytest.raises(UserError, match="fig5-x"):
        ledger.load(tmp_path / "claims.yml")


def test_typeset_changes_numbers_and_no_names():
    text = "FD-micro of 4ch-8ch: -0.5 [-9.02e-05, 1e-7], n = 7; (-.1), 2-3"
    assert typeset(text) == (
        "FD-micro of 4ch-8ch: −0.5 [−9.02\u00a0×\u00a010<sup>−5</sup>, 1\u00a0×\u00a010<sup>−7</sup>], n\u00a0=\u00a07; (−.1), 2-3"
    )


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (
            "<<<<",
            "at a quarter reproduced; at a half reproduced; at the end reproduced, and from 100 of 400 images",
        ),
        (
            ">.<<",
            "at a quarter not reproduced; at a half inconclusive; at the end reproduced, and from 300 of",
        ),
        (
            ">.<",
            "at a quarter not reproduced; at a half inconclusive; at the end reproduced, but not at the look before",
        ),
        (
            "<<<.",
            "at a quarter reproduced; at a half reproduced; at the end inconclusive, but not at the look before",
        ),
        (
            "<",
            "at a quarter reproduced; at a half reproduced; at the end reproduced, and from 100 of 100",
        ),
    ],
)
def test_a_verdict_says_what_it_was_on_the_way(run, ways, said):
    zones = {"<": part(-2, -1), ">": part(1, 2), ".": part(-1, 1)}
    course = [(100 * k, [zones[way]]) for k, way in enumerate(ways, 1)]
    row = ruling(run, "table5-fid-8ch", part(-2, -1), course=course)
    assert said in row["steady"] and said in words.reason(row)
    assert ruling(run, "table5-fid-8ch", part(-2, -1))["steady"] == ""


def test_few_groups_widen_by_the_t_distribution():
    many, few = (Estimate(1.0, 0.0, 2.0, 100, df=df) for df in (None, 19))
    assert verdicts._widened(many, 7).low == pytest.approx(1 - 2.690 / 1.960, abs=1e-3)
    assert verdicts._widened(few, 7).low == pytest.approx(1 - 3.0136 / 2.0930, abs=1e-3)
    x = np.random.default_rng(0).normal(size=(3, 400)) + np.array([[0.001], [0], [-0.001]])
    seeds = stats.nested_interval(x, np.arange(400))  # other images matter, other trainings hardly
    assert seeds.df > 100
    once = stats.mean_interval(x.mean(0))
    assert verdicts._widened(seeds, 3).low == pytest.approx(
        verdicts._widened(once, 3).low, rel=0.05
    )
