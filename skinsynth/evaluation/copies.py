"""Copies: does a sample repeat a training image, seen from any of its eight sides?

The nearest training image is looked for in one or more feature spaces. What "too near" means is
calibrated on photographs: two of one lesion (positives), and unseen lesions (negatives).
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from ..core.errors import UserError
from ..data.splits import descriptors
from ..numerics.pixels import jpeg
from ..numerics.stats import Estimate, jackknife, make_groups, share_interval
from .measures import auc_interval

BLOCK = 1024
OTHERS = 10  # next nearest images that a copy has to stand out from
ENOUGH = 99  # negatives from which a rate of 1 % can be set


def sides(images):
    """The eight flips and rotations of images (N, H, H, 3), one after the other: views, not copies."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1] != images.shape[2]:
        raise UserError(f"copies need square images (N, H, H, 3), got {images.shape}")
    for flipped in (images, images[:, ::-1]):
        yield from (np.rot90(flipped, k, axes=(1, 2)) for k in range(4))


def augmented(images):
    """The eight `sides` of each image in one array (8, N, H, H, 3)."""
    return np.stack(list(sides(images)))


def planted(images, quality=75):
    """Copies as a careless generator makes them: each image turned or flipped, then JPEG and back."""
    views, rows = augmented(images), np.arange(len(images))
    turned = views[rows % 8, rows]
    return jpeg(turned, quality)


def describe(images, encode, turned=False):
    """Two feature spaces of images: [encode(images), 16x16 colours], arrays (N, D).

    turned: of all flips and rotations, arrays (8, N, D).
    """
    small = lambda x: descriptors(x).reshape(len(x), -1)  # noqa: E731
    found = [
        (encode(view), small(view)) for view in (sides(images) if turned else [np.asarray(images)])
    ]
    return [np.stack(x) for x in zip(*found, strict=True)] if turned else list(found[0])


def _spaces(features):
    """A list of float arrays (A, N, D), rows of length 1, one for each feature space."""
    many = features if isinstance(features, list | tuple) else [features]
    out = []
    for x in many:
        x = np.asarray(x, np.float64)
        x = x[None] if x.ndim == 2 else x
        out.append(x / np.maximum(np.linalg.norm(x, axis=2, keepdims=True), 1e-12))
    return out


def nearest(train_features, features, scales=None, others=0):
    """Nearest training image by cosine similarity: (score (N,), its index (N,)).

    train_features: (M, D), or a list with one such array for each feature space. features: (N, D),
    or (8, N, D) from `augmented` images, of which the best counts; a list in the same way.
    scales: one number a space; with several spaces the score is the sum of the similarities, each
    divided by its scale (see `spread`), for the same training image and the same side.
    others: the mean score of that many next nearest images is taken away, so that an image that
    resembles many is no copy of any.
    """
    train, query = _spaces(train_features), _spaces(features)
    scales = np.ones(len(train)) if scales is None else np.asarray(scales, float)
    if not len(train) == len(query) == len(scales):
        raise UserError("give as many feature spaces for the samples as for the training images")
    # the sum of scaled cosines is one inner product of the joined vectors
    gallery = np.concatenate([t[0] / s for t, s in zip(train, scales, strict=True)], 1)
    views = np.concatenate(query, 2)
    score, index = np.empty(views.shape[1]), np.empty(views.shape[1], int)
    for i in range(0, views.shape[1], BLOCK):
        near = views[0, i : i + BLOCK] @ gallery.T
        for view in views[1:]:
            np.maximum(near, view[i : i + BLOCK] @ gallery.T, out=near)
        index[i : i + BLOCK] = near.argmax(1)
        score[i : i + BLOCK] = near.max(1)
        if others:
            k = min(others, near.shape[1] - 1)
            score[i : i + BLOCK] -= np.sort(near, 1)[:, -k - 1 : -1].mean(1)
    return score, index


