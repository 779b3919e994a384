"""The panel of metrics of one set of samples: features, floors, intervals. Rows of Tables 2 and 5."""

from dataclasses import dataclass

import numpy as np

from . import encoders, metrics, stats
from .arrays import content_hash, load_array, stream_array
from .config import CLASSES
from .machine import device
from .standard import INCEPTION, NotComputed, inception
from .store import code_hash
from .vae import round_trip

BATCH = 64


@dataclass(frozen=True)
class Features:
    """What is measured of a set of images: features, class probabilities, ids of what goes together."""

    features: np.ndarray  # (N, D)
    probabilities: np.ndarray  # (N, classes)
    labels: np.ndarray  # (N,) class codes
    groups: np.ndarray  # (N,) jackknife group numbers

    def __getitem__(self, rows):
        return Features(self.features[rows], self.probabilities[rows], self.labels[rows], self.groups[rows])


class Judge:
    """Turns images into Features: Inception where its weights are, the micro encoder otherwise.

    names: how the distances must be called in a table, so that no stand-in bears a standard name.
    The same pixels are measured once in a run: features lie under run.root/features, and are read
    from there, memory-mapped.
    """

    def __init__(self, run, measure, probe):
        self.folder = run.root / "features"
        self.encoder, self.probe = encoders.load_encoder(measure), encoders.load_classifier(probe)
        self.network = inception(device())
        self.inception = not isinstance(self.network, NotComputed)
        self.names = ("FID", "KID", "IS") if self.inception else ("FD-micro", "KID-micro", "IS-probe")
        self.key = f"{INCEPTION if self.inception else (measure.key, probe.key)} {code_hash('panel')}"

    def _measure(self, images):
        """(features, probabilities) of a few images."""
        if self.inception:
            return self.network(images)
        return encoders.in_batches(self.encoder.embed, images), encoders.probabilities(self.probe, images)

    def __call__(self, images, labels, ids):
        """images uint8 (N,H,W,3), labels (N,) codes, ids (N,) lesions or seeds."""
        path = self.folder / f"{content_hash(images, self.key)}.npy"
        if not path.exists():
            parts = (self._measure(images[i : i + BATCH]) for i in range(0, len(images), BATCH))
            stream_array(path, len(images), (np.concatenate(both, 1).astype(np.float32) for both in parts))
        found, classes = load_array(path), 1008 if self.inception else len(CLASSES)
        groups = stats.make_groups(np.asarray(ids))
        return Features(found[:, :-classes], found[:, -classes:], np.asarray(labels), groups)


def matched(real_labels, fake_labels, seed=0):
    """Rows of two sets with the same number of each class in both: (real rows, fake rows)."""
    rng = np.random.default_rng(seed)
    both = ([], [])
    for c in np.unique(real_labels):
        pools = [np.flatnonzero(np.asarray(x) == c) for x in (real_labels, fake_labels)]
        n = min(map(len, pools))
        for chosen, pool in zip(both, pools, strict=True):
            chosen.append(np.sort(rng.permutation(pool)[:n]))
    return np.concatenate(both[0]), np.concatenate(both[1])


def floors(judge, images, records, real, train, vae, seed=0):
    """{name: Features} of what no generator can beat: other originals, and those through the VAE.

    real, train: rows of the set; as many train images of each class are taken as there are real.
    """
    _, other = matched(records.dx[real], records.dx[train], seed)
    other = train[other]
    given = records.dx[other], records.lesion_id[other]
    return {
        "original train images (floor)": judge(images[other], *given),
        "original train images through the 8ch VAE (floor)": judge(round_trip(vae, images[other]), *given),
    }


def floor_rows(judge, real, floors, seed=0):
    """Their rows of a table, at equal numbers."""
    rows = []
    for name, floor in floors.items():
        same, fewer = matched(real.labels, floor.labels, seed)
        rows.append(row(judge, name, real[same], floor[fewer]))
    return rows


def row(judge, name, real, fake):
    """One row of a table: distances and scores of `fake` against `real`, with intervals."""
    distance, kernel, score = judge.names
    args = (real.features, fake.features, real.groups, fake.groups)
    found = {
        distance: stats.within(metrics.with_interval(metrics.frechet_distance, *args), 0, np.inf),
        kernel: metrics.with_interval(metrics.kid, *args),
        score: metrics.inception_score_interval(fake.probabilities, fake.groups),
        **metrics.prdc_with_interval(*args),
    }
    return {"model": name, "n": len(fake.labels)} | stats.columns(found)


def parts(table):
    """A table of `row`s in two that fit a page: distances and scores; precision to coverage."""
    shares = [c for c in table if c.startswith(("precision", "recall", "density", "coverage"))]
    return table.drop(columns=shares), table[["model", "n", *shares]]


def fd_difference(real, a, b, label=""):
    """Frechet distance of a minus that of b to the same real images, over the same groups."""
    return metrics.difference_with_interval(
        metrics.frechet_distance, real.features, a.features, b.features, real.groups, a.groups, b.groups, label
    )


def excess_share(real, fake, floor, far, seed=0):
    """Of the way from the floor to a set that is plainly wrong, how much lies between real and fake.

    (FD(fake) - FD(floor)) / (FD(far) - FD(floor)), all to `real`: 0 is as near as other originals, 1
    as far as `far`. All sets are cut to equal numbers, since the distance's bias depends on them;
    real and fake have the same classes in the same order (`matched`). Jackknife over the groups of
    all four sets.
    """
    same, fewer = matched(real.labels, floor.labels, seed)
    n, rng = min(len(fewer), len(far.labels)), np.random.default_rng([seed, 1])
    cut = rng.permutation(len(fewer))[:n]
    sets = (real[same[cut]], fake[same[cut]], floor[fewer[cut]], far[rng.permutation(len(far.labels))[:n]])
    ends = np.cumsum([len(x.labels) for x in sets])[:-1]

    def statistic(keep):
        own, *others = (x.features[k] for x, k in zip(sets, np.split(keep, ends), strict=True))
        a, b, c = (metrics.frechet_distance(own, other) for other in others)
        return (a - b) / (c - b)

    return stats.jackknife(statistic, np.concatenate([x.groups for x in sets]), n=n)


def is_ratio(a, b, label=""):
    """ln(IS of a / IS of b), jackknife over seed groups."""
    return metrics.inception_score_ratio(a.probabilities, b.probabilities, a.groups, b.groups, label)
