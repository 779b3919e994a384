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
PAD_NAMES = dict(diagnostic="dx", gender="sex", region="localization", fitspatrick="skin_type")
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
    path = next((p for p in places if p.is_file()), places[0])
    columns = ("image_id", "lesion_id", "dx")
    table = tables.read_table(path, columns, "metadata table (.csv or .tab)")
    folders = [p for p in root.glob("[Hh][Aa][Mm]10000_images*") if p.is_dir()]
    if not folders:
        fault = "no folder HAM10000_images_part_1 or HAM10000_images"
        raise UserError(f"{root}: {fault}; unpack it there")
    images, problems = tables.images_in(folders)
    problems += tables.table_problems(table, path, "image_id", CLASSES)
    for name in table.image_id[table.lesion_id.isna()]:
        problems.append(Problem("label", f"{path}: {name} has no lesion_id", "fill it in"))
    remedy = f"add its row to {path.name} or remove the image"
    problems += tables.orphans(images, table.image_id, remedy)
    problems += tables.missing(images, table.image_id, root, path)
    table = table[table.image_id.isin(images.keys()) & table.lesion_id.notna()]
    table = table[table.dx.fillna("").str.lower().isin(CLASSES)].drop_duplicates("image_id")
    masks = {p.name: str(p) for p in (root / MASK_FOLDER).glob("*_segmentation.png")}
    told = table.reindex(columns=[*columns, "age", "sex", "localization", "dx_type"]).assign(
        dx=table.dx.str.lower(),
        path=table.image_id.map(images).astype(str),
        mask_path=(table.image_id + "_segmentation.png").map(masks),
    )
    records = tables.assemble("ham10000", root, told)
    return records, problems + tables.mask_problems(records)


def scan_pad(folder):
    """(records, problems) of PAD-UFES-20 in `folder`/pad_ufes_20; absent images are only counted.

    `records.attrs["missing"]` counts rows of the table without an image on disk. A lesion's number
    repeats across patients, so lesion_id is patient_id and number together.
    Extra columns: skin_type (Fitzpatrick 1-6), biopsied. Raises UserError as `scan_ham`.
    """
    root = tables.existing(Path(folder) / "pad_ufes_20")
    path = root / "metadata.csv"
    table = tables.read_table(path, PAD_COLUMNS).rename(columns=PAD_NAMES)
    images, problems = tables.images_in([tables.existing(root / "images")])
    codes = tuple(c.lower() for c in PAD_CLASSES)
    problems += tables.table_problems(table, path, "img_id", codes)
    table["image_id"] = table.img_id.fillna("").map(lambda name: Path(name).stem)
    remedy = "add its row to metadata.csv or remove the image"
    problems += tables.orphans(images, table.image_id, remedy)
    there = table.image_id.isin(images.keys())
    if not there.any():
        raise UserError(f"{root / 'images'}: none of the images in metadata.csv; unpack them there")
    known = table.dx.fillna("").str.lower().isin(codes)
    table = table[there & known & ~table.img_id.duplicated()]
    told = table.assign(
        lesion_id=table.patient_id + "_" + table.lesion_id,
        dx=table.dx.str.lower(),
        split="test",
        path=table.image_id.map(images).astype(str),
        skin_type=pd.to_numeric(table.skin_type, errors="coerce"),
        biopsied=table.biopsed.str.lower().map({"true": True, "false": False}),
    )
    records = tables.assemble("pad_ufes_20", root, told, ("skin_type", "biopsied"))
    records.attrs["missing"] = int((~there).sum())
    return records, problems


def scan_isic_test(folder):
    """(records, problems) of ISIC 2018 task 3's test set in `folder`/isic2018_test.

    The set tells no lesions: each image counts as its own. Raises UserError as `scan_ham`.
    """
    root = tables.existing(Path(folder) / "isic2018_test")
    path = root / "ISIC2018_Task3_Test_GroundTruth.csv"
    codes = [c.upper() for c in CLASSES]
    table = tables.read_table(path, ("image", *codes), "ground truth")
    images, problems = tables.images_in([tables.existing(root / "ISIC2018_Task3_Test_Input")])
    hot = table[codes].apply(pd.to_numeric, errors="coerce").fillna(0).to_numpy()
    single = (hot == 1).sum(1) == 1
    table["dx"] = np.where(single, np.array(CLASSES)[hot.argmax(1)], "not one-hot")
    problems += tables.table_problems(table, path, "image", CLASSES)
    remedy = "add its row or remove the image"
    problems += tables.orphans(images, table.image, remedy, "ground truth")
    problems += tables.missing(images, table.image, root, path)
    table = table[table.image.isin(images.keys()) & single].drop_duplicates("image")
    told = table.assign(image_id=table.image, lesion_id=table.image, split="test")
    told["path"] = table.image.map(images).astype(str)
    return tables.assemble("isic2018", root, told), problems


def checked(scan, folder, **options):
    """Records of a scan, which has to find no problem.

    Raises UserError that tells the first problem, and how to see the others.
    """
    records, problems = scan(folder, **options)
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
    return checked(scan_ham, folder, test=test)


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
    pad = checked(scan_pad, folder) if (folder / "pad_ufes_20").is_dir() else None
    isic = checked(scan_isic_test, folder) if (folder / "isic2018_test").is_dir() else None
    return dict(ham=ham, pad=pad, isic=isic)
