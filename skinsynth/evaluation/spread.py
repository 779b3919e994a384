"""Table 6 and Fig 12: how much sets of embeddings vary, and where the variance lies.

Embeddings are (N,D) of length 1; labels (N,) class codes and seeds (N,) say what each row is of. Intervals
leave out groups of seeds.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from ..core.config import CLASSES
from ..numerics import stats


def variance(features):
    """Trace of the covariance of L2-normalised embeddings (N,D)."""
    return float(features.var(0, ddof=1).sum())


def between(features):
    """Variance between the seeds' means of embeddings along paths (seeds, points, D); nan of one seed alone."""
    return variance(features.mean(1)) if len(features) > 1 else np.nan


def within(features):
    """Variance along paths (seeds, points, D), mean over the seeds."""
    return float(features.var(1, ddof=1).sum(1).mean())


def variance_test(random, mixed, draws=2000, seed=0):
    """Permutation test over source seeds of var(mixed) - var(random); returns (difference, p).

    random, mixed: (N,D) embeddings, row k of both from source seed k. Under the null a seed's two
    versions are exchangeable, so whole seeds are swapped. Two-sided, with the +1 correction.
    """
    seen = variance(mixed) - variance(random)
    rng = np.random.default_rng(seed)
    both, rows = np.stack([random, mixed]), np.arange(len(random))
    flips = rng.integers(0, 2, (draws, len(random)))
    null = [variance(both[1 - f, rows]) - variance(both[f, rows]) for f in flips]
    return seen, (1 + np.sum(np.abs(null) >= abs(seen) - 1e-12)) / (draws + 1)


def _of_class(labels, seeds):
    """(class, which rows are its own, their groups of seeds) of each class."""
    for c in CLASSES:
        own = labels == c
        yield c, own, stats.make_groups(seeds[own])


def _interval(measure, groups, *sets):
    """measure(*sets), with its interval over the groups of their rows."""
    return stats.jackknife(lambda keep: measure(*(x[keep] for x in sets)), groups)


def _gain(before, after):
    return variance(after) - variance(before)


def gains(before, after, labels, seeds):
    """{class: Estimate} of the variance of `after` minus that of `before`, of the same seeds."""
    return {
        c: replace(_interval(_gain, groups, before[own], after[own]), label=c)
        for c, own, groups in _of_class(labels, seeds)
    }


def sides(estimates):
    """How many of some Estimates lie wholly above zero, and how many wholly below: (above, below)."""
    found = list(estimates)
    return sum(e.low > 0 for e in found), sum(e.high < 0 for e in found)


def by_class(embedded, right, labels, seeds):
    """Table 6: variance of A and AI, what was gained, and the share of images that still show their class.

    embedded: {"A", "AI", "control": (N,D)} of the same seeds; right: {"A", "AI": (N,) whether of their class}.
    """
    a, b = embedded["A"], embedded["AI"]
    gain, drift = (gains(a, embedded[n], labels, seeds) for n in ("AI", "control"))
    rows = {}
    for c, own, groups in _of_class(labels, seeds):
        rows[c] = {n: _interval(variance, groups, x[own]) for n, x in (("A", a), ("AI", b))}
        rows[c] |= {"AI minus A": gain[c], "control minus A": drift[c]}
        rows[c] |= {f"{n} named right": _share(hit[own]) for n, hit in right.items()}
    return stats.frame("class", rows)


def _share(hit):
    return stats.wilson(int(hit.sum()), len(hit))


def permutations(embedded, labels, seed=0):
    """`variance_test` of AI against A in each class alone: columns class, n, AI minus A, p (not corrected)."""
    rows = {}
    for c in CLASSES:
        own = labels == c
        found = variance_test(embedded["A"][own], embedded["AI"][own], seed=seed)
        rows[c] = {"n": int(own.sum())} | dict(zip(("AI minus A", "p"), found, strict=True))
    return stats.frame("class", rows)


def along_paths(points, labels, seeds):
    """Variance between and within seeds. points: (N, points, D) embeddings along N paths."""
    rows = {}
    for c, own, groups in _of_class(labels, seeds):
        rows[c] = {
            "between seeds": _interval(between, groups, points[own]),
            "within seeds": _interval(within, groups, points[own]),
        }
    return stats.frame("class", rows).rename(columns={"n": "paths"})


def plane(features):
    """The plane of largest variance of a set (N,D), as a fitted PCA; of two that are compared take both, for it shows the most of its own."""
    return PCA(2, random_state=0).fit(features)


def by_component(basis, embedded, labels, seeds):
    """Fig 12: variance of A and AI along the two components of a `plane`, and ln(AI / A) of both together, of each class.

    embedded: {"A", "AI": (N,D)} of the same seeds.
    """
    seen, rows = {n: basis.transform(embedded[n]) for n in ("A", "AI")}, {}
    for c, own, groups in _of_class(labels, seeds):
        rows[c] = {
            f"{n}, component {k + 1}": _interval(variance, groups, x[own, k])
            for k in (0, 1)
            for n, x in seen.items()
        }
        rows[c]["ln(AI / A)"] = _interval(_log_ratio, groups, seen["A"][own], seen["AI"][own])
    return stats.frame("class", rows)


def _log_ratio(before, after):
    return np.log(variance(after) / variance(before))


def typical_widening(basis, before, after, labels, seeds):
    """Mean over the classes of ln(variance of `after` / of `before`) in a `plane` (Estimate over seeds).

    before, after: (N,D), same seeds. The mean, since a jackknife of the median would be that of one class.
    """

    def mean(a, b, classes):
        return np.mean([_log_ratio(a[classes == c], b[classes == c]) for c in CLASSES])

    pair = basis.transform(before), basis.transform(after)
    return _interval(mean, stats.make_groups(seeds), *pair, labels)


def points(basis, sets):
    """Where sets lie in a `plane`. sets: {name: ((N,D) embeddings, (N,) labels)}."""
    parts = []
    for name, (features, labels) in sets.items():
        part = pd.DataFrame(basis.transform(features), columns=["component 1", "component 2"])
        parts.append(part.assign(**{"class": labels, "set": name}))
    return pd.concat(parts, ignore_index=True)


def sensitivity(before, tried, labels, seeds):
    """What Table 6 would say of other choices: mean over the classes of AI minus A, and label fidelity.

    before: (N,D) of A; tried: {(share, alphas): ((N,D) of AI, (N,) whether of its class)}.
    """
    groups, rows = stats.make_groups(seeds), {}

    def mean_gain(a, b, classes):
        return np.mean([_gain(a[classes == c], b[classes == c]) for c in CLASSES])

    for choice, (after, right) in tried.items():
        gain = _interval(mean_gain, groups, before, after, labels)
        rows[choice] = {"AI minus A": gain}
        rows[choice]["named right"] = _share(right)
    table = stats.frame("share interpolated", rows)
    table.insert(1, "alpha", [alphas for _, alphas in rows])
    return table.assign(**{"share interpolated": [share for share, _ in rows]})
