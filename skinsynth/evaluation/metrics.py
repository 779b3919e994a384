"""Distances between sets of images in the feature space of any encoder, with intervals.

Features are float arrays (N, D). What a distance is called is the caller's business: the functions
know no encoder, and only Inception's features make an FID or a KID. Intervals delete whole groups (lesions, seeds) rather than resample.
"""

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh

from ..core.errors import UserError
from ..numerics.stats import jackknife, wilson, within

BLOCK = 1024  # rows read at a time
CELLS = 2**24  # distances held at a time: memory grows neither with N nor with N squared


def _features(*sets):
    """The sets as arrays (memory-mapped ones stay so), checked block by block."""
    sets = [np.asarray(s) for s in sets]
    for s in sets:
        if s.ndim != 2 or len(s) < 2 or s.shape[1] != sets[0].shape[1]:
            shapes = ", ".join(str(s.shape) for s in sets)
            raise UserError(f"features need shape (N, D), N of 2 or more and one D; got {shapes}")
        if not all(np.isfinite(x).all() for _, x in _blocks(s)):
            raise UserError("features contain nan or infinity; check the encoder's input")
    return sets


def _blocks(x, rows=None):
    """(first row, float64 block) of an array, or of some of its rows."""
    n = len(x) if rows is None else len(rows)
    for i in range(0, n, BLOCK):
        part = slice(i, i + BLOCK)
        yield i, np.asarray(x[part] if rows is None else x[rows[part]], np.float64)


class _Moments:
    """Number, sum and scatter of features about one origin, of all items or without some groups."""

    def __init__(self, x, groups):
        self.x, self.groups = x, np.asarray(groups)
        self.origin = np.asarray(x[:BLOCK], np.float64).mean(
            0
        )  # far from it the scatter would lose digits
        self.total = self._sums(None)

    def _sums(self, rows):
        n, d = 0, self.x.shape[1]
        first, second = np.zeros(d), np.zeros((d, d))
        for _, part in _blocks(self.x, rows):
            part = part - self.origin
            n, first = n + len(part), first + part.sum(0)
            second += part.T @ part
        return n, first, second

    def without(self, gone):
        """(mean, covariance) of the items whose group is not in `gone`."""
        rows = np.flatnonzero(np.isin(self.groups, gone))
        n, first, second = self.total
        if len(rows):
            n, first, second = (a - b for a, b in zip(self.total, self._sums(rows), strict=True))
        mean = first / n
        return self.origin + mean, (second - n * np.outer(mean, mean)) / (n - 1)


def _frechet(f, g):
    """Squared 2-Wasserstein distance of two Gaussians (mean, covariance)."""
    (mean_f, cov_f), (mean_g, cov_g) = f, g
    try:
        root = cholesky(cov_f, lower=True)
    except LinAlgError:  # singular: a dimension that never varies
        values, vectors = eigh(cov_f)
        root = vectors * np.sqrt(values.clip(0))
    cross = np.sqrt(eigvalsh(root.T @ cov_g @ root).clip(0)).sum()
    return float(((mean_f - mean_g) ** 2).sum() + np.trace(cov_f) + np.trace(cov_g) - 2 * cross)


def _centred(x, rows, columns):
    """Some rows and columns of a matrix of inner products, as if both sides had their means taken away."""
    part = x[np.ix_(rows, columns)]
    return part - part.mean(0) - part.mean(1)[:, None] + part.mean()


def _statistic_of_few(f, g):
    """The distance from features of fewer images than dimensions: from inner products, computed once."""
    f, g = (np.asarray(x, np.float64) for x in (f, g))
    ff, gg, fg = f @ f.T, g @ g.T, f @ g.T

    def statistic(keep):
        i, j = np.flatnonzero(keep[: len(f)]), np.flatnonzero(keep[len(f) :])
        n, m = len(i) - 1, len(j) - 1
        means = ff[np.ix_(i, i)].mean() + gg[np.ix_(j, j)].mean() - 2 * fg[np.ix_(i, j)].mean()
        spread = np.trace(_centred(ff, i, i)) / n + np.trace(_centred(gg, j, j)) / m
        cross = _centred(fg, i, j) if n <= m else _centred(fg, i, j).T
        return float(
            means + spread - 2 * np.sqrt(eigvalsh(cross @ cross.T).clip(0)).sum() / np.sqrt(n * m)
        )

    return statistic


