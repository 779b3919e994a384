"""Intervals cover what they say they cover, on simulated data."""

import numpy as np
import pytest
from scipy.stats import norm

from skinsynth.core.errors import UserError
from skinsynth.numerics import stats
from skinsynth.numerics.stats import Estimate


def coverage(interval, truth, runs=400):
    inside = 0
    for i in range(runs):
        e = interval(np.random.default_rng([7, i]))
        inside += e.low <= truth <= e.high
    return inside / runs


def clustered(rng, n=100, sd=1.0):
    """1-4 values for each of n clusters that share an effect; the mean is 0."""
    ids = np.repeat(np.arange(n), rng.integers(1, 5, n))
    return ids, sd * rng.normal(size=n)[ids] + rng.normal(size=len(ids))


def test_t_interval_of_five_seeds_covers_and_a_percentile_bootstrap_does_not():
    def percentile(rng):
        x = rng.normal(size=5)
        means = x[rng.integers(0, 5, (300, 5))].mean(1)
        return Estimate(x.mean(), *np.quantile(means, [0.025, 0.975]), 5)

    assert 0.93 < coverage(lambda rng: stats.mean_interval(rng.normal(size=5)), 0, 1000) < 0.97
    assert coverage(percentile, 0) < 0.88  # why it is not used


def test_cluster_intervals_cover_and_ignoring_the_clusters_does_not():
    def mean(rng):
        ids, x = clustered(rng)
        return stats.mean_interval(x, clusters=ids)

    def boot(rng):
        ids, x = clustered(rng, 120)
        return stats.cluster_bootstrap(lambda i: x[i].mean(), ids, n_boot=200, seed=1)

    def jack(rng):
        ids, x = clustered(rng)
        groups = stats.make_groups(ids)
        return stats.jackknife(lambda keep: x[keep].mean(), groups)

    for interval in (mean, jack, boot):
        assert 0.93 < coverage(interval, 0, 1000) < 0.97
    assert coverage(lambda rng: stats.mean_interval(clustered(rng)[1]), 0) < 0.88


def test_share_of_clusters_covers_and_stays_between_0_and_1():
    def hits(rng, chance=0.03):
        ids, x = clustered(rng)
        return stats.share_interval(x > np.sqrt(2) * norm.ppf(1 - chance), ids)

    assert 0.92 < coverage(hits, 0.03, 1000) < 0.99
    assert all(hits(np.random.default_rng(i)).low >= 0 for i in range(50))
    never = stats.share_interval(np.zeros(150), np.repeat(np.arange(50), 3))
    assert never.low == 0 and 0.05 < never.high < 0.09 and never.n == 150
    loose = stats.share_interval(np.tile([0, 1], 50), np.arange(100))
    assert loose.low == pytest.approx(stats.wilson(50, 100).low, abs=1e-3)


def test_nested_interval_covers_new_seeds_and_ignoring_the_seeds_does_not():
    def draw(rng, seeds=5, sd=0.15):
        ids = np.repeat(np.arange(100), 2)
        lesions = np.repeat(rng.normal(size=100), 2) + rng.normal(0, 0.5, 200)
        return lesions + rng.normal(0, sd, (seeds, 1)) + rng.normal(0, 0.3, (seeds, 200)), ids

    def ignored(rng):
        x, ids = draw(rng, 3, 0.3)
        return stats.mean_interval(x.mean(0), clusters=ids)

    assert 0.93 < coverage(lambda rng: stats.nested_interval(*draw(rng)), 0, 1000) < 0.97
    assert coverage(ignored, 0, 300) < 0.85
    x, ids = draw(np.random.default_rng(0), 1)
    assert np.isnan(stats.nested_interval(x, ids).low)


def test_jackknife_of_a_difference_is_narrower_when_both_see_the_same_items():
    rng = np.random.default_rng(0)
    base = rng.normal(size=400)
    a, b = base + 0.1 * rng.normal(size=400), base
    groups = stats.make_groups(np.arange(400))
    one = stats.jackknife(lambda keep: a[keep].mean(), groups)
    both = stats.jackknife(lambda keep: a[keep].mean() - b[keep].mean(), groups)
    assert both.high - both.low < 0.3 * (one.high - one.low)


