"""The kernel distance of two sets of features; each value of the kernel is computed once."""

import numpy as np

from .features import blocks, checked


def _kernel_sums(x, y, wx, wy):
    """wx' K wy of the cubic kernel K of x and y, in blocks of both; wx (N, k), wy (M, k) are 0 or 1."""
    sums = np.zeros((wx.shape[1], wy.shape[1]))
    for i, rows in blocks(x):
        rows, part = rows / x.shape[1], np.zeros((len(rows), wy.shape[1]))
        for j, columns in blocks(y):
            kernel = rows @ columns.T
            kernel += 1
            part += (kernel * kernel * kernel) @ wy[j : j + len(columns)].astype(float)
        sums += wx[i : i + len(rows)].T.astype(float) @ part
    return sums


def _own_pairs(x, w):
    """Sums of the kernel of each image with itself, which is no pair; (k,)."""
    return sum(
        ((rows**2).sum(1) / x.shape[1] + 1) ** 3 @ w[i : i + len(rows)] for i, rows in blocks(x)
    )


def _mmd(ff, gg, fg, n, m):
    """Unbiased squared MMD from sums of the kernel over ordered pairs of n and m images."""
    return ff / (n * (n - 1)) + gg / (m * (m - 1)) - 2 * fg / (n * m)


def statistic(f, g, gf, gg):
    """KID as a function of the mask of items kept; each kernel value is computed once."""
    groups, (f, g) = np.concatenate([gf, gg]), checked(f, g)
    k = groups.max() + 1
    wf, wg = (x[:, None] == np.arange(k) for x in (gf, gg))
    ff = _kernel_sums(f, f, wf, wf) - np.diag(_own_pairs(f, wf))
    gg, fg = _kernel_sums(g, g, wg, wg) - np.diag(_own_pairs(g, wg)), _kernel_sums(f, g, wf, wg)

    def distance(keep):
        kept = np.bincount(groups[keep], minlength=k) > 0
        sums = (pairs[np.ix_(kept, kept)].sum() for pairs in (ff, gg, fg))
        return _mmd(*sums, wf[:, kept].sum(), wg[:, kept].sum())

    return distance


def over_subsets(f, g, subsets, size, seed):
    """Mean of the distance over `subsets` random subsets of `size` images, as the literature reports it."""
    rng = np.random.default_rng([seed, 1])
    wf, wg = (np.zeros((len(x), subsets), bool) for x in (f, g))
    for k in range(subsets):
        for w in (wf, wg):
            w[rng.choice(len(w), size, replace=False), k] = True
    ff, gg = (np.diag(_kernel_sums(x, x, w, w)) - _own_pairs(x, w) for x, w in ((f, wf), (g, wg)))
    return float(_mmd(ff, gg, np.diag(_kernel_sums(f, g, wf, wg)), size, size).mean())
