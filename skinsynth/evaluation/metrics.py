"""Distances between sets of images in the feature space of any encoder, with intervals.

Features are float arrays (N, D). What a distance is called is the caller's business: the functions
know no encoder, and only Inception's features make an FID or a KID. Intervals delete or halve whole groups (lesions, seeds).
"""

import functools

import numpy as np

from ..core.errors import UserError
from ..numerics.stats import from_halves, half_samples, jackknife, wilson, within
from . import frechet, kernel
from .features import blocks, checked
from .neighbours import prdc


def _of_all(statistic, f, g):
    """A statistic of all items of two sets."""
    zeros = np.zeros(len(f), int), np.zeros(len(g), int)
    return statistic(f, g, *zeros)(np.ones(len(f) + len(g), bool))


def frechet_distance(f, g):
    """Frechet distance of two Gaussians fitted to features (squared 2-Wasserstein distance).

    f, g: (N, D), (M, D). |mu_f - mu_g|^2 + tr(C_f + C_g - 2 (C_f C_g)^(1/2)), Heusel et al. 2017;
    FID if the features are Inception's. Biased upwards by small N: compare only at equal N.
    """
    return _of_all(frechet.statistic, f, g)


def kid(f, g, subsets=0, subset_size=None, seed=0):
    """Kernel distance: unbiased squared MMD, kernel (x.y / D + 1)^3 (Binkowski et al. 2018).

    f, g: (N, D), (M, D); KID if the features are Inception's. The full unbiased estimate; with
    subsets > 0 the mean over that many random subsets of subset_size (default: half the smaller
    set), as the literature reports it. May be slightly negative: then the sets do not differ.
    """
    if not subsets:
        return float(_of_all(kernel.statistic, f, g))
    f, g = checked(f, g)
    size = subset_size or min(len(f), len(g)) // 2
    return float(kernel.over_subsets(f, g, subsets, size, seed))


FEWEST = 20  # images of a set whose halves tell how shares of five neighbours spread
FAST = {frechet_distance: frechet.statistic, kid: kernel.statistic}


def statistic_of(metric, real, fake, real_groups, fake_groups):
    """metric(real, fake) as a function of the mask of items kept, real ones first."""
    n = len(real)
    if len(real_groups) != n or len(fake_groups) != len(fake):
        raise UserError("each image needs a group: give groups of the same length as the features")
    if fast := FAST.get(metric):
        return fast(real, fake, np.asarray(real_groups), np.asarray(fake_groups))
    return lambda keep: metric(real[keep[:n]], fake[keep[n:]])


def with_interval(metric, real, fake, real_groups, fake_groups):
    """A metric of two sets with its delete-a-group jackknife interval.

    metric: function of (real, fake), such as `kid` or `frechet_distance`. real, fake: arrays with a
    row an image. real_groups, fake_groups: group numbers of stats.make_groups, made in one call
    where samples belong to real lesions (through their reference image), so that both go together.
    The n of the result is the number of fakes.
    """
    real, fake = np.asarray(real), np.asarray(fake)
    statistic = statistic_of(metric, real, fake, real_groups, fake_groups)
    return jackknife(statistic, np.concatenate([real_groups, fake_groups]), n=len(fake))


def remembered(statistic):
    """The same function of a mask of items kept; each answer is computed once."""

    @functools.cache
    def of_bytes(keep):
        return statistic(np.frombuffer(keep, bool))

    return lambda keep: of_bytes(keep.tobytes())


def _equally_many(a, b, measure):
    if len(a) != len(b):
        bias = f"the {measure}'s bias differs"
        raise UserError(f"{len(a)} images against {len(b)}: {bias}; give equal n")


def difference_with_interval(
    metric, real, a, b, real_groups, a_groups, b_groups, label="", of_b=None
):
    """metric(real, a) - metric(real, b), with a jackknife over the same groups of all three sets.

    of_b: a `remembered` statistic of the second pair, where many sets are compared with one.
    Raises UserError if a and b differ in number for the Frechet distance, whose bias depends on it.
    """
    real, a, b = np.asarray(real), np.asarray(a), np.asarray(b)
    if metric is frechet_distance:
        _equally_many(a, b, "distance")
    of_a = statistic_of(metric, real, a, real_groups, a_groups)
    of_b = of_b or statistic_of(metric, real, b, real_groups, b_groups)
    return _apart(of_a, of_b, real_groups, a_groups, b_groups, label)


