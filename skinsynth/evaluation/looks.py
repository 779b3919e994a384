"""How samples look beside originals: boundary, colour and texture of lesions (Fig 6), fine structure (Fig 9).

Each measure is one of judges.LOOKS, which chapter 7 tests on planted faults.
"""

import numpy as np
import pandas as pd

from ..interpolation import segment
from ..numerics import stats
from . import metrics
from .distances import BOTH, UNSHOWN
from .judges import LOOKS

INSIDE = ("boundary", "colour", "texture")  # measures inside a lesion mask
FINE = "fine structure, share of the originals'"


def lesion_gaps(compared, segmenter, unshown, classes=("vasc", "df")):
    """How far samples of 8ch+ML lie from the test images, minus how far those of the baseline do.

    unshown: samples of 8ch+ML of the same plan without reference images. Returns {measure: [Estimate of
    each class, with reference images and without]}, in standard deviations of the originals
    (measures.measure_distance). segmenter: a stage, which finds lesions in originals and samples alike.
    """
    find, lesions = segment.load_segmenter(segmenter), compared.records.lesion_id.to_numpy()
    gaps = {name: [] for name in INSIDE}
    for c in classes:
        own, fake = compared.rows("test", c), compared.labels == c
        pixels = compared.pixels["baseline"], compared.pixels["8ch+ML"], unshown
        sets = [compared.images[own], *(x[fake] for x in pixels)]
        masks = [segment.segment(find, x) for x in sets]
        real, seeds = stats.make_groups(lesions[own]), stats.make_groups(compared.seeds[fake])
        for name in INSIDE:
            distance, look = LOOKS[name]
            original, base, *proposed = (look(*pair) for pair in zip(sets, masks, strict=True))
            for label, seen in zip(BOTH, proposed, strict=True):
                given = original, seen, base, real, seeds, seeds, f"{c}, {label}"
                gaps[name].append(metrics.difference_with_interval(distance, *given))
    return gaps


def gap_table(gaps):
    """A row for each measure, class and way of `lesion_gaps`."""
    columns = ["measure", "class", "proposed minus baseline", "low", "high", "n"]
    rows = [(name, e.label, e.value, e.low, e.high, e.n) for name, v in gaps.items() for e in v]
    return pd.DataFrame(rows, columns=columns)


def _fine(compared, images):
    """What LOOKS sees of the fine structure of the compared ones among samples (M,H,W,3)."""
    return LOOKS["fine structure"][1](np.asarray(images)[compared.take], None)


def fine_detail(compared, unshown):
    """Energy of the fine structure (0.25 to 0.5 cycles a pixel) of each model's samples as a share of the target's.

    A row for each model and, last, for the samples of 8ch+ML without reference images.
    """
    rows, original = {}, LOOKS["fine structure"][1](compared.images[compared.target], None)
    for name, images in {**compared.pixels, UNSHOWN: unshown}.items():
        seen = _fine(compared, images)
        log = metrics.with_interval(
            lambda real, fake: fake.mean() - real.mean(), original, seen, *compared.groups
        )
        ends = (10.0**x for x in (log.value, log.low, log.high))
        rows[name] = {FINE: stats.Estimate(*ends, log.n)}
    return stats.frame("set", rows)


def fine_gap(compared, first, second, label=""):
    """How far the fine structure of some samples lies from the target's, minus how far that of others does.

    first, second: uint8 images (M,H,W,3) of compared's plan. Returns an Estimate.
    """
    distance, look = LOOKS["fine structure"]
    seen = look(compared.images[compared.target], None)
    fakes = (_fine(compared, images) for images in (first, second))
    real, fake = compared.groups
    return metrics.difference_with_interval(distance, seen, *fakes, real, fake, fake, label)


def fine_steps(compared, unshown):
    """`fine_gap` of each step of the ablation, the last with reference images shown to 8ch+ML and without."""
    x = compared.pixels
    found = [fine_gap(compared, x["8ch"], x["4ch"], "4ch to 8ch")]
    for label, images in zip(BOTH, (x["8ch+ML"], unshown), strict=True):
        found.append(fine_gap(compared, images, x["8ch"], f"8ch to 8ch+ML, {label}"))
    return found
