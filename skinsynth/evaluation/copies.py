"""Copies: does a sample repeat a training image?

The score of an image says how much nearer it is to one training image than to the next ones. Which
score is too high is calibrated on originals: photographs of which the training images hold another one
of the same lesion, a *sibling* (positives), and lesions that they do not hold (negatives).
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..numerics.pixels import jpeg
from ..numerics.stats import Estimate, frame, jackknife, make_groups, share_interval
from .measures import auc_interval
from .metrics import prdc_with_interval
from .similarity import Gallery, nearest, sides, spread, unit

OTHERS = 10  # next nearest images that a copy has to stand out from
ENOUGH = 99  # negatives from which a rate of 1 % can be set
SHARE = "share counted as copies"  # what a table of copies calls it
CHANCE = "held-out test images (chance)"
PLANTED = "planted: training images, turned and JPEG"


def planted(images, quality=75):
    """Copies as a careless generator makes them: each image turned or flipped, then JPEG and back."""
    views, rows = np.stack(list(sides(images))), np.arange(len(images))
    return jpeg(views[rows % 8, rows], quality)


@dataclass(frozen=True)
class Thresholds:
    """Scores above which an image counts as a copy, by its class.

    A threshold is the order statistic that a new negative exceeds with probability `fpr` at most; with
    fewer than 1 / fpr - 1 negatives it is the highest one, and the rate it holds is 1 / (n + 1). Scores
    of naevi, which abound, differ from the others' by chance alone: classes with ENOUGH negatives have a
    threshold of their own, the others have one together.
    """

    own: dict  # class: its threshold
    rest: float  # threshold of the other classes
    fpr: float  # the rate that the coarsest of them holds on unseen lesions

    @classmethod
    def of(cls, scores, classes, fpr=0.01):
        """scores: (N,) of unseen lesions; classes: (N,). Raises UserError with fewer than two."""
        scores, classes = np.asarray(scores, float), np.asarray(classes)
        if len(scores) < 2:
            raise UserError(f"copies need 2 unseen lesions or more, got {len(scores)}")
        counts = pd.Series(classes).value_counts()
        own = {c: scores[classes == c] for c in counts.index[counts >= ENOUGH]}
        few = scores[~np.isin(classes, list(own))]
        groups = [*own.values(), few if len(few) > 1 else scores]
        ranks = [min(int(np.ceil((len(x) + 1) * (1 - fpr) - 1e-9)), len(x)) for x in groups]
        *limits, rest = (float(np.sort(x)[k - 1]) for x, k in zip(groups, ranks, strict=True))
        held = max(1 - k / (len(x) + 1) for x, k in zip(groups, ranks, strict=True))
        return cls(dict(zip(own, limits, strict=True)), rest, held)

    def __call__(self, classes):
        """Threshold of each image (N,) by its class."""
        return np.array([self.own.get(c, self.rest) for c in classes])


@dataclass(frozen=True)
class Found:
    """A set of N images, each beside the training image nearest to it."""

    score: np.ndarray  # (N,)
    match: np.ndarray  # (N,) row of that training image in the set of originals
    limit: np.ndarray  # (N,) score above which an image of this class counts as a copy
    clusters: np.ndarray  # (N,) ids of what belongs together: photographs of one lesion

    @property
    def share(self):
        """Share of the images that count as copies (Estimate, Wilson's interval)."""
        return share_interval(self.score > self.limit, self.clusters)


@dataclass(frozen=True)
class Checker:
    """A calibrated search for copies of one set's train images; made by `checker`."""

    gallery: Gallery  # all train images
    scales: list
    rows: np.ndarray  # their rows in the set
    thresholds: Thresholds
    found: float  # share of the siblings found at these thresholds
    lesions: int  # with a sibling in the gallery, on which the thresholds were checked
    auc: Estimate  # of the score: these lesions against unseen ones
    pairs: Estimate  # AUC of the similarity: same-lesion pairs against strangers of the same class

    def __call__(self, images):
        """(score (N,), row in the set of the nearest train image (N,)) of uint8 images."""
        turned = self.gallery.describe(np.asarray(images), True)
        score, index = nearest(self.gallery.spaces, turned, self.scales, OTHERS)
        return score, self.rows[index]

    def search(self, images, classes, clusters=None):
        """Found of uint8 images (N,H,H,3) of some classes; without clusters each image is its own."""
        clusters = np.arange(len(images)) if clusters is None else np.asarray(clusters)
        return Found(*self(images), self.thresholds(classes), clusters)

    @property
    def numbers(self):
        """What the calibration found: {what: number or Estimate}."""
        return {
            "AUC of the copy score, originals with a sibling against without": self.auc,
            "share of originals with a sibling that the copy search finds": self.found,
            "AUC of the similarity, pairs of one lesion against two": self.pairs,
            "share of unseen lesions that the thresholds let pass": self.thresholds.fpr,
        }

    def __str__(self):
        auc, pairs = (f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]" for e in (self.auc, self.pairs))
        said = (
            f"The score tells {self.lesions} originals with a sibling in the gallery from originals without one "
            f"with an AUC of {auc} and finds {self.found:.0%} of them; pair by pair the similarity tells one "
            f"lesion from two with an AUC of {pairs}. On unseen lesions the thresholds let "
            f"{self.thresholds.fpr:.1%} pass at most."
        )
        more = " So it finds repeated images; a new view of a known lesion it would mostly miss."
        return said + more * (self.found < 0.5)


def _pairs(lesions, classes, seed=0):
    """Rows of all pairs of one lesion, and for each pair a stranger of the first one's class."""
    rng, first, second, other = np.random.default_rng(seed), [], [], []
    for rows in pd.Series(range(len(lesions))).groupby(np.asarray(lesions)).groups.values():
        for i, j in combinations(rows, 2):
            strangers = np.flatnonzero((classes == classes[i]) & (lesions != lesions[i]))
            if len(strangers):
                first, second, other = [*first, i], [*second, j], [*other, rng.choice(strangers)]
    return np.array(first), np.array(second), np.array(other)


def pair_auc(images, lesions, classes, describe, scales):
    """How well the similarity tells two photographs of one lesion from two of different lesions (Estimate)."""
    lesions = np.asarray(lesions)
    first, sibling, stranger = _pairs(lesions, np.asarray(classes))
    turned = unit(describe(images[first], True))

    def likeness(rows):
        flat = unit(describe(images[rows]))
        spaces = zip(turned, flat, scales, strict=True)
        return sum((x * y[0]).sum(2) / scale for x, y, scale in spaces).max(0)

    same, strange = likeness(sibling), likeness(stranger)

    def value(keep):
        return auc_interval(same[keep], strange[keep]).value

    groups = make_groups(lesions[first])
    return jackknife(value, groups, "pairs of one lesion against pairs of two", len(first))


def checker(images, records, encode):
    """Calibrate on a set: one photograph of each train lesion that has several is asked for its
    siblings, validation images are asked for anything. The search itself then sees all train images.

    images: uint8 (N,H,H,3); records: its table; encode: images -> features. Raises UserError where
    fewer than eight lesions have a second photograph.
    """
    train, held = (np.flatnonzero(records.split == name) for name in ("train", "val"))
    lesions, classes = records.lesion_id.to_numpy(), records.dx.to_numpy()
    names = records.lesion_id[train]
    query = train[(names.duplicated(keep=False) & ~names.duplicated()).to_numpy()]
    if len(query) < 8:
        raise UserError(
            f"only {len(query)} train lesions have a second photograph: too few to calibrate copies"
        )
    gallery = Gallery.of(images[train], encode)
    others = np.flatnonzero(~np.isin(train, query))
    spaces = [x[others] for x in gallery.spaces]
    sibling, unseen = (gallery.describe(images[rows], True) for rows in (query, held))
    scales = spread(spaces, unseen)
    positive, negative = (nearest(spaces, x, scales, OTHERS)[0] for x in (sibling, unseen))
    thresholds = Thresholds.of(negative, classes[held])
    return Checker(
        gallery,
        scales,
        train,
        thresholds,
        float((positive > thresholds(classes[query])).mean()),
        len(query),
        auc_interval(positive, negative, "same lesion against unseen lesion"),
        pair_auc(images[train], lesions[train], classes[train], gallery.describe, scales),
    )


def search(near, compared, sets):
    """{set: Found} of original test images (CHANCE), of samples, and of copies made on purpose (PLANTED).

    near: a Checker; compared: a Compared, of which `sets` are the samples {name: uint8 (M,H,W,3)}. As
    many images of each class are searched as test images are there for them.
    """
    take, target, table = compared.take, compared.target, compared.records
    classes = compared.labels[take]  # the test images were chosen in the same order of classes
    order = np.random.default_rng(compared.seed).permutation(len(near.rows))
    copied = near.rows[order[: len(take)]]
    return {
        CHANCE: near.search(compared.images[target], classes, table.lesion_id.to_numpy()[target]),
        **{name: near.search(images[take], classes) for name, images in sets.items()},
        PLANTED: near.search(planted(compared.images[copied]), table.dx.to_numpy()[copied]),
    }


def shares(found, compared, sets):
    """Table of `search`: the share counted as copies, and the share of originals with a sample near (k = 5)."""
    rows = {name: {SHARE: x.share} for name, x in found.items()}
    for name, images in sets.items():
        real, fake = compared.real, compared.samples(images)
        near = prdc_with_interval(real.features, fake.features, real.groups, fake.groups)
        rows[name]["coverage"] = near["coverage"]
    return frame("images", rows)


def nearest_pairs(found, compared, images, n=7):
    """The n samples of highest score: ([samples, the train images nearest to them], table of these pairs).

    images: uint8 (M,H,W,3) samples of compared's plan, of which `found` is the search.
    """
    order = np.argsort(-found.score)[:n]
    rows, match = compared.take[order], found.match[order]
    pairs = pd.DataFrame(
        {
            "file": compared.meta.file_name.to_numpy()[rows],
            "nearest": compared.records.image_id.to_numpy()[match],
            "score": found.score[order],
            "threshold": found.limit[order],
        }
    )
    return [images[rows], compared.images[match]], pairs
