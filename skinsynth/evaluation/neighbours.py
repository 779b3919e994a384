"""Precision, recall, density and coverage: who lies among whose nearest neighbours."""

import numpy as np

from ..core.errors import UserError
from .features import blocks, checked

CELLS = 2**24  # distances held at a time: memory grows neither with N nor with N squared


def _distances(x, y):
    """Blocks of rows of the Euclidean distances between x and y: (first row, (rows, M))."""
    # far from the origin the differences of squares lose digits
    centre = np.mean([part.mean(0) for _, part in blocks(y)], 0)
    count = max(16, CELLS // len(y))
    for i in range(0, len(x), count):
        rows = np.asarray(x[i : i + count], np.float64) - centre
        out = np.empty((len(rows), len(y)))
        for j, part in blocks(y):
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
    real, fake = checked(real, fake)
    if len(real) != len(fake) or len(real) <= k:
        numbers = f"{len(real)} real and {len(fake)} fake images"
        raise UserError(f"{numbers}: give equal numbers, more than k = {k}")
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
