"""Splits that no lesion crosses, their manifest, and what a split by image would leak."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ..core.code import digest, file_digest
from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.machine import in_threads
from ..core.store import write_csv

SPLITS = ("train", "val", "test")
SHARES = (0.64, 0.16, 0.2)
PLACED = ["image_id", "lesion_id", "dx", "split"]  # of a manifest: where each image went


def manifest_hash(records):
    """SHA-256 of the split of a set's stage, image by image: what a model, and so its samples, was trained under.

    Not of the files themselves: two processors draw the same phantom a grey level apart.
    """
    table = pd.read_csv(records / "manifest.csv", dtype=str)
    return digest(table[PLACED].to_csv(index=False, lineterminator="\n"))


def duplicate_sets(records):
    """Lists of image_id whose files are the same byte for byte (only equal sizes are hashed)."""
    sizes = records.path.map(lambda path: Path(path).stat().st_size)
    same = records[sizes.duplicated(keep=False)]
    same = same.assign(digest=in_threads(file_digest, same.path))
    found = same.groupby("digest").image_id.agg(sorted)
    return sorted(ids for ids in found if len(ids) > 1)


def _groups(records):
    """Name of each image's group: its lesion, joined with lesions that share an exact duplicate."""
    group = records.lesion_id.copy()
    for ids in duplicate_sets(records):
        joined = group.isin(group[records.image_id.isin(ids)])
        group[joined] = group[joined].min()
    return group


def _apportion(sizes, fractions):
    """Split number of each group, in order: the one that is furthest behind its share gets the next.

    The rule is Sainte-Lague's for seats, so that every prefix holds the fractions as well: groups
    sorted by size are shared out fairly size by size, and rare classes reach every split.
    """
    have, given = np.zeros(len(fractions)), []
    with np.errstate(divide="ignore"):
        share = 1 / np.asarray(fractions, float)
    for size in sizes:
        k = int(np.argmin((have + size / 2) * share))
        have[k] += size
        given.append(k)
    return given


def grouped_split(records, fractions=SHARES, seed=0):
    """Train, val or test for each image (Series): whole lesions, each class in these fractions.

    Byte-identical images go together. A function of ids and seed only, not of the rows' order.
    """
    groups = _groups(records)
    table = records.dx.groupby(groups).agg(dx=lambda dx: dx.mode().iloc[0], size="size")
    split = {}
    for number, (_, rows) in enumerate(table.groupby("dx")):  # groups come sorted by name
        rows = rows.iloc[np.random.default_rng([seed, number]).permutation(len(rows))]
        rows = rows.sort_values("size", ascending=False, kind="stable")
        given = _apportion(rows["size"], fractions)
        split.update({g: SPLITS[k] for g, k in zip(rows.index, given, strict=True)})
    return groups.map(split).rename("split")


def image_split(records, fractions=SHARES, seed=0):
    """LEAKY split by image, to show what it leaks and for nothing else (named "leaky split")."""
    split = pd.Series(index=records.index, dtype=object, name="leaky split")
    for number, (_, rows) in enumerate(records.sort_values("image_id").groupby("dx")):
        order = np.random.default_rng([seed, number]).permutation(rows.index)
        split[order] = [SPLITS[k] for k in _apportion(np.ones(len(order)), fractions)]
    return split


def leaked(records):
    """Held-out images (Series of bool): True where the lesion has another photograph in train."""
    held = records["split"] != "train"
    return records.lesion_id[held].isin(records.lesion_id[~held])


def leakage(records):
    """Share of held-out images whose lesion has another photograph in train (0 is right)."""
    found = leaked(records)
    return float(found.mean()) if len(found) else 0.0


def counts(records):
    """Images and lesions of each class, a row each and one for all: "train images", "train lesions" ... "lesions".

    records: dx, lesion_id and split of each image; a class without images has zeros.
    """
    rows = []
    for name in (*CLASSES, "all"):
        own = records if name == "all" else records[records.dx == name]
        row = {"class": name}
        for split in SPLITS:
            part = own[own["split"] == split]
            row |= {f"{split} images": len(part), f"{split} lesions": part.lesion_id.nunique()}
        rows.append(row | {"images": len(own), "lesions": own.lesion_id.nunique()})
    return pd.DataFrame(rows)


def check(records):
    """Raise UserError when a lesion or an image id is in two splits, or a split is not known."""
    unknown = set(records["split"].unique()) - set(SPLITS)
    if unknown:
        raise UserError(f"unknown split {min(map(str, unknown))!r}; use {', '.join(SPLITS)}")
    for column in ("lesion_id", "image_id"):
        count = records.groupby(column)["split"].nunique()
        crossing = count.index[count > 1]
        if len(crossing):
            fault = f"{column} {crossing[0]} is in {count[crossing[0]]} splits"
            remedy = "split with grouped_split, which keeps a lesion whole"
            raise UserError(f"{fault} ({len(crossing)} such); {remedy}")


def write_manifest(path, records):
    """Write image_id, lesion_id, dx, split, sha256 as CSV, sorted by id; returns its SHA-256."""
    check(records)
    table = records[PLACED].assign(sha256=in_threads(file_digest, records.path))
    write_csv(path, table.sort_values("image_id"))
    return file_digest(path)


def descriptors(images):
    """Unit vectors (N, 768): 16x16 colour without its mean, coarse shapes damped.

    All skin lesions are dark blobs on light skin; what tells two photographs apart is what is left
    when the blob (a blurred copy) is taken away.
    """
    small = (cv2.resize(i, (16, 16), interpolation=cv2.INTER_AREA) for i in images)
    small = (s.astype(np.float32) for s in small)
    fine = np.stack([s - 0.9 * cv2.GaussianBlur(s, (0, 0), 3) for s in small])
    flat = fine - fine.mean((1, 2), keepdims=True)
    length = np.linalg.norm(flat.reshape(len(flat), -1), axis=1)
    return flat / np.maximum(length, 1e-6)[:, None, None, None]


def near_duplicates(images_a, images_b, threshold=0.97):
    """Pairs that show nearly the same picture, whichever of the 8 flips and rotations was applied.

    images_*: uint8 RGB (N, H, W, 3), square. Returns a DataFrame a, b (positions), similarity
    (cosine, at most 1), most similar first. A cheap screen: look at what it returns.
    """
    if not len(images_a) or not len(images_b):
        return pd.DataFrame(dict(a=[], b=[], similarity=[]))
    a, b = descriptors(images_a), descriptors(images_b)
    best = np.full((len(a), len(b)), -1, np.float32)
    for flipped in (b, b[:, :, ::-1]):
        for turns in range(4):
            turned = np.rot90(flipped, turns, (1, 2)).reshape(len(b), -1)
            np.maximum(best, a.reshape(len(a), -1) @ turned.T, out=best)
    rows, columns = np.nonzero(best >= threshold)
    pairs = pd.DataFrame(dict(a=rows, b=columns, similarity=best[rows, columns]))
    return pairs.sort_values("similarity", ascending=False, ignore_index=True)
