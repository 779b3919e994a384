"""What a run will cost before it begins: its stages, finished or not, with their time, memory and disk."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pandas as pd
from tqdm import tqdm

from ..core import machine
from ..project import chapters
from .asked import stages
from .cost import cost, images_of


def table(run, cfg, notebooks=chapters.NOTEBOOKS):
    """A row for each stage: notebook, stage, finished, path, seconds, memory and disk in GiB."""
    n, rows = images_of(cfg), []
    for facts in stages(run, cfg, notebooks).values():
        seconds, memory, disk = cost(facts, cfg, n)
        known = {k: facts[k] for k in ("notebook", "stage", "finished", "path")}
        rows.append(known | dict(seconds=facts["seconds"] or seconds, memory=memory, disk=disk))
    return pd.DataFrame(rows)


def summary(found):
    """`table` with stages of one kind in one row, and what is left: (DataFrame, seconds)."""
    left = found.seconds.where(~found.finished, 0.0)
    grouped = found.assign(left=left).groupby(["notebook", "stage"], sort=False)
    shown = grouped.agg(
        stages=("stage", "size"),
        finished=("finished", "sum"),
        minutes_left=("left", "sum"),
        memory_GiB=("memory", "max"),
        disk_GiB=("disk", "sum"),
    )
    return shown.assign(minutes_left=shown.minutes_left / 60).reset_index(), float(left.sum())


def words(seconds):
    """A duration as a person says it."""
    for unit, size, most in (("s", 1, 90), ("minutes", 60, 5400), ("hours", 3600, 4 * 86400)):
        if seconds < most:
            return f"{seconds / size:.{int(unit == 'hours')}f} {unit}"
    return f"{seconds / 86400:.0f} days"


@contextmanager
def announced(run, cfg, notebooks, say):
    """Say how long the stages that are left will take; in a terminal show it as a bar while the block lasts.

    Nothing is said where every stage is finished.
    """
    if all(facts["finished"] for facts in stages(run, cfg, notebooks).values()):
        yield
        return
    found = table(run, cfg, notebooks)
    waiting = found[~found.finished]
    seconds = waiting.seconds.sum()
    left = f"{len(waiting)} of {len(found)} stages are left"
    say(f"{left}: about {words(seconds)} on {machine.sentence()}")
    over, form = threading.Event(), "{percentage:3.0f}% {bar} {elapsed} gone, {remaining} left"
    with tqdm(total=seconds, bar_format=form, disable=None) as bar, ThreadPoolExecutor() as threads:
        threads.submit(_watch, waiting, bar, over)
        try:
            yield
        finally:
            over.set()


def _watch(waiting, bar, over):
    """Move a bar by the cost of the stages that are finished, and through the one that is under way by the clock."""
    done, since = 0.0, time.monotonic()
    while not over.wait(2):
        ready = np.array([(path / "stage.json").exists() for path in waiting.path])
        now = waiting.seconds[ready].sum()
        done, since = (now, time.monotonic()) if now > done else (done, since)
        under_way = waiting.seconds[~ready].iloc[:1].sum()
        bar.n = min(bar.total, done + min(time.monotonic() - since, 0.95 * under_way))
        bar.refresh()
