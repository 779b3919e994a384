"""The ledger: what the paper claims, what a run measured, and the verdict the interval allows."""

import math
from dataclasses import asdict, replace
from statistics import NormalDist

import yaml

from ..core.errors import UserError
from ..core.store import ROOT, read_json, write_json
from ..numerics.stats import Estimate, smallest_detectable
from .markdown import title, typeset

FILE = ROOT / "book" / "claims.yml"
SOURCE = "Kim et al. 2025"
REPRODUCED, CONTRARY, OPEN = "reproduced", "not reproduced", "inconclusive"
BLIND, UNTESTABLE = "the judge cannot see it", "not testable here"
VERDICTS = (REPRODUCED, CONTRARY, OPEN, BLIND, UNTESTABLE)
UNTESTED = "It was not tested whether the measure sees {}"
CAUTION = "A caution on how to read the figure; these data cannot test it."
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
        claim["n_parts"] = claim.pop("parts", 1)
        claim["paper_value"] = claim.pop("paper", "not available")
        claim["source"] = f"{claim['source']}, {SOURCE}"
    return {name: dict(margin=0, property="") | claim for name, claim in claims.items()}


def record(run, claim_id, parts, profile, note="", sight=None):
    """Write the evidence for a claim: one Estimate, or a list with one for each part.

    parts: differences with the sign that `quantity` in claims.yml says, labelled where there are several;
    an empty list says that it could not be measured, `note` why. profile: "smoke" never leads to a verdict.
    sight: (whether the measure sees the claim's property in this run, how large a fault), of `judges.sees`.
    Raises UserError on an unknown id, more parts than the claim has, or two of one label.
    """
    claims, parts = load(), [parts] if isinstance(parts, Estimate) else list(parts)
    if claim_id not in claims:
        raise UserError(f"unknown claim {claim_id!r}; known: {', '.join(claims)}")
    if len(parts) > (most := claims[claim_id]["n_parts"]):
        raise UserError(f"claim {claim_id} has {most} parts, got {len(parts)}")
    if len({p.label for p in parts}) < len(parts):
        raise UserError(f"claim {claim_id}: give each part a label of its own")
    rows = [asdict(p) for p in parts]
    for row in rows:  # JSON has no nan
        row.update({k: float(row[k]) if math.isfinite(row[k]) else None for k in NUMBERS})
    evidence = dict(id=claim_id, parts=rows, note=note, profile=profile, sight=sight)
    write_json(run.root / "evidence" / f"{claim_id}.json", evidence)


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


def _widened(part, looks):
    """The interval for several looks at once (Bonferroni): one of many is contrary by chance."""
    normal = NormalDist()
    factor = normal.inv_cdf(1 - 0.025 / looks) / normal.inv_cdf(0.975)
    low, high = (part.value + factor * (end - part.value) for end in (part.low, part.high))
    return replace(part, low=low, high=high)


def _favour(part, direction):
    """How far the interval's worse end lies on the claimed side."""
    if direction == "equivalent":
        return -max(abs(part.low), abs(part.high))
    return part.low if direction == "greater" else -part.high


def _joint(parts, claim):
    """(verdict, the part that decides) when every part has to agree."""
    direction, margin, n = claim["direction"], claim["margin"], claim["n_parts"]
    known = [p for p in parts if p.low is not None]
    if not known:
        return OPEN, parts[0]
    against = [p for p in known if judge(_widened(p, n), direction, margin) == CONTRARY]
    decides = min(against or known, key=lambda part: _favour(part, direction))
    if not against and len(known) == n and judge(decides, direction, margin) == REPRODUCED:
        return REPRODUCED, decides
    return CONTRARY if against else OPEN, decides


def _why(verdict, parts, part, claim):
    """One plain sentence, made from the numbers."""
    if part.low is None:
        return "No interval could be computed."
    margin, greater, count = claim["margin"], claim["direction"] == "greater", len(parts)
    zone = f"[{part.low:.3g}, {part.high:.3g}]"
    zone += f" for {part.label}" if count > 1 and part.label else ""
    if claim["direction"] == "equivalent":
        where = {REPRODUCED: "lies inside", CONTRARY: "lies outside", OPEN: "reaches beyond"}
        return f"The interval {zone} {where[verdict]} the margin of ±{margin:g}."
    limit = f"{margin if greater else -margin:g}" if margin else "zero"
    side = f"{'above' if greater else 'below'} {limit}"
    if verdict == REPRODUCED:
        one = f"The interval {zone} lies {side}, as claimed."
        several = f"All {count} intervals lie {side}, as claimed; the nearest is {zone}."
        return several if count > 1 else one
    if verdict == CONTRARY:
        opposite = part.high < 0 if greater else part.low > 0
        how = "the contrary of the claim" if opposite else "a difference smaller than the margin"
        return f"The interval {zone} does not reach {side}: {how}."
    if count < claim["n_parts"]:
        return f"Only {count} of the {claim['n_parts']} parts were measured."
    agree = sum(judge(p, claim["direction"], margin) == REPRODUCED for p in parts)
    said = f"{agree} of {count} parts agree; the" if count > 1 else "The"
    if judge(part, claim["direction"], margin) == CONTRARY:  # contrary alone, not among so many
        widened = f"widened for {count} looks at once (Bonferroni) it"
        return f"{said} interval {zone} is contrary; {widened} includes {limit}."
    return f"{said} interval {zone} includes {limit}."


