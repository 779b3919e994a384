"""Methods that paint a lesion over, measured against the phantom's true skin."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..interpolation import inpaint, walks
from ..interpolation.inpaint import dilate
from ..interpolation.segment import load_segmenter, segment
from ..numerics import stats
from ..numerics.arrays import load_array, records_of
from . import measures, metrics


@dataclass(frozen=True)
class Fillings:
    """N images of known true skin, painted over by several methods.

    records: their table; skin: uint8 (N,H,W,3), the truth; masks, found: bool (N,H,W), the true lesions
    and the segmenter's; images: {method: uint8 (N,H,W,3)}, first the images as they are.
    """

    records: pd.DataFrame
    skin: np.ndarray
    masks: np.ndarray
    found: np.ndarray
    images: dict

    def psnr(self, method):
        """(N,) agreement in dB of what a method painted with the true skin, inside the true lesion."""
        pairs = zip(self.images[method], self.skin, self.masks, strict=True)
        error = [((a[m] / 255 - b[m] / 255) ** 2).mean() for a, b, m in pairs]
        return -10 * np.log10(np.array(error) + 1e-9)


def paint(made, segmenter, pipe, how, *, seed, steps, most=200):
    """Fillings of about `most` of the phantom's test images, their hair left out, by every method.

    made, segmenter: stages; pipe: a SkinPipeline, which paints too, from `seed` on in `steps` steps; how: the
    method that also fills the true masks.
    """
    rows = walks.some_of(made, "test", most)
    names = ("images", "clean", "normal", "masks")
    images, source, skin, masks = (load_array(made / f"{name}.npy")[rows] for name in names)
    found = segment(load_segmenter(segmenter), images)
    own = inpaint.repaint(pipe, source, found, seed, steps)
    filled = {n: inpaint.inpaint_all(source, found, n) for n in inpaint.available()}
    filled = {"lesion left as it is": source} | filled | {"own diffusion model": own}
    filled[f"{how}, true mask"] = inpaint.inpaint_all(source, masks, how)
    return Fillings(records_of(made).iloc[rows], skin, masks, found, filled)


def _colour(images, masks):
    """Mean CIELAB colour inside the masks: (N, 3)."""
    return measures.colour_statistics(images, masks)[:, :3]


def rim(images, masks):
    """Jump of mean colour across the edge of what is painted, the dilated mask: (N,) in CIELAB."""
    narrow, wide = (np.stack([dilate(m, share) for m in masks]) for share in (0.05, 0.1))
    jump = _colour(images, narrow & ~masks) - _colour(images, wide & ~narrow)
    return np.linalg.norm(jump, axis=1)


def table(fillings, judge):
    """Each method against the true skin: PSNR inside the lesion, colour shift, rim, distance of the sets.

    judge: a panel.Judge, whose distance's name heads the last column.
    """
    skin, masks = fillings.skin, fillings.masks
    clusters = fillings.records.lesion_id.to_numpy()
    groups, reference, rows = stats.make_groups(clusters), judge.embed(skin), {}
    for method, images in fillings.images.items():
        each = {
            "PSNR inside (dB)": fillings.psnr(method),
            "colour shift": np.linalg.norm(_colour(images, masks) - _colour(skin, masks), axis=1),
            "rim": rim(images, masks) - rim(skin, masks),
        }
        means = {k: stats.mean_interval(v, clusters=clusters) for k, v in each.items()}
        sets = reference, judge.embed(images), groups, groups
        distance = metrics.with_interval(metrics.frechet_distance, *sets)
        rows[method] = {"n": len(images)} | means | {judge.names[0]: distance}
    return stats.frame("method", rows)
