"""The ledger: what the paper claims, what a run measured, and the verdict the interval allows."""

import math
import re
from dataclasses import asdict
from statistics import NormalDist

import yaml

from ..core.errors import UserError
from ..core.store import ROOT, Run, read_json, write_json
from ..numerics.stats import Estimate, smallest_detectable

FILE = ROOT / "book" / "claims.yml"
SOURCE = "Kim et al. 2025"
REPRODUCED, CONTRARY, OPEN, BLIND, UNTESTABLE = VERDICTS = (
    "reproduced",
    "not reproduced",
    "inconclusive",
    "the judge cannot see it",
    "not testable here",
)
UNTESTED = "It was not tested whether the measure sees {}."
DIRECTIONS = ("greater", "less", "equivalent", "none")
NEEDED = {"statement", "item", "source", "test", "quantity", "direction"}
KNOWN = NEEDED | {"margin", "parts", "paper", "chapter", "property"}
NUMBERS = ("value", "low", "high")


def load(path=FILE):
    """Claims by id, in the order of the file, with all fields filled in.

    Raises UserError that names the claim if a field is unknown or missing or a direction is none
    of the four.
    """
    claims = yaml.safe_load(path.read_text())
    for name, claim in claims.items():
        if not NEEDED <= set(claim) <= KNOWN or claim["direction"] not in DIRECTIONS:
            fields = f"{', '.join(sorted(NEEDED))}; optional: {', '.join(sorted(KNOWN - NEEDED))}"
            raise UserError(f"{path}: {name}: fields should be {fields}; see the head of the file")
        claim.setdefault("margin", 0)
        claim.setdefault("property", "")
        claim["n_parts"] = claim.pop("parts", 1)
        claim["paper_value"] = claim.pop("paper", "not available")
        claim["source"] = f"{claim['source']}, {SOURCE}"
        claim["all_parts"] = claim["n_parts"] > 1
    return claims


def _run(run):
    return Run(run) if isinstance(run, str) else run


def record(run, claim_id, parts, note="", profile="", sight=None):
    """Write the evidence for a claim: one Estimate, or a list with one for each part.

    run: store.Run or its name. parts: differences with the sign that `quantity` in claims.yml says,
    labelled where there are several; an empty list says that it could not be measured, `note` why.
    profile: "smoke" sizes never lead to a verdict; by default the run's name up to the first dash.
    sight: (whether the measure sees the claim's property in this run, how large a fault), of `judges.sees`.
    Raises UserError on an unknown id, more parts than the claim has, or two of one label.
    """
    run, claims = _run(run), load()
    parts = [parts] if isinstance(parts, Estimate) else list(parts)
    if claim_id not in claims:
        raise UserError(f"unknown claim {claim_id!r}; known: {', '.join(claims)}")
    if len(parts) > claims[claim_id]["n_parts"]:
        raise UserError(
            f"claim {claim_id} has {claims[claim_id]['n_parts']} parts, got {len(parts)}"
        )
    if len({p.label for p in parts}) < len(parts):
        raise UserError(f"claim {claim_id}: give each part a label of its own")
    rows = [asdict(p) for p in parts]
    for row in rows:  # JSON has no nan
        row.update({k: float(row[k]) if math.isfinite(row[k]) else None for k in NUMBERS})
    write_json(
        run.root / "evidence" / f"{claim_id}.json",
        dict(
            id=claim_id,
            parts=rows,
            note=note,
            profile=profile or run.name.split("-")[0],
            sight=sight,
        ),
    )


def judge(part, direction, margin):
    """Verdict on one difference: reproduced only if its whole interval is on the claimed side."""
    if part.low is None or not math.isfinite(part.low + part.high):
        return OPEN
    if direction == "equivalent":
        if -margin <= part.low and part.high <= margin:
            return REPRODUCED
        return CONTRARY if part.low > margin or part.high < -margin else OPEN
    low, high = (part.low, part.high) if direction == "greater" else (-part.high, -part.low)
    if low > margin:
        return REPRODUCED
    return CONTRARY if high < margin else OPEN


