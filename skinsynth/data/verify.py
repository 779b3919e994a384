"""Integrity report of a data folder: everything that is wrong with it, not only the first fault."""

from functools import partial
from typing import NamedTuple

import pandas as pd

from ..core.config import CLASSES, PAD_CLASSES
from ..core.errors import UserError
from ..core.machine import in_threads
from ..numerics import pixels
from . import layouts, splits, tables
from .folders import RIGHT_FOLDER, Problem

SCANS = {  # set: (what reads it, its diagnoses)
    "ham10000": (layouts.scan_ham, CLASSES),
    "ham10000_test": (partial(layouts.scan_ham, test=True), CLASSES),
    "pad_ufes_20": (layouts.scan_pad, tuple(c.lower() for c in PAD_CLASSES)),
    "isic2018_test": (layouts.scan_isic_test, CLASSES),
}


FACTS = ("class", "lesions", "masks", "absent", "spare", "levels", "copy")


class Report(NamedTuple):
    """What `verify` found. table: one row a finding with set, kind, name, count and remedy.

    Kinds of FACTS are no faults: "class" (count = images), "lesions", "masks", "absent" (rows of PAD-UFES-20
    without an image, which is allowed), "spare" (masks without an image), "levels" (masks that are white all
    over, or of two levels other than 0 and 255) and "copy" (files equal byte for byte). All others, missing,
    orphan, duplicate, label, mask, unreadable and set, are faults.
    """

    table: pd.DataFrame

    @property
    def ok(self):
        return bool(self.table.kind.isin(FACTS).all())

    def __str__(self):
        return _text(self.table) + ("\nNo fault found." if self.ok else "\nFaults found.")


def _look(read, path):
    """What a reader makes of a file; a Problem where it cannot be read."""
    try:
        return read(path)
    except UserError as error:
        return Problem("unreadable", *str(error).rsplit("; ", 1))


def _pixels(path):
    pixels.read_rgb(path)


def _levels(path):
    """What is to be said of a mask's grey levels: None, a Problem, or (words, path)."""
    grey = pixels.read_levels(path)
    low, high = grey.min(), grey.max()
    remedy = "use the official mask of this image"
    if high == 0:
        return Problem("mask", f"{path}: a mask that is black all over: no lesion", remedy)
    if ((grey != low) & (grey != high)).any():
        grey_levels = f"a mask of more than two grey levels, {low} to {high}"
        return Problem(
            "mask", f"{path}: {grey_levels}; what has half of {high} or more counts", remedy
        )
    if low == high:
        return "white all over", path
    return None if (low, high) == (0, 255) else (f"of {low} and {high}, not 0 and 255", path)


def _seen(name, records):
    """(rows of facts, problems) that the pixels of a set's images and masks tell."""
    masks = records.mask_path[records.mask_path != ""]
    images = in_threads(partial(_look, _pixels), records.path)
    said = [x for x in [*images, *in_threads(partial(_look, _levels), masks)] if x]
    problems = [x for x in said if isinstance(x, Problem)]
    white = pd.DataFrame([x for x in said if not isinstance(x, Problem)], columns=["words", "path"])
    facts = [
        (name, "levels", f"{words}: {len(paths)}, as {paths.iloc[0]}", len(paths), "")
        for words, paths in white.path.groupby(white.words)
    ]
    broken = {p.name.split(": ")[0] for p in problems if p.kind == "unreadable"}
    whole = records[~records.path.isin(broken) & ~records.mask_path.isin(broken)]
    return facts, problems + tables.mask_problems(whole) + tables.unmasked(records)


def _set_rows(name, folder):
    """Findings of one set as tuples (set, kind, name, count, remedy)."""
    scan, codes = SCANS[name]
    try:
        records, problems = scan(folder)
    except UserError as error:
        fault, _, remedy = str(error).rpartition("; ")
        return [(name, "set", fault, 1, remedy)]
    facts, seen = _seen(name, records)
    counts = records.dx.value_counts()
    rows = [(name, "class", c, counts.get(c, 0), "") for c in codes]
    rows += [(name, "lesions", "", records.lesion_id.nunique(), "")]
    rows += [(name, "masks", "", int((records.mask_path != "").sum()), "")] * name.startswith("ham")
    absent, spare = records.attrs.get("missing", 0), records.attrs.get("spare", ())
    rows += [(name, "absent", "images in the table, not on disk", absent, "")] * (absent > 0)
    rows += [(name, "spare", f"mask without an image: {i}", 1, "") for i in spare] + facts
    copies = splits.duplicate_sets(records)
    rows += [(name, "copy", " = ".join(ids), len(ids), "") for ids in copies]
    return rows + [(name, p.kind, p.name, 1, p.remedy) for p in sorted({*problems, *seen})]


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
            total = found["count"].sum() if kind in ("absent", "levels") else len(found)
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
    there = [name for name in SCANS if layouts.has(folder, name)]
    if not there:
        raise UserError(f"{folder}: none of {', '.join(SCANS)} in this folder; {RIGHT_FOLDER}")
    rows = [row for name in there for row in _set_rows(name, folder)]
    return Report(pd.DataFrame(rows, columns=["set", "kind", "name", "count", "remedy"]))
