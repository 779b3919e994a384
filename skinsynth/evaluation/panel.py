"""What judges a set of images: its features, matched sets, floors, and differences of two sets with intervals."""

from dataclasses import dataclass

import numpy as np

from ..core.code import code_hash
from ..core.store import stage
from ..diffusion.vae import round_trip
from ..networks.classifiers import in_batches
from ..networks.published import SIDE, EfficientNet, inception
from ..networks.table import NETWORKS
from ..networks.weights import NotComputed
from ..numerics import stats
from ..numerics.arrays import content_hash, load_array, map_array, stream_array
from . import metrics

BATCH = 256  # images measured before they are written
WIDTH = 1280  # of EfficientNet's features
# only Inception's are FID, KID and IS
NAMES = ("FD-EfficientNet", "KD-EfficientNet", "score-EfficientNet")
DISTANCES = (metrics.frechet_distance, metrics.kid)


@dataclass(frozen=True)
class Features:
    """What is measured of a set of images: features, class probabilities, ids of what goes together."""

    features: np.ndarray  # (N, D)
    probabilities: np.ndarray  # (N, classes) of ImageNet
    labels: np.ndarray  # (N,) class codes
    groups: np.ndarray  # (N,) jackknife group numbers
    inception: object = None  # the same images as Inception sees them, where its weights are

    def __getitem__(self, rows):
        beside = self.inception and self.inception[rows]
        return Features(
            self.features[rows],
            self.probabilities[rows],
            self.labels[rows],
            self.groups[rows],
            beside,
        )


class Judge:
    """Turns images into Features, by EfficientNet-Lite0, and by Inception where its weights are.

    run: the same pixels are measured once in a run; features lie under run.root/features and are read
    from there, memory-mapped. Without a run nothing is kept.
    """

    names = NAMES

    def __init__(self, run=None):
        self.folder = run and run.root / "features"
        self.net, self.inception, self.near = EfficientNet(), inception(), EfficientNet(side=0)

    def embed(self, images):
        """(N, 1280) features of uint8 images (N,H,W,3) at their own size: for what asks for a whole, not for detail."""
        return in_batches(self.near.embed, images, 32)

    def _kept(self, images, network, measure):
        parts = (measure(images[i : i + BATCH]) for i in range(0, len(images), BATCH))
        if not self.folder:
            return np.concatenate(list(parts))
        key = f"{NETWORKS[network].digest} {SIDE} {code_hash('evaluation.panel')}"
        path = self.folder / f"{content_hash(images, key)}.npy"
        return load_array(path) if path.exists() else stream_array(path, len(images), parts)

    def __call__(self, images, labels, ids):
        """images uint8 (N,H,W,3), labels (N,) codes, ids (N,) lesions or seeds."""
        labels, groups, beside = np.asarray(labels), stats.make_groups(np.asarray(ids)), None
        if not isinstance(self.inception, NotComputed):
            found = self._kept(images, "inception", self.inception)
            beside = Features(found[:, :2048], found[:, 2048:], labels, groups)
        found = self._kept(
            images, "efficientnet-lite0", lambda x: in_batches(self.net.measure, x, 16)
        )
        return Features(found[:, :WIDTH], found[:, WIDTH:], labels, groups, beside)


@stage("features")
def cache_features(out, *, images):
    """Features of all images of a stage at their own size, in its order."""
    map_array(out / "embeddings.npy", Judge().embed, load_array(images / "images.npy"))


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
        "original train images through the 8ch VAE (floor)": judge(
            round_trip(vae, images[other]), *given
        ),
    }


def equal_numbers(real, fake, seed=0):
    """Two Features cut to equal numbers of each class: (real, fake).

    A fake set of one class only is held against as many images of all classes.
    """
    if len(np.unique(fake.labels)) == 1:
        n = min(len(real.labels), len(fake.labels))
        some = np.random.default_rng(seed).permutation(len(real.labels))[:n]
        return real[some], fake[:n]
    same, fewer = matched(real.labels, fake.labels, seed)
    return real[same], fake[fewer]


def _beside(real, a, b):
    """What the differences of `metrics` are given."""
    return real.features, a.features, b.features, real.groups, a.groups, b.groups


def fd_difference(real, a, b, label=""):
    """Frechet distance of a minus that of b to the same real images, over the same groups."""
    return metrics.difference_with_interval(
        metrics.frechet_distance, *_beside(real, a, b), label=label
    )


def recall_difference(real, a, b):
    """Recall of a minus that of b (k = 5): the share of the real images that lie among the fakes."""
    return metrics.prdc_difference(*_beside(real, a, b))["recall"]


def is_ratio(a, b, label=""):
    """ln(IS of a / IS of b), jackknife over seed groups."""
    return metrics.inception_score_ratio(
        a.probabilities, b.probabilities, a.groups, b.groups, label
    )
