"""Anybody's folder of samples: which of its files are images of which class, and which are left out."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.machine import in_threads
from ..data.folders import IMAGE_SUFFIXES, files_below, is_litter
from ..data.tables import class_code, read_table
from ..numerics.pixels import read_rgb, to_square

SUFFIXES = (*IMAGE_SUFFIXES, ".bmp", ".tif", ".tiff", ".webp")
COLUMNS = {  # of metadata.csv: other names that are understood
    "file_name": ("file_name", "filename", "file"),
    "class": ("class", "label", "dx", "diagnosis"),
}
KNOWN = f"known: {', '.join(CLASSES)}, or their full names"


def _column(table, path, wanted):
    """The one column of a table that has a name, or one of its other names."""
    found = [c for c in table if "_".join(c.lower().split()) in COLUMNS[wanted]]
    found = [c for c in found if c == wanted] or found
    if len(found) != 1:
        others = " or ".join(COLUMNS[wanted][1:])
        needs = f"needs one column {wanted} ({others}), found {list(table)}"
        raise UserError(f"{path}: {needs}; name its columns file_name and class")
    return table[found[0]]


def _located(folder, name):
    """Path of a file that a table names, with slashes of either kind."""
    for spelling in (name, name.replace("\\", "/")):
        path = os.path.abspath(folder / spelling)
        if os.path.isfile(path):
            return Path(path)
    remedy = f"names count from {folder}: add the file or remove its row"
    raise UserError(f"{folder / name}: no such file, but metadata.csv lists it; {remedy}")


def _is_litter(folder, name):
    """Whether a file that a table names is litter, or lies in a folder that is; the folders above do not count."""
    path = Path(os.path.abspath(folder / name.replace("\\", "/")))
    own = path.relative_to(folder).parts if path.is_relative_to(folder) else (path.name,)
    return any(map(is_litter, own))


def _listed(folder, table_path):
    """({file: (class code, seed or name)} as a table says, how many of its rows say nothing new)."""
    table = read_table(table_path, ())
    names, classes = (_column(table, table_path, wanted) for wanted in COLUMNS)
    seeds = table["seed"].fillna(names) if "seed" in table else names
    numbers = pd.to_numeric(seeds, errors="coerce")
    files, twice = {}, 0
    rows = zip(names, classes, seeds if numbers.isna().any() else numbers, strict=True)
    for row, (name, said, seed) in enumerate(rows, 2):
        if pd.isna(name):
            remedy = "fill it in or remove the row"
            raise UserError(f"{table_path}: row {row} has no file name; {remedy}")
        if _is_litter(folder, name):
            continue
        code = class_code(said)
        if code is None:
            wrong = "no class" if pd.isna(said) else f"an unknown class {said!r}"
            raise UserError(f"{table_path}: row {row} ({name}) has {wrong}; {KNOWN}")
        path = _located(folder, name)
        twice += path in files
        if files.setdefault(path, (code, seed))[0] != code:
            both = f"given as {files[path][0]} and, in row {row}, as {code}"
            raise UserError(f"{table_path}: {name} is {both}; keep one row")
    return files, twice


def _codes(folder, path):
    """[(class code, folders above it)] of the folders of a file that name a class, the outermost first."""
    parts = path.relative_to(folder).parent.parts
    return [(code, parts[:i]) for i, part in enumerate(parts) if (code := class_code(part))]


def _by_class(folder, paths):
    """{image: (class code, name)} by the folders that images lie in; those that lie in none are left out."""
    files, above = {}, {}
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            continue
        named, name = _codes(folder, path), path.relative_to(folder)
        if not named and path.parent != folder:
            raise UserError(f"{folder}: unknown class {str(name.parent)!r}; {KNOWN}")
        if len({code for code, _ in named}) > 1:
            both = " and ".join(code for code, _ in named)
            raise UserError(f"{path}: lies in the folders of {both}; move it into one")
        for code, outside in named[:1]:
            files[path] = code, name.as_posix()
            above.setdefault(outside, path.parent)
    if len(above) > 1:
        first, second = list(above.values())[:2]
        raise UserError(f"{folder}: two sets, in {first} and in {second}; give the folder of one")
    return files


def _left(folder, paths, files, listed):
    """Texts, one for each file that is not read though it is an image or lies in a class's folder."""
    for path in paths:
        code = next((code for code, _ in _codes(folder, path)), None)
        image = path.suffix.lower() in SUFFIXES
        if path in files or not (image or code):
            continue
        why = "not in metadata.csv" if listed else "in no class's folder"
        yield f"{code or 'no class'} ({why if image else 'type ' + (path.suffix or 'unknown')})"


def _said(folder, codes, left, twice):
    """The line that says how many files of each class were read, how many were not, and why."""
    found, left = Counter(codes), Counter(left)
    counts = ", ".join(f"{c} {found[c]}" for c in CLASSES)
    line = f"{folder}: {len(codes)} of {len(codes) + left.total()} files read: {counts}"
    if left:
        line += f"; not read: {', '.join(f'{n} of {why}' for why, n in left.items())}"
    return line + (f"; rows that only repeat another: {twice}" if twice else "")


def _squares(paths, size):
    """Images of files, read as originals are (N,size,size,3)."""
    images = np.empty((len(paths), size, size, 3), np.uint8)

    def read(i, path):
        try:
            images[i] = to_square(read_rgb(path), size)
        except UserError as fault:
            return fault
        return None

    if faults := list(filter(None, in_threads(read, range(len(paths)), paths))):
        more = f", as are {len(faults) - 1} more" if faults[1:] else ""
        first = str(faults[0]).rsplit("; ", 1)[0]
        raise UserError(f"{first}{more}; mend or remove what cannot be read")
    return images


def read_folder(folder, size):
    """A folder of samples: (uint8 images (N,size,size,3), table of class codes and seeds or names, words).

    Either metadata.csv lists files with their classes, or images lie in a folder of each class, at any
    depth; codes and full names of diagnoses are understood. Files are read, cut and scaled as originals
    are. words: one line on how many files of each class were read, how many were not, and why.
    Raises UserError on a missing folder, a faulty table, an unknown class, an unreadable file, a file of
    two classes, or no image at all.
    """
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the one that holds the samples")
    paths, table_path = list(files_below(folder)), folder / "metadata.csv"
    listed = table_path.is_file()
    files, twice = _listed(folder, table_path) if listed else (_by_class(folder, paths), 0)
    meta = pd.DataFrame(files.values(), columns=["class", "seed"])
    words = _said(folder, list(meta["class"]), _left(folder, paths, files, listed), twice)
    if meta.empty:
        remedy = f"give images, with metadata.csv or in a folder for each of {', '.join(CLASSES)}"
        raise UserError(f"{words}; {remedy}")
    return _squares(list(files), size), meta, words
