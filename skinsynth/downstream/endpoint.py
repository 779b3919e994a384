"""The primary endpoint: balanced accuracy with synthetic images against the best arm without them."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from ..numerics import stats
from .classify import ARMS
from .scores import balanced_accuracy, difference, score

LADDER = ("balanced accuracy", "macro F1", "macro AUC", "ECE")
WITHOUT = ("R0", "R1", "R3")  # arms without synthetic images, augmented as RS is


def ladder(tested, seed):
    """Measures of all arms, first network: a row for each arm; intervals over lesions alone."""
    rows = {}
    for arm, answers in tested.first.items():
        given = answers, tested.truth, tested.clusters, seed
        rows[ARMS[arm]] = {"arm": arm} | {m: score(m, *given) for m in LADDER}
    return stats.frame("training images", rows)


def best_arm(valid, arms=WITHOUT):
    """The arm of the largest balanced accuracy, mean of the seeds, on the validation split."""

    def mean(arm):
        return np.mean([balanced_accuracy(p, valid.truth) for p in valid.first[arm]])

    return max(arms, key=mean)


def _balanced_hits(tested, arm, network=None):
    """(seeds, N) values of a network, by default the first, whose mean over images is each seed's balanced accuracy.

    Each hit enters as its distance from the share of its class, since the interval is over other images of the same
    classes: that one class is easier than another is not their chance.
    """
    hits = tested.each(arm, network or tested.network)
    _, own, counts = np.unique(tested.truth, return_inverse=True, return_counts=True)
    shares = np.stack([hits[:, own == c].mean(1) for c in range(len(counts))], 1)
    # the mean of few lesions lies nearer to them than the true one
    few = np.array([len(np.unique(tested.clusters[own == c])) for c in range(len(counts))])
    weights = np.sqrt(few / np.maximum(few - 1, 1)) * len(own) / (len(counts) * counts)
    return shares.mean(1)[:, None] + weights[own] * (hits - shares[:, own])


def gain(tested, arm, other, label=""):
    """Balanced accuracy of an arm minus another's, first network: Estimate, as scores.difference."""
    gap = _balanced_hits(tested, arm) - _balanced_hits(tested, other)
    return difference(gap, tested.clusters, label)


def compared(tested, pairs):
    """`gain` of each pair of arms, a row each; with two seeds or more also for other lesions alone.

    Smallest detectable: the true difference that this n would show four times in five.
    """
    rows, detectable = {}, []
    for arm, other in dict.fromkeys(pairs):
        gap = _balanced_hits(tested, arm) - _balanced_hits(tested, other)
        whole, alone = (
            difference(gap, tested.clusters),
            difference(gap.mean(0)[None], tested.clusters),
        )
        rows[f"{ARMS[arm]} minus {ARMS[other]}"] = {
            tested.drawn: len(set(tested.clusters)),
            "difference": whole,
        } | ({f"other {tested.drawn} alone": alone} if len(gap) > 1 else {})
        detectable.append(stats.smallest_detectable(whole))
    return stats.frame("comparison", rows).assign(**{"smallest detectable": detectable})


def by_arm(tested):
    """Balanced accuracy of the first network, a line for each arm, the largest first: columns arm, label, value,
    low, high, n, df, seed 0, ...; interval as scores.difference."""
    lines = []
    for arm, seeds in tested.first.items():
        found = difference(_balanced_hits(tested, arm), tested.clusters, ARMS[arm])
        own = {f"seed {k}": balanced_accuracy(p, tested.truth) for k, p in enumerate(seeds)}
        lines.append({"arm": arm} | asdict(stats.within(found, 0, 1)) | own)
    return pd.DataFrame(lines).sort_values("value", ascending=False, ignore_index=True)


def dose_curve(dosed, added):
    """Balanced accuracy by dose, of RS, of R3 and their difference: a row for each dose.

    dosed: an accuracy.Tested whose classifiers are the doses (numbers); added: {dose: number of images
    that are added to the originals}.
    """
    rows = {}
    for dose in dosed.answers:
        hits = {arm: _balanced_hits(dosed, arm, dose) for arm in ("RS", "R3")}
        own = {ARMS[arm]: difference(x, dosed.clusters) for arm, x in hits.items()}
        rows[dose] = {"images added": added[dose]}
        rows[dose] |= {name: stats.within(e, 0, 1) for name, e in own.items()}
        rows[dose]["difference"] = difference(hits["RS"] - hits["R3"], dosed.clusters)
    return stats.frame("dose", rows)


def rise(dosed, arm, label=""):
    """Balanced accuracy at the highest dose minus that at the lowest: Estimate; dosed: as in `dose_curve`."""
    highest, lowest = (_balanced_hits(dosed, arm, end(dosed.answers)) for end in (max, min))
    return difference(highest - lowest, dosed.clusters, label)
