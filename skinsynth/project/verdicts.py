"""What an interval allows to say of a claim, and why, in a sentence."""

import math
from dataclasses import replace

from scipy.stats import norm, t

from ..numerics.stats import Estimate, smallest_detectable
from .markdown import sentence

REPRODUCED, CONTRARY, OPEN = "reproduced", "not reproduced", "inconclusive"
BLIND, UNTESTABLE = "the judge cannot see it", "not testable here"
VERDICTS = (REPRODUCED, CONTRARY, OPEN, BLIND, UNTESTABLE)
ANSWERS = {REPRODUCED: "yes", CONTRARY: "no", OPEN: "open"}  # verdicts on our own questions
DECIDED = {*ANSWERS, *ANSWERS.values()}  # by an interval
OURS = "ours"  # kind of a claim: a question of this project, no statement of the paper
CHANCE = 0.025  # of a false verdict on either side of a 95 % interval
CAUTION = "A caution on how to read the figure; these data cannot test it."
NUMBERS = ("value", "low", "high")
# in which one number is measured, as labels of parts end: distances.BOTH
WAYS = ("with reference images", "without reference images")
SHARES = {0.25: "a quarter", 0.5: "a half"}  # of a training, at which a verdict is said


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
    """The interval widened for so many parts (Bonferroni), by its own distribution: one of several is contrary by chance."""
    law = t(part.df) if (part.df or 0) > 0 else norm
    factor = law.ppf(1 - CHANCE / many) / law.ppf(1 - CHANCE)
    low, high = (part.value + factor * (end - part.value) for end in (part.low, part.high))
    return replace(part, low=low, high=high)


def _favour(part, direction):
    """How far the interval's worse end lies on the claimed side."""
    if direction == "equivalent":
        return -max(abs(part.low), abs(part.high))
    return part.low if direction == "greater" else -part.high


def _ways(parts):
    """Which of WAYS parts are measured in; a part that has no way counts for both."""
    return {way for p in parts for way in WAYS if p.label.endswith(way)}


def _joint(parts, claim):
    """(verdict, the part that decides) when every part has to agree.

    That all agree needs no correction: each has to (intersection-union). That one is contrary does. Of what is
    measured in two ways, one has to be contrary in each.
    """
    direction, margin, n = claim["direction"], claim["margin"], claim["n_parts"]
    known = [p for p in parts if p.low is not None]
    if not known:
        return OPEN, parts[0]
    against = [p for p in known if judge(_widened(p, n), direction, margin) == CONTRARY]
    decides = min(against or known, key=lambda part: _favour(part, direction))
    if not against and len(known) == n and judge(decides, direction, margin) == REPRODUCED:
        return REPRODUCED, decides
    both = any(not _ways([p]) for p in against) or _ways(against) == set(WAYS)
    return CONTRARY if both else OPEN, decides


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
        as_well = "".join(f", as one {way} does" for way in WAYS if _ways([part]) - {way})
        still = f"; {widened} still does" * (many > 1)
        return f"The interval {zone} lies {how}{as_well}{still}."
    if (known := sum(p.low is not None for p in parts)) < many:
        return f"Only {known} of the {many} parts were measured."
    agree = sum(judge(p, claim["direction"], claim["margin"]) == REPRODUCED for p in parts)
    said = f"{agree} of {count} parts agree; the" if count > 1 else "The"
    equivalence = claim["direction"] == "equivalent"
    reaches = f"reaches {against}" if equivalence else f"includes {agrees.split()[1]}"
    if judge(_widened(part, many), claim["direction"], claim["margin"]) == CONTRARY:
        other = "".join(_ways(parts) - _ways([part]))
        return f"{said} interval {zone} lies {against}, but {other} none does clearly, and only both ways decide."
    if alone == CONTRARY:  # among so many parts one is so by chance
        return f"{said} interval {zone} lies {against}, but {widened} does not."
    return f"{said} interval {zone} {reaches}."


def cramped(room, sizes):
    """Whether a number can move less far than what would be found four times in five (sizes, one a part)."""
    return room is not None and max(sizes, default=0) > room


def _no_room(claim, room, parts):
    """Why nothing can be inconclusive here: the number cannot move as far as would be found; "" where it can."""
    sizes = [smallest_detectable(p) for p in parts if p.low is not None]
    if not cramped(room, sizes):
        return ""
    way, size = "rise" if claim["direction"] == "greater" else "fall", max(sizes)
    if size > 1:  # no share, and no correlation, moves that far
        return f"It can {way} by {room:.2g} at most, and at this n no change of any size could have been found."
    return f"It can {way} by {room:.2g} at most, and only {size:.2g} or more would be found four times in five."


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
    if ruling == OPEN and (no_room := _no_room(claim, found["room"], parts)):
        ruling, why = UNTESTABLE, no_room
    if not claim["property"]:
        return ruling, why, deciding
    if not sight:
        return (
            UNTESTABLE,
            f"It was not tested whether the measure sees {claim['property']}.",
            deciding,
        )
    seen = sentence(sight[1])
    return (ruling, f"{why} {seen}", deciding) if sight[0] else (BLIND, seen, deciding)


def _steady(claim, course):
    """What validation images said while the generators were trained, as a sentence; "" where nobody looked.

    course: [(images seen, parts)] in their order; of a share of the training the first look from there on counts.
    """
    found = {seen: _joint([Estimate(**p) for p in parts], claim)[0] for seen, parts in course}
    if not found:
        return ""
    end, n = max(found), course[-1][1][0]["n"]
    other = max((seen for seen, ruling in found.items() if ruling != found[end]), default=0)
    since = min(seen for seen in found if seen > other)
    looks = {word: min(k for k in found if k >= share * end) for share, word in SHARES.items()}
    said = "; ".join(f"at {word} {found[seen]}" for word, seen in looks.items())
    held = f"and from {since:,} of {end:,} images seen on"
    if other and since == end:
        held = "but not at the look before"
    return f"Looked at in training, on fewer and other images (validation, n = {n}): {said}; at the end {found[end]}, {held}."


def _again(trainings):
    """What further trainings of the models gave, as a sentence; "" where there was none."""
    found = [Estimate(**p) for parts in trainings for p in parts if p["low"] is not None]
    said = ", ".join(f"{f'{e.value:.3g} {_zone(e)} {e.label}'.rstrip()}" for e in found)
    return f"Trained again: {said}." if said else ""


def verdict(claim, evidence):
    """What the evidence allows to say: dict of value, low, high, n, parts, verdict, why and more.

    claim: an entry of `load()`; evidence: the content of an evidence file, or None.
    """
    found = dict(parts=[], note="", profile="", sight=None, margin=None, seeds=None, room=None)
    found |= dict(course=[], again=[]) | (evidence or {})
    if found["margin"] is None:
        found["margin"] = claim["margin"]
    parts = [Estimate(**p) for p in found["parts"]]
    ruling, why, part = _ruling(claim | {"margin": found["margin"]}, found, parts)
    if claim.get("kind") == OURS:
        ruling = ANSWERS.get(ruling, ruling)
    found |= dict(verdict=ruling, why=why, smallest_detectable=None)
    found["steady"] = _steady(claim | {"margin": found["margin"]}, found.pop("course"))
    found["again"] = _again(found["again"])
    found |= {k: getattr(part, k, None) for k in (*NUMBERS, "n")}
    if found["low"] is not None:
        found["smallest_detectable"] = smallest_detectable(part)
    return found
