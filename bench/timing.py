"""Two ways of one thing, timed in turn."""

import time

import numpy as np


def interleaved(ways, repeats=7):
    """Seconds of each way, {name: median of repeats taken in turn}; the first round warms up."""
    seconds = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(s[1:])) for name, s in seconds.items()}


def rows(what, seconds, n, unit="images per second", note=""):
    """Rows of a table: the first way against the others; ratio is how many times as fast the first is."""
    first = next(iter(seconds.values()))
    value = (lambda s: n / s) if "per second" in unit else (lambda s: s)
    return [
        {
            "what": what,
            "way": way,
            "n": n,
            "value": value(s),
            "unit": unit,
            "ratio": s / first,
            "note": note if i == 0 else "",
        }
        for i, (way, s) in enumerate(seconds.items())
    ]
