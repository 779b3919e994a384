"""Failures (Fig 13): a score for samples that reflect hair or colour excessively, and how often it is high."""

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist, mahalanobis

from ..data import hair
from ..numerics import stats
from . import measures
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
        self.mean, self.sd = raw.mean(1)[:, None], np.maximum(raw.std(1), 1e-4)[:, None]
        self.fitted = (raw - self.mean) / self.sd

    def _raw(self, images, classes, itself=0):
        """(3, N). itself: 1 where the images are the originals, whose nearest neighbour they are."""
        far, alone = [], []
        colour, features = measures.colour_statistics(images), np.asarray(self.embed(images), float)
        for c, x, f in zip(classes, colour, features, strict=True):
            far.append(mahalanobis(x, *self.colour[c]))
            near = np.sort(cdist(f[None], self.features[c])[0])
            alone.append(near[min(NEIGHBOURS - 1 + itself, len(near) - 1)])
        return np.array([hair_cover(images), far, alone])

    def parts(self, images, classes):
        """(3, N) in the order of PARTS, in standard deviations above the originals."""
        return (self._raw(images, classes) - self.mean) / self.sd


class Search:
    """Scores of a model's samples against the train images, and of held-out originals for what passes by chance.

    treated: the original images as the models saw them, hair removed, uint8 (N,H,W,3). Held-out images
    (validation and test) are as many of each class as samples.
    """

    def __init__(self, compared, treated, model="8ch+ML"):
        classes, lesions = (compared.records[k].to_numpy() for k in ("dx", "lesion_id"))
        train = compared.rows("train")
        rest = np.flatnonzero(compared.records.split != "train")
        rows, self.alike = matched(classes[rest], compared.labels, compared.seed)
        held = rest[rows]
        self.compared, self.lesions = compared, lesions[held]
        self.score = ExcessScore(treated[train], classes[train], compared.judge.embed)
        # (3, M) of all samples; (3, K) of held-out originals, as many of each class as samples `alike`
        self.parts = self.score.parts(compared.pixels[model], compared.labels)
        self.held = self.score.parts(treated[held], classes[held])

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

    def _above(self, parts, ids, first=3):
        """Share of images above the threshold, by the first of their parts (3, K) alone; ids: (K,) of clusters."""
        limit = np.quantile(self.score.fitted[:first].max(0), PASS)
        return stats.share_interval(parts[:first].max(0) > limit, ids)

    def hair_and_colour(self):
        """Shares above the threshold by hair and colour alone: (samples, held-out originals, their difference)."""
        a = self._above(self.parts[:, self.alike], self.compared.seeds[self.alike], first=2)
        b = self._above(self.held, self.lesions, first=2)
        gap, half = a.value - b.value, np.hypot(a.high - a.low, b.high - b.low) / 2
        return a, b, stats.Estimate(gap, gap - half, gap + half, a.n)

    def table(self, others):
        """Share above the threshold and mean score of held-out originals, the samples, and other models' samples.

        others: {name: uint8 images (M,H,W,3) of the same plan}. Intervals over lesions or seeds.
        """
        labels, seeds = self.compared.labels, self.compared.seeds[self.alike]
        found = {"8ch+ML": self.parts} | {k: self.score.parts(x, labels) for k, x in others.items()}
        sets = {"held-out originals": (self.held, self.lesions)}
        sets |= {name: (parts[:, self.alike], seeds) for name, parts in found.items()}
        rows = {
            name: {
                "share above the threshold": self._above(parts, ids),
                "mean score": stats.mean_interval(parts.max(0), clusters=ids),
            }
            for name, (parts, ids) in sets.items()
        }
        return stats.frame("images", rows)
