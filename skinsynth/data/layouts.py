"""Records and pixels of HAM10000, PAD-UFES-20 and the ISIC 2018 test set in their official layouts.

Records are a DataFrame with one row an image and the columns COLUMNS; images are uint8 RGB
(N, size, size, 3). The phantom is written in the same layouts, so it takes the same road.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from ..core.config import CLASSES, PAD_CLASSES
from ..core.errors import UserError
from . import splits

COLUMNS = (
    "image_id",
    "lesion_id",
    "patient_id",
    "dx",
    "path",
    "mask_path",
    "split",
    "source",
    "age",
    "sex",
    "localization",
    "dx_type",
    "truth_dir",
)
SETS = ("ham10000", "ham10000_test", "pad_ufes_20", "isic2018_test")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"
PAD_COLUMNS = (
    "img_id",
    "patient_id",
    "lesion_id",
    "diagnostic",
    "age",
    "gender",
    "region",
    "fitspatrick",
    "biopsed",
)
_SHARED = {"ack": ("akiec",), "bcc": ("bcc",), "mel": ("mel",), "nev": ("nv",), "sek": ("bkl",)}
# PAD-UFES-20 code -> HAM10000 codes that count as right, by what is done with SCC, which HAM10000
# does not have: left out (primary), an akiec (sensitivity analysis), any of three (third)
PAD_TO_HAM = {
    "dropped": _SHARED | {"scc": ()},
    "akiec": _SHARED | {"scc": ("akiec",)},
    "any": _SHARED | {"scc": ("akiec", "bcc", "mel")},
}


class Problem(NamedTuple):
    """One fault of a data folder: its kind, the offending file or id, and what to do about it."""

    kind: str  # orphan, missing, duplicate, label, mask or unreadable
    name: str
    remedy: str

    def __str__(self):
        return f"{self.name}; {self.remedy}"


def read_table(path, columns):
    """Read a comma- or tab-separated table as text (empty = NaN).

    Raises UserError where the table cannot be read or lacks one of `columns`.
    """
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


def _folder(path):
    if not path.is_dir():
        raise UserError(
            f"{path}: no such folder; give the folder that holds ham10000/ "
            "(`skinsynth data fetch` downloads it)"
        )
    return path


def _images(folders):
    """({stem: path} of all image files below some folders, problems with names that come twice)."""
    found, problems = {}, []
    for path in sorted(p for folder in folders for p in folder.rglob("*")):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                name = f"{path}: a second image of this name beside {found[path.stem]}"
                problems.append(Problem("duplicate", name, "remove one"))
            found.setdefault(path.stem, path)
    return found, problems


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
    if not same_aspect(*sizes):
        (w, h), (mask_w, mask_h) = sizes
        name = f"{mask_path}: mask of {mask_w}x{mask_h} for an image of {w}x{h}"
        return Problem("mask", name, "use the official mask of this image")
    return None


def _table_problems(table, path, id_column, dx_column, codes):
    """Problems within a metadata table: ids that come twice or are empty, unknown diagnoses."""
    problems = []
    for name in table[id_column][table[id_column].duplicated() & table[id_column].notna()].unique():
        problems.append(Problem("duplicate", f"{path}: {name} comes twice", "keep one row"))
    for row in table.index[table[id_column].isna()]:
        problems.append(Problem("label", f"{path}: row {row + 2} has no {id_column}", "fill it in"))
    for code, rows in table.groupby(table[dx_column].fillna("(empty)").str.lower()):
        if code not in codes:
            name = f"{path}: unknown diagnosis {code!r} of {rows[id_column].iloc[0]}"
            problems.append(Problem("label", name, f"known codes: {', '.join(codes)}"))
    return problems


def _records(source, root, **columns):
    """Assemble records with all COLUMNS; what a set does not tell is NaN."""
    truth = root.parent / "truth"
    frame = pd.DataFrame({c: np.nan for c in COLUMNS} | columns).reset_index(drop=True)
    frame["source"], frame["truth_dir"] = source, str(truth) if truth.is_dir() else ""
    frame["mask_path"] = frame["mask_path"].fillna("").astype(str)
    frame["age"] = pd.to_numeric(frame["age"], errors="coerce").astype(float)
    for name in ("sex", "localization", "dx_type"):
        text = frame[name].astype(object)
        text = text.where(text.isna(), text.astype(str).str.lower())
        frame[name] = text.mask(text == "unknown")
    return frame[[*COLUMNS, *(c for c in columns if c not in COLUMNS)]]


def scan_ham(folder, test=False):
    """(records, problems) of HAM10000 in `folder`/ham10000, or ham10000_test: nothing is hidden.

    Raises UserError only where nothing can be listed: no folder, no table, no column.
    """
    root = _folder(Path(folder) / ("ham10000_test" if test else "ham10000"))
    tables = [root / f"HAM10000_metadata{suffix}" for suffix in (".csv", ".tab", "")]
    path = next((t for t in tables if t.is_file()), None)
    if path is None:
        raise UserError(
            f"{tables[0]}: no metadata table (.csv or .tab); put the official one there"
        )
    folders = [p for p in root.glob("[Hh][Aa][Mm]10000_images*") if p.is_dir()]
    if not folders:
        raise UserError(
            f"{root}: no folder HAM10000_images_part_1 or HAM10000_images; unpack it there"
        )
    table = read_table(path, ("image_id", "lesion_id", "dx"))
    images, problems = _images(folders)
    problems += _table_problems(table, path, "image_id", "dx", CLASSES)
    for name in table.image_id[table.lesion_id.isna()]:
        problems.append(Problem("label", f"{path}: {name} has no lesion_id", "fill it in"))
    listed = set(table.image_id)
    for stem in sorted(images.keys() - listed):
        remedy = f"add its row to {path.name} or remove the image"
        problems.append(Problem("orphan", f"{images[stem]}: image without metadata", remedy))
    for name in table.image_id[~table.image_id.isin(images.keys()) & table.image_id.notna()]:
        name = f"{folders[0].parent}: no image {name}, which {path.name} lists"
        problems.append(Problem("missing", name, "add the image or remove the row"))
    table = table[table.image_id.isin(images.keys()) & table.lesion_id.notna()]
    table = table[table.dx.fillna("").str.lower().isin(CLASSES)].drop_duplicates("image_id")
    masks = {p.name: str(p) for p in (root / MASK_FOLDER).glob("*_segmentation.png")}
    known = {c: table[c] for c in ("age", "sex", "localization", "dx_type") if c in table}
    records = _records(
        "ham10000",
        root,
        image_id=table.image_id,
        lesion_id=table.lesion_id,
        dx=table.dx.str.lower(),
        path=[str(images[i]) for i in table.image_id],
        mask_path=[masks.get(f"{i}_segmentation.png", "") for i in table.image_id],
        **known,
    )
    masked = records[records.mask_path != ""]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(_mask_problem, masked.path, masked.mask_path)
        problems += [p for p in found if p]
    return records, problems


def scan_pad(folder):
    """(records, problems) of PAD-UFES-20 in `folder`/pad_ufes_20; absent images are only counted.

    `records.attrs["missing"]` counts rows of the table without an image on disk. A lesion's number
    repeats across patients, so lesion_id is patient_id and number together.
    Extra columns: skin_type (Fitzpatrick 1-6), biopsied. Raises UserError as `scan_ham`.
    """
    root = _folder(Path(folder) / "pad_ufes_20")
    path = root / "metadata.csv"
    if not path.is_file():
        raise UserError(f"{path}: no metadata table; put the official one there")
    table = read_table(path, PAD_COLUMNS)
    images, problems = _images([_folder(root / "images")])
    codes = tuple(c.lower() for c in PAD_CLASSES)
    problems += _table_problems(table, path, "img_id", "diagnostic", codes)
    stems = table.img_id.fillna("").map(lambda name: Path(name).stem)
    for stem in sorted(images.keys() - set(stems)):
        name = f"{images[stem]}: image without metadata"
        problems.append(Problem("orphan", name, "add its row to metadata.csv or remove the image"))
    if not images.keys() & set(stems):
        raise UserError(f"{root / 'images'}: none of the images in metadata.csv; unpack them there")
    use = stems.isin(images.keys()) & table.diagnostic.fillna("").str.lower().isin(codes)
    use &= ~table.img_id.duplicated()
    missing = int((~stems.isin(images.keys())).sum())
    table, stems = table[use], stems[use]
    records = _records(
        "pad_ufes_20",
        root,
        image_id=stems,
        lesion_id=table.patient_id + "_" + table.lesion_id,
        patient_id=table.patient_id,
        dx=table.diagnostic.str.lower(),
        split="test",
        path=[str(images[s]) for s in stems],
        age=table.age,
        sex=table.gender,
        localization=table.region,
        skin_type=pd.to_numeric(table.fitspatrick, errors="coerce"),
        biopsied=table.biopsed.str.lower().map({"true": True, "false": False}),
    )
    records.attrs["missing"] = missing
    return records, problems


def scan_isic_test(folder):
    """(records, problems) of ISIC 2018 task 3's test set in `folder`/isic2018_test.

    The set tells no lesions: each image counts as its own. Raises UserError as `scan_ham`.
    """
    root = _folder(Path(folder) / "isic2018_test")
    path = root / "ISIC2018_Task3_Test_GroundTruth.csv"
    if not path.is_file():
        raise UserError(f"{path}: no ground truth; put the official one there")
    codes = [c.upper() for c in CLASSES]
    table = read_table(path, ("image", *codes))
    images, problems = _images([_folder(root / "ISIC2018_Task3_Test_Input")])
    hot = table[codes].apply(pd.to_numeric, errors="coerce").fillna(0).to_numpy()
    single = (hot == 1).sum(1) == 1
    table["dx"] = np.where(single, np.array(CLASSES)[hot.argmax(1)], "not one-hot")
    problems += _table_problems(table, path, "image", "dx", CLASSES)
    for stem in sorted(images.keys() - set(table.image)):
        name = f"{images[stem]}: image without ground truth"
        problems.append(Problem("orphan", name, "add its row or remove the image"))
    for name in table.image[~table.image.isin(images.keys()) & table.image.notna()]:
        name = f"{root}: no image {name}, which {path.name} lists"
        problems.append(Problem("missing", name, "add the image or remove the row"))
    table = table[table.image.isin(images.keys()) & single].drop_duplicates("image")
    records = _records(
        "isic2018",
        root,
        image_id=table.image,
        lesion_id=table.image,
        dx=table.dx,
        split="test",
        path=[str(images[i]) for i in table.image],
    )
    return records, problems


def _strict(scanned, folder):
    """Records of a scan without problems; else the first problem, and how to see the others."""
    records, problems = scanned
    if problems:
        more = f" ({len(problems) - 1} more: skinsynth data verify {folder})"
        raise UserError(str(problems[0]) + more * (len(problems) > 1))
    if records.empty:
        raise UserError(f"{folder}: the metadata table lists no image; use the official table")
    return records


def load_ham(folder, test=False):
    """Records of HAM10000 (`test`: of ham10000_test/, which only the phantom has), split empty.

    Raises UserError on the first fault: missing folder, table, column or image; image without
    metadata; id twice; unknown diagnosis; mask of other proportions than its image.
    """
    return _strict(scan_ham(folder, test), folder)


def load_pad(folder):
    """Records of PAD-UFES-20, all of split "test"; see `scan_pad`. Raises UserError as `load_ham`."""
    return _strict(scan_pad(folder), folder)


def load_isic_test(folder):
    """Records of ISIC 2018's test set, split "test". Raises UserError as `load_ham`."""
    return _strict(scan_isic_test(folder), folder)


def load(folder, seed=0):
    """All sets of a data folder: dict(ham, pad, isic); pad and isic are None where absent.

    ham has its split: 64/16/20 train/val/test by lesion, or 80/20 train/val and ham10000_test/ as
    test where that folder exists. Raises UserError as `load_ham`, and on a lesion in two splits.
    """
    folder, ham = Path(folder), load_ham(folder)
    if (folder / "ham10000_test").is_dir():
        ham["split"] = splits.grouped_split(ham, (0.8, 0.2, 0.0), seed)
        ham = pd.concat([ham, load_ham(folder, test=True).assign(split="test")], ignore_index=True)
    else:
        ham["split"] = splits.grouped_split(ham, seed=seed)
    splits.check(ham)
    pad = load_pad(folder) if (folder / "pad_ufes_20").is_dir() else None
    isic = load_isic_test(folder) if (folder / "isic2018_test").is_dir() else None
    return dict(ham=ham, pad=pad, isic=isic)


def class_counts(records, classes=CLASSES):
    """Images of each class, zero included, in the order of `classes`."""
    count = Counter(records.dx)
    return pd.Series({c: count[c] for c in classes}, name="images")