def _frechet_statistic(f, g, gf, gg):
    """The distance as a function of the mask of items kept, whole groups of which are left out."""
    f, g = _features(f, g)
    n = len(f)
    if f.shape[1] > min(n, len(g)):
        return _statistic_of_few(f, g)
    groups, of_f, of_g = np.concatenate([gf, gg]), _Moments(f, gf), _Moments(g, gg)

    def statistic(keep):
        gone = np.unique(groups[~keep])
        return _frechet(of_f.without(gone), of_g.without(gone))

    return statistic


def frechet_distance(f, g):
    """Frechet distance of two Gaussians fitted to features (squared 2-Wasserstein distance).

    f, g: (N, D), (M, D). |mu_f - mu_g|^2 + tr(C_f + C_g - 2 (C_f C_g)^(1/2)), Heusel et al. 2017;
    FID if the features are Inception's. Biased upwards by small N: compare only at equal N.
    """
    zeros = np.zeros(len(f), int), np.zeros(len(g), int)
    return _frechet_statistic(f, g, *zeros)(np.ones(len(f) + len(g), bool))


def _kernel_sums(x, y, wx, wy):
    """wx' K wy of the cubic kernel K of x and y, in blocks of both; wx (N, k), wy (M, k) are 0 or 1."""
    sums = np.zeros((wx.shape[1], wy.shape[1]))
    for i, rows in _blocks(x):
        rows, part = rows / x.shape[1], np.zeros((len(rows), wy.shape[1]))
        for j, columns in _blocks(y):
            kernel = rows @ columns.T
            kernel += 1
            part += (kernel * kernel * kernel) @ wy[j : j + BLOCK].astype(float)
        sums += wx[i : i + BLOCK].T.astype(float) @ part
    return sums


def _own_pairs(x, w):
    """Sums of the kernel of each image with itself, which is no pair; (k,)."""
    parts = (((rows**2).sum(1) / x.shape[1] + 1) ** 3 @ w[i : i + BLOCK] for i, rows in _blocks(x))
    return sum(parts)


def _mmd(ff, gg, fg, n, m):
    """Unbiased squared MMD from sums of the kernel over ordered pairs of n and m images."""
    return ff / (n * (n - 1)) + gg / (m * (m - 1)) - 2 * fg / (n * m)


def _kid_statistic(f, g, gf, gg):
    """KID as a function of the mask of items kept; each kernel value is computed once."""
    groups, (f, g) = np.concatenate([gf, gg]), _features(f, g)
    k = groups.max() + 1
    wf, wg = (x[:, None] == np.arange(k) for x in (gf, gg))
    ff = _kernel_sums(f, f, wf, wf) - np.diag(_own_pairs(f, wf))
    gg, fg = _kernel_sums(g, g, wg, wg) - np.diag(_own_pairs(g, wg)), _kernel_sums(f, g, wf, wg)

    def statistic(keep):
        kept = np.bincount(groups[keep], minlength=k) > 0
        pick = np.ix_(kept, kept)
        return _mmd(
            ff[pick].sum(), gg[pick].sum(), fg[pick].sum(), wf[:, kept].sum(), wg[:, kept].sum()
        )

    return statistic


def kid(f, g, subsets=0, subset_size=None, seed=0):
    """Kernel distance: unbiased squared MMD, kernel (x.y / D + 1)^3 (Binkowski et al. 2018).

    f, g: (N, D), (M, D); KID if the features are Inception's. The full unbiased estimate; with
    subsets > 0 the mean over that many random subsets of subset_size (default: half the smaller
    set), as the literature reports it. May be slightly negative: then the sets do not differ.
    """
    f, g = _features(f, g)
    if not subsets:
        zeros = np.zeros(len(f), int), np.zeros(len(g), int)
        return float(_kid_statistic(f, g, *zeros)(np.ones(len(f) + len(g), bool)))
    size = subset_size or min(len(f), len(g)) // 2
    rng = np.random.default_rng([seed, 1])
    wf, wg = (np.zeros((len(x), subsets), bool) for x in (f, g))
    for k in range(subsets):
        for w in (wf, wg):
            w[rng.choice(len(w), size, replace=False), k] = True
    ff, gg = (np.diag(_kernel_sums(x, x, w, w)) - _own_pairs(x, w) for x, w in ((f, wf), (g, wg)))
    return float(_mmd(ff, gg, np.diag(_kernel_sums(f, g, wf, wg)), size, size).mean())


