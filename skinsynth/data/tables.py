"""What the official layouts have in common: tables, images and masks of a set, and what is wrong with them."""

from typing import NamedTuple

import pandas as pd
from PIL import Image

from ..core.errors import UserError
from ..core.machine import in_threads

COLUMNS = (
    "image_id lesion_id patient_id dx path mask_path split source age sex localization dx_type "
    "truth_dir"
).split()
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
RIGHT_FOLDER = "give the folder that holds ham10000/ (`skinsynth data fetch` downloads it)"


class Problem(NamedTuple):
    """One fault of a data folder: its kind, the offending file or id, and what to do about it."""

    kind: str  # orphan, missing, duplicate, label, mask or unreadable
    name: str
    remedy: str

    def __str__(self):
        return f"{self.name}; {self.remedy}"


def read_table(path, columns, what="metadata table"):
    """Read a comma- or tab-separated table as text (empty = NaN).

    Raises UserError where the table is absent, cannot be read or lacks one of `columns`.
    """
    if not path.is_file():
        raise UserError(f"{path}: no {what}; put the official one there")
    try:
        with open(path, encoding="utf-8-sig") as handle:
            separator = "\t" if "\t" in handle.readline() else ","
        table = pd.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a readable table ({reason}); download it again") from error
    lacking = [c for c in columns if c not in table]
    if lacking:
        raise UserError(f"{path}: no column {', '.join(lacking)}; use the official metadata table")
    return table


def existing(path):
    """The path of a folder. Raises UserError where there is none."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; {RIGHT_FOLDER}")
    return path


def images_in(folders):
    """({stem: path} of all image files below some folders, problems with names that come twice)."""
    found, problems = {}, []
    for path in sorted(p for folder in folders for p in folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                name = f"{path}: a second image of this name beside {found[path.stem]}"
                problems.append(Problem("duplicate", name, "remove one"))
            found.setdefault(path.stem, path)
    return found, problems


def table_problems(table, path, id_column, codes):
    """Problems within a metadata table: ids that come twice or are empty, unknown diagnoses."""
    ids, problems = table[id_column], []
    for name in ids[ids.duplicated() & ids.notna()].unique():
        problems.append(Problem("duplicate", f"{path}: {name} comes twice", "keep one row"))
    for row in table.index[ids.isna()]:
        problems.append(Problem("label", f"{path}: row {row + 2} has no {id_column}", "fill it in"))
    for code, rows in table.groupby(table.dx.fillna("(empty)").str.lower()):
        if code not in codes:
            name = f"{path}: unknown diagnosis {code!r} of {rows[id_column].iloc[0]}"
            problems.append(Problem("label", name, f"known codes: {', '.join(codes)}"))
    return problems


def orphans(images, listed, remedy, lack="metadata"):
    """Problems of images that no row lists."""
    names = (f"{images[s]}: image without {lack}" for s in sorted(images.keys() - set(listed)))
    return [Problem("orphan", name, remedy) for name in names]


def missing(images, listed, root, path):
    """Problems of rows whose image is not there."""
    absent = listed[~listed.isin(images.keys()) & listed.notna()]
    names = (f"{root}: no image {name}, which {path.name} lists" for name in absent)
    return [Problem("missing", name, "add the image or remove the row") for name in names]


def same_aspect(size, other):
    """Whether two (width, height) differ by scale only, within a pixel of the smaller one."""
    (w, h), (big_w, big_h) = sorted((size, other))
    return (w, h) == (big_w, big_h) or abs(w * big_h - h * big_w) < max(big_w, big_h)


def _mask_problem(path, mask_path):
    """Problem of a mask whose proportions are not the image's; the headers suffice, no pixel is read."""
    sizes = []
    for name in (path, mask_path):
        try:
            with Image.open(name) as image:
                sizes.append(image.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return Problem("unreadable", f"{name}: not an image", "download it again")
    if same_aspect(*sizes):
        return None
    (w, h), (mask_w, mask_h) = sizes
    name = f"{mask_path}: mask of {mask_w}x{mask_h} for an image of {w}x{h}"
    return Problem("mask", name, "use the official mask of this image")


def mask_problems(records):
    """Problems of masks that do not fit their images."""
    masked = records[records.mask_path != ""]
    return [p for p in in_threads(_mask_problem, masked.path, masked.mask_path) if p]


def assemble(source, root, table, extra=()):
    """Records with all COLUMNS, and the extra ones, of a table; what a set does not tell is NaN."""
    truth = root.parent / "truth"
    frame = table.reindex(columns=[*COLUMNS, *extra]).reset_index(drop=True)
    frame["source"], frame["truth_dir"] = source, str(truth) if truth.is_dir() else ""
    frame["mask_path"] = frame["mask_path"].fillna("").astype(str)
    frame["age"] = pd.to_numeric(frame["age"], errors="coerce").astype(float)
    for name in ("sex", "localization", "dx_type"):
        text = frame[name].astype(object).str.lower()
        frame[name] = text.mask(text == "unknown")
    return frame
