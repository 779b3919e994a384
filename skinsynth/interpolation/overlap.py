"""How good lesion masks are: overlap with the true ones, and how many cannot be used."""

import numpy as np

from ..numerics import stats
from .inpaint import FULL, dilate


def dice(a, b):
    """Dice coefficient of each pair of masks (N,H,W): (N,) in [0,1]; two empty masks give 1."""
    both = (a & b).sum((1, 2))
    size = a.sum((1, 2)) + b.sum((1, 2))
    return np.where(size == 0, 1.0, 2 * both / np.maximum(size, 1))


def unusable(masks):
    """{what is wrong: number of masks}, and n. One that fills the image leaves no skin to paint with."""
    share = masks.mean((1, 2))
    edge = masks[:, [0, -1]].any((1, 2)) | masks[:, :, [0, -1]].any((1, 2))
    return {
        "n": len(masks),
        "none found": int((share == 0).sum()),
        "under 1 % of the image": int(((share > 0) & (share < 0.01)).sum()),
        "touching the border": int(edge.sum()),
        "filling the image": sum(bool(dilate(m).mean() > FULL) for m in masks),
    }


def report(found, truth, ids):
    """Table of masks: what is wrong with them, and how far the first set agrees with its truth.

    found: {what: masks (N,H,W) bool}; truth: the true masks of the first; ids: (N,) its lesions.
    """
    rows = {name: unusable(masks) for name, masks in found.items()}
    first = next(iter(found))
    overlap = dice(found[first], truth)
    for name, values in {"Dice": overlap, "IoU": overlap / (2 - overlap)}.items():
        rows[first][name] = stats.within(stats.mean_interval(values, clusters=ids), 0, 1)
    return stats.frame("masks of", rows)