def _widened(part, parts):
    """The interval for several looks at once (Bonferroni): one of many is contrary by chance."""
    normal = NormalDist()
    factor = normal.inv_cdf(1 - 0.025 / parts) / normal.inv_cdf(0.975)
    low, high = (part.value + factor * (end - part.value) for end in (part.low, part.high))
    return Estimate(part.value, low, high, part.n, part.label)


def _joint(parts, claim):
    """(verdict, the part that decides) when every part has to agree."""
    direction, margin = claim["direction"], claim["margin"]
    known = [p for p in parts if p.low is not None]
    if not known:
        return OPEN, parts[0]
    worst = {
        "greater": lambda p: p.low,
        "less": lambda p: -p.high,
        "equivalent": lambda p: -max(abs(p.low), abs(p.high)),
    }
    wide = [_widened(p, claim["n_parts"]) for p in known]
    against = [
        p for p, w in zip(known, wide, strict=True) if judge(w, direction, margin) == CONTRARY
    ]
    decides = min(against or known, key=worst[direction])
    if against:
        return CONTRARY, decides
    if len(known) == claim["n_parts"] and judge(decides, direction, margin) == REPRODUCED:
        return REPRODUCED, decides
    return OPEN, decides


def _why(verdict, parts, part, claim):
    """One plain sentence, made from the numbers."""
    if part.low is None:
        return "No interval could be computed."
    zone = f"[{part.low:.3g}, {part.high:.3g}]"
    margin, direction = claim["margin"], claim["direction"]
    name = f" for {part.label}" if len(parts) > 1 and part.label else ""
    count = len(parts)
    if direction == "equivalent":
        where = {REPRODUCED: "lies inside", CONTRARY: "lies outside", OPEN: "reaches beyond"}
        return f"The interval {zone}{name} {where[verdict]} the margin of ±{margin:g}."
    bound = margin if direction == "greater" else -margin
    side = "above" if direction == "greater" else "below"
    limit = f"{bound:g}" if margin else "zero"
    if verdict == REPRODUCED:
        all_of = f"All {count} intervals lie" if count > 1 else f"The interval {zone} lies"
        weakest = f"; the nearest is {zone}{name}" if count > 1 else ""
        return f"{all_of} {side} {limit}, as claimed{weakest}."
    if verdict == CONTRARY:
        opposite = part.high < 0 if direction == "greater" else part.low > 0
        how = "the contrary of the claim" if opposite else "a difference smaller than the margin"
        return f"The interval {zone}{name} does not reach {side} {limit}: {how}."
    if count < claim["n_parts"]:
        return f"Only {count} of the {claim['n_parts']} parts were measured."
    agree = sum(judge(p, direction, margin) == REPRODUCED for p in parts)
    tally = f"{agree} of {count} parts agree; " if count > 1 else ""
    if judge(part, direction, margin) == CONTRARY:  # contrary alone, not among so many
        return f"{tally}the interval {zone}{name} is contrary; widened for {count} looks at once (Bonferroni) it includes {limit}."
    return f"{tally}{'the' if tally else 'The'} interval {zone}{name} includes {limit}."


def verdict(claim, evidence):
    """What the evidence allows to say: dict of value, low, high, n, parts, verdict, why and more.

    claim: an entry of `load()`; evidence: the content of an evidence file, or None.
    """
    parts = [Estimate(**p) for p in evidence["parts"]] if evidence else []
    out = dict(value=None, low=None, high=None, n=None, smallest_detectable=None)
    out.update(parts=[], note=evidence["note"] if evidence else "")
    out.update(profile=evidence["profile"] if evidence else "", verdict=UNTESTABLE)
    out["sight"] = sight = evidence and evidence.get("sight")
    if parts and claim["direction"] != "none":
        ruling, part = _joint(parts, claim)
    elif parts:
        ruling, part = UNTESTABLE, parts[0]
    if parts:
        out.update({k: getattr(part, k) for k in (*NUMBERS, "n")}, parts=evidence["parts"])
        if part.low is not None:
            out["smallest_detectable"] = smallest_detectable(part)
    if claim["direction"] == "none":
        out["why"] = "A caution on how to read the figure; these data cannot test it."
    elif not parts:
        later = f"Chapter {claim['chapter']} tests it." if "chapter" in claim else ""
        out["why"] = out["note"] or later or "This run recorded no evidence."
    elif out["profile"] == "smoke":
        out["why"] = "Smoke sizes only test the plumbing."
    elif claim["property"] and not sight:
        out["why"] = UNTESTED.format(claim["property"])
    elif claim["property"] and not sight[0]:
        out.update(verdict=BLIND, why=sight[1])
    else:
        seen = f" {sight[1]}" if claim["property"] else ""
        out.update(verdict=ruling, why=_why(ruling, parts, part, claim) + seen)
    return out