def _ruling(claim, found, parts):
    """(verdict, why, the part that decides, or None) of a claim on the content of an evidence file."""
    sight, deciding = found["sight"], parts[0] if parts else None
    if claim["direction"] == "none":
        return UNTESTABLE, CAUTION, deciding
    if not parts:
        later = f"Chapter {claim['chapter']} tests it." if "chapter" in claim else ""
        return UNTESTABLE, found["note"] or later or "This run recorded no evidence.", None
    ruling, deciding = _joint(parts, claim)
    if found["profile"] == "smoke":
        return UNTESTABLE, "Smoke sizes only test the plumbing.", deciding
    why = _why(ruling, parts, deciding, claim)
    if not claim["property"]:
        return ruling, why, deciding
    if not sight:
        return UNTESTABLE, UNTESTED.format(claim["property"]) + ".", deciding
    return (ruling, f"{why} {sight[1]}", deciding) if sight[0] else (BLIND, sight[1], deciding)


def verdict(claim, evidence):
    """What the evidence allows to say: dict of value, low, high, n, parts, verdict, why and more.

    claim: an entry of `load()`; evidence: the content of an evidence file, or None.
    """
    found = dict(parts=[], note="", profile="", sight=None) | (evidence or {})
    ruling, why, part = _ruling(claim, found, [Estimate(**p) for p in found["parts"]])
    found |= dict(verdict=ruling, why=why, smallest_detectable=None)
    found |= {k: getattr(part, k, None) for k in (*NUMBERS, "n")}
    if found["low"] is not None:
        found["smallest_detectable"] = smallest_detectable(part)
    return found


def evaluate(run):
    """Judge every claim on a run's evidence; returns a list of dicts, also in claims.json."""
    rows = []
    for name, claim in load().items():
        path = run.root / "evidence" / f"{name}.json"
        evidence = read_json(path) if path.exists() else None
        rows.append(dict(id=name) | claim | verdict(claim, evidence))
    write_json(run.root / "claims.json", rows)
    return rows


def recorded(path):
    """The evaluated claims of a finished run; a verdict on a property that its judges were not tested for is taken back."""
    rows, claims = read_json(path), load()
    for row in rows:
        named = claims.get(row["id"], {}).get("property")
        if named and not row.get("sight") and row["verdict"] in (REPRODUCED, CONTRARY, OPEN):
            why = f"{UNTESTED.format(named)} in this run, which is older than that test."
            row |= dict(verdict=UNTESTABLE, why=why)
    return rows


def finding(row):
    """(value and interval, how many cases) of an evaluated claim as texts; ("—", "") where there is none."""
    if row["value"] is None:
        return "—", ""
    number = f"{row['value']:.3g}"
    if row["low"] is not None:
        number += f" [{row['low']:.3g}, {row['high']:.3g}]"
    several = row["n_parts"] > 1 and row["parts"]
    many = f" (the deciding one of {len(row['parts'])})" if several else ""
    return number, f"{many}, n = {row['n']}"


def reason(row):
    """Why an evaluated claim has its verdict, and what it was measured with."""
    note = row["note"] and row["note"][0].upper() + row["note"][1:].rstrip(".") + "."
    return note if row["why"] == row["note"] else f"{row['why']} {note}".rstrip()


def _paragraph(row):
    paper = "" if row["paper_value"] == "not available" else f" ({row['paper_value']})"
    said = f"- The paper says: {row['statement']}{paper} *{row['source']}.*\n"
    said += f"  This run: **{row['verdict']}**. {reason(row)}\n"
    if row["value"] is None:
        return said
    said += f"  Measured: {row['quantity']}: {''.join(finding(row))}."
    if size := row["smallest_detectable"]:
        said += f" A true difference of {size:.2g} would be found four times in five at this n."
    return said + "\n"


def markdown(run, item):
    """What a run says of the claims about one item ("fig1" ... "table6"), as a Markdown list.

    What a later chapter tests stands there and in the whole ledger, not here: it may not have run yet.
    """
    rows = [row for row in evaluate(run) if row["item"] == item]
    rows = [row | verdict(row, None) if "chapter" in row else row for row in rows]
    said = "".join(map(_paragraph, rows))
    return typeset(said) or f"The ledger holds no claim about {title(item)}.\n"
