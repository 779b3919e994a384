"""The phantom written to disk in the layouts of HAM10000 and PAD-UFES-20."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from ..core.config import CLASSES, PAD_CLASSES
from ..core.errors import UserError
from ..core.store import write_csv
from .clinical import clinical, fitzpatrick
from .lesions import dermatoscopy

_MASKS = "HAM10000_segmentations_lesion_tschandl"
_HAM = dict(zip(CLASSES, (327, 514, 1099, 115, 1113, 6705, 142), strict=True))  # images of HAM10000
_PAD = dict(zip(PAD_CLASSES, (730, 845, 52, 244, 192, 235), strict=True))  # images of PAD-UFES-20
_PHOTOS = np.array([5514, 1423, 490, 43]) / 7470  # HAM10000's lesions with 1, 2, 3, 4+ images
_AGES = dict(zip(CLASSES, (67, 67, 64, 53, 61, 46, 51), strict=True))  # mean of each diagnosis
_AGES |= dict(zip(PAD_CLASSES, (62, 63, 60, 36, 69, 66), strict=True))
_SITE = "back,lower extremity,trunk,upper extremity,abdomen,face,chest,foot,neck,unknown".split(",")
_SITE_SHARES = np.array([0.23, 0.21, 0.14, 0.12, 0.1, 0.08, 0.04, 0.03, 0.03, 0.02])
_HOW = {  # how diagnoses were made, where not all by histology
    "bkl": {"histo": 0.7, "consensus": 0.24, "confocal": 0.06},
    "df": {"histo": 0.5, "consensus": 0.5},
    "vasc": {"histo": 0.5, "consensus": 0.5},
    "nv": {"follow_up": 0.55, "histo": 0.37, "consensus": 0.08},
}
_REGIONS = ("FACE", "FOREARM", "CHEST", "BACK", "ARM", "NOSE", "HAND", "NECK", "THIGH")
_BIOPSED = {"ACK": 0.24, "BCC": 1, "MEL": 1, "NEV": 0.25, "SCC": 1, "SEK": 0.06}
_PAD_COLUMNS = (
    "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,"
    "skin_cancer_history,cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,"
    "diameter_1,diameter_2,diagnostic,itch,grew,hurt,changed,bleed,elevation,img_id,biopsed"
).split(",")
_TEST = 500_000  # lesion numbers of the test set start here, so that no scene is in both


def counts(shares, n, least):
    """Images a class, {class: int}, summing to `n`: proportional to `shares`, none below `least`.

    Raises UserError where `n` is less than one a class.
    """
    if n < len(shares):
        raise UserError(f"{n} images for {len(shares)} classes; ask for {len(shares)} or more")
    least, total = min(least, n // len(shares)), sum(shares.values())
    made = {k: max(least, round(n * share / total)) for k, share in shares.items()}
    while sum(made.values()) != n:  # rounding and the minimum are settled by the largest class
        largest = max(made, key=made.get)
        made[largest] += 1 if sum(made.values()) < n else -1
    return made


def _grouped(rng, made, shares):
    """Lesions [(class, photographs)] in random order that hold `made` images of each class."""
    lesions = []
    for dx, left in made.items():
        while left:
            photos = min(left, int(rng.choice(len(shares), p=shares)) + 1)
            lesions.append((dx, photos))
            left -= photos
    return [lesions[k] for k in rng.permutation(len(lesions))]


def _draw(painter, options, files):
    """Draw one image and write its parts: files is {field of Phantom: path}."""
    drawn = painter(**options)
    for part, path in files.items():
        image = getattr(drawn, part)
        image = image[..., ::-1] if image.ndim == 3 else image.astype(np.uint8) * 255
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise UserError(f"{path}: cannot be written; free some disk space and run again")


def _ham_facts(rng, dx):
    """HAM10000's facts of a lesion, besides its number."""
    age = float(np.clip(5 * round(rng.normal(_AGES[dx], 15) / 5), 5, 85))
    ways = _HOW.get(dx, {"histo": 1})
    way = str(rng.choice(list(ways), p=list(ways.values())))
    sex = str(rng.choice(["male", "female"], p=[0.54, 0.46]))
    site = str(rng.choice(_SITE, p=_SITE_SHARES))
    return dict(dx=dx, dx_type=way, age=age, sex=sex, localization=site)


