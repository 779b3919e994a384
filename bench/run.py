"""Benchmarks, each the ratio of two things timed in one run: python bench/run.py [name ...]

Medians of interleaved repeats, written to results/bench/<name>.csv. Nothing else should run meanwhile.
"""

import sys
import time

import cv2
import numpy as np
import pandas as pd
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from skinsynth import hair, hairtest, metrics, phantom, session, store
from skinsynth.config import CLASSES


def interleaved(ways, repeats=7):
    """Seconds of each way, {name: median of repeats taken in turn}; the first round warms up."""
    seconds = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(s[1:])) for name, s in seconds.items()}


def hair_removal():
    """DullRazor at 600x450 on one core against the textbook's values."""
    cv2.setNumThreads(1)
    drawn = np.stack([phantom.dermatoscopy(1, i, CLASSES[i % 7], 450).clean for i in range(8)])
    drawn = hairtest.draw(drawn, "dark", "many", "thin").images
    images = [cv2.copyMakeBorder(x, 0, 0, 75, 75, cv2.BORDER_REFLECT) for x in drawn]
    ways = {"skinsynth": hair.dullrazor, "textbook": hair.textbook}
    taken = interleaved({name: lambda f=f: [f(x) for x in images] for name, f in ways.items()})
    return [{"what": "hair removal, 600x450, one core", "way": k, "n": len(images), "images per second": len(images) / s,
             "times as fast as textbook": taken["textbook"] / s} for k, s in taken.items()]  # fmt: skip


def frechet():
    """The Frechet distance on ready features, 2,048 and 64 wide, against torch-fidelity's own."""
    rows = []
    for n, d in ((5000, 2048), (5000, 64)):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, n, d)) * np.linspace(1, 2, d) + [[[0]], [[0.1]]]

        def ours(a=a, b=b):
            return metrics.frechet_distance(a, b)

        def theirs(a=a, b=b):
            both = (fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b))
            return fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"]

        values = ours(), theirs()
        assert np.isclose(*values, rtol=1e-6), values
        taken = interleaved({"skinsynth": ours, "torch-fidelity": theirs}, 3)
        rows += [{"what": f"Frechet distance, {d} wide", "way": k, "n": n, "seconds": s,
                  "times as fast as torch-fidelity": taken["torch-fidelity"] / s} for k, s in taken.items()]  # fmt: skip
    return rows


BENCHMARKS = dict(hair=hair_removal, frechet=frechet)


def main(names):
    if wrong := set(names) - set(BENCHMARKS):
        sys.exit(f"unknown benchmark {sorted(wrong)[0]!r}; known: {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        table = pd.DataFrame(BENCHMARKS[name]()).assign(device=session.device()[1], commit=session.git_state()[0][:12])
        store.write_csv(store.results_root() / "bench" / f"{name}.csv", table)
        print(table.to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
