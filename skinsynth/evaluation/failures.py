"""Failures (Fig 13): a score for samples that reflect hair or colour excessively, and how often it is high."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from ..data import hair
from ..numerics import stats
from . import measures
from .compared import Compared
from .panel import matched

PARTS = ("hair", "colour", "features")
NEIGHBOURS = 3
PASS = 0.99  # share of the train images below the threshold


def hair_cover(images):
    """(N,) share of pixels that the hair detector marks in uint8 images (N,H,W,3)."""
    return np.array([hair.dullrazor(np.asarray(x)).mask.mean() for x in images])


class ExcessScore:
    """How far an image lies outside the gamut of the original images of its class.

    Fitted to original images (N,H,W,3) uint8 and their classes (N,). Three parts, each in standard
    deviations above the originals' mean. hair: share of pixels that the hair detector marks. colour:
    Mahalanobis distance of CIELAB means and deviations to the class's originals. features: distance
    of `embed`(images) (N,D) to the third nearest original of the class. The score is the largest.
    `fitted` (3, N): the parts of the originals themselves, none of which is its own neighbour.
    """

    def __init__(self, images, classes, embed):
        self.embed, classes = embed, np.asarray(classes)
        colour, features = measures.colour_statistics(images), np.asarray(embed(images), float)
        self.colour, self.features = {}, {c: features[classes == c] for c in np.unique(classes)}
        for c in self.features:
            x = colour[classes == c]
            cov = np.cov(x.T) + 0.05 * np.diag(colour.var(0))  # few images of rare classes
            self.colour[c] = x.mean(0), np.linalg.inv(cov)
        raw = self._raw(images, classes, itself=1)
        self.mean, self.sd = raw.mean(1), np.maximum(raw.std(1), 1e-4)
        self.fitted = (raw - self.mean[:, None]) / self.sd[:, None]

    def _raw(self, images, classes, itself=0):
        """(3, N). itself: 1 where the images are the originals, whose nearest neighbour they are."""
        far, alone = [], []
        colour, features = measures.colour_statistics(images), np.asarray(self.embed(images), float)
        for c, x, f in zip(classes, colour, features, strict=True):
            mean, inverse = self.colour[c]
            far.append(np.sqrt((x - mean) @ inverse @ (x - mean)))
            near = np.sort(cdist(f[None], self.features[c])[0])
            alone.append(near[min(NEIGHBOURS - 1 + itself, len(near) - 1)])
        return np.array([hair_cover(images), far, alone])

    def parts(self, images, classes):
        """(3, N) in the order of PARTS, in standard deviations above the originals."""
        return (self._raw(images, classes) - self.mean[:, None]) / self.sd[:, None]

    def __call__(self, images, classes):
        return self.parts(images, classes).max(0)


@dataclass(frozen=True)
class Search:
    """Scores of a model's samples, and of held-out originals for what passes by chance; made by `search`."""

    compared: Compared
    score: ExcessScore
    parts: np.ndarray  # (3, M) of all samples
    held: np.ndarray  # (3, K) of held-out originals
    lesions: np.ndarray  # (K,) of theirs
    alike: np.ndarray  # (K,) rows of the samples with as many of each class

    @property
    def scores(self):
        """A row for each sample: file, class, the three parts, the score."""
        about = {"file": self.compared.meta.file_name, "class": self.compared.labels}
        parts = dict(zip(PARTS, self.parts, strict=True))
        return pd.DataFrame(about | parts | {"score": self.parts.max(0)})

    @property
    def shown(self):
        """Rows of the samples of Fig 13: (the seven of the highest score, seven of median score)."""
        order = np.argsort(-self.parts.max(0))
        middle = len(order) // 2
        return order[:7], order[middle - 3 : middle + 4]

    def heading(self, row):
        """Class and score of a sample, and the part that decides it."""
        parts = self.parts[:, row]
        return f"{self.compared.labels[row]} {parts.max():.1f}\n{PARTS[parts.argmax()]}"

    def hair_and_colour(self):
        """Shares above the threshold by hair and colour alone: (samples, held-out originals, their difference)."""
        limit = np.quantile(self.score.fitted[:2].max(0), PASS)
        ids = self.compared.seeds[self.alike], self.lesions
        a, b = (
            stats.share_interval(parts[:2].max(0) > limit, clusters)
            for parts, clusters in zip((self.parts[:, self.alike], self.held), ids, strict=True)
        )
        gap, half = a.value - b.value, np.hypot(a.high - a.low, b.high - b.low) / 2
        return a, b, stats.Estimate(gap, gap - half, gap + half, a.n)

    def table(self, others):
        """Share above the threshold and mean score of held-out originals, the samples, and other models' samples.

        others: {name: uint8 images (M,H,W,3) of the same plan}. Intervals over lesions or seeds.
        """
        limit, seeds = np.quantile(self.score.fitted.max(0), PASS), self.compared.seeds[self.alike]
        sets = {"held-out originals": (self.held.max(0), self.lesions)}
        sets["8ch+ML"] = self.parts.max(0)[self.alike], seeds
        for name, images in others.items():
            sets[name] = self.score(images, self.compared.labels)[self.alike], seeds
        rows = {
            name: {
                "share above the threshold": stats.share_interval(values > limit, ids),
                "mean score": stats.mean_interval(values, clusters=ids),
            }
            for name, (values, ids) in sets.items()
        }
        return stats.frame("images", rows)


def search(compared, treated, model="8ch+ML"):
    """Score a model's samples against the train images, and held-out originals likewise.

    treated: the original images as the models saw them, hair removed, uint8 (N,H,W,3). Held-out images
    (validation and test) are as many of each class as samples.
    """
    classes, lesions = (compared.records[k].to_numpy() for k in ("dx", "lesion_id"))
    train = compared.rows("train")
    rest = np.flatnonzero(compared.records.split != "train")
    rows, alike = matched(classes[rest], compared.labels, compared.seed)
    held = rest[rows]
    score = ExcessScore(treated[train], classes[train], compared.judge.embed)
    parts = score.parts(compared.pixels[model], compared.labels)
    by_chance = score.parts(treated[held], classes[held])
    return Search(compared, score, parts, by_chance, lesions[held], alike)
