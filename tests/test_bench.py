"""The benchmarks run and say which way is which."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, write_notebook

sys.path.insert(0, str(ROOT / "bench"))
import library  # noqa: E402
import memory  # noqa: E402
import method  # noqa: E402
import robust  # noqa: E402
import run as bench  # noqa: E402
import timing  # noqa: E402
import train  # noqa: E402

from skinsynth.book import pages  # noqa: E402


def test_ways_are_timed_in_turn():
    order = []
    seconds = timing.interleaved(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=2
    )
    assert "".join(order) == "ababab" and set(seconds) == {"a", "b"}
    first, second = timing.rows("x", {"ours": 2.0, "theirs": 6.0}, 12)
    assert (first["value"], first["ratio"], second["value"], second["ratio"]) == (
        6.0,
        1.0,
        2.0,
        3.0,
    )
    assert timing.rows("x", {"ours": 2.0}, 12, "seconds")[0]["value"] == 2.0


def test_the_book_keeps_a_row_for_each_kind_of_machine(tmp_path, monkeypatch):
    def row(processor, cold):
        about = {
            "processor": processor,
            "instructions": "AVX2",
            "precision": "float32",
            "threads": 2,
        }
        return [about | {"01": 60.0, "site": 40.0, "cold": cold, "warm": 9.0, "prose": 50.0}]

    for processor, cold in (("first", 900.0), ("second", 700.0), ("first", 800.0)):
        monkeypatch.setitem(bench.BENCHMARKS, "book", lambda p=processor, c=cold: row(p, c))
        bench.main(["book"], tmp_path)
    table = pd.read_csv(tmp_path / "book.csv")
    assert list(zip(table.processor, table.cold, strict=True)) == [
        ("second", 700.0),
        ("first", 800.0),
    ]
    page = pages.benchmarks(tmp_path)
    assert (
        "by kind of machine" in page
        and "| second | AVX2 | float32 | 2 | 60 | 40 | 700 | 9 | 50 |" in page
    )


def test_sharing_is_measured_as_a_share_of_the_speed_alone(monkeypatch):
    speeds = iter([200.0, 120.0, 90.0, 210.0, 60.0, 20.0])

    def train(order, **_):
        (Path(order[-1]) / "speed").write_text(str(next(speeds)))

    class Other:
        def __init__(self, order, **_):
            if order[1] != "-c":
                (Path(order[-1]) / "ready").touch()

        kill = wait = lambda self: None

    monkeypatch.setattr(method.subprocess, "run", train)
    monkeypatch.setattr(method.subprocess, "Popen", Other)
    found = method.threads(seconds=0.1)
    assert [round(r["value"]) for r in found] == [200, 120, 90, 210, 60, 20]
    assert found[1]["way"].endswith("beside a busy loop: 60% of that") and found[5]["way"].endswith(
        "second training: 10% of that"
    )


def test_training_says_its_speed(tmp_path):
    train.main("lanes", 0.5, tmp_path)
    assert (tmp_path / "ready").exists() and float((tmp_path / "speed").read_text()) > 1


def test_a_benchmark_writes_a_table_that_the_book_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(
        library,
        "interleaved",
        lambda ways: {k: 1.0 + i for i, (k, w) in enumerate(ways.items()) if w() is not None},
    )
    bench.main(["hair"], tmp_path)
    table = pd.read_csv(tmp_path / "hair.csv")
    assert list(table.way) == ["skinsynth", "textbook"] and table.ratio.tolist() == [1.0, 2.0]
    page = pages.benchmarks(tmp_path)
    assert (
        "**Hair removal, 600x450, one core**" in page
        and "| textbook | 8 | 4 | images per second | 2.00\u00a0× |" in page
        and table.commit[0] in page
    )
    assert pages.benchmarks(tmp_path / "none") == ""
    with pytest.raises(SystemExit, match="unknown benchmark 'x'; known: sampling"):
        bench.main(["x"], tmp_path)


@pytest.mark.parametrize("task", memory.TASKS)
def test_memory_is_measured_in_a_process_of_its_own(task):
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench/memory.py"), task, "140"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert 30 < float(done.stdout.split()[-1]) < 4000


def test_corrupted_inputs_end_in_one_line_and_stay_as_they_are(tmp_path, monkeypatch):
    """Issue 20, point 12: python bench/run.py fuzz -n 50. A reader that fails or writes is found out."""
    bench.main(["fuzz"], tmp_path, 50)
    table = pd.read_csv(tmp_path / "fuzz.csv")
    assert list(table.way) == robust.KINDS and table.n.sum() == 50 and table.value.sum() == 0
    assert table.note.str.endswith(" 0 files changed").all()
    assert "| safetensors | 7 | 0 | tracebacks |" in pages.benchmarks(tmp_path)

    def broken(folder, size):
        (folder / "metadata.csv").write_text("mine")
        raise KeyError("metadata")

    monkeypatch.setattr(robust, "read_folder", broken)
    found = {r["way"]: r for r in robust.fuzz(7, say=lambda line: None)}
    assert [k for k, r in found.items() if r["value"]] == ["metadata", "samples"]
    assert found["samples"]["note"].endswith(" 1 files changed")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_that_are_killed_end_where_one_left_alone_does(tmp_path):
    """Point 12 in small: a notebook that computes two stages and a table for some seconds, killed three times."""
    body = """
import os, time
import numpy as np, pandas as pd
from skinsynth.core import store
def make(out, *, value):
    for i in range(20):
        time.sleep(0.1)
        (out / f"{i}.txt").write_text(str(value))
make.__module__ = "skinsynth.numerics.stats"
run = store.Run(os.environ["SKINSYNTH_RUN"])
for value in (1, 2):
    made = store.stage("make")(make)(run, value=value)
    names = sorted(p.name for p in made.path.glob("*.txt"))
    store.write_csv(run.tables / f"table{value}.csv", pd.DataFrame(dict(name=names)))
"""
    write_notebook(tmp_path, "01_data", body)
    (found,) = robust.kills(3, only=("01",), root=tmp_path, minutes=5)
    assert found["n"] == 3 and found["value"] == 0, found
    assert "tables compared, 0 files left half-written, 0 tracebacks" in found["note"], found
