"""Measures of a classifier's answers beyond accuracy, and their intervals."""

from functools import partial

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_curve

from ..core.config import CLASSES
from ..numerics import stats


def sensitivity_at(y, score, specificity):
    """Largest sensitivity of a binary score at no less than the given specificity."""
    false, true, _ = roc_curve(y, score)
    return float(true[false <= 1 - specificity + 1e-12].max())


def _melanoma(p, y, specificity):
    k = CLASSES.index("mel")
    return sensitivity_at(y == k, p[:, k], specificity)


def calibration_error(p, y, bins=10):
    """Expected calibration error of the top class: |accuracy - confidence| over equal-width bins."""
    confidence, right = p.max(1), p.argmax(1) == y
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    parts = [
        (number == b).mean() * abs(right[number == b].mean() - confidence[number == b].mean())
        for b in set(number)
    ]
    return float(sum(parts))


# The next three are scikit-learn's (a test compares them), without its checks of each call: a bootstrap
# calls them 10,000 times.
def _confusion(p, y):
    """(7, 7) counts: the true class by row, the class named by column."""
    k = p.shape[1]
    return np.bincount(k * y + p.argmax(1), minlength=k * k).reshape(k, k)


def balanced_accuracy(p, y):
    """Mean sensitivity of the classes that are there."""
    counts = _confusion(p, y)
    n = counts.sum(1)
    return float((counts.diagonal()[n > 0] / n[n > 0]).mean())


def macro_f1(p, y):
    """Mean F1 of the classes that are there or named."""
    counts = _confusion(p, y)
    both = counts.sum(0) + counts.sum(1)
    return float((2 * counts.diagonal()[both > 0] / both[both > 0]).mean())


def macro_auc(p, y):
    """Mean area under the ROC curve of one class against the others."""
    ranks, n = rankdata(p, axis=0), np.bincount(y, minlength=p.shape[1])
    areas = [
        (ranks[y == c, c].sum() - m * (m + 1) / 2) / (m * (len(y) - m))
        for c, m in enumerate(n)
        if 0 < m < len(y)
    ]
    return float(np.mean(areas))


MEASURES = {  # name: function of (probabilities (N,7), class numbers (N,))
    "balanced accuracy": balanced_accuracy,
    "macro F1": macro_f1,
    "macro AUC": macro_auc,
    "ECE": calibration_error,
    "melanoma sensitivity at 90 % specificity": partial(_melanoma, specificity=0.90),
    "melanoma sensitivity at 95 % specificity": partial(_melanoma, specificity=0.95),
}


def difference(gap, clusters, label=""):
    """Mean of gap (seeds, N) with the interval that decides, within -1 and 1: Estimate.

    For other lesions (or patients) and classifiers trained again, where there are two seeds or more; with
    one seed for other lesions alone. gap: of the same images for each seed; clusters: (N,) their ids.
    """
    if len(gap) > 1:
        found = stats.nested_interval(gap, clusters, label)
    else:
        found = stats.mean_interval(gap[0], label, clusters)
    return stats.within(found, -1, 1)


def worded(e):
    """What a difference says, by its interval: "lower by 0.1 [0.05, 0.15]", or "not clearly different (...)"."""
    size, low, high = f"{abs(e.value):.3f}", f"{e.low:.3f}", f"{e.high:.3f}"
    if e.low > 0:
        return f"higher by {size} [{low}, {high}]"
    if e.high < 0:
        return f"lower by {size} [{-e.high:.3f}, {-e.low:.3f}]"
    zone = f"[{low}, {high}]" if e.low <= e.high else "without an interval"
    return f"not clearly different ({e.value:.3f} {zone})"


def score(measure, answers, truth, clusters, seed=0, label=""):
    """A measure's mean over seeds, with an interval over clusters that stays within 0 and 1: Estimate.

    measure: a name of MEASURES; answers: [probabilities (N, 7) of each seed]; truth: (N,) class
    numbers; clusters: (N,) lesion or patient ids; seed: of the bootstrap.
    """

    def mean(rows):
        return np.mean([MEASURES[measure](p[rows], truth[rows]) for p in answers])

    if measure == "ECE":  # resampling with replacement biases it
        found = stats.jackknife(mean, stats.make_groups(clusters), label)
    else:
        found = stats.cluster_bootstrap(mean, clusters, n_boot=200, seed=seed, label=label)
    return stats.within(found, 0, 1)
