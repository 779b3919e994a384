"""Paths of a set of images beside what is known of these images: what chapter 5 follows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.config import CLASSES
from ..numerics.arrays import load_array, records_of
from .inpaint import inpaint_all


@dataclass(frozen=True)
class Walk:
    """Paths of N images from pseudo-normal skin (alpha 0) to their lesion (alpha 1).

    images, normal: uint8 (N,H,W,3), as they are and with the lesion painted over; masks: bool (N,H,W),
    the lesions found; path: uint8 (N, alphas, H,W,3); labels: (N,) class codes; ids: (N,) seeds or lesions,
    what intervals treat as drawn together; skin: uint8 (N,H,W,3), the true skin, where it is known.
    """

    images: np.ndarray
    masks: np.ndarray
    normal: np.ndarray
    path: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    skin: np.ndarray | None = None

    def first(self, *classes):
        """Rows of the first path of each of some classes, by default of all."""
        return [int(np.flatnonzero(self.labels == c)[0]) for c in classes or CLASSES]


def _walk(made, source, rows, **known):
    """A Walk from a stage `interpolation`; source: file of the images that it started from."""
    arrays = {name: load_array(made / f"{name}.npy") for name in ("masks", "normal", "path")}
    return Walk(load_array(source)[rows], **arrays, **known)


def of_samples(made, folder, rows):
    """The Walk of a stage `interpolation` that was made of rows of a folder of samples."""
    meta = pd.read_csv(folder / "metadata.csv").iloc[rows]
    known = dict(labels=meta["class"].to_numpy(), ids=meta.seed.to_numpy())
    return _walk(made, folder / "images.npy", rows, **known)


def of_truth(made, records, rows):
    """The same of rows of the phantom without their hair, `clean`; their true skin is known."""
    table, skin = records_of(records).iloc[rows], load_array(records / "normal.npy")[rows]
    known = dict(labels=table.dx.to_numpy(), ids=table.lesion_id.to_numpy(), skin=skin)
    return _walk(made, records / "clean.npy", rows, **known)


def some_of_each(folder, n):
    """Rows of the first n samples of each class of a folder."""
    labels = pd.read_csv(folder / "metadata.csv")["class"]
    return np.flatnonzero(labels.groupby(labels).cumcount() < n)


def some_of(records, split, most):
    """Rows of a split, evenly spaced, `most` or somewhat more."""
    rows = np.flatnonzero(records_of(records).split == split)
    return rows[:: max(1, len(rows) // most)]


def has_truth(records):
    """Whether the skin under the lesions is known, as it is on the phantom only."""
    return (records / "normal.npy").exists()


def with_and_without(records, split, most, inpainter):
    """Images of a split with their lesion and the same without it: two of uint8 (N,H,W,3), N about `most`.

    On the phantom both are its truth, without hair, which must not stand for a lesion. On photographs the
    lesion is painted over, by another method than `inpainter`, which makes the pseudo-normal skin.
    """
    rows = some_of(records, split, most)
    names = ("clean", "normal") if has_truth(records) else ("images", "masks")
    images, other = (load_array(records / f"{name}.npy")[rows] for name in names)
    if not has_truth(records):
        other = inpaint_all(images, other, "telea" if inpainter == "harmonic" else "harmonic")
    return images, other
