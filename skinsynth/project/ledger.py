"""The ledger: what the paper claims, what a run measured, and the verdict the interval allows."""

import math
import re
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
ANSWERS = {REPRODUCED: "yes", CONTRARY: "no", OPEN: "open"}  # verdicts on our own questions
DECIDED = {*ANSWERS, *ANSWERS.values()}  # by an interval
OURS = "ours"  # kind of a claim: a question of this project, no statement of the paper
MODELS = ("autoencoders", "generators", "classifiers")
CHANCE = 0.025  # of a false verdict on either side of a 95 % interval
UNTESTED = "It was not tested whether the measure sees {}"
CAUTION = "A caution on how to read the figure; these data cannot test it."
DIRECTIONS = ("greater", "less", "equivalent", "none")
NEEDED = {"statement", "item", "source", "test", "quantity", "direction"}
KNOWN = NEEDED | {"margin", "parts", "paper", "chapter", "property"}
KNOWN |= {"kind", "named", "trained", "answer", "short"}
FILLED = dict(margin=0, property="", kind="paper", named="", trained="", answer="", short="")
NUMBERS = ("value", "low", "high")


def load(path=FILE):
    """Claims by id, in the order of the file, with all fields filled in.

    Raises UserError that names the claim if a field is unknown or missing, a direction is none of the
    four, what was trained is none of MODELS, or a question of ours does not say when it was named.
    """
    claims = yaml.safe_load(path.read_text())
    for name, claim in claims.items():
        if not NEEDED <= set(claim) <= KNOWN or claim["direction"] not in DIRECTIONS:
            fields = f"{', '.join(sorted(NEEDED))}; optional: {', '.join(sorted(KNOWN - NEEDED))}"
            raise UserError(f"{path}: {name}: fields should be {fields}; see the head of the file")
        if not set(_trained(claim)) <= set(MODELS):
            raise UserError(f"{path}: {name}: trained should be some of {', '.join(MODELS)}")
        if ("named" in claim) != (claim.get("kind") == OURS):
            raise UserError(f"{path}: {name}: `named` belongs to a claim of `kind: {OURS}`, always")
        claim["n_parts"] = claim.pop("parts", 1)
        claim["paper_value"] = claim.pop("paper", "not available")
        claim.setdefault("short", name.partition("-")[2].replace("-", " ") or name)
        if claim.get("kind") != OURS:
            claim["source"] = f"{claim['source']}, {SOURCE}"
    return {name: FILLED | claim for name, claim in claims.items()}


def _trained(claim):
    """What has to be trained to get a claim's numbers: some of MODELS."""
    return [name for name in claim.get("trained", "").split(", ") if name]


def record(run, claim_id, parts, profile, note="", sight=None, margin=None, seeds=None):
    """Write the evidence for a claim: one Estimate, or a list with one for each part.

    parts: differences with the sign that `quantity` in claims.yml says, labelled where there are several;
    an empty list says that it could not be measured, `note` why. profile: "smoke" never leads to a verdict.
    sight: (whether the measure sees the claim's property in this run, how large a fault), of `judges.sees`.
    margin: where the run derives it, instead of the one in claims.yml; seeds: training runs of each model of the
    first kind that the claim names as trained, where the intervals do not say it ("t over 3 seeds").
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
    evidence |= dict(margin=None if margin is None else float(margin), seeds=seeds)
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


def _widened(part, many):
    """The interval widened for so many parts (Bonferroni): one of several is contrary by chance."""
    normal = NormalDist()
    factor = normal.inv_cdf(1 - CHANCE / many) / normal.inv_cdf(1 - CHANCE)
    low, high = (part.value + factor * (end - part.value) for end in (part.low, part.high))
    return replace(part, low=low, high=high)


def _favour(part, direction):
    """How far the interval's worse end lies on the claimed side."""
    if direction == "equivalent":
        return -max(abs(part.low), abs(part.high))
    return part.low if direction == "greater" else -part.high


def _joint(parts, claim):
    """(verdict, the part that decides) when every part has to agree.

    That all agree needs no correction: each has to (intersection-union). That one is contrary does.
    """
    direction, margin, n = claim["direction"], claim["margin"], claim["n_parts"]
    known = [p for p in parts if p.low is not None]
    if not known:
        return OPEN, parts[0]
    against = [p for p in known if judge(_widened(p, n), direction, margin) == CONTRARY]
    decides = min(against or known, key=lambda part: _favour(part, direction))
    if not against and len(known) == n and judge(decides, direction, margin) == REPRODUCED:
        return REPRODUCED, decides
    return CONTRARY if against else OPEN, decides