def _apart(of_a, of_b, real_groups, a_groups, b_groups, label=""):
    """A statistic of one set minus one of another, each a function of the mask of items kept, real ones first."""
    n, m = len(real_groups), len(real_groups) + len(a_groups)

    def statistic(keep):
        return of_a(keep[:m]) - of_b(np.concatenate([keep[:n], keep[m:]]))

    groups = np.concatenate([real_groups, a_groups, b_groups])
    return jackknife(statistic, groups, label, len(a_groups))


def _shares(real, fake, masks):
    """{name: (masks,) means of `prdc`} of the items that each mask keeps, real ones first."""
    n = len(real)
    found = prdc(real, fake, parts=[(mask[:n], mask[n:]) for mask in masks])
    return {name: np.array([part[name].mean() for part in found]) for name in found[0]}


def _of_shares(shares, *groups):
    """{name: Estimate} of shares(masks of the items of all sets) -> {name: (masks,) values}, from half samples.

    Of sets so small that k neighbours are nearly all of a half a jackknife, which is too wide rather than too narrow.
    """
    masks = half_samples(*groups)
    found = shares(masks)
    if len(masks) == 1 or min(map(len, groups)) >= FEWEST:
        return {name: from_halves(values, groups, name) for name, values in found.items()}
    ids, n = np.concatenate(groups), len(groups[-1])
    return {
        name: jackknife(lambda keep, name=name: shares(keep[None])[name][0], ids, name, n)
        for name in found
    }


def prdc_with_interval(real, fake, real_groups, fake_groups):
    """The four means with intervals: dict of name -> Estimate."""
    out = _of_shares(functools.partial(_shares, real, fake), real_groups, fake_groups)
    for name, e in out.items():
        if name != "density" and e.value in (0, 1):  # nothing tells the spread of such a share
            e = wilson(int(e.value * e.n), e.n, name)
        out[name] = within(e, 0.0, np.inf if name == "density" else 1.0)
    return out


def prdc_difference(real, a, b, real_groups, a_groups, b_groups):
    """The four metrics of a minus those of b, against the same real images: name -> Estimate."""
    n, m = len(real), len(real) + len(a)

    def shares(masks):
        of_b = _shares(real, b, np.delete(masks, np.s_[n:m], axis=1))
        return {name: x - of_b[name] for name, x in _shares(real, a, masks[:, :m]).items()}

    return _of_shares(shares, real_groups, a_groups, b_groups)


def _score_statistic(probs, groups):
    """ln of the score of the items kept, from sums over groups (Salimans et al. 2016)."""
    groups = np.asarray(groups)
    k, classes = groups.max() + 1, probs.shape[1]
    n, own, sums = np.bincount(groups, minlength=k), np.zeros(k), np.zeros((k, classes))
    for i, p in blocks(probs):
        p, rows = p.clip(1e-300), groups[i : i + len(p)]
        np.add.at(own, rows, (p * np.log(p)).sum(1))
        np.add.at(sums, rows, p)

    def statistic(keep):
        kept = np.bincount(groups[keep], minlength=k) > 0
        mean = sums[kept].sum(0) / n[kept].sum()
        return own[kept].sum() / n[kept].sum() - (mean * np.log(mean)).sum()

    return statistic


def inception_score_interval(probs, groups):
    """exp of the mean divergence of p(y|x) from p(y), 1 to classes, with its jackknife interval.

    probs: (N, classes) of the classifier that the caller names; "Inception score" only if it is
    Inception. groups: (N,) group numbers.
    """
    log_score = _score_statistic(np.asarray(probs), groups)
    return jackknife(lambda keep: np.exp(log_score(keep)), groups)


def inception_score_ratio(a, b, a_groups, b_groups):
    """ln(score of a / score of b) with a jackknife interval: 0.05 is 5 % more. Needs equal n."""
    _equally_many(a, b, "score")
    of_a, of_b = (_score_statistic(np.asarray(x), g) for x, g in ((a, a_groups), (b, b_groups)))
    return _apart(of_a, of_b, a_groups[:0], a_groups, b_groups)


def between_class_share(features, classes):
    """Share of the features' variance between class means: 0 if classes look alike, 1 at most.

    features: (N, D); classes: (N,). The expectation by chance, about (classes - 1) / (N - 1), is
    taken away (epsilon squared), so that few images do not make classes look different.
    """
    x = np.asarray(checked(features)[0], np.float64)
    names, y = np.unique(classes, return_inverse=True)
    within = sum(((x[y == c] - x[y == c].mean(0)) ** 2).sum() for c in range(len(names)))
    total = ((x - x.mean(0)) ** 2).sum()
    if total == 0 or len(x) == len(names):
        return float("nan")
    return float(1 - within / (len(x) - len(names)) / (total / (len(x) - 1)))
