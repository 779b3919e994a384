"""The benchmarks run and say which way is which."""

import subprocess
import sys

import pandas as pd
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "bench"))
import library  # noqa: E402
import memory  # noqa: E402
import run as bench  # noqa: E402
import timing  # noqa: E402

from skinsynth import book  # noqa: E402


def test_ways_are_timed_in_turn():
    order = []
    seconds = timing.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2)
    assert "".join(order) == "ababab" and set(seconds) == {"a", "b"}
    first, second = timing.rows("x", {"ours": 2.0, "theirs": 6.0}, 12)
    assert (first["value"], first["ratio"], second["value"], second["ratio"]) == (6.0, 1.0, 2.0, 3.0)
    assert timing.rows("x", {"ours": 2.0}, 12, "seconds")[0]["value"] == 2.0


def test_a_benchmark_writes_a_table_that_the_book_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "interleaved", lambda ways: {k: 1.0 + i for i, (k, w) in enumerate(ways.items()) if w() is not None})
    bench.main(["hair"], tmp_path)
    table = pd.read_csv(tmp_path / "hair.csv")
    assert list(table.way) == ["skinsynth", "textbook"] and table.ratio.tolist() == [1.0, 2.0]
    page = "\n".join(book.benchmarks(tmp_path))
    assert "| hair removal, 600x450, one core | textbook | 8 | 4 | images per second | 2.00 |" in page and table.commit[0] in page
    assert book.benchmarks(tmp_path / "none") == []
    with pytest.raises(SystemExit, match="unknown benchmark 'x'; known: sampling"):
        bench.main(["x"], tmp_path)


@pytest.mark.parametrize("task", memory.TASKS)
def test_memory_is_measured_in_a_process_of_its_own(task):
    done = subprocess.run([sys.executable, str(ROOT / "bench/memory.py"), task, "140"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert 30 < float(done.stdout.split()[-1]) < 4000
