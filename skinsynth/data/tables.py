"""What the official layouts have in common: their tables, and what is wrong with rows, images and masks."""

import codecs
import re
from pathlib import Path

import pandas as pd
from PIL import Image

from ..core.errors import UserError
from ..core.machine import in_threads
from ..numerics.pixels import UNREADABLE, upright_size
from .folders import Problem

COLUMNS = (
    "image_id lesion_id patient_id dx path mask_path split source age sex localization dx_type "
    "truth_dir"
).split()
DIAGNOSES = {  # names that tables and folders have in place of HAM10000's codes
    "akiec": """actinic keratosis, actinic keratoses, solar or actinic keratosis, bowens disease,
        actinic keratosis bowens disease, actinic keratoses and intraepithelial carcinoma,
        actinic keratoses and intraepithelial carcinoma bowens disease""",
    "bcc": "basal cell carcinoma, basal cell carcinomas",
    "bkl": """benign keratosis, benign keratoses, benign keratosis like lesion,
        benign keratosis like lesions, pigmented benign keratosis, seborrheic keratosis,
        seborrhoeic keratosis, solar lentigo, lichen planus like keratosis""",
    "df": "dermatofibroma, dermatofibromas",
    "mel": "melanoma, melanomas, melanoma nos",
    "nv": """nevus, nevi, naevus, naevi, melanocytic nevus, melanocytic nevi, melanocytic naevus,
        melanocytic naevi""",
    "vasc": "vascular lesion, vascular lesions",
}
_CODES = {" ".join(n.split()): c for c, s in DIAGNOSES.items() for n in (c, *s.split(","))}


def read_table(path, columns, what="metadata table"):
    """Read a table as text (empty = NaN) without the blanks around its fields.

    Fields lie between commas, tabs or semicolons; the file is UTF-8, or UTF-16 that says so at its start.
    Raises UserError where the table is absent, cannot be read, has rows longer than its head, or lacks
    one of `columns`.
    """
    if not path.is_file():
        raise UserError(f"{path}: no {what}; put the official one there")
    try:
        marked = path.read_bytes().startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        how = dict(encoding="utf-16" if marked else "utf-8-sig")
        with open(path, **how) as handle:
            head = next(filter(str.strip, handle), "")
        if "\0" in head:
            raise UnicodeError("zero bytes, as in UTF-16 without a mark")
        separator = max("\t;,", key=head.count)
        table = pd.read_csv(path, sep=separator, dtype=str, skipinitialspace=True, **how)
    except (OSError, UnicodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        remedy = "download it again, or save it as CSV in UTF-8"
        raise UserError(f"{path}: not a readable table ({reason}); {remedy}") from error
    if not isinstance(table.index, pd.RangeIndex):  # else pandas would shift the columns
        raise UserError(
            f"{path}: its rows have more fields than its head; give each the same number"
        )
    table = table.rename(columns=str.strip).apply(lambda column: column.str.strip())
    table = table.mask(table == "")
    if (twice := table.columns[table.columns.duplicated()]).any():
        raise UserError(f"{path}: column {twice[0]} comes twice; keep one")
    require(table, path, columns)
    return table


def class_code(name):
    """HAM10000's code of a diagnosis, given as code or full name in any spelling; None for others."""
    plain = re.sub(r"['\u2019]", "", str(name).lower())
    return _CODES.get(" ".join(re.split(r"[\W_]+", plain)).strip())


def require(table, path, columns):
    """Raise UserError where a table lacks one of `columns`."""
    if lacking := [c for c in columns if c not in table]:
        raise UserError(f"{path}: no column {', '.join(lacking)}; use the official metadata table")


def bare(ids):
    """Ids without the ending of an image file, which some tables carry."""
    return ids.astype(object).str.replace(r"\.(jpe?g|png)$", "", case=False, regex=True)


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


def unfilled(table, path, id_column, columns):
    """Problems of rows with an empty cell in one of `columns`, which no group would hold together."""
    empty = ((c, table[id_column][table[c].isna()]) for c in columns)
    names = (f"{path}: {image_id} has no {c}" for c, ids in empty for image_id in ids)
    return [Problem("label", name, "fill it in") for name in names]


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
                sizes.append(upright_size(image))
        except UNREADABLE:
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


def unmasked(records):
    """Problems of images without a mask in a set where others have one: masks are used all or not at all."""
    lacking = records.image_id[records.mask_path == ""]
    if len(lacking) == len(records):
        return []
    lack = f"no mask, though {len(records) - len(lacking)} of {len(records)} images have one"
    remedy = "add it, or remove all masks to do without"
    return [Problem("mask", f"{image_id}: {lack}", remedy) for image_id in lacking]


def assemble(folder, table, extra=()):
    """Records with all COLUMNS, and the extra ones, of a table; what a set does not tell is NaN."""
    truth = Path(folder) / "truth"
    frame = table.reindex(columns=[*COLUMNS, *extra]).reset_index(drop=True)
    frame["truth_dir"] = str(truth) if truth.is_dir() else ""
    frame["mask_path"] = frame["mask_path"].fillna("").astype(str)
    frame["age"] = pd.to_numeric(frame["age"], errors="coerce").astype(float)
    for name in ("sex", "localization", "dx_type"):
        text = frame[name].astype(object).str.lower()
        frame[name] = text.mask(text == "unknown")
    return frame