def _plan_ham(folder, name, lesions, *, size, seed, first):
    """Table of one HAM10000-like set of [(class, photographs)] and its drawing jobs.

    Lesions and images count from `first`.
    """
    root, truth = folder / name, folder / "truth"
    rng, rows, jobs, number = np.random.default_rng([9, seed, first]), [], [], first
    for lesion, (dx, photos) in enumerate(lesions, first):
        facts = _ham_facts(rng, dx)
        for photo in range(photos):
            image_id = f"ISIC_{9_000_000 + number:07d}"
            files = {k: truth / f"{image_id}_{k}.png" for k in ("hair", "clean", "normal")}
            files["image"] = root / "HAM10000_images_part_1" / f"{image_id}.png"
            files["mask"] = root / _MASKS / f"{image_id}_segmentation.png"
            options = dict(seed=seed, index=number, dx=dx, size=size, lesion=lesion, photo=photo)
            jobs.append((dermatoscopy, options, files))
            rows.append(dict(lesion_id=f"HAM_{9_000_000 + lesion:07d}", image_id=image_id) | facts)
            number += 1
    return root / "HAM10000_metadata.csv", pd.DataFrame(rows), jobs


def _pad_rows(rng, patient, seed, lesions):
    """PAD-UFES-20's facts of one patient's lesions [(number, class)], one dict a lesion.

    Questions that the phantom cannot answer (habits, itch ...) stay empty or UNK, as many do there.
    """
    age = int(np.clip(rng.normal(_AGES[lesions[0][1]], 13), 6, 94))
    gender, rows = str(rng.choice(["MALE", "FEMALE"])), []
    for number, dx in lesions:
        biopsed = bool(rng.random() < _BIOPSED[dx])
        row = dict.fromkeys(_PAD_COLUMNS, "") | dict.fromkeys(_PAD_COLUMNS[18:24], "UNK")
        row |= dict(patient_id=f"PAT_{patient}", lesion_id=str(number), age=age, diagnostic=dx)
        row |= dict(region=str(rng.choice(_REGIONS)), biopsed=str(biopsed))
        if biopsed or rng.random() < 0.5:  # of a third of the images these are not known
            row |= {"gender": gender, "fitspatrick": float(fitzpatrick(seed, patient))}
        rows.append(row)
    return rows


def _plan_pad(folder, made, *, size, seed):
    """Table of the PAD-UFES-20-like set with `made` images a label, and its drawing jobs."""
    root = folder / "pad_ufes_20"
    rng = np.random.default_rng([10, seed])
    lesions = list(enumerate(_grouped(rng, made, [0.72, 0.19, 0.09]), 1))
    total, rows, jobs, patient = sum(made.values()), [], [], 0
    while lesions:
        patient += 1
        several = int(rng.choice([1, 2, 3], p=[0.83, 0.13, 0.04]))
        mine, lesions = lesions[:several], lesions[several:]
        facts = _pad_rows(rng, patient, seed, [(k, dx) for k, (dx, _) in mine])
        for (k, (dx, photos)), fact in zip(mine, facts, strict=True):
            for photo in range(photos):
                name = f"PAT_{patient}_{k}_{len(jobs)}"
                part = f"imgs_part_{3 * len(jobs) // total + 1}"
                files = {"image": root / "images" / part / f"{name}.png"}
                files["mask"] = root / "masks" / f"{name}_segmentation.png"
                options = dict(seed=seed, index=len(jobs), dx=dx, size=size, lesion=k, photo=photo)
                jobs.append((clinical, options | {"patient": patient}, files))
                rows.append(fact | {"img_id": f"{name}.png"})
    return root / "metadata.csv", pd.DataFrame(rows)[_PAD_COLUMNS], jobs


def write_dataset(folder, *, size, n_train, n_test_lesions, n_pad, seed=0, progress=False):
    """Write the phantom into `folder` in the official layouts, with truth beside it.

    ham10000/: `n_train` images with HAM10000's imbalance (at least 12 a class) and photographs a
    lesion; ham10000_test/: `n_test_lesions` lesions a class, every tenth photographed twice;
    pad_ufes_20/: `n_pad` images; truth/<image_id>_{hair,clean,normal}.png for both HAM sets.
    Images are `size` pixels square, a function of `seed`. The tables are written last: a folder
    without them is unfinished. Raises UserError where a set has less than one image a class.
    """
    folder = Path(folder)
    pool = _grouped(np.random.default_rng([11, seed]), counts(_HAM, n_train, 12), _PHOTOS)
    test = [(dx, 2 if k % 10 == 9 else 1) for dx in CLASSES for k in range(n_test_lesions)]
    pad = counts(_PAD, n_pad, 40)
    plans = [
        _plan_ham(folder, "ham10000", pool, size=size, seed=seed, first=0),
        _plan_ham(folder, "ham10000_test", test, size=size, seed=seed, first=_TEST),
        _plan_pad(folder, pad, size=size, seed=seed),
    ]
    jobs = [delayed(_draw)(*job) for _, _, own in plans for job in own]
    many = -1 if len(jobs) > 500 else 1  # an image is a function of its numbers, not of the order
    drawn = Parallel(many, return_as="generator")(jobs)
    for _ in tqdm(drawn, total=len(jobs), disable=not progress, desc="phantom", unit="image"):
        pass
    for path, table, _ in plans:
        write_csv(path, table)
