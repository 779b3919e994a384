"""The ladder: a row for each rung, in order, with what a sample costs there."""

from dataclasses import replace

from skinsynth.core import versions
from skinsynth.evaluation import ladder


def test_evaluations_count_a_second_one_only_where_something_guides():
    assert ladder.evaluations(versions.RELEASED, 8) == 750
    assert ladder.evaluations(versions.RECOMMENDED, 8) == 16
    assert ladder.evaluations(replace(versions.RELEASED, pass_class=True), 8) == 1500
    assert ladder.evaluations(replace(versions.RECOMMENDED, pass_class=False), 8) == 16


def test_costs_are_known_before_anything_is_trained():
    table = ladder.costs(8)
    assert list(table.model) == [name for name, _ in versions.ladder()]
    assert table.evaluations.iloc[0] == 750 and table.evaluations.iloc[-1] == 16


def test_rungs_that_are_too_long_are_named():
    assert ladder.left_out(100) == ["released (750 sampling steps)"]
    assert ladder.left_out(1000) == []
