"""Markdown that notebooks and pages share: tables, numbers, names of items."""

import math
import re

import pandas as pd


def title(item):
    """fig5 -> Fig 5, with a space that does not break."""
    return re.sub(r"^(fig|table)", lambda kind: kind[0].capitalize() + "\u00a0", item)


def paper_address(item):
    """Address of the paper's own figure or table: fig5 -> https://doi.org/10.1371/journal.pone.0331404.g005."""
    kind, number = re.fullmatch(r"(fig|table)(\d+)", item).groups()
    return f"https://doi.org/10.1371/journal.pone.0331404.{kind.replace('fig', 'g')[0]}{int(number):03d}"


def typeset(text):
    """-9.02e-05 -> \u22129.02 \u00d7 10<sup>\u22125</sup>, other hyphens as they are; "n = 7" stays on one line."""
    text = re.sub(r"\bn = (?=\d)", "n\u00a0=\u00a0", text)
    text = re.sub(r"(?<![^\s\[(*])-(?=\.?\d)", "\u2212", text)
    return re.sub(r"(?<=\d)e-0?(\d+)", "\u00a0\u00d7\u00a010<sup>\u2212\\1</sup>", text)


def sentence(text):
    """A text with a capital first and one full stop last; "" stays."""
    return text and f"{text[0].upper()}{text[1:].rstrip('.')}."


def pairs(values):
    """{name: value} as text."""
    return ", ".join(f"{k} = {v}" for k, v in values.items()) or "none"


def table(heads, rows, rules=None):
    """Lines of a table; rows: lists of texts; rules: of the columns, ":--" (left) by default, "--:" is right."""
    lines = [heads, rules or [":--"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def letters(body):
    """How many letters side by side a table needs at least: the longest piece of each column that is not broken."""
    lines = (re.split(r"(?<!\\)\|", line[1:-1]) for line in body.splitlines())
    pieces = (
        (re.split("<br>| ", cell.strip()) for cell in column) for column in zip(*lines, strict=True)
    )
    return sum(max(len(piece) for cell in column for piece in cell) + 2 for column in pieces)


def _digits(low, high):
    """Decimals that an interval deserves: two figures of its half width."""
    half = (high - low) / 2
    return 3 if not half > 0 else min(max(1 - math.floor(math.log10(half)), 0), 6)


def _cell(row, column, form):
    """Text of a cell: a number with its interval below, where the row has one, or a plain value."""
    value, low, high = (row.get(column + end) for end in ("", " low", " high"))
    if pd.isna(value):
        return "–"
    if pd.isna(low) or pd.isna(high):
        plain = f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
        return form.format(value) if form else plain
    form = form or f"{{:z.{_digits(low, high)}f}}"  # z: no zero below zero
    value, low, high = (form.format(x).replace("-", "\u2212") for x in (value, low, high))
    return f"{value}<br>[{low},\u00a0{high}]"


def of_frame(frame, fmt=None):
    """A DataFrame as a table, numbers right-aligned.

    Columns "X", "X low", "X high" are shown as one: the value, and [low, high] on a line below.
    fmt: {column: format} such as {"MSE": "{:.4f}"}; a value with an interval has as many decimals
    as the interval deserves, other numbers have four significant digits.
    """
    fmt = fmt or {}
    if unknown := set(fmt) - set(frame):
        raise ValueError(f"fmt names columns that the table lacks: {sorted(unknown)}")
    ends = {f"{c}{end}" for c in frame for end in (" low", " high")}
    columns = [c for c in frame if c not in ends]
    rules = ["---:" if frame[c].dtype.kind in "iuf" else ":---" for c in columns]
    rows = [[_cell(row, c, fmt.get(c)) for c in columns] for row in frame.to_dict("records")]
    return table(columns, rows, rules)
