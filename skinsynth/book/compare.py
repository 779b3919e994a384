"""Two runs side by side: do their tables agree within their own intervals?"""

import numpy as np
import pandas as pd

from ..core.errors import UserError

TOLERANCE = 0.05  # relative, for numbers without an interval


def _rows(path):
    """{name of a row: {column: number}} of a table: texts name a row, else its place; of two alike the first counts."""
    frame = pd.read_csv(path)
    texts = frame.select_dtypes("object").fillna("").astype(str)
    names = texts.agg(" / ".join, axis=1) if len(texts.columns) else frame.index.astype(str)
    numbers = frame.select_dtypes("number").set_axis(names)
    return numbers[~numbers.index.duplicated()].to_dict("index")


def _agree(a, b, column):
    """One cell of two rows: with intervals, one value must lie in the other's; else within 5 %."""
    x, y = a[column], b[column]
    if pd.isna(x) or pd.isna(y):
        return bool(pd.isna(x) and pd.isna(y))
    if column == "n" or column.startswith("n "):
        return x == y
    stem = "" if column == "value" else f"{column} "  # of numbers-*.csv
    ends = [(row.get(f"{stem}low"), row.get(f"{stem}high")) for row in (a, b)]
    if pd.notna(ends).all():
        return any(low <= v <= high for v, (low, high) in zip((y, x), ends, strict=True))
    return bool(np.isclose(x, y, rtol=TOLERANCE, atol=1e-9))


def compare(first, second):
    """Every number that both runs (store.Run) have: DataFrame table, row, column, both values, agree.

    Missing tables and rows count as disagreement. Raises UserError where a run has no tables.
    """
    tables = []
    for run in (first, second):
        tables.append({path.stem: _rows(path) for path in run.root.glob("tables/*.csv")})
        if not tables[-1]:
            raise UserError(f"{run.root}: no tables there; execute the run first")
    rows, lacking = [], ("", np.nan, np.nan, False)
    for table in sorted({*tables[0], *tables[1]}):
        if not all(table in found for found in tables):
            rows.append([table, "", *lacking])
            continue
        a, b = (found[table] for found in tables)
        for name in dict.fromkeys([*a, *b]):
            if name not in a or name not in b:
                rows.append([table, name, *lacking])
                continue
            x, y = a[name], b[name]
            values = [c for c in x if c in y and not f" {c}".endswith((" low", " high"))]
            rows += [[table, name, c, x[c], y[c], _agree(x, y, c)] for c in values]
    return pd.DataFrame(rows, columns=["table", "row", "column", first.name, second.name, "agree"])