def statistic_of(metric, real, fake, real_groups, fake_groups):
    """metric(real, fake) as a function of the mask of items kept, real ones first."""
    n = len(real)
    if len(real_groups) != n or len(fake_groups) != len(fake):
        raise UserError("each image needs a group: give groups of the same length as the features")
    if fast := {kid: _kid_statistic, frechet_distance: _frechet_statistic}.get(metric):
        return fast(real, fake, np.asarray(real_groups), np.asarray(fake_groups))
    return lambda keep: metric(real[keep[:n]], fake[keep[n:]])


def with_interval(metric, real, fake, real_groups, fake_groups, label=""):
    """A metric of two sets with its delete-a-group jackknife interval.

    metric: function of (real, fake), such as `kid` or `frechet_distance`. real, fake: arrays with a
    row an image. real_groups, fake_groups: group numbers of stats.make_groups, made in one call
    where samples belong to real lesions (through their reference image), so that both go together.
    The n of the result is the number of fakes.
    """
    real, fake = np.asarray(real), np.asarray(fake)
    statistic = statistic_of(metric, real, fake, real_groups, fake_groups)
    return jackknife(statistic, np.concatenate([real_groups, fake_groups]), label, len(fake))


def remembered(statistic):
    """The same function of a mask of items kept; each answer is computed once."""
    known = {}

    def call(keep):
        key = keep.tobytes()
        if key not in known:
            known[key] = statistic(keep)
        return known[key]

    return call


def difference_with_interval(
    metric, real, a, b, real_groups, a_groups, b_groups, label="", of_b=None
):
    """metric(real, a) - metric(real, b), with a jackknife over the same groups of all three sets.

    of_b: a `remembered` statistic of the second pair, where many sets are compared with one.
    Raises UserError if a and b differ in number for the Frechet distance, whose bias depends on it.
    """
    real, a, b = np.asarray(real), np.asarray(a), np.asarray(b)
    if metric is frechet_distance and len(a) != len(b):
        raise UserError(
            f"{len(a)} images against {len(b)}: the distance's bias differs; give equal n"
        )
    of_a = statistic_of(metric, real, a, real_groups, a_groups)
    of_b = of_b or statistic_of(metric, real, b, real_groups, b_groups)
    n, m = len(real), len(real) + len(a)

    def statistic(keep):
        return of_a(keep[:m]) - of_b(np.concatenate([keep[:n], keep[m:]]))

    return jackknife(statistic, np.concatenate([real_groups, a_groups, b_groups]), label, len(a))


def _distances(x, y):
    """Blocks of rows of the Euclidean distances between x and y: (first row, (rows, M))."""
    centre = np.mean(
        [part.mean(0) for _, part in _blocks(y)], 0
    )  # far from the origin the differences of squares lose digits
    count = max(16, CELLS // len(y))
    for i in range(0, len(x), count):
        rows = np.asarray(x[i : i + count], np.float64) - centre
        out = np.empty((len(rows), len(y)))
        for j, part in _blocks(y):
            part = part - centre
            out[:, j : j + len(part)] = (part**2).sum(1) - 2 * rows @ part.T
        out += (rows**2).sum(1)[:, None]
        yield i, np.sqrt(out.clip(0, out=out), out=out)


def _radii(x, k):
    """Distance of each row to its k-th nearest other row."""
    out = np.empty(len(x))
    for i, d in _distances(x, x):
        d[np.arange(len(d)), np.arange(i, i + len(d))] = 0  # itself, whatever the rounding says
        out[i : i + len(d)] = np.partition(d, k, axis=1)[:, k]
    return out


def prdc(real, fake, k=5):
    """Precision, recall, density and coverage as one value an image; their means are the metrics.

    real, fake: (N, D) of equal N. Returns dict: precision, density (a value a fake image), recall,
    coverage (a value a real image). Precision: the fake lies in the k-nearest-neighbour ball of
    some real image; recall: the real lies in a ball of some fake (Kynkaanniemi et al. 2019);
    density, coverage: Naeem et al. 2020. Raises UserError if the numbers differ or are too small.
    """
    real, fake = _features(real, fake)
    if len(real) != len(fake) or len(real) <= k:
        raise UserError(
            f"{len(real)} real and {len(fake)} fake images: give equal numbers, more than k = {k}"
        )
    real_radii, fake_radii = _radii(real, k), _radii(fake, k)
    n = len(real)
    inside, recall, coverage = np.zeros(n), np.empty(n), np.empty(n)
    for i, d in _distances(real, fake):  # rows real, columns fake
        rows = slice(i, i + len(d))
        ball = d < real_radii[rows, None]
        inside += ball.sum(0)
        coverage[rows] = ball.any(1)
        recall[rows] = (d < fake_radii).any(1)
    return dict(precision=(inside > 0) * 1.0, recall=recall, density=inside / k, coverage=coverage)


def _of_fakes(name):
    return name in ("precision", "density")


def prdc_with_interval(real, fake, real_groups, fake_groups, k=5):
    """The four means with intervals, manifolds fixed: dict of name -> Estimate."""
    out = {}
    for name, x in prdc(real, fake, k).items():
        groups = fake_groups if _of_fakes(name) else real_groups
        if (
            name != "density" and x.min() == x.max()
        ):  # a share of 0 or 1, of which no jackknife knows the spread
            out[name] = wilson(int(x.sum()), len(x), name)
            continue
        e = jackknife(lambda keep, x=x: x[keep].mean(), groups, name)
        out[name] = within(e, 0.0, np.inf if name == "density" else 1.0)
    return out


def prdc_difference(real, a, b, real_groups, a_groups, b_groups, k=5):
    """The four metrics of a minus those of b, against the same real images: name -> Estimate."""
    first, second, out = prdc(real, a, k), prdc(real, b, k), {}
    fakes, n = np.concatenate([a_groups, b_groups]), len(real)
    for name in first:
        x, y = first[name], second[name]

        def of_fakes(keep, x=x, y=y):
            return x[keep[:n]].mean() - y[keep[n:]].mean()

        def of_reals(keep, gap=x - y):
            return gap[keep].mean()

        pair = (of_fakes, fakes) if _of_fakes(name) else (of_reals, real_groups)
        out[name] = jackknife(*pair, name, n)
    return out


def inception_score(probs, splits=1):
    """exp of the mean divergence of p(y|x) from p(y) (Salimans et al. 2016), 1 to classes.

    probs: (N, classes) of the classifier that the caller names; "Inception score" only if it is
    Inception. splits: number of consecutive parts whose scores are averaged (the literature's 10
    needs many images; 1 uses them all).
    """
    scores = []
    for p in np.array_split(np.asarray(probs, np.float64), splits):
        p = p.clip(1e-300)
        scores.append(np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean()))
    return float(np.mean(scores))