def test_paired_difference_sign_and_shape():
    e = stats.paired_difference([2, 3, 4.5], [1, 2, 3], "a - b")
    assert e.value == pytest.approx(7 / 6) and e.low > 0 and e.n == 3 and e.label == "a - b"
    with pytest.raises(UserError, match="same items"):
        stats.paired_difference([1, 2], [1])


def test_groups_keep_lesions_whole_and_even():
    ids = np.repeat(np.arange(300), np.random.default_rng(0).integers(1, 7, 300))
    groups = stats.make_groups(ids, seed=3)
    assert all(len(set(groups[ids == i])) == 1 for i in range(300))
    sizes = np.bincount(groups)
    assert len(sizes) == 20 and sizes.max() - sizes.min() <= 1
    assert (groups == stats.make_groups(ids, seed=3)).all()
    assert len(np.unique(stats.make_groups([1, 1, 2]))) == 2


def test_bootstrap_says_when_it_was_a_jackknife():
    x = np.arange(30.0)
    few = stats.cluster_bootstrap(lambda i: x[i].mean(), np.arange(30))
    many = stats.cluster_bootstrap(lambda i: i.mean(), np.arange(100), n_boot=20)
    assert "jackknife" in few.method and "bootstrap over 100" in many.method


def test_wilson_known_values():
    e = stats.wilson(0, 100)
    assert e.low == 0 and e.high == pytest.approx(0.037, abs=1e-3)
    e = stats.wilson(50, 100)
    assert (e.low, e.high) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))
    assert stats.wilson(7, 7).high == 1
    e = stats.apart(
        stats.wilson(56, 70), stats.wilson(48, 80)
    )  # Newcombe 1998, Table II, method 10
    assert (e.value, e.low, e.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_smallest_detectable_difference_has_80_percent_power():
    rng = np.random.default_rng(0)
    e = stats.mean_interval(rng.normal(size=200))
    d = stats.smallest_detectable(e)
    assert d == pytest.approx(2.8 / np.sqrt(200), rel=0.15)
    found = [stats.mean_interval(rng.normal(d, 1, 200)).low > 0 for _ in range(300)]
    assert 0.7 < np.mean(found) < 0.92
    assert norm.cdf(2.8 - 1.96) == pytest.approx(0.8, abs=0.01)


def test_nothing_to_measure_is_nan_not_a_number():
    assert np.isnan(stats.mean_interval([np.nan]).value)
    assert np.isnan(stats.mean_interval([1.0]).low)
    assert np.isnan(stats.jackknife(lambda keep: 1.0, [0, 0, 0]).low)


@pytest.mark.parametrize("seeds", [3, 9, 20])
def test_halves_cover_a_mean_over_few_or_many_seeds(seeds):
    """The smaller set decides the degrees of freedom, though the other has many groups."""
    groups, inside = (np.arange(200) % 20, np.arange(60) % seeds), 0
    for k in range(200):
        x = np.random.default_rng([7, k]).normal(size=seeds)[groups[1]]
        masks = stats.half_samples(*groups, seed=k)
        e = stats.from_halves(np.array([x[mask[200:]].mean() for mask in masks]), groups)
        inside += e.low <= 0 <= e.high
    assert 0.9 < inside / 200 <= 0.99 and e.n == 60


def test_what_cannot_be_halved_has_no_interval():
    linked = np.array([0, 1]), np.array([0, 2]), np.array([1, 2])
    for groups in ((np.arange(9), np.zeros(4, int)), linked):
        masks = stats.half_samples(*groups)
        assert masks.shape == (1, sum(map(len, groups))) and masks.all()
        e = stats.from_halves(np.ones(1), groups)
        assert e.value == 1 and np.isnan(e.low) and np.isnan(e.high)
