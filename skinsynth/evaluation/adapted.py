"""What the adapters do: the same seeds with the adapters set in other ways, beside the reference images."""

import numpy as np

from ..numerics import stats


def compare(judge, pixels, references, seeds, trained):
    """One row a setting of the adapters: how near the samples are to their references, and what moved.

    judge: a panel.Judge; pixels: {setting: uint8 (M,H,W,3)}, samples of the same M seeds and classes;
    references: uint8 (M,H,W,3), what each was shown; trained: the setting that the others are compared with.
    Columns: the distance (1 minus the cosine of the judge's features, 0 alike), its difference from that
    of `trained`, paired by sample, and the mean absolute change of a pixel in grey levels. Intervals over seeds.
    """
    shown = _directions(judge, references)
    distance = {k: 1 - (_directions(judge, x) * shown).sum(1) for k, x in pixels.items()}
    rows = {
        k: {"to the reference": stats.mean_interval(x, clusters=seeds)} for k, x in distance.items()
    }
    for setting, images in pixels.items():
        if setting == trained:
            continue
        moved = np.abs(np.asarray(images, int) - pixels[trained]).mean((1, 2, 3))
        farther = stats.paired_difference(distance[setting], distance[trained], clusters=seeds)
        rows[setting] |= {
            "minus as trained": farther,
            "change (grey levels)": stats.mean_interval(moved, clusters=seeds),
        }
    return stats.frame("adapters", rows)


def _directions(judge, images):
    """Features of images as vectors of length 1: (M, D)."""
    found = judge.embed(images)
    return found / np.linalg.norm(found, axis=1, keepdims=True)
