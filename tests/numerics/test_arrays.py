"""Arrays and tables: which rows stand for a set."""

from skinsynth.numerics import arrays


def test_spread_reaches_both_ends_without_repeating():
    assert list(arrays.spread(10, 4)) == [0, 3, 6, 9]
    assert list(arrays.spread(3, 48)) == [0, 1, 2]
