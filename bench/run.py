"""Benchmarks: python bench/run.py [name ...] [--out folder] [-n number]

Each is the ratio of two things measured in one run, medians of interleaved repeats where they are short,
and one table in bench/results/. Nothing else should run meanwhile. The book's status page shows the
tables. All together take about an hour on two cores; the `micro` run has to be there (make book). Only by name:
`kills` (of a run, 100 by default; at most an hour), `fuzz` (corrupted inputs, 1,000 by default) and `sizes` (the
networks of `paper` as large as they are, with random weights: time, memory, and of a card the share of its peak).
"""

import argparse
import sys
from pathlib import Path

import library
import memory
import method
import pandas as pd
import robust
import sizes

from skinsynth.core import machine, store
from skinsynth.project import state

BENCHMARKS = dict(
    sampling=method.sampling,
    training=method.training,
    step=method.step,
    processes=method.processes,
    threads=method.threads,
    hair=library.hair_removal,
    frechet=library.frechet,
    kernel=library.kernel,
    inception=library.inception,
    book=library.book,
    memory=memory.benchmark,
)
NAMED = dict(sizes=sizes.benchmark)  # minutes, and up to 12 GB of memory
COUNTED = dict(kills=robust.kills, fuzz=robust.fuzz)  # how robust, not how fast


def kept(path, table):
    """A table with the rows of other kinds of machine that its file holds already."""
    old = pd.read_csv(path) if path.exists() else table
    return pd.concat([old, table])[list(table)].drop_duplicates(
        ["processor", "instructions", "precision", "threads"], keep="last"
    )


def main(names, out, n=None):
    known = BENCHMARKS | NAMED | COUNTED
    if wrong := set(names) - set(known):
        sys.exit(f"unknown benchmark {sorted(wrong)[0]!r}; known: {', '.join(known)}")
    commit, dirty = state.git_state().values()
    for name in names or BENCHMARKS:
        table = pd.DataFrame(known[name](**{"n": n} if n and name in COUNTED else {})).assign(
            device=machine.sentence(), commit=commit[:12] + " with local changes" * dirty
        )
        table = kept(Path(out) / f"{name}.csv", table) if name == "book" else table
        store.write_csv(Path(out) / f"{name}.csv", table)
        print(table.to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="name", help=", ".join(BENCHMARKS | NAMED | COUNTED)
    )
    parser.add_argument("--out", default=Path(__file__).with_name("results"))
    parser.add_argument("-n", type=int, help="kills or corrupted inputs")
    given = parser.parse_args()
    main(given.names, given.out, given.n)
