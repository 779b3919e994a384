"""How a row of the ledger is said: its number, what was trained for it, its power, why it has its verdict."""

import re
from statistics import NormalDist

from .ledger import evaluate, models_of
from .markdown import sentence, title, typeset
from .verdicts import CHANCE, DECIDED, OURS, cramped, verdict

SAID_ABOVE = (  # the ledger: in its head for all rows
    r"[;,] one training run of each \w+(?=\.)",
    r"(?<=measured another quantity): .*?(?=\.( |$))",  # the quantity, in the line before
    r"; widened for [^;]* it still does(?=\.)",
    r"score-EfficientNet, in the 1,000 classes of EfficientNet-Lite0: not the Inception score(; |\. ?|$)",
    r"(?<=\. )the other model is never shown reference images(\. ?|; |$)",
    r"; the other model is never shown reference images(?=\.)",
)


def finding(row):
    """(value and interval, how many cases) of an evaluated claim as texts; ("—", "") where there is none."""
    if row["value"] is None:
        return "—", ""
    number = f"{row['value']:.3g}"
    if row["low"] is not None:
        number += f" [{row['low']:.3g}, {row['high']:.3g}]"
    count = len(row["parts"])
    many = f" (the least favourable of {count})" if count > 1 else ""
    return number, f"{many}, n = {row['n']}"


def covered(row):
    """Training runs of the first of a row's models that its interval covers; 0 where it covers one training alone."""
    methods = [re.search(r"over (\d+) seeds", part.get("method", "")) for part in row["parts"]]
    return min((int(m[1]) for m in methods), default=0) if all(methods) else 0


def trainings(row):
    """(how often the models behind a number were trained and whether its interval covers that, the counts alone in a
    few words); ("", "") where nothing is trained or nothing was measured.
    """
    tested = row["value"] is not None and row["direction"] != "none"
    said, counts, within = [], [], covered(row)
    for k, many in enumerate(models_of(row) if tested else []):
        one = many.removesuffix("s")
        n = (within or row["seeds"]) if k == 0 else None
        if n and n > 1:
            which = "covers" if within else "does not cover"
            few = ", though two that agree by chance make it too narrow" if within == 2 else ""
            # linear classifiers are fitted once
            whose = "the network" if many == "classifiers" else f"each {one}"
            said.append(f"{n} training runs of {whose}, which the interval {which}{few}")
            counts.append(f"{n} trainings{'' if within else ' (not covered)'} of {whose}")
        elif n or many != "classifiers":
            said.append(f"one training run of each {one}, and the interval covers no other")
            counts.append(f"one training of each {one}")
        else:  # nobody recorded how many there were
            said.append(f"the interval does not cover training the {many} again")
    return sentence("; ".join(said)), ", ".join(counts)


def power(row, brief=False):
    """How small a difference this n could have shown, as a sentence; "" where there is no interval, or one without
    width, or where the number cannot move that far, which the verdict says. brief: as the ledger says it, whose head
    explains the words.

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
        if brief:
            return f"Detectable: {size:.2g}."
        return f"A true {row['number']} of {size:.2g} would be found four times in five at this n."
    normal, half = NormalDist(), (row["high"] - row["low"]) / 2
    z = normal.inv_cdf(1 - CHANCE)
    needed = row["margin"] * z / (z + normal.inv_cdf(0.9))
    enough = "that is narrow enough" if half <= needed else "that is too wide"
    if brief:
        return f"Half width ±{half:.3g} of ±{needed:.3g} allowed: {enough}."
    return (
        f"If the true difference were zero, an interval of ±{needed:.3g} would be found inside the margin of "
        f"±{row['margin']:.2g} four times in five; this one is ±{half:.3g}: {enough}."
    )


def reason(row):
    """Why an evaluated claim has its verdict, what that cannot carry, and what it was measured with."""
    more = [row[k] for k in ("caveat", "again", "steady")] if row["verdict"] in DECIDED else []
    note = "" if row["why"] == row["note"] else sentence(row["note"])
    said = sentence(" ".join(filter(None, [row["why"], *more, note])))
    return said if "training run" in said else f"{said} {trainings(row)[0]}".rstrip()


def brief(row):
    """`reason` for the ledger: without what stands in the table beside it or in the text above it."""
    said = reason(row).removesuffix(trainings(row)[0]).rstrip()
    for common in SAID_ABOVE:
        said = re.sub(common, "", said, flags=re.I)
    if row["low"] is not None:
        said = said.replace(f" [{row['low']:.3g}, {row['high']:.3g}]", "")
    if row["verdict"] in DECIDED and len(row["parts"]) == 1 and not row["margin"]:
        said = re.sub(r"^The interval (lies|includes)[^.]*\. ?", "", said)  # as the verdict says
    said = re.sub(r"is \(([^()]*)\)", r"is: \1", said)
    return " ".join(sentence(part) for part in re.split(r"(?<=\.) ", said) if part.strip())


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
