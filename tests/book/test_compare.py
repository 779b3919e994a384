"""Two runs: what agrees within its interval agrees, and each planted difference is found."""

import pandas as pd
import pytest

from skinsynth import cli
from skinsynth.book.compare import compare
from skinsynth.core import store
from skinsynth.core.errors import UserError


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path))
    table = pd.DataFrame(
        {
            "model": ["4ch", "8ch"],
            "n": [100, 100],
            "MSE": [0.004, 0.002],
            "MSE low": [0.003, 0.0015],
            "MSE high": [0.005, 0.0025],
            "seconds": [10.0, 20.0],
        }
    )
    for name in ("one", "two"):
        table.to_csv(store.Run(name).tables / "table1.csv", index=False)
    return store.Run("one"), store.Run("two"), table


def _differing(first, second):
    found = compare(first, second)
    return found[~found.agree].column.tolist()


def test_equal_runs_agree(runs):
    assert compare(*runs[:2]).agree.all() and len(compare(*runs[:2])) == 6


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("MSE", 0.0045, []),
        ("MSE", 0.009, ["MSE"]),
        ("n", 99, ["n"]),
        ("seconds", 10.4, []),
        ("seconds", 11.0, ["seconds"]),
    ],
)
def test_planted_differences(runs, column, value, found):
    first, second, table = runs
    other = table.copy()
    other[column] = other[column].astype(float)
    other.loc[0, column] = value
    if column == "MSE":
        other.loc[0, ["MSE low", "MSE high"]] = value - 0.001, value + 0.001
    other.to_csv(second.tables / "table1.csv", index=False)
    assert _differing(first, second) == found


def test_where_an_interval_could_not_be_had_the_values_decide(runs):
    first, second, table = runs
    for value, found in ((0.004, []), (0.005, ["MSE"])):
        for run, mse in ((first, 0.004), (second, value)):
            one = table.assign(**{"MSE": mse, "MSE low": float("nan"), "MSE high": float("nan")})
            one.to_csv(run.tables / "table1.csv", index=False)
        assert sorted(set(_differing(first, second))) == found


def test_missing_rows_and_tables_are_differences(runs):
    first, second, table = runs
    table.iloc[:1].to_csv(second.tables / "table1.csv", index=False)
    table.to_csv(first.tables / "table2.csv", index=False)
    found = compare(first, second)
    assert set(found[~found.agree].table) == {"table1", "table2"}
    assert cli.main(["compare", "one", "two"]) == 1
    with pytest.raises(UserError, match="no tables there"):
        compare(first, store.Run("none"))


def test_numbers_of_a_sentence_agree_within_their_intervals(runs):
    first, second, _ = runs
    for run, value in ((first, 0.01), (second, 0.02)):
        row = dict(what="gain", value=value, low=value - 0.1, high=value + 0.1, n=50)
        pd.DataFrame([row]).to_csv(run.tables / "numbers-02_vae.csv", index=False)
    assert _differing(first, second) == []
    pd.DataFrame([row | dict(value=0.5, low=0.4, high=0.6)]).to_csv(
        second.tables / "numbers-02_vae.csv", index=False
    )
    assert _differing(first, second) == ["value"]
