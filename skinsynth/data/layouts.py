"""Records of HAM10000, PAD-UFES-20 and the ISIC 2018 test set in their official layouts.

Records are a DataFrame with one row an image and the columns tables.COLUMNS. The phantom is written in
the same layouts, so it takes the same road.
"""

import functools
import os

import numpy as np
import pandas as pd

from ..core.code import digest
from ..core.config import CLASSES, PAD_CLASSES
from ..core.errors import UserError
from ..numerics import pixels
from . import folders, splits, tables

MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"
HAM_COLUMNS = ("image_id", "lesion_id", "dx")
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


def _files(folder, name):
    """(folder of a set, names of the files below it); other sets that lie in it are left out."""
    root = folders.set_folder(folder, name)
    others = (folders.find_set(folder, other) for other in folders.SETS if other != name)
    return root, folders.listing(root, skip=[p for p in others if p])


def _one_hot(table, path):
    """ISIC's ground truth, a column for each diagnosis, as a table in HAM10000's form; it tells no lesions."""
    codes = [c.upper() for c in CLASSES]
    tables.require(table, path, ("image", *codes))
    hot = table[codes].apply(pd.to_numeric, errors="coerce").fillna(0).to_numpy()
    dx = np.where((hot == 1).sum(1) == 1, np.array(CLASSES)[hot.argmax(1)], "not one-hot")
    return table.assign(image_id=table.image, lesion_id=table.image, dx=dx)


def _scan(folder, files, path, table, places, lack):
    """(records, problems) of a set with a table in HAM10000's form, as `scan_ham`.

    files: of `_files`; places: official folders of images; lack: what an image without a row has not.
    """
    root, names = files
    tables.require(table, path, HAM_COLUMNS)
    table = table.assign(image_id=tables.bare(table.image_id))
    images, problems = folders.images_in(root, names, tuple(p.lower() for p in places))
    if not images:
        raise UserError(f"{root}: no folder {' or '.join(places)}; unpack it there")
    masks, twice = folders.images_in(root, names, (folders.MASK_FOLDERS,), masks=True)
    problems += twice + tables.table_problems(table, path, "image_id", CLASSES)
    problems += tables.unfilled(table, path, "image_id", ("lesion_id",))
    remedy = f"add its row to {path.name} or remove the image"
    problems += tables.orphans(images, table.image_id, remedy, lack)
    problems += tables.missing(images, table.image_id, root, path)
    spare = sorted(masks.keys() - images.keys() - set(table.image_id))
    table = table[table.image_id.isin(images.keys()) & table.lesion_id.notna()]
    table = table[table.dx.fillna("").str.lower().isin(CLASSES)].drop_duplicates("image_id")
    told = table.reindex(columns=[*HAM_COLUMNS, "age", "sex", "localization", "dx_type"]).assign(
        dx=table.dx.str.lower(),
        path=table.image_id.map(images).astype(str),
        mask_path=table.image_id.map({k: str(p) for k, p in masks.items()}),
    )
    records = tables.assemble(folder, told)
    records.attrs["spare"] = spare
    return records, problems


def scan_ham(folder, test=False):
    """(records, problems) of HAM10000 in `folder`/ham10000, or ham10000_test: nothing is hidden.

    `records.attrs["spare"]` lists masks without an image.
    Raises UserError only where nothing can be listed: no folder, no table, no column.
    """
    files = _files(folder, "ham10000_test" if test else "ham10000")
    path = folders.find_table(*files, "HAM10000_metadata", "metadata table (.csv or .tab)")
    table = tables.read_table(path, HAM_COLUMNS)
    places = ("HAM10000_images_part_1", "HAM10000_images")
    records, problems = _scan(folder, files, path, table, places, "metadata")
    return records.assign(source="ham10000"), problems


def scan_pad(folder):
    """(records, problems) of PAD-UFES-20 in `folder`/pad_ufes_20; absent images are only counted.

    `records.attrs["missing"]` counts rows of the table without an image on disk. A lesion's number
    repeats across patients, so lesion_id is patient_id and number together.
    Extra columns: skin_type (Fitzpatrick 1-6), biopsied. Raises UserError as `scan_ham`.
    """
    root, names = _files(folder, "pad_ufes_20")
    path = folders.find_table(root, names, "metadata")
    table = tables.read_table(path, PAD_COLUMNS).rename(columns=PAD_NAMES)
    images, problems = folders.images_in(root, names, ("images", "imgs"))
    codes = tuple(c.lower() for c in PAD_CLASSES)
    table["image_id"] = tables.bare(table.img_id)
    problems += tables.table_problems(table.assign(img_id=table.image_id), path, "img_id", codes)
    problems += tables.unfilled(table, path, "img_id", ("patient_id", "lesion_id"))
    remedy = "add its row to metadata.csv or remove the image"
    problems += tables.orphans(images, table.image_id, remedy)
    there = table.image_id.isin(images.keys())
    if not there.any():
        raise UserError(f"{root / 'images'}: none of the images in metadata.csv; unpack them there")
    known = table.dx.fillna("").str.lower().isin(codes)
    known &= table.patient_id.notna() & table.lesion_id.notna()
    table = table[there & known & ~table.image_id.duplicated()]
    told = table.assign(
        lesion_id=table.patient_id + "_" + table.lesion_id,
        dx=table.dx.str.lower(),
        split="test",
        path=table.image_id.map(images).astype(str),
        skin_type=pd.to_numeric(table.skin_type, errors="coerce"),
        biopsied=table.biopsed.str.lower().map({"true": True, "false": False}),
    )
    records = tables.assemble(folder, told, ("skin_type", "biopsied"))
    records.attrs["missing"] = int((~there).sum())
    return records.assign(source="pad_ufes_20"), problems