def _zone(part):
    return f"[{part.low:.3g}, {part.high:.3g}]"


def _sides(claim):
    """Where an interval lies that agrees, and where one that is contrary lies, as words."""
    margin, greater = claim["margin"], claim["direction"] == "greater"
    if claim["direction"] == "equivalent":
        return [f"{where} the margin of ±{margin:.3g}" for where in ("inside", "outside")]
    limit = f"{margin if greater else -margin:.3g}" if margin else "zero"
    return [f"{where} {limit}" for where in (("above", "below") if greater else ("below", "above"))]


def _why(verdict, parts, part, claim):
    """One plain sentence, made from the numbers."""
    if part.low is None:
        return "No interval could be computed."
    count, many, ours = len(parts), claim["n_parts"], claim.get("kind") == OURS
    zone = _zone(part) + (f" ({part.label})" if count > 1 and part.label else "")
    agrees, against = _sides(claim)
    if verdict == REPRODUCED:
        said = f"{agrees}{'' if ours else ', as claimed'}"
        each = "Both" if count == 2 else f"All {count}"
        several = f"{each} intervals lie {said}; the nearest is {zone}."
        return several if count > 1 else f"The interval {zone} lies {said}."
    alone = judge(part, claim["direction"], claim["margin"])
    widened = f"widened for {many} parts (Bonferroni) to {_zone(_widened(part, many))}, it"
    if verdict == CONTRARY:
        beyond = judge(part, claim["direction"], 0) == CONTRARY
        said = f"{against}{'' if ours else ', the contrary of the claim'}"
        small = f"{against}: a difference smaller than the margin"
        how = said if beyond or claim["direction"] == "equivalent" else small
        return f"The interval {zone} lies {how}" + (f"; {widened} still does." if many > 1 else ".")
    if count < many:
        return f"Only {count} of the {many} parts were measured."
    agree = sum(judge(p, claim["direction"], claim["margin"]) == REPRODUCED for p in parts)
    said = f"{agree} of {count} parts agree; the" if count > 1 else "The"
    equivalence = claim["direction"] == "equivalent"
    reaches = f"reaches {against}" if equivalence else f"includes {agrees.split()[1]}"
    if alone == CONTRARY:  # among so many parts one is so by chance
        return f"{said} interval {zone} lies {against}, but {widened} does not."
    return f"{said} interval {zone} {reaches}."


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
    seen = _sentence(sight[1])
    return (ruling, f"{why} {seen}", deciding) if sight[0] else (BLIND, seen, deciding)


def verdict(claim, evidence):
    """What the evidence allows to say: dict of value, low, high, n, parts, verdict, why and more.

    claim: an entry of `load()`; evidence: the content of an evidence file, or None.
    """
    found = dict(parts=[], note="", profile="", sight=None, margin=None, seeds=None)
    found |= evidence or {}
    if found["margin"] is None:
        found["margin"] = claim["margin"]
    parts = [Estimate(**p) for p in found["parts"]]
    ruling, why, part = _ruling(claim | {"margin": found["margin"]}, found, parts)
    if claim.get("kind") == OURS:
        ruling = ANSWERS.get(ruling, ruling)
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
    """The evaluated claims of a finished run; a verdict on a property that its judges were not tested for is taken back.

    Fields that a run of an older version lacks are those of the claim now, where it still exists.
    """
    rows, claims = read_json(path), load()
    for row in rows:
        now = FILLED | dict(seeds=None, sight=None, short=row["id"]) | claims.get(row["id"], {})
        row |= {name: now[name] for name in set(now) - set(row)}
        if row["verdict"] not in (REPRODUCED, CONTRARY, OPEN):
            continue
        if (named := now.get("property")) and not row["sight"]:
            why = f"{UNTESTED.format(named)} in this run, which is older than that test."
            row |= dict(verdict=UNTESTABLE, why=why)
        elif now.get("quantity", row["quantity"]) != row["quantity"]:
            why = f"This run is older and measured another quantity: {row['quantity']}."
            row |= dict(verdict=UNTESTABLE, why=why)
    return rows


