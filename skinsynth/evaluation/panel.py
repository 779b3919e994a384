"""What judges a set of images: its features, matched sets, floors, and differences of two sets with intervals."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ..core.code import code_hash
from ..core.store import stage
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
    # function that gives the same images as Inception sees them, where its weights are: most are never asked
    inception: object = None

    def __getitem__(self, rows):
        own = self.features, self.probabilities, self.labels, self.groups
        return Features(
            *(x[rows] for x in own), self.inception and (lambda: self.inception()[rows])
        )

    def beside(self, *others):
        """What `metrics` are given of this set and of others: the features of all, then the groups of all."""
        sets = self, *others
        return *(x.features for x in sets), *(x.groups for x in sets)


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
        labels, groups = np.asarray(labels), stats.make_groups(ids)

        @cache
        def beside():
            found = self._kept(images, "inception", self.inception)
            return Features(found[:, :2048], found[:, 2048:], labels, groups)

        beside = None if isinstance(self.inception, NotComputed) else beside
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
    both = []
    for c in np.unique(real_labels):
        pools = [np.flatnonzero(np.asarray(x) == c) for x in (real_labels, fake_labels)]
        n = min(map(len, pools))
        both.append([np.sort(rng.permutation(pool)[:n]) for pool in pools])
    return tuple(np.concatenate(both, axis=1))


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


def fd_difference(real, a, b):
    """Frechet distance of a minus that of b to the same real images, over the same groups."""
    return metrics.difference_with_interval(metrics.frechet_distance, *real.beside(a, b))


def kd_difference(real, a, b):
    """The same of the kernel distance, which has no bias from few images."""
    return metrics.difference_with_interval(metrics.kid, *real.beside(a, b))


def recall_difference(real, a, b):
    """Recall of a minus that of b (k = 5): the share of the real images that lie among the fakes."""
    return metrics.prdc_difference(*real.beside(a, b))["recall"]


def margin_of_score(real, seed=0):
    """How far ln(score) of two halves of the same originals may lie apart by chance: half its 95 % interval.

    A difference of two models inside it is none that originals would not show. real: Features; whole
    groups, and so whole lesions, go into one half, and both are cut to equal numbers.
    """
    even = real.groups % 2 == 0
    halves, rng = (real[even], real[~even]), np.random.default_rng([seed, 2])
    n = min(len(half.labels) for half in halves)
    e = is_ratio(*(half[rng.permutation(len(half.labels))[:n]] for half in halves))
    return (e.high - e.low) / 2


def is_ratio(a, b):
    """ln(IS of a / IS of b), jackknife over seed groups."""
    return metrics.inception_score_ratio(a.probabilities, b.probabilities, a.groups, b.groups)
