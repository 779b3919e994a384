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
from ..diffusion.vae import round_trip
from ..numerics.pixels import jpeg
from ..numerics.stats import frame, jackknife, make_groups, share_interval
from .measures import auc_interval
from .metrics import prdc_with_interval
from .similarity import Gallery, nearest, sides, spread, unit

OTHERS = 10  # next nearest images that a copy has to stand out from
RATE = 0.01  # share of unseen lesions that may count as copies
ENOUGH = 99  # negatives from which this rate can be set
SHARE = "share counted as copies"  # what a table of copies calls it
CHANCE = "held-out test images (chance)"
PLANTED = "planted: copies of training images"


def planted(images):
    """Copies as a careless generator makes them: each image turned or flipped, then JPEG and back."""
    views, rows = np.stack(list(sides(images))), np.arange(len(images))
    return jpeg(views[rows % 8, rows], 75)


class Thresholds:
    """Scores above which an image counts as a copy, by its class, from `scores` (N,) of unseen lesions.

    A threshold is the order statistic that a new negative exceeds with probability RATE at most; with
    fewer than ENOUGH negatives it is the highest one, and the rate it holds is 1 / (n + 1). Scores
    of naevi, which abound, differ from the others' by chance alone: classes with ENOUGH negatives have a
    threshold of their `own`, {class: threshold}, the `rest` have one together. `fpr`: the rate that the
    coarsest threshold holds on unseen lesions. Raises UserError with fewer than two of these.
    """

    def __init__(self, scores, classes):
        scores, classes = np.asarray(scores, float), np.asarray(classes)
        if len(scores) < 2:
            raise UserError(f"copies need 2 unseen lesions or more, got {len(scores)}")
        names, counts = np.unique(classes, return_counts=True)
        own = names[counts >= ENOUGH].tolist()
        few = scores[~np.isin(classes, own)]
        groups = [*(scores[classes == c] for c in own), few if len(few) > 1 else scores]
        ranks = [min(int(np.ceil((len(x) + 1) * (1 - RATE) - 1e-9)), len(x)) for x in groups]
        *limits, self.rest = (float(np.sort(x)[k - 1]) for x, k in zip(groups, ranks, strict=True))
        self.own = dict(zip(own, limits, strict=True))
        self.fpr = max(1 - k / (len(x) + 1) for x, k in zip(groups, ranks, strict=True))

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


def pair_auc(images, lesions, classes, describe, scales):
    """How well the similarity tells two photographs of one lesion from two of different lesions (Estimate).

    Each pair of one lesion is held against a pair of its first photograph and a stranger of the same class.
    """
    rng, trios = np.random.default_rng(0), []
    for rows in pd.Series(range(len(lesions))).groupby(lesions).groups.values():
        for i, j in combinations(rows, 2):
            strangers = np.flatnonzero((classes == classes[i]) & (lesions != lesions[i]))
            if len(strangers):
                trios.append((i, j, rng.choice(strangers)))
    first, sibling, stranger = np.array(trios).T
    turned = unit(describe(images[first], True))

    def likeness(rows):
        flat = unit(describe(images[rows]))
        spaces = zip(turned, flat, scales, strict=True)
        return sum((x * y[0]).sum(2) / scale for x, y, scale in spaces).max(0)

    same, strange = likeness(sibling), likeness(stranger)

    def value(keep):
        return auc_interval(same[keep], strange[keep]).value

    return jackknife(value, make_groups(lesions[first]))


