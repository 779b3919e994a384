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


def _radii(x, parts, k):
    """(parts, N) distance of each row to its k-th nearest other row in each part, a mask (N,); of few the farthest."""
    out = np.empty((len(parts), len(x)))
    for i, d in _distances(x, x):
        d[np.arange(len(d)), np.arange(i, i + len(d))] = 0  # itself, whatever the rounding says
        for own, part in zip(out, parts, strict=True):
            last = min(k, part.sum() - 1)
            own[i : i + len(d)] = np.partition(d[:, part], last, axis=1)[:, last]
    return out


def prdc(real, fake, k=5, parts=None):
    """Precision, recall, density and coverage as one value an image; their means are the metrics.

    real, fake: (N, D) of equal N. Returns dict: precision, density (a value a fake image), recall,
    coverage (a value a real image). Precision: the fake lies in the k-nearest-neighbour ball of
    some real image; recall: the real lies in a ball of some fake (Kynkaanniemi et al. 2019);
    density, coverage: Naeem et al. 2020. parts: [(mask of real, mask of fake)]; then a list of such dicts, as if
    there were no other images. Raises UserError if the numbers differ or are too small.
    """
    real, fake = checked(real, fake)
    if len(real) != len(fake) or len(real) <= k:
        numbers = f"{len(real)} real and {len(fake)} fake images"
        raise UserError(f"{numbers}: give equal numbers, more than k = {k}")
    asked = parts or [(np.ones(len(real), bool),) * 2]
    masks = list(zip(*asked, strict=True))
    radii = [_radii(x, own, k) for x, own in zip((real, fake), masks, strict=True)]
    inside = np.zeros((len(asked), len(real)))
    recall, coverage = np.empty_like(inside), np.empty_like(inside)
    for i, d in _distances(real, fake):  # rows real, columns fake
        rows = slice(i, i + len(d))
        for p, (own, other) in enumerate(asked):
            ball = d < radii[0][p, rows, None]
            inside[p] += ball[own[rows]].sum(0)
            coverage[p, rows] = ball[:, other].any(1)
            recall[p, rows] = (d < radii[1][p])[:, other].any(1)
    found = [
        dict(
            precision=(inside[p, other] > 0) * 1.0,
            recall=recall[p, own],
            density=inside[p, other] / k,
            coverage=coverage[p, own],
        )
        for p, (own, other) in enumerate(asked)
    ]
    return found if parts else found[0]
