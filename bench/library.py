"""Hair removal, distances and the book's own command against the textbook and torch-fidelity."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from timing import interleaved, rows
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from skinsynth import phantom
from skinsynth.core import machine, store
from skinsynth.core.config import CLASSES
from skinsynth.data import hair, hairtest
from skinsynth.evaluation import metrics


def hair_removal():
    """DullRazor at 600x450 on one core against the textbook's values."""
    cv2.setNumThreads(1)
    drawn = np.stack([phantom.dermatoscopy(1, i, CLASSES[i % 7], 450).clean for i in range(8)])
    drawn = hairtest.draw(drawn, "dark", "many", "thin").images
    images = [cv2.copyMakeBorder(x, 0, 0, 75, 75, cv2.BORDER_REFLECT) for x in drawn]
    ways = {"skinsynth": hair.dullrazor, "textbook": hair.textbook}
    taken = interleaved({name: lambda f=f: [f(x) for x in images] for name, f in ways.items()})
    return rows("hair removal, 600x450, one core", taken, len(images))


def _features(n, d):
    return np.random.default_rng(0).normal(size=(2, n, d)) * np.linspace(1, 2, d) + [[[0]], [[0.1]]]


def frechet():
    """The Frechet distance on ready features, 2,048 and 64 wide, against torch-fidelity's own."""
    found = []
    for n, d, repeats in ((5000, 2048, 3), (5000, 64, 15)):
        a, b = _features(n, d)

        def ours(a=a, b=b):
            return metrics.frechet_distance(a, b)

        def theirs(a=a, b=b):
            both = (fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b))
            return fid_statistics_to_metric(*both, verbose=False)["frechet_inception_distance"]

        values = ours(), theirs()
        assert np.isclose(*values, rtol=1e-6), values
        found += rows(
            f"Frechet distance, {d} wide",
            interleaved({"skinsynth": ours, "torch-fidelity": theirs}, repeats),
            n,
            "seconds",
        )
    return found


def kernel():
    """KID over 100 subsets of 1,000, and over 20 leave-out groups, against torch-fidelity's subsets."""
    found = []
    for d, repeats in ((2048, 1), (64, 5)):
        a, b = _features(2000, d) / d**0.5

        def ours(a=a, b=b):
            return metrics.kid(a, b, subsets=100, subset_size=1000)

        def theirs(a=a, b=b):
            return kid_features_to_metric(
                torch.from_numpy(a),
                torch.from_numpy(b),
                kid_subsets=100,
                kid_subset_size=1000,
                verbose=False,
            )

        def interval(a=a, b=b):
            groups = np.arange(len(a)) % 20
            return metrics.with_interval(metrics.kid, a, b, groups, groups)

        ways = {
            "skinsynth, 100 subsets": ours,
            "torch-fidelity, 100 subsets": theirs,
            "skinsynth, all pairs, with interval": interval,
        }
        assert np.isclose(ours(), theirs()["kernel_inception_distance_mean"], rtol=0.2)
        found += rows(f"KID, {d} wide", interleaved(ways, repeats), 2000, "seconds")
    return found


class _Pictures(torch.utils.data.Dataset):
    def __init__(self, images):
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i]


def inception():
    """Features, FID and KID of images by Inception (random weights) against calculate_metrics.

    The weights are drawn, so that the benchmark needs no download; the time does not depend on them.
    """
    images = np.stack([phantom.dermatoscopy(1, i, CLASSES[i % 7], 64).image for i in range(128)])
    sets = images[:64], images[64:]

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            return None

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inception.pth"
        torch.manual_seed(0)
        torch.save({}, path)
        state = Untrained("drawn", ["2048"], feature_extractor_weights_path=str(path)).state_dict()
        torch.save(state, path)
        net = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        )

        def ours():
            with torch.no_grad():
                a, b = (
                    np.concatenate(
                        [
                            net(torch.from_numpy(x[i : i + 32]).permute(0, 3, 1, 2))[0].numpy()
                            for i in (0, 32)
                        ]
                    )
                    for x in sets
                )
            groups = np.arange(64) % 20
            return [
                metrics.with_interval(m, a, b, groups, groups)
                for m in (metrics.frechet_distance, metrics.kid)
            ]

        def theirs():
            return calculate_metrics(
                input1=_Pictures(sets[0]),
                input2=_Pictures(sets[1]),
                cuda=False,
                fid=True,
                kid=True,
                kid_subset_size=32,
                batch_size=32,
                feature_extractor_weights_path=str(path),
                verbose=False,
                cache=False,
            )

        taken = interleaved({"skinsynth, with intervals": ours, "torch-fidelity": theirs}, 1)
    return rows("Inception features, FID and KID of 64 x 2 images", taken, 128)


def book():
    """Seconds of `make book` (the commands `skinsynth run` and `skinsynth book`) on a copy of the project: cold,
    notebook by notebook, again with nothing changed, and after a change of prose."""
    root, row = store.ROOT, {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("_config.yml", "_toc.yml", "index.md"):
            shutil.copy(root / name, copy)
        for name in ("book", "notebooks", "bench"):
            shutil.copytree(
                root / name, copy / name, ignore=shutil.ignore_patterns("executed", "generated")
            )
        variables = os.environ | {
            "SKINSYNTH_ROOT": folder,
            "SKINSYNTH_RESULTS": str(copy / "results"),
            "PYTHONPATH": str(store.ROOT),
        }

        def timed(*command):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "skinsynth.cli", *command],
                check=True,
                capture_output=True,
                env=variables,
            )
            return time.perf_counter() - start

        run, site = timed("run"), timed("book")
        entries = store.read_json(copy / "results" / "micro" / "manifest.json")["notebooks"]
        row |= {name[:2]: entry["seconds"] for name, entry in entries.items()}
        row |= {"site": site, "cold": run + site, "warm": timed("run") + timed("book")}
        page = copy / "notebooks" / "02_vae.ipynb"
        page.write_text(
            page.read_text().replace("Stage 1", "Stage one").replace("# ", "# More on: ", 1)
        )
        row["prose"] = timed("run") + timed("book")
    facts = machine.describe()
    about = {
        "processor": facts["processor"],
        "instructions": facts["instructions"],
        "precision": facts["precision"],
        "threads": facts["threads"],
    }
    return [about | {k: round(v) for k, v in row.items()}]