class Checker:
    """A search for copies of one set's train images, calibrated on the set: one photograph of each train
    lesion that has several is asked for its siblings, validation images are asked for anything. The search
    itself then sees all train images.

    images: uint8 (N,H,H,3); records: its table; encode: images -> features. Raises UserError where
    fewer than eight lesions have a second photograph.
    """

    def __init__(self, images, records, encode):
        train, held = (np.flatnonzero(records.split == name) for name in ("train", "val"))
        lesions, classes = records.lesion_id.to_numpy(), records.dx.to_numpy()
        names = records.lesion_id[train]
        query = train[(names.duplicated(keep=False) & ~names.duplicated()).to_numpy()]
        if len(query) < 8:
            raise UserError(
                f"only {len(query)} train lesions have a second photograph: too few to calibrate copies"
            )
        # all train images, and their rows in the set
        self.gallery, self.rows = Gallery(images[train], encode), train
        others = np.flatnonzero(~np.isin(train, query))
        spaces = [x[others] for x in self.gallery.spaces]
        sibling, unseen = (self.gallery.describe(images[rows], True) for rows in (query, held))
        self.scales = spread(spaces, unseen)
        positive, negative = (nearest(spaces, x, self.scales, OTHERS)[0] for x in (sibling, unseen))
        self.thresholds = Thresholds(negative, classes[held])
        # share found of the lesions with a sibling, on which the thresholds are checked, and their number
        self.found = float((positive > self.thresholds(classes[query])).mean())
        self.lesions = len(query)
        # of the score: these lesions against unseen ones; of the similarity: pairs of one lesion against
        # strangers of the same class
        self.auc = auc_interval(positive, negative, ids=(lesions[query], lesions[held]))
        own = images[train], lesions[train], classes[train]
        self.pairs = pair_auc(*own, self.gallery.describe, self.scales)

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
            f"{self.lesions} originals with a sibling in the gallery, one of each lesion, were asked for it. The "
            f"score tells them from originals without one with an AUC of {auc}; {self.found:.0%} of them are "
            f"found. Pair by pair the similarity tells one lesion from two with an AUC of {pairs}. The "
            f"thresholds let {self.thresholds.fpr:.1%} of unseen lesions pass at most."
        )
        more = (
            " So the search finds repeated images; it would miss most new views of a known lesion."
        )
        return said + more * (self.found < 0.5)


def search(near, compared, sets, autoencoder=None):
    """{set: Found} of original test images (CHANCE), of samples, and of copies made on purpose (PLANTED).

    near: a Checker; compared: a Compared, of which `sets` are the samples {name: uint8 (M,H,W,3)}; autoencoder: the
    VAE stage that samples come through, and so copies made on purpose too. As many images of each class are
    searched as test images are there for them.
    """
    take, target, table = compared.take, compared.target, compared.records
    classes = compared.labels[take]  # the test images were chosen in the same order of classes
    order = np.random.default_rng(compared.seed).permutation(len(near.rows))
    copied, about = near.rows[order[: len(take)]], table[["dx", "lesion_id"]].to_numpy()
    made = compared.images[copied]
    if autoencoder:
        made = round_trip(autoencoder, made)
    return {
        CHANCE: near.search(compared.images[target], classes, table.lesion_id.to_numpy()[target]),
        **{name: near.search(x[take], classes, compared.seeds[take]) for name, x in sets.items()},
        PLANTED: near.search(planted(made), *about[copied].T),
    }


def shares(found, compared, sets):
    """Table of `search`: the share counted as copies, and the share of originals with a sample near (k = 5)."""
    rows = {name: {SHARE: x.share} for name, x in found.items()}
    for name, images in sets.items():
        near = prdc_with_interval(*compared.real.beside(compared.samples(images)))
        rows[name]["coverage"] = near["coverage"]
    return frame("images", rows)


def nearest_pairs(found, compared, images, n=7):
    """The n samples of highest score: ([samples, the train images nearest to them], table of these pairs).

    images: uint8 (M,H,W,3) samples of compared's plan, of which `found` is the search.
    """
    order = np.argsort(-found.score)[:n]
    rows, match = compared.take[order], found.match[order]
    pairs = {
        "file": compared.meta.file_name.to_numpy()[rows],
        "nearest": compared.records.image_id.to_numpy()[match],
        "score": found.score[order],
        "threshold": found.limit[order],
    }
    return [images[rows], compared.images[match]], pd.DataFrame(pairs)
