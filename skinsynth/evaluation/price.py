"""The price of guidance: what a larger scale costs in distance, variety and use."""

import numpy as np

from ..core.config import CLASSES
from ..numerics import stats
from ..numerics.arrays import labels_of
from . import metrics


def utility(probabilities, table):
    """Balanced accuracy of a classifier that was trained on samples alone (Estimate, jackknife over lesions).

    probabilities: (N, 7) of original images; table: their N records.
    """
    truth = labels_of(table, CLASSES)
    right = probabilities.argmax(1) == truth

    def balanced(keep):
        return np.mean([right[keep & (truth == k)].mean() for k in np.unique(truth[keep])])

    groups = stats.make_groups(table.lesion_id.to_numpy())
    return stats.within(stats.jackknife(balanced, groups), 0, 1)


def of_guidance(compared, sets):
    """Table of a row for each scale: kernel distance, precision, recall, coverage, utility.

    sets: {guidance scale: (uint8 samples (M,H,W,3) of compared's plan, probabilities (N,7) that a
    classifier trained on them gives to the validation images)}.
    """
    real, rows = compared.real, {}
    valid = compared.records.iloc[compared.rows("val")]
    for scale, (images, probabilities) in sets.items():
        fake = compared.samples(images)
        args = real.features, fake.features, real.groups, fake.groups
        shares = metrics.prdc_with_interval(*args)
        rows[scale] = {
            compared.judge.names[1]: metrics.with_interval(metrics.kid, *args),
            **{name: shares[name] for name in ("precision", "recall", "coverage")},
            "utility": utility(probabilities, valid),
        }
    return stats.frame("guidance", rows)
