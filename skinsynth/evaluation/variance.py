"""Variance of embeddings: of a set, between and within paths, and a test of two paired sets."""

import numpy as np


def variance(features):
    """Trace of the covariance of L2-normalised embeddings (N,D)."""
    return float(features.var(0, ddof=1).sum())


def between_and_within(features):
    """Variance of embeddings along paths (seeds, points, D): (between the seeds' means, within the seeds).

    Traces of covariances; the within part is the mean over the seeds. One seed alone has no between.
    """
    between = variance(features.mean(1)) if len(features) > 1 else np.nan
    return between, float(features.var(1, ddof=1).sum(1).mean())


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