def scan_isic_test(folder):
    """(records, problems) of ISIC 2018 task 3's test set in `folder`/isic2018_test.

    Its truth is the challenge's, which tells no lesions, so that each image counts as its own, or that of
    HAM10000's archive, which does. Raises UserError as `scan_ham`.
    """
    files = _files(folder, "isic2018_test")
    path = folders.find_table(*files, "ISIC2018_Task3_Test_GroundTruth", "ground truth")
    table = tables.read_table(path, ())
    if "image_id" not in table:
        table = _one_hot(table, path)
    places = ("ISIC2018_Task3_Test_Input", "ISIC2018_Task3_Test_Images")
    records, problems = _scan(folder, files, path, table, places, "ground truth")
    return records.assign(source="isic2018", split="test"), problems


def _refuse(problems, folder):
    if problems:
        more = f" ({len(problems) - 1} more: skinsynth data verify {folder})"
        raise UserError(str(problems[0]) + more * (len(problems) > 1))


def checked(scan, folder, **options):
    """Records of a scan, which has to find no problem.

    Raises UserError that tells the first problem, and how to see the others.
    """
    records, problems = scan(folder, **options)
    _refuse(problems, folder)
    if records.empty:
        raise UserError(f"{folder}: the metadata table lists no image; use the official table")
    return records


def load_ham(folder, test=False):
    """Records of HAM10000 (`test`: of ham10000_test/, which only the phantom has), split empty.

    Raises UserError on the first fault: missing folder, table, column or image; image without
    metadata; id twice; unknown diagnosis; mask of other proportions than its image.
    """
    records = checked(scan_ham, folder, test=test)
    _refuse(tables.mask_problems(records), folder)
    return records


def has(folder, name):
    """Whether a data folder holds one of the sets folders.SETS."""
    return folders.find_set(folder, name) is not None


def _others(folder):
    """dict(pad, isic) of records; None where absent. Raises UserError as `load_ham`."""
    pad = checked(scan_pad, folder) if has(folder, "pad_ufes_20") else None
    isic = checked(scan_isic_test, folder) if has(folder, "isic2018_test") else None
    return dict(pad=pad, isic=isic)


def load(folder, seed=0):
    """All sets of a data folder: dict(ham, pad, isic); pad and isic are None where absent.

    ham has its split: 64/16/20 train/val/test by lesion, or 80/20 train/val and ham10000_test/ as
    test where that folder exists. Raises UserError as `load_ham`, where only some of its images have masks,
    and on a lesion in two splits.
    """
    ham = load_ham(folder)
    if has(folder, "ham10000_test"):
        ham["split"] = splits.grouped_split(ham, (0.8, 0.2, 0.0), seed)
        ham = pd.concat([ham, load_ham(folder, test=True).assign(split="test")], ignore_index=True)
    else:
        ham["split"] = splits.grouped_split(ham, seed=seed)
    _refuse(tables.unmasked(ham), folder)
    splits.check(ham)
    return dict(ham=ham) | _others(folder)


def _digest(records):
    """Hash of records: what their table tells and how many bytes each file has that is read for them."""
    told = records.drop(columns=["path", "mask_path", "truth_dir"]).to_csv(index=False)
    files = [*records.path, *records.mask_path]
    for folder, image_id in zip(records.truth_dir, records.image_id, strict=True):
        files += [f"{folder}/{image_id}_{kind}.png" for kind in pixels.TRUTH] if folder else []
    sizes = [os.path.getsize(f) if os.path.exists(f) else -1 for f in files]
    return digest([told, sizes])


@functools.cache
def identity(folder):
    """{set: hash of its records and of the sizes of their files}, of ham, pad and isic; None where absent.

    Where a file lies, and what no loader reads, does not count. Raises UserError as `load_ham`, but for masks.
    """
    ham = [checked(scan_ham, folder)]
    if has(folder, "ham10000_test"):
        ham.append(checked(scan_ham, folder, test=True))
    found = {k: None if r is None else _digest(r) for k, r in _others(folder).items()}
    return {"ham": digest([_digest(r) for r in ham])} | found
