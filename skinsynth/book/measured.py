"""A file of a benchmark, as the status page shows it."""

import re

import pandas as pd

from ..project.markdown import of_frame, typeset

SHORT = 60  # letters of a note that fits into a table
MEASURED = ["way", "n", "value", "unit", "ratio", "note"]  # columns of a benchmark, and their heads
HEADS = ["Way", "n", "Value", "Unit", "Speed of the first row", "Note"]
FORMS = {"n": "{:,}", "Value": "{:.3g}", "Speed of the first row": "{:.2f}\u00a0\u00d7"}


def _one(text):
    """1 threads -> 1 thread."""
    return re.sub(r"\b1 (round|thread)s\b", r"1 \1", text)


def paragraphs(path):
    """Paragraphs about a file of a benchmark: its tables, with their notes where these are long."""
    found = pd.read_csv(path, dtype={"commit": str})
    for what, rows in found.groupby("what", sort=False):
        yield f"**{what[0].upper()}{what[1:]}**"
        notes = [typeset(_one(note)) for note in rows.note.dropna()]
        long = max(map(len, notes), default=0) > SHORT
        shown = rows[MEASURED].set_axis(HEADS, axis=1).drop(columns=["Note"] if long else [])
        shown = shown.dropna(axis=1, how="all")
        yield typeset(of_frame(shown, {k: form for k, form in FORMS.items() if k in shown}))
        if long:
            yield " ".join(f"{note[0].upper()}{note[1:]}." for note in notes)
    yield f"Measured on {_one(found.device.iloc[-1])} at commit {found.commit.iloc[-1]}."
