"""What a lesion leaves behind at the normal end of its path."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from ..interpolation.inpaint import dilate
from ..numerics import stats

FEWEST = 9  # paths on which a correlation is computed


def difference(image, mask):
    """Distance of the mean RGB colours inside a mask (H,W) and in a ring around it; nan without either."""
    ring = dilate(mask, 0.15) & ~dilate(mask, 0.05)
    if not mask.any() or not ring.any():
        return np.nan
    return np.linalg.norm(image[mask].astype(float).mean(0) - image[ring].astype(float).mean(0))


def table(walk):
    """Of each path of a Walk the contrast (alpha 1) and the residue (alpha 0), in grey levels."""
    contrast, residue = (
        [difference(x, m) for x, m in zip(walk.path[:, k], walk.masks, strict=True)]
        for k in (-1, 0)
    )
    known = {"class": walk.labels, "seed": walk.ids}
    return pd.DataFrame(known | {"contrast": contrast, "residue": residue})


def relation(found):
    """Rank correlation of contrast and residue in a `table`: (Estimate, or [] where too few, a note)."""
    usable = found.dropna()
    if len(usable) < FEWEST:
        return [], "too few usable masks"

    def statistic(keep):
        return spearmanr(usable.contrast[keep], usable.residue[keep]).statistic

    note = f"{len(found) - len(usable)} of {len(found)} without a usable mask"
    return stats.jackknife(statistic, stats.make_groups(usable.seed)), note
