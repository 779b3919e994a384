"""Table 6 and Fig 12: how much sets of embeddings vary, and where the variance lies.

Embeddings are (N,D) of length 1; labels (N,) class codes and seeds (N,) say what each row is of. Intervals
leave out groups of seeds.
"""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from ..core.config import CLASSES
from ..numerics import stats
from .variance import between_and_within, variance, variance_test


def _of_class(labels, seeds):
    """(class, which rows are its own, their groups of seeds) of each class."""
    for c in CLASSES:
        own = labels == c
        yield c, own, stats.make_groups(seeds[own])


def _variance(x, groups):
    return stats.jackknife(lambda keep: variance(x[keep]), groups)


def gains(before, after, labels, seeds):
    """{class: Estimate} of the variance of `after` minus that of `before`, of the same seeds."""
    found = {}
    for c, own, groups in _of_class(labels, seeds):
        a, b = before[own], after[own]
        found[c] = stats.jackknife(
            lambda keep, a=a, b=b: variance(b[keep]) - variance(a[keep]), groups, c
        )
    return found


def by_class(embedded, labels, seeds, seed=0):
    """Table 6. embedded: {"A", "AI", "control": (N,D)} of the same seeds; seed: of the permutations."""
    a, b = embedded["A"], embedded["AI"]
    gain, drift = (gains(a, embedded[n], labels, seeds) for n in ("AI", "control"))
    rows, p = {}, []
    for c, own, groups in _of_class(labels, seeds):
        rows[c] = {n: _variance(x[own], groups) for n, x in (("A", a), ("AI", b))}
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
        walks = points[own]
        rows[c] = {
            name: stats.jackknife(
                lambda keep, k=k, walks=walks: between_and_within(walks[keep])[k], groups
            )
            for k, name in enumerate(("between seeds", "within seeds"))
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
            f"{n}, component {k + 1}": stats.jackknife(
                lambda keep, x=x[own, k]: x[keep].var(ddof=1), groups
            )
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
    classes = [labels == c for c in CLASSES]
    for choice, (after, right) in tried.items():

        def gain(keep, after=after):
            each = [variance(after[keep & c]) - variance(before[keep & c]) for c in classes]
            return np.mean(each)

        named = stats.wilson(int(right.sum()), len(right))
        rows[choice] = {"AI minus A": stats.jackknife(gain, groups), "named right": named}
    table = stats.frame("share interpolated", rows)
    table.insert(1, "alpha", [alphas for _, alphas in rows])
    return table.assign(**{"share interpolated": [share for share, _ in rows]})
