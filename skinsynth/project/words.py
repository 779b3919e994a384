"""How a row of the ledger is said: its number, what was trained for it, its power, why it has its verdict."""

import re
from statistics import NormalDist

from .ledger import CHANCE, OURS, cramped, evaluate, models_of, verdict
from .markdown import sentence, title, typeset


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
    said, models = [], models_of(row) if tested else []
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
    """How small a difference this n could have shown, as a sentence; "" where there is no interval, or one without
    width, or where the number cannot move that far, which the verdict says.

    For an equivalence: how narrow the interval would have to be, to lie inside the margin four times in
    five if the true difference is zero: m / SE - 1.96 = 1.28, so a half width of 0.60 m.
    """
    if row["low"] is None or row["direction"] == "none" or row["low"] == row["high"]:
        return ""
    if row["direction"] != "equivalent":
        size = row["smallest_detectable"]
        if cramped(row["room"], [size]):
            return ""
        if (row["low"], row["high"]) == (-1, 1):
            return "Nothing can be told at this n: a share cannot lie outside this interval."
        return f"A true {row['number']} of {size:.2g} would be found four times in five at this n."
    normal, half = NormalDist(), (row["high"] - row["low"]) / 2
    z = normal.inv_cdf(1 - CHANCE)
    needed = row["margin"] * z / (z + normal.inv_cdf(0.9))
    enough = "that is narrow enough" if half <= needed else "that is too wide"
    return (
        f"If the true difference were zero, an interval of ±{needed:.2g} would be found inside the margin of "
        f"±{row['margin']:.2g} four times in five; this one is ±{half:.2g}: {enough}."
    )


def reason(row):
    """Why an evaluated claim has its verdict, and what it was measured with."""
    note = sentence(row["note"])
    said = note if row["why"] == row["note"] else f"{row['why']} {note}".rstrip()
    return said if "training run" in said else f"{said} {trainings(row)[0]}".rstrip()


def _paragraph(row):
    paper = "" if row["paper_value"] == "not available" else f" ({row['paper_value']})"
    said = f"- The paper says: {row['statement']}{paper} *{row['source']}.*\n"
    if row["kind"] == OURS:
        said = f"- Our own question: {row['statement']} *{sentence(row['named'])}*\n"
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
