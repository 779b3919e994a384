"""The primary endpoint: balanced accuracy with synthetic images against the best arm without them."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from ..numerics import stats
from ..numerics.arrays import load_array
from .classify import ARMS
from .scores import balanced_accuracy, score

LADDER = ("balanced accuracy", "macro F1", "macro AUC", "ECE")
WITHOUT = ("R0", "R1", "R3")  # arms without synthetic images, augmented as RS is


def ladder(tested, seed):
    """Rows of the table of all arms, first network: {arm: {"training images": text, measure: Estimate}}."""
    return {
        arm: {"training images": ARMS[arm]}
        | {m: score(m, answers, tested.truth, tested.clusters, seed, arm) for m in LADDER}
        for arm, answers in tested.first.items()
    }


def each_seed(tested, rows):
    """Balanced accuracy of `ladder`'s rows, a line for each arm: label, value, low, high, ..., seed 0, ..."""
    lines = []
    for arm, found in rows.items():
        seeds = [balanced_accuracy(p, tested.truth) for p in tested.first[arm]]
        own = {f"seed {k}": value for k, value in enumerate(seeds)}
        lines.append(asdict(found["balanced accuracy"]) | own)
    return pd.DataFrame(lines)


def best_arm(valid, arms=WITHOUT):
    """The arm of the largest balanced accuracy, mean of the seeds, on the validation split."""

    def mean(arm):
        return np.mean([balanced_accuracy(p, valid.truth) for p in valid.first[arm]])

    return max(arms, key=mean)


def _balanced_hits(tested, arm):
    """(seeds, N) hits of the first network, weighted so that their mean is balanced accuracy."""
    counts = np.bincount(tested.truth, minlength=tested.allowed.shape[1])
    weights = len(tested.truth) / (len(counts) * counts[tested.truth])
    return weights * np.stack([p.argmax(1) == tested.truth for p in tested.first[arm]])


def endpoint(tested, pairs):
    """Balanced accuracy of one arm minus another's, one row for each pair of arms.

    Intervals: for a test set of other lesions, and for other lesions and classifiers of other seeds.
    """
    rows, detectable = {}, []
    for arm, other in pairs:
        gap = _balanced_hits(tested, arm) - _balanced_hits(tested, other)
        lesions = stats.mean_interval(gap.mean(0), clusters=tested.clusters)
        rows[f"{arm} minus {other}"] = {
            "balanced accuracy, other lesions": lesions,
            "other lesions and other seeds": stats.nested_interval(gap, tested.clusters),
        }
        detectable.append(stats.smallest_detectable(lesions))
    return stats.frame("comparison", rows).assign(**{"smallest detectable": detectable})


def dose_curve(tested, trained, added, seed):
    """Balanced accuracy by dose and arm.

    trained: {dose: {arm: [stage of each seed]}}; added: {dose: folder of the images added to the
    originals}; tested: the split that the classifiers' test.npy answers for.
    """
    parts = {}
    for dose, arms in trained.items():
        n, rows = len(pd.read_csv(added[dose] / "metadata.csv")), {}
        for arm, seeds in arms.items():
            answers = [load_array(made / "test.npy") for made in seeds]
            found = score("balanced accuracy", answers, tested.truth, tested.clusters, seed)
            rows[arm] = {"synthetic or repeated images": n, "balanced accuracy": found}
        parts[dose] = stats.frame("arm", rows)
    return pd.concat(parts, names=["dose"]).droplevel(1).reset_index()
