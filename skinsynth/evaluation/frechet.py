"""The Frechet distance of two sets of features, as fast as leaving out groups allows."""

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh

from .features import blocks, checked


def _moments(x):
    """Mean and covariance of features as a function of the mask of items kept.

    Sums of all items are computed once; those of the items left out are taken away.
    """
    # far from its origin the scatter would lose digits
    origin = next(blocks(x))[1].mean(0)

    def sums(rows):
        first, second = 0, 0
        for _, part in blocks(x, rows):
            part = part - origin
            first, second = first + part.sum(0), second + part.T @ part
        return len(rows), first, second

    total = sums(np.arange(len(x)))

    def of_kept(keep):
        n, first, second = (a - b for a, b in zip(total, sums(np.flatnonzero(~keep)), strict=True))
        mean = first / n
        return origin + mean, (second - n * np.outer(mean, mean)) / (n - 1)

    return of_kept


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


def _of_few(f, g):
    """The distance from features of fewer images than dimensions: from inner products, computed once."""
    f, g = (np.asarray(x, np.float64) for x in (f, g))
    ff, gg, fg = f @ f.T, g @ g.T, f @ g.T

    def distance(keep):
        i, j = np.flatnonzero(keep[: len(f)]), np.flatnonzero(keep[len(f) :])
        n, m = len(i) - 1, len(j) - 1
        means = ff[np.ix_(i, i)].mean() + gg[np.ix_(j, j)].mean() - 2 * fg[np.ix_(i, j)].mean()
        spread = np.trace(_centred(ff, i, i)) / n + np.trace(_centred(gg, j, j)) / m
        cross = _centred(fg, i, j) if n <= m else _centred(fg, i, j).T
        both = np.sqrt(eigvalsh(cross @ cross.T).clip(0)).sum()
        return float(means + spread - 2 * both / np.sqrt(n * m))

    return distance


def statistic(f, g, *_):
    """The distance as a function of the mask of items kept, whatever their groups."""
    f, g = checked(f, g)
    n = len(f)
    if f.shape[1] > min(n, len(g)):
        return _of_few(f, g)
    of_f, of_g = _moments(f), _moments(g)
    return lambda keep: _frechet(of_f(keep[:n]), of_g(keep[n:]))
