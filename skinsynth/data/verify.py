"""Integrity report of a data folder: everything that is wrong with it, not only the first fault."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..core.config import CLASSES, PAD_CLASSES
from ..core.errors import UserError
from ..core.machine import in_threads
from ..numerics import pixels
from . import layouts, splits
from .tables import RIGHT_FOLDER, Problem

SCANS = {  # set: (what reads it, its diagnoses)
    "ham10000": (layouts.scan_ham, CLASSES),
    "ham10000_test": (partial(layouts.scan_ham, test=True), CLASSES),
    "pad_ufes_20": (layouts.scan_pad, tuple(c.lower() for c in PAD_CLASSES)),
    "isic2018_test": (layouts.scan_isic_test, CLASSES),
}


class Report(NamedTuple):
    """What `verify` found. table: one row a finding with set, kind, name, count and remedy.

    Kinds "class" (count = images), "lesions", "masks", "absent" (rows of PAD-UFES-20 without an
    image, which is allowed) and "copy" (files equal byte for byte) are facts; all others, missing,
    orphan, duplicate, label, mask, unreadable and set, are faults.
    """

    table: pd.DataFrame

    @property
    def ok(self):
        return bool(self.table.kind.isin(("class", "lesions", "masks", "absent", "copy")).all())

    def __str__(self):
        return _text(self.table) + ("\nNo fault found." if self.ok else "\nFaults found.")


def _unreadable(path):
    try:
        pixels.read_rgb(path)
    except UserError as error:
        return Problem("unreadable", *str(error).rsplit("; ", 1))
    return None


def _set_rows(name, folder):
    """Findings of one set as tuples (set, kind, name, count, remedy)."""
    scan, codes = SCANS[name]
    try:
        records, problems = scan(folder)
    except UserError as error:
        fault, _, remedy = str(error).rpartition("; ")
        return [(name, "set", fault, 1, remedy)]
    masks = records.mask_path[records.mask_path != ""]
    problems += [p for p in in_threads(_unreadable, [*records.path, *masks]) if p]
    problems = sorted(set(problems))  # an unreadable header was found by both
    counts = records.dx.value_counts()
    rows = [(name, "class", c, counts.get(c, 0), "") for c in codes]
    rows += [(name, "lesions", "", records.lesion_id.nunique(), "")]
    rows += [(name, "masks", "", len(masks), "")] * name.startswith("ham")
    absent = records.attrs.get("missing", 0)
    rows += [(name, "absent", "images in the table, not on disk", absent, "")] * (absent > 0)
    copies = splits.duplicate_sets(records)
    rows += [(name, "copy", " = ".join(ids), len(ids), "") for ids in copies]
    return rows + [(name, p.kind, p.name, 1, p.remedy) for p in problems]


def _text(table, shown=10):
    lines = []
    for name, rows in table.groupby("set", sort=False):
        classes = rows[rows.kind == "class"]
        counts = ", ".join(f"{c} {n}" for c, n in zip(classes.name, classes["count"], strict=True))
        rest = {k: r for k, r in rows.groupby("kind", sort=False) if k != "class"}
        facts = [f"{rest.pop(k)['count'].iloc[0]} {k}" for k in ("lesions", "masks") if k in rest]
        said = f"{classes['count'].sum()} images ({counts}), {', '.join(facts)}"
        lines.append(f"{name}: {said if len(classes) else 'not usable'}")
        for kind, found in rest.items():
            total = found["count"].sum() if kind == "absent" else len(found)
            lines.append(f"  {kind}: {total}")
            for row in found.head(shown).itertuples():
                lines.append(f"    {row.name}" + (f"; {row.remedy}" if row.remedy else ""))
            if len(found) > shown:
                lines.append(f"    and {len(found) - shown} more")
    return "\n".join(lines)


def verify(folder):
    """Read every file of a data folder and report counts and all faults; returns `Report`.

    Raises UserError only where `folder` holds none of the sets.
    """
    there = [name for name in SCANS if (Path(folder) / name).is_dir()]
    if not there:
        raise UserError(f"{folder}: none of {', '.join(SCANS)} in this folder; {RIGHT_FOLDER}")
    rows = [row for name in there for row in _set_rows(name, folder)]
    return Report(pd.DataFrame(rows, columns=["set", "kind", "name", "count", "remedy"]))