@dataclass(frozen=True)
class Whitening:
    """Features turned so that the training images spread equally along their first components."""

    mean: np.ndarray
    turn: np.ndarray  # (D, components)

    @classmethod
    def fit(cls, features, components=100):
        """features: (N, D). At most as many components as half the images can tell."""
        mean = features.mean(0)
        _, size, rows = np.linalg.svd(features - mean, full_matrices=False)
        k = int(min(components, (size > 1e-3 * size[0]).sum(), max(1, len(features) // 2)))
        return cls(mean, rows[:k].T / size[:k] * np.sqrt(len(features)))

    def __call__(self, features):
        return (features - self.mean) @ self.turn


def spread(train_features, features):
    """Scale of each space: standard deviation of the nearest similarity of images not copied."""
    train, query = _spaces(train_features), _spaces(features)
    pairs = zip(train, query, strict=True)
    return [max(nearest(t[0], q)[0].std(ddof=1), 1e-6) for t, q in pairs]


@dataclass(frozen=True)
class Calibration:
    """A threshold on the score, and what it does on the images it was set with."""

    threshold: float
    auc: Estimate
    found: float  # share of the positives above the threshold
    fpr: float  # the rate it holds in expectation: the one asked for, or more if negatives are few


def _rank(n, fpr):
    return min(int(np.ceil((n + 1) * (1 - fpr) - 1e-9)), n)


def threshold(negative, fpr=0.01):
    """Score that a new negative exceeds with probability fpr at most, or the highest one seen."""
    return float(np.sort(negative)[_rank(len(negative), fpr) - 1])


def calibrate(positive, negative, fpr=0.01):
    """Threshold above which a score counts as a copy, at a false-positive rate on new images.

    positive: scores of photographs whose sibling is in the gallery; negative: scores of unseen
    lesions (validation) against the same gallery. The threshold is the order statistic that a new
    negative exceeds with probability fpr at most; with n < 1 / fpr - 1 negatives it is the highest
    one, and the rate it holds is 1 / (n + 1).
    """
    positive, negative = np.asarray(positive, float), np.asarray(negative, float)
    n = len(negative)
    if len(positive) < 2 or n < 2:
        raise UserError(
            f"calibration needs 2 positives and negatives or more, got {len(positive)} and {n}"
        )
    limit = threshold(negative, fpr)
    auc = auc_interval(positive, negative, "same lesion against unseen lesion")
    return Calibration(limit, auc, float((positive > limit).mean()), 1 - _rank(n, fpr) / (n + 1))


def copy_rate(scores, threshold, label="", clusters=None):
    """Share of the samples whose score lies above the threshold, with Wilson's interval.

    threshold: a number, or one for each sample (calibrated for its class); clusters: (N,) ids of what
    belongs together (photographs of one lesion), by default each sample is its own.
    """
    copied = np.asarray(scores) > np.asarray(threshold)
    return share_interval(copied, np.arange(copied.size) if clusters is None else clusters, label)


@dataclass(frozen=True)
class Checker:
    """A calibrated search for copies of one set's train images; made by `checker`."""

    spaces: list  # features of all train images, one array for each space
    scales: list
    rows: np.ndarray  # their rows in the set
    limit: Calibration  # of all classes together
    own: dict  # class: its own threshold, where the class has the negatives for it
    rest: float  # threshold of the other classes, set on their negatives together
    found: float  # share of the siblings found at these thresholds
    fpr: float  # the rate that the coarsest of these thresholds holds on unseen lesions
    lesions: int  # with a sibling in the gallery, on which the threshold was checked
    pairs: Estimate  # AUC of the similarity: same-lesion pairs against strangers of the same class
    describe: object

    def thresholds(self, classes):
        """Threshold of each image (N,) by its class: scores of naevi, which abound, differ by chance."""
        return np.array([self.own.get(c, self.rest) for c in classes])

    def __call__(self, images):
        """(score (N,), row in the set of the nearest train image (N,)) of uint8 images."""
        score, index = nearest(
            self.spaces, self.describe(np.asarray(images), True), self.scales, OTHERS
        )
        return score, self.rows[index]


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
    a, b, c = _pairs(lesions, np.asarray(classes))
    turned = _spaces(describe(images[a], True))

    def likeness(rows):
        flat = _spaces(describe(images[rows]))
        return sum((x * y[0]).sum(2) / s for x, y, s in zip(turned, flat, scales, strict=True)).max(
            0
        )

    same, strange = likeness(b), likeness(c)
    value = lambda keep: auc_interval(same[keep], strange[keep]).value  # noqa: E731
    return jackknife(
        value, make_groups(lesions[a]), "pairs of one lesion against pairs of two", len(a)
    )


def checker(images, records, encode):
    """Calibrate on a set: one photograph of each train lesion that has several is asked for its
    siblings (positives), validation images are asked for anything (negatives). The search itself
    then sees all train images.

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
    plain = describe(images[train], encode)
    white = [Whitening.fit(x) for x in plain]

    def turn(x, turned=False):
        return [w(f) for w, f in zip(white, describe(x, encode, turned), strict=True)]

    whole = [w(f) for w, f in zip(white, plain, strict=True)]
    others = np.flatnonzero(~np.isin(train, query))
    spaces = [x[others] for x in whole]
    sibling, unseen = (turn(images[x], True) for x in (query, held))
    scales = spread(spaces, unseen)
    positive, negative = (nearest(spaces, x, scales, OTHERS)[0] for x in (sibling, unseen))
    limit = calibrate(positive, negative)
    counts = pd.Series(classes[held]).value_counts()
    own = {c: threshold(negative[classes[held] == c]) for c in counts.index[counts >= ENOUGH]}
    few = negative[~np.isin(classes[held], list(own))]
    rest, n = (threshold(few), len(few)) if len(few) > 1 else (limit.threshold, len(negative))
    applied = np.array([own.get(c, rest) for c in classes[query]])
    fpr = max(1 - _rank(k, 0.01) / (k + 1) for k in (n, *counts[counts >= ENOUGH]))
    pairs = pair_auc(images[train], lesions[train], classes[train], turn, scales)
    found = float((positive > applied).mean())
    return Checker(whole, scales, train, limit, own, rest, found, fpr, len(query), pairs, turn)
