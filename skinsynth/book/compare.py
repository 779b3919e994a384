"""Two runs side by side: do their tables agree within their own intervals?"""

import numpy as np
import pandas as pd

from ..core.errors import UserError

TOLERANCE = 0.05  # relative, for numbers without an interval


def _named(frame):
    """The table indexed by its texts, so that rows are matched by what they are about."""
    names = [c for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
    return frame.set_index([frame[c].fillna("").astype(str) for c in names] or [frame.index])


def _agree(a, b, column):
    """One cell of two rows: with intervals, each value must lie in the other's; else within 5 %."""
    x, y = a[column], b[column]
    if pd.isna(x) or pd.isna(y):
        return bool(pd.isna(x) and pd.isna(y))
    if column == "n" or column.startswith("n "):
        return x == y
    if f"{column} low" in a and f"{column} low" in b:
        return (
            b[f"{column} low"] <= x <= b[f"{column} high"]
            or a[f"{column} low"] <= y <= a[f"{column} high"]
        )
    return bool(np.isclose(x, y, rtol=TOLERANCE, atol=1e-9))


def compare(first, second):
    """Every number that both runs (store.Run) have: DataFrame table, row, column, both values, agree.

    Missing tables and rows count as disagreement. Raises UserError where a run has no tables.
    """
    tables = [{p.stem: p for p in sorted(run.root.glob("tables/*.csv"))} for run in (first, second)]
    for run, found in zip((first, second), tables, strict=True):
        if not found:
            raise UserError(f"{run.root}: no tables there; execute the run first")
    rows = []
    for name in sorted({*tables[0], *tables[1]}):
        if not all(name in found for found in tables):
            rows.append([name, "", "", np.nan, np.nan, False])
            continue
        a, b = (_named(pd.read_csv(found[name])) for found in tables)
        for key in dict.fromkeys([*a.index, *b.index]):
            label = " / ".join(key) if isinstance(key, tuple) else str(key)
            if key not in a.index or key not in b.index:
                rows.append([name, label, "", np.nan, np.nan, False])
                continue
            x, y = a.loc[[key]].iloc[0], b.loc[[key]].iloc[0]
            numbers = [
                c for c in a.columns if c in b.columns and pd.api.types.is_numeric_dtype(a[c])
            ]
            numbers = [
                c for c in numbers if not c.endswith((" low", " high")) and c not in ("low", "high")
            ]
            rows += [[name, label, c, x[c], y[c], _agree(x, y, c)] for c in numbers]
    return pd.DataFrame(rows, columns=["table", "row", "column", first.name, second.name, "agree"])
