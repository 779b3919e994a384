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
from .cost import CARDS, SHARE, TRAINED, cost, images_of, networks, parts


def table(run, cfg, notebooks=chapters.NOTEBOOKS, card=None):
    """A row for each stage: notebook, stage, finished, path, seconds, memory and disk in GiB; of this machine or a card."""
    n, rows = images_of(cfg), []
    for facts in stages(run, cfg, notebooks).values():
        seconds, memory, disk = cost(facts, cfg, n, card)
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


def on_card(run, cfg, card):
    """What a run takes on a card of cost.CARDS: (seconds left, GiB of a process, {stage: (parts, GiB)}).

    parts: of a batch, the fewest that fit, for the stages that do not fit as the profile has it; None: none does.
    """
    found, better = table(run, cfg, card=card), {}
    for facts in stages(run, cfg).values():
        own = facts["inputs"].get("accumulate", 0)
        if own and better.get(facts["stage"]) is None:
            fits = parts(facts, cfg, card)
            if fits is None or fits[0] > own:
                better[facts["stage"]] = fits
    return summary(found)[1], float(found.memory.max()), better


def card_words(run, cfg, card):
    """`on_card` as lines of text."""
    seconds, memory, better = on_card(run, cfg, card)
    peak, _, size = CARDS[card]
    yield (
        f"On {card} ({peak:g} TFLOP/s, {size} GB): {words(seconds)} in the networks, {memory:.1f} GiB. Assumed, not "
        f"measured: {SHARE:.0%} of the peak. What processors do (reading, hair, measures) comes on top."
    )
    for name, fits in better.items():
        if fits is None:
            yield f"{name} does not fit on {card}, not even an image at a time."
        else:
            change = f"accumulate = {fits[0]} under [{cfg.profile}] of skinsynth/core/profiles.toml"
            yield f"{name} does not fit on {card} as it is; with {change} it takes {fits[1]:.1f} GiB."


def told(run, cfg, cards=()):
    """The plan of a run on this machine, then on cards of cost.CARDS, as lines of text."""
    found = table(run, cfg)
    shown, left = summary(found)
    yield shown.to_string(index=False, float_format="{:.2f}".format)
    memory, disk = shown.memory_GiB.max(), shown.disk_GiB.sum()
    yield (
        f"On {machine.sentence()}: {words(left)} of stages left, at most {memory:.1f} GiB of memory in a "
        f"process, {disk:.1f} GiB of disk in all, and {checkpoint(cfg, found):.1f} GiB for checkpoints. "
        "Estimates, from the speed of small networks measured just now: too long if other programs are busy."
    )
    for card in cards:
        yield from card_words(run, cfg, card)


def checkpoint(cfg, found):
    """GiB on disk while the largest network is trained: its checkpoint, and the next beside it."""
    kinds = {k for name in set(found.stage) for k in TRAINED.get(name, ())}
    return 2 * 16 * max((networks(cfg)[k][2] for k in kinds), default=0) / 2**30


def words(seconds):
    """A duration as a person says it."""
    for unit, size, most in (("s", 1, 90), ("minutes", 60, 5400), ("hours", 3600, 4 * 86400)):
        if seconds < most:
            return f"{seconds / size:.{int(unit == 'hours')}f} {unit}"
    # of large networks, counted by the speed of small ones: a number would be believed
    return f"{seconds / 86400:.0f} days" if seconds < 365 * 86400 else "more than a year"


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
