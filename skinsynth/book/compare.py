"""Two runs side by side: do their tables agree within their own intervals?"""

import numpy as np
import pandas as pd

from ..core.errors import UserError

TOLERANCE = 0.05  # relative, for numbers without an interval


def _named(frame):
    """The table indexed by its texts, so that rows are matched by what they are about."""
    names = [c for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]
    return frame.set_index([frame[c].fillna("").astype(str) for c in names] or [frame.index])


def _numbers(frame):
    """Columns with numbers, without the ends of intervals."""
    columns = frame.select_dtypes("number").columns
    return [c for c in columns if not f" {c}".endswith((" low", " high"))]


def _agree(a, b, column):
    """One cell of two rows: with intervals, one value must lie in the other's; else within 5 %."""
    x, y = a[column], b[column]
    if pd.isna(x) or pd.isna(y):
        return bool(pd.isna(x) and pd.isna(y))
    if column == "n" or column.startswith("n "):
        return x == y
    ends = [(row.get(f"{column} low"), row.get(f"{column} high")) for row in (a, b)]
    if pd.notna(ends).all():
        return any(low <= v <= high for v, (low, high) in zip((y, x), ends, strict=True))
    return bool(np.isclose(x, y, rtol=TOLERANCE, atol=1e-9))


def compare(first, second):
    """Every number that both runs (store.Run) have: DataFrame table, row, column, both values, agree.

    Missing tables and rows count as disagreement. Raises UserError where a run has no tables.
    """
    tables = []
    for run in (first, second):
        tables.append({p.stem: _named(pd.read_csv(p)) for p in run.root.glob("tables/*.csv")})
        if not tables[-1]:
            raise UserError(f"{run.root}: no tables there; execute the run first")
    rows, lacking = [], ("", np.nan, np.nan, False)
    for name in sorted({*tables[0], *tables[1]}):
        if not all(name in found for found in tables):
            rows.append([name, "", *lacking])
            continue
        a, b = (found[name] for found in tables)
        for key in dict.fromkeys([*a.index, *b.index]):
            label = " / ".join(key) if isinstance(key, tuple) else str(key)
            if key not in a.index or key not in b.index:
                rows.append([name, label, *lacking])
                continue
            x, y = a.loc[[key]].iloc[0], b.loc[[key]].iloc[0]
            both = [c for c in _numbers(a) if c in b]
            rows += [[name, label, c, x[c], y[c], _agree(x, y, c)] for c in both]
    return pd.DataFrame(rows, columns=["table", "row", "column", first.name, second.name, "agree"])
