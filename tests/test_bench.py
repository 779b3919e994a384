"""The benchmarks run and say which way is which."""

import importlib.util

import pandas as pd
import pytest
from conftest import ROOT

spec = importlib.util.spec_from_file_location("bench_run", ROOT / "bench" / "run.py")
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)


def test_ways_are_timed_in_turn():
    order = []
    seconds = bench.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert "".join(order) == "ababab" and set(seconds) == {"a", "b"}


def test_hair_benchmark_writes_its_table(project, monkeypatch):
    monkeypatch.setattr(bench, "interleaved", lambda ways: {k: 1.0 + i for i, (k, w) in enumerate(ways.items()) if w() is not None})
    bench.main(["hair"])
    table = pd.read_csv(project / "results/bench/hair.csv")
    assert list(table.way) == ["skinsynth", "textbook"] and table["times as fast as textbook"].tolist() == [2.0, 1.0]
    with pytest.raises(SystemExit, match="unknown benchmark 'x'; known: hair"):
        bench.main(["x"])
