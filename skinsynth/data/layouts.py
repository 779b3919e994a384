"""Records of HAM10000, PAD-UFES-20 and the ISIC 2018 test set in their official layouts.

Records are a DataFrame with one row an image and the columns tables.COLUMNS. The phantom is written in
the same layouts, so it takes the same road.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ..core.config import CLASSES, PAD_CLASSES
from ..core.errors import UserError
from . import splits, tables
from .tables import Problem

MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"
PAD_COLUMNS = "img_id patient_id lesion_id diagnostic age gender region fitspatrick biopsed".split()
_SHARED = {"ack": ("akiec",), "bcc": ("bcc",), "mel": ("mel",), "nev": ("nv",), "sek": ("bkl",)}
# PAD-UFES-20 code -> HAM10000 codes that count as right, by what is done with SCC, which HAM10000
# does not have: left out (primary), an akiec (sensitivity analysis), any of three (third)
PAD_TO_HAM = {
    "dropped": _SHARED | {"scc": ()},
    "akiec": _SHARED | {"scc": ("akiec",)},
    "any": _SHARED | {"scc": ("akiec", "bcc", "mel")},
}


def scan_ham(folder, test=False):
    """(records, problems) of HAM10000 in `folder`/ham10000, or ham10000_test: nothing is hidden.

    Raises UserError only where nothing can be listed: no folder, no table, no column.
    """
    root = tables.existing(Path(folder) / ("ham10000_test" if test else "ham10000"))
    places = [root / f"HAM10000_metadata{suffix}" for suffix in (".csv", ".tab", "")]
    path = next((p for p in places if p.is_file()), None)
    if path is None:
        remedy = "put the official one there"
        raise UserError(f"{places[0]}: no metadata table (.csv or .tab); {remedy}")
    folders = [p for p in root.glob("[Hh][Aa][Mm]10000_images*") if p.is_dir()]
    if not folders:
        fault = "no folder HAM10000_images_part_1 or HAM10000_images"
        raise UserError(f"{root}: {fault}; unpack it there")
    table = tables.read_table(path, ("image_id", "lesion_id", "dx"))
    images, problems = tables.images_in(folders)
    problems += tables.table_problems(table, path, "image_id", "dx", CLASSES)
    for name in table.image_id[table.lesion_id.isna()]:
        problems.append(Problem("label", f"{path}: {name} has no lesion_id", "fill it in"))
    remedy = f"add its row to {path.name} or remove the image"
    problems += tables.orphans(images, table.image_id, remedy)
    problems += tables.missing(images, table.image_id, root, path)
    table = table[table.image_id.isin(images.keys()) & table.lesion_id.notna()]
    table = table[table.dx.fillna("").str.lower().isin(CLASSES)].drop_duplicates("image_id")
    masks = {p.name: str(p) for p in (root / MASK_FOLDER).glob("*_segmentation.png")}
    known = {c: table[c] for c in ("age", "sex", "localization", "dx_type") if c in table}
    records = tables.assemble(
        "ham10000",
        root,
        image_id=table.image_id,
        lesion_id=table.lesion_id,
        dx=table.dx.str.lower(),
        path=[str(images[i]) for i in table.image_id],
        mask_path=[masks.get(f"{i}_segmentation.png", "") for i in table.image_id],
        **known,
    )
    return records, problems + tables.mask_problems(records)


def scan_pad(folder):
    """(records, problems) of PAD-UFES-20 in `folder`/pad_ufes_20; absent images are only counted.

    `records.attrs["missing"]` counts rows of the table without an image on disk. A lesion's number
    repeats across patients, so lesion_id is patient_id and number together.
    Extra columns: skin_type (Fitzpatrick 1-6), biopsied. Raises UserError as `scan_ham`.
    """
    root = tables.existing(Path(folder) / "pad_ufes_20")
    path = root / "metadata.csv"
    if not path.is_file():
        raise UserError(f"{path}: no metadata table; put the official one there")
    table = tables.read_table(path, PAD_COLUMNS)
    images, problems = tables.images_in([tables.existing(root / "images")])
    codes = tuple(c.lower() for c in PAD_CLASSES)
    problems += tables.table_problems(table, path, "img_id", "diagnostic", codes)
    stems = table.img_id.fillna("").map(lambda name: Path(name).stem)
    problems += tables.orphans(images, stems, "add its row to metadata.csv or remove the image")
    if not images.keys() & set(stems):
        raise UserError(f"{root / 'images'}: none of the images in metadata.csv; unpack them there")
    use = stems.isin(images.keys()) & table.diagnostic.fillna("").str.lower().isin(codes)
    use &= ~table.img_id.duplicated()
    missing = int((~stems.isin(images.keys())).sum())
    table, stems = table[use], stems[use]
    records = tables.assemble(
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
    root = tables.existing(Path(folder) / "isic2018_test")
    path = root / "ISIC2018_Task3_Test_GroundTruth.csv"
    if not path.is_file():
        raise UserError(f"{path}: no ground truth; put the official one there")
    codes = [c.upper() for c in CLASSES]
    table = tables.read_table(path, ("image", *codes))
    images, problems = tables.images_in([tables.existing(root / "ISIC2018_Task3_Test_Input")])
    hot = table[codes].apply(pd.to_numeric, errors="coerce").fillna(0).to_numpy()
    single = (hot == 1).sum(1) == 1
    table["dx"] = np.where(single, np.array(CLASSES)[hot.argmax(1)], "not one-hot")
    problems += tables.table_problems(table, path, "image", "dx", CLASSES)
    remedy = "add its row or remove the image"
    problems += tables.orphans(images, table.image, remedy, "ground truth")
    problems += tables.missing(images, table.image, root, path)
    table = table[table.image.isin(images.keys()) & single].drop_duplicates("image")
    files = [str(images[i]) for i in table.image]
    facts = dict(image_id=table.image, lesion_id=table.image, dx=table.dx)
    return tables.assemble("isic2018", root, **facts, split="test", path=files), problems


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
