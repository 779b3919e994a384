"""Intervals: t, cluster bootstrap, delete-a-group jackknife, Wilson; Holm's correction.

Every interval is a 95 % one. Generative metrics take the jackknife, shares of neighbours halves, because
resampling with replacement repeats images and so biases them; means over few seeds take t, because a
percentile bootstrap of five values covers only about 83 %.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from ..core.errors import UserError

LEVEL = 0.975  # the upper quantile of a two-sided 95 % interval
MIN_CLUSTERS = 100  # below this a bootstrap over clusters covers too little


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and the n it rests on; nan where nothing can be said."""

    value: float
    low: float
    high: float
    n: int
    label: str = ""
    method: str = ""
    df: float | None = None  # degrees of freedom, of a t distribution

    def __str__(self):
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}], n = {self.n}"


def _symmetric(value, se, df, n, label, method):
    half = t.ppf(LEVEL, df) * se if df > 0 else np.nan
    ends = float(value - half), float(value + half)
    return Estimate(float(value), *ends, int(n), label, method, float(df))


def mean_interval(x, label="", clusters=None):
    """Mean with a t interval.

    x: (N,) values. clusters: (N,) ids of what was drawn together (lesion, patient); then the
    standard error is the cluster-robust one, with clusters - 1 degrees of freedom.
    Values that are nan (not measurable on that image) are left out.
    """
    x = np.asarray(x, float)
    known = np.isfinite(x)
    rows = np.arange(len(x)) if clusters is None else np.asarray(clusters)
    x, rows = x[known], rows[known]
    if len(x) == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, label, "t")
    se, g = cluster_error(x, rows)
    return _symmetric(x.mean(), se, g - 1, len(x), label, "t" if g == len(x) else "t over clusters")


def cluster_error(x, clusters):
    """(cluster-robust standard error of the mean of x (N,), number of clusters); clusters: (N,) ids."""
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, x - x.mean())
    g = len(sums)
    return np.sqrt(g / max(g - 1, 1) * (sums**2).sum()) / len(x), g


def share_interval(x, clusters, label=""):
    """Mean of values in [0,1], such as hits, with an interval that stays there.

    Wilson's, at as many independent items as the cluster-robust standard error amounts to; where
    all values are equal, at the number of clusters.
    """
    x = np.asarray(x, float)
    if len(x) == 0:
        return wilson(0, 0, label)
    p, (se, g) = x.mean(), cluster_error(x, clusters)
    n = p * (1 - p) / se**2 if se > 1e-9 and 0 < p < 1 else g
    return replace(wilson(p * n, n, label), n=len(x), method="Wilson over clusters")


def nested_interval(x, clusters, label=""):
    """Mean of seeds x items with an interval for other seeds and other clusters alike.

    x: (seeds, N), the same items for each seed; clusters: (N,) lesion or patient ids. The two
    variances are added, with Satterthwaite's degrees of freedom; a bootstrap of a few seeds would
    cover too little. One seed: nan ends.
    """
    x = np.asarray(x, float)
    seeds = x.mean(1)
    if len(seeds) < 2:
        return Estimate(float(x.mean()), np.nan, np.nan, x.shape[1], label, "one seed")
    error, g = cluster_error(x.mean(0), clusters)
    of_items, of_seeds = error**2, seeds.var(ddof=1) / len(seeds)
    both = of_items + of_seeds
    df = both**2 / max(of_items**2 / (g - 1) + of_seeds**2 / (len(seeds) - 1), 1e-300)
    method = f"t over {len(seeds)} seeds and {g} clusters"
    return _symmetric(x.mean(), np.sqrt(both), df, x.shape[1], label, method)