def _score_statistic(probs, groups):
    """ln of the score of the items kept, from sums over groups."""
    groups = np.asarray(groups)
    k, classes = groups.max() + 1, probs.shape[1]
    n, own, sums = np.bincount(groups, minlength=k), np.zeros(k), np.zeros((k, classes))
    for i, p in _blocks(probs):
        p, rows = p.clip(1e-300), groups[i : i + BLOCK]
        np.add.at(own, rows, (p * np.log(p)).sum(1))
        np.add.at(sums, rows, p)

    def statistic(keep):
        kept = np.bincount(groups[keep], minlength=k) > 0
        mean = sums[kept].sum(0) / n[kept].sum()
        return own[kept].sum() / n[kept].sum() - (mean * np.log(mean)).sum()

    return statistic


def inception_score_interval(probs, groups, label=""):
    """The score with its delete-a-group jackknife interval. groups: (N,) group numbers."""
    log_score = _score_statistic(np.asarray(probs), groups)
    return jackknife(lambda keep: np.exp(log_score(keep)), groups, label)


def inception_score_ratio(a, b, a_groups, b_groups, label=""):
    """ln(score of a / score of b) with a jackknife interval: 0.05 is 5 % more. Needs equal n."""
    a, b, n = np.asarray(a), np.asarray(b), len(a)
    if len(a) != len(b):
        raise UserError(f"{len(a)} images against {len(b)}: the score's bias differs; give equal n")

    of_a, of_b = _score_statistic(a, a_groups), _score_statistic(b, b_groups)

    def statistic(keep):
        return of_a(keep[:n]) - of_b(keep[n:])

    return jackknife(statistic, np.concatenate([a_groups, b_groups]), label, n)


def between_class_share(features, classes):
    """Share of the features' variance between class means: 0 if classes look alike, 1 at most.

    features: (N, D); classes: (N,). The expectation by chance, about (classes - 1) / (N - 1), is
    taken away (epsilon squared), so that few images do not make classes look different.
    """
    x, (names, y) = (
        np.asarray(_features(features)[0], np.float64),
        np.unique(classes, return_inverse=True),
    )
    within = sum(((x[y == c] - x[y == c].mean(0)) ** 2).sum() for c in range(len(names)))
    total = ((x - x.mean(0)) ** 2).sum()
    if total == 0 or len(x) == len(names):
        return float("nan")
    return float(1 - within / (len(x) - len(names)) / (total / (len(x) - 1)))