def finding(row):
    """(value and interval, how many cases) of an evaluated claim as texts; ("—", "") where there is none."""
    if row["value"] is None:
        return "—", ""
    number = f"{row['value']:.3g}"
    if row["low"] is not None:
        number += f" [{row['low']:.3g}, {row['high']:.3g}]"
    count = len(row["parts"])
    many = f" (the deciding one of {count})" if count > 1 else ""
    return number, f"{many}, n = {row['n']}"


def trainings(row):
    """(how often the models behind a number were trained and whether its interval covers that, the same in a few
    words for the first of them); ("", "") where nothing is trained or nothing was measured.
    """
    tested = row["value"] is not None and row["direction"] != "none"
    said, models = [], _trained(row) if tested else []
    methods = [re.search(r"over (\d+) seeds", part.get("method", "")) for part in row["parts"]]
    covered = min((int(m[1]) for m in methods), default=0) if all(methods) else 0
    for k, many in enumerate(models):
        one, own = many.replace("classifier", "network").removesuffix("s"), k == 0
        n = (covered or row["seeds"]) if own else None
        if own and covered:
            said.append(f"{n} training runs of each {one}, which the interval covers")
        elif n and n > 1:
            said.append(f"{n} training runs of each {one}, which the interval does not cover")
        elif n or many != "classifiers":
            said.append(f"one training run of each {one}: the interval does not cover training")
        else:
            said.append(f"the interval does not cover training the {many} again")
    if not said:
        return "", ""
    text = "; ".join(said)
    count = re.match(r"(one|\d+) training runs?", text)
    return f"{text[0].upper()}{text[1:]}.", count[0] if count else ""


def power(row):
    """How small a difference this n could have shown, as a sentence; "" where there is no interval, or one without width.

    For an equivalence: how narrow the interval would have to be, to lie inside the margin four times in
    five if the true difference is zero: m / SE - 1.96 = 1.28, so a half width of 0.60 m.
    """
    if row["low"] is None or row["direction"] == "none" or row["low"] == row["high"]:
        return ""
    if row["direction"] != "equivalent":
        size = row["smallest_detectable"]
        if (row["low"], row["high"]) == (-1, 1):
            return "Nothing can be told at this n: a share cannot lie outside this interval."
        return f"A true difference of {size:.2g} would be found four times in five at this n."
    normal, half = NormalDist(), (row["high"] - row["low"]) / 2
    z = normal.inv_cdf(1 - CHANCE)
    needed = row["margin"] * z / (z + normal.inv_cdf(0.9))
    enough = "that is narrow enough" if half <= needed else "that is too wide"
    return (
        f"If the true difference were zero, an interval of ±{needed:.2g} would be found inside the margin of "
        f"±{row['margin']:.2g} four times in five; this one is ±{half:.2g}: {enough}."
    )


def _sentence(text):
    return text and f"{text[0].upper()}{text[1:].rstrip('.')}."


def reason(row):
    """Why an evaluated claim has its verdict, and what it was measured with."""
    note = _sentence(row["note"])
    said = note if row["why"] == row["note"] else f"{row['why']} {note}".rstrip()
    return said if "training run" in said else f"{said} {trainings(row)[0]}".rstrip()


def _paragraph(row):
    paper = "" if row["paper_value"] == "not available" else f" ({row['paper_value']})"
    said = f"- The paper says: {row['statement']}{paper} *{row['source']}.*\n"
    if row["kind"] == OURS:
        said = f"- Our own question: {row['statement']} *{_sentence(row['named'])}*\n"
    said += f"  This run: **{row['verdict']}**. {reason(row)}\n"
    if row["value"] is None:
        return said
    measured = f"Measured: {row['quantity']}: {''.join(finding(row))}. {power(row)}"
    return f"{said}  {measured.rstrip()}\n"


def markdown(run, item):
    """What a run says of the claims about one item ("fig1" ... "table6", or the id of a question of ours), as a
    Markdown list.

    What a later chapter tests stands there and in the whole ledger, not here: it may not have run yet.
    """
    rows = [row for row in evaluate(run) if row["item"] == item]
    rows = [row | verdict(row, None) if "chapter" in row else row for row in rows]
    said = "".join(map(_paragraph, rows))
    return typeset(said) or f"The ledger holds no claim about {title(item)}.\n"
