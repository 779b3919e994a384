"""How samples look beside originals: boundary, colour and texture of lesions (Fig 6), fine structure (Fig 9).

Each measure is one of judges.LOOKS, which chapter 7 tests on planted faults.
"""

import numpy as np
import pandas as pd

from ..interpolation import segment
from ..numerics import stats
from . import metrics
from .judges import LOOKS

INSIDE = ("boundary", "colour", "texture")  # measures inside a lesion mask
ENERGY = "log10 energy of the fine band"


def lesion_gaps(compared, segmenter, classes=("vasc", "df")):
    """How far samples of 8ch+ML lie from the test images, minus how far those of the baseline do.

    Returns {measure: [Estimate of each class]}, in standard deviations of the originals
    (measures.measure_distance). segmenter: a stage, which finds lesions in originals and samples alike.
    """
    find, lesions = segment.load_segmenter(segmenter), compared.records.lesion_id.to_numpy()
    gaps = {name: [] for name in INSIDE}
    for c in classes:
        own, fake = compared.rows("test", c), compared.labels == c
        samples = (compared.pixels[name][fake] for name in ("8ch+ML", "baseline"))
        sets = [compared.images[own], *samples]
        masks = [segment.segment(find, x) for x in sets]
        groups = [stats.make_groups(x) for x in (lesions[own], *[compared.seeds[fake]] * 2)]
        for name in INSIDE:
            distance, look = LOOKS[name]
            seen = [look(x, mask) for x, mask in zip(sets, masks, strict=True)]
            gap = metrics.difference_with_interval(distance, *seen, *groups, label=c)
            gaps[name].append(gap)
    return gaps


def gap_table(gaps):
    """A row for each measure and class of `lesion_gaps`."""
    columns = ["measure", "class", "proposed minus baseline", "low", "high", "n"]
    rows = [(name, e.label, e.value, e.low, e.high, e.n) for name, v in gaps.items() for e in v]
    return pd.DataFrame(rows, columns=columns)


def fine_detail(compared):
    """log10 energy of the fine structure (0.25 to 0.5 cycles a pixel): of the target, of each model's samples.

    A row for each set, the originals first.
    """
    _, look = LOOKS["fine structure"]
    sets = {"original": compared.images[compared.target]}
    sets |= {name: np.asarray(x)[compared.take] for name, x in compared.pixels.items()}
    rows = {name: {ENERGY: look(x, None).mean(), "n": len(x)} for name, x in sets.items()}
    return stats.frame("set", rows)


def share_of_energy(detail):
    """{model: its energy of fine structure as a share of the originals'} of the table `fine_detail`."""
    logs = detail.set_index("set")[ENERGY]
    return {name: 10 ** (x - logs["original"]) for name, x in logs.items() if name != "original"}


def fine_gap(compared, a, b):
    """How far the fine structure of model a lies from the target's, minus how far that of b does (Estimate)."""
    distance, look = LOOKS["fine structure"]
    fakes = [np.asarray(compared.pixels[name])[compared.take] for name in (a, b)]
    seen = [look(x, None) for x in (compared.images[compared.target], *fakes)]
    real, fake = compared.groups
    return metrics.difference_with_interval(distance, *seen, real, fake, fake, f"{b} to {a}")