def evaluate(run):
    """Judge every claim on a run's evidence; returns a list of dicts, also in claims.json."""
    run, rows = _run(run), []
    for name, claim in load().items():
        path = run.root / "evidence" / f"{name}.json"
        evidence = read_json(path) if path.exists() else None
        rows.append(dict(id=name, **claim, **verdict(claim, evidence)))
    write_json(run.root / "claims.json", rows)
    return rows


def recorded(path):
    """The evaluated claims of a finished run; a verdict on a property that its judges were not tested for is taken back."""
    rows, known = read_json(path), load()
    for row in rows:
        if (
            (named := known.get(row["id"], {}).get("property"))
            and not row.get("sight")
            and row["verdict"] in (REPRODUCED, CONTRARY, OPEN)
        ):
            row.update(
                verdict=UNTESTABLE,
                why=f"{UNTESTED.format(named)[:-1]} in this run, which is older than that test.",
            )
    return rows


def item_name(item):
    """The paper's name of an item: "fig5" is "Fig 5"."""
    return re.sub("^fig", "Fig ", re.sub("^table", "Table ", item))


def finding(row):
    """Value, interval and n of an evaluated claim as text; an em dash where there is none."""
    if row["value"] is None:
        return "—"
    number = f"{row['value']:.3g}"
    if row["low"] is not None:
        number += f" [{row['low']:.3g}, {row['high']:.3g}]"
    if row["n_parts"] > 1 and row["parts"]:
        number += f" (the deciding one of {len(row['parts'])})"
    return f"{number}, n = {row['n']}"


def reason(row):
    """Why an evaluated claim has its verdict, and what it was measured with."""
    note = row["note"] and row["note"][0].upper() + row["note"][1:].rstrip(".") + "."
    return note if row["why"] == row["note"] else f"{row['why']} {note}".rstrip()


def typeset(text):
    """-9.02e-05 -> \u22129.02 \u00d7 10<sup>\u22125</sup>, other hyphens as they are; "n = 7" stays on one line."""
    text = re.sub(r"\bn = (?=\d)", "n\u00a0=\u00a0", text)
    text = re.sub(r"(?<![^\s\[(*])-(?=\.?\d)", "\u2212", text)
    return re.sub(r"(?<=\d)e-0?(\d+)", "\u00a0\u00d7\u00a010<sup>\u2212\\1</sup>", text)


def _paragraph(row):
    size = row["smallest_detectable"]
    known = (
        f" A true difference of {size:.2g} would be found four times in five at this n."
        if size
        else ""
    )
    paper = "" if row["paper_value"] == "not available" else f" ({row['paper_value']})"
    measured = (
        "" if row["value"] is None else f"  Measured: {row['quantity']}: {finding(row)}.{known}\n"
    )
    return (
        f"- The paper says: {row['statement']}{paper} *{row['source']}.*\n"
        f"  This run: **{row['verdict']}**. {reason(row)}\n{measured}"
    )


def markdown(run, item):
    """What a run says of the claims about one item ("fig1" ... "table6"), as a Markdown list."""
    found = [_paragraph(row) for row in evaluate(run) if row["item"] == item]
    return typeset("".join(found)) or f"The ledger holds no claim about {item_name(item)}.\n"