def paired_difference(a, b, label="", clusters=None):
    """Mean of a - b over the same items, with a t interval on the differences. a, b: (N,)."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        shapes = f"{a.shape} and {b.shape}"
        raise UserError(f"paired values differ in shape: {shapes}; give the same items")
    return mean_interval(a - b, label, clusters)


def apart(a, b, label=""):
    """a minus b of two Estimates of different items, by squares of the interval's sides (Newcombe 1998).

    Unlike a symmetrical interval it stays within what two shares can differ by.
    """
    gap = a.value - b.value
    low = gap - np.hypot(a.value - a.low, b.high - b.value)
    high = gap + np.hypot(a.high - a.value, b.value - b.low)
    return Estimate(float(gap), float(low), float(high), a.n, label or a.label, "Newcombe")


def make_groups(ids, k=20, seed=0):
    """Group number (0 ... k-1) of each item: whole ids stay together, groups are of even size.

    ids: (N,) lesion, patient or seed of each item; give those of two linked sets in one call, so
    that an id lands in the same group in both. With fewer than k ids there is one group an id.
    """
    _, index, counts = np.unique(np.asarray(ids), return_inverse=True, return_counts=True)
    order = np.random.default_rng([seed, 20]).permutation(len(counts))
    order = order[np.argsort(-counts[order], kind="stable")]
    load, group = np.zeros(min(k, len(counts))), np.empty(len(counts), int)
    for i in order:  # the largest first, each into the emptiest group
        group[i] = load.argmin()
        load[group[i]] += counts[i]
    return group[index]


def jackknife(statistic, groups, label="", n=None):
    """Delete-a-group jackknife interval (t, groups - 1 degrees of freedom).

    statistic: function of a boolean mask (N,) of the items kept. groups: (N,) group numbers.
    A difference of two metrics is a statistic like any other: both see the same deletions.
    """
    groups = np.asarray(groups)
    names = np.unique(groups)
    value = float(statistic(np.ones(len(groups), bool)))
    k, n = len(names), len(groups) if n is None else n
    if k < 2:
        return Estimate(value, np.nan, np.nan, int(n), label, "jackknife")
    left = np.array([statistic(groups != g) for g in names], float)
    se = np.sqrt((k - 1) / k * ((left - left.mean()) ** 2).sum())
    return _symmetric(value, se, k - 1, n, label, f"jackknife over {k} groups")


def half_samples(*groups, splits=40, seed=0):
    """Masks of the items of some sets, end to end: all of them, then `splits` random halves, then what each half lacks.

    groups: of each set, as `make_groups` numbers them; groups of one number go into one half, of every set some
    into each. For `from_halves`. The whole alone where a set is a single group.
    """
    rng, halves, names = np.random.default_rng([seed, 21]), [], np.unique(np.concatenate(groups))
    for _ in range(50 * splits):
        half = rng.permutation(names)[: len(names) // 2]
        masks = [np.isin(own, half) for own in groups]
        if all(mask.any() and not mask.all() for mask in masks):
            halves.append(np.concatenate(masks))
        if len(halves) == splits:
            break
    return np.stack([np.ones(sum(map(len, groups)), bool), *halves, *(~half for half in halves)])


def from_halves(values, groups, label=""):
    """Interval of values[0] from a statistic's values on the masks of `half_samples`; groups: as there, the last is n long.

    Two halves are independent and have twice the variance of the whole. Unlike the jackknife this holds for shares
    of nearest neighbours too, which are not smooth (Politis & Romano 1994). Halves that differ in their classes make
    it wide rather than narrow. t, with degrees of freedom for the groups of the smallest set and for the random halves;
    nan ends where there are none.
    """
    first, second = np.split(np.asarray(values[1:]), 2)
    k = min(len(np.unique(own)) for own in groups)
    se = np.sqrt(np.mean((first - second) ** 2)) / 2 if len(first) else np.nan
    df = 1 / (1 / (k - 1) + 1 / len(first)) if len(first) else 0
    return _symmetric(values[0], se, df, len(groups[-1]), label, f"halves of {k} groups")


def cluster_bootstrap(statistic, clusters, n_boot=1000, seed=0, label=""):
    """Percentile interval from drawing whole clusters with replacement.

    statistic: function of an index array into the items. clusters: (N,) lesion or patient ids.
    With fewer than 100 clusters the jackknife over groups of clusters takes its place: `method`
    of the result says which of the two it was.
    """
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < MIN_CLUSTERS:
        keep = make_groups(clusters, seed=seed)
        return jackknife(lambda kept: statistic(np.flatnonzero(kept)), keep, label)
    rows = np.split(np.argsort(index, kind="stable"), np.cumsum(np.bincount(index))[:-1])
    values = np.empty(n_boot)
    for i in range(n_boot):
        drawn = np.random.default_rng([seed, i]).integers(0, len(names), len(names))
        values[i] = statistic(np.concatenate([rows[j] for j in drawn]))
    low, high = np.nanquantile(values, [1 - LEVEL, LEVEL])
    value = float(statistic(np.arange(len(index))))
    method = f"bootstrap over {len(names)} clusters"
    return Estimate(value, float(low), float(high), len(index), label, method)


def wilson(k, n, label=""):
    """Share k/n with Wilson's score interval."""
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, label, "Wilson")
    z, p = norm.ppf(LEVEL), k / n
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    # at 0 and n the bound is the value itself; rounding must not put it on the wrong side
    low, high = min(max(low, 0), p), max(min(high, 1), p)
    return Estimate(p, float(low), float(high), int(n), label, "Wilson")


def smallest_detectable(estimate):
    """Smallest true difference that this n would have shown with a power of 80 %: 2.8 x SE.

    The standard error is read from the interval's half width.
    """
    half = (estimate.high - estimate.low) / 2
    return float(half * (norm.ppf(LEVEL) + norm.ppf(0.8)) / norm.ppf(LEVEL))


def within(estimate, low, high):
    """The same estimate, its interval cut to the range that the number can have."""
    return replace(estimate, low=max(estimate.low, low), high=min(estimate.high, high))


def columns(estimates):
    """Flatten {name: Estimate} to the cells of a table's row: name, "name low", "name high"."""
    cells = {}
    for k, e in estimates.items():
        cells |= {k: e.value, f"{k} low": e.low, f"{k} high": e.high}
    return cells


def frame(first, rows):
    """DataFrame of estimates, one row a thing compared: {thing: {column: Estimate or plain value}}.

    first: name of the column of things. A row's n is that of its first Estimate, unless it is given; each
    Estimate becomes the columns "X", "X low" and "X high".
    """
    made = []
    for thing, cells in rows.items():
        found = {k: v for k, v in cells.items() if isinstance(v, Estimate)}
        plain = {k: v for k, v in cells.items() if k not in found}
        n = dict(n=next(iter(found.values())).n) if found else {}
        made.append({first: thing} | n | plain | columns(found))
    return pd.DataFrame(made)
