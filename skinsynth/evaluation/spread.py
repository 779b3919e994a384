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


def by_class(embedded, labels, seeds, seed=0):
    """Table 6. embedded: {"A", "AI", "control": (N,D)} of the same seeds; seed: of the permutations."""
    a, b = embedded["A"], embedded["AI"]
    gain, drift = (gains(a, embedded[n], labels, seeds) for n in ("AI", "control"))
    rows, p = {}, []
    for c, own, groups in _of_class(labels, seeds):
        rows[c] = {n: _interval(variance, groups, x[own]) for n, x in (("A", a), ("AI", b))}
        rows[c] |= {"AI minus A": gain[c], "control minus A": drift[c]}
        p.append(variance_test(a[own], b[own], seed=seed)[1])
    return stats.frame("class", rows).assign(**{"p (Holm)": stats.holm(p)})


def fidelity(right, labels):
    """Share of images of their own class, of each class. right: {set: (N,) bool}."""
    rows = {}
    for c in CLASSES:
        own = labels == c
        rows[c] = {n: stats.wilson(int(hit[own].sum()), int(own.sum())) for n, hit in right.items()}
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
    """The plane of largest variance of a set (N,D), as a fitted PCA."""
    return PCA(2, random_state=0).fit(features)


def by_component(basis, embedded, labels, seeds):
    """Variance of sets along the two components of a `plane`, of each class. embedded: {set: (N,D)}."""
    seen, rows = {n: basis.transform(x) for n, x in embedded.items()}, {}
    for c, own, groups in _of_class(labels, seeds):
        rows[c] = {
            f"{n}, component {k + 1}": _interval(variance, groups, x[own, k])
            for k in (0, 1)
            for n, x in seen.items()
        }
    return stats.frame("class", rows)


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
        rows[choice]["named right"] = stats.wilson(int(right.sum()), len(right))
    table = stats.frame("share interpolated", rows)
    table.insert(1, "alpha", [alphas for _, alphas in rows])
    return table.assign(**{"share interpolated": [share for share, _ in rows]})
