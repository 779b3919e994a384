"""Copies: does a sample repeat a training image, seen from any of its eight sides?

The nearest training image is looked for in one or more feature spaces. What "too near" means is
calibrated on photographs: two of one lesion (positives), and unseen lesions (negatives).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .errors import UserError
from .measures import auc_interval
from .splits import descriptors
from .stats import Estimate, wilson

BLOCK = 1024


def augmented(images):
    """The eight flips and rotations of each image. (N, H, W, 3), H = W. Returns (8, N, H, W, 3)."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1] != images.shape[2]:
        raise UserError(f"copies need square images (N, H, H, 3), got {images.shape}")
    turned = [np.rot90(images, k, axes=(1, 2)) for k in range(4)]
    return np.stack(turned + [x[:, :, ::-1] for x in turned])


def planted(images, quality=75):
    """Copies as a careless generator makes them: each image turned or flipped, then JPEG and back."""
    views, rows = augmented(images), np.arange(len(images))
    turned = views[rows % 8, rows]
    return np.stack([cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1) for x in turned])


def describe(images, encode, turned=False):
    """Two feature spaces of images: [encode(images), 16x16 colours], arrays (N, D).

    turned: of all flips and rotations, arrays (8, N, D).
    """
    views = augmented(images) if turned else [np.asarray(images)]
    small = lambda x: descriptors(x).reshape(len(x), -1)  # noqa: E731
    found = [np.stack([space(view) for view in views]) for space in (encode, small)]
    return found if turned else [x[0] for x in found]


def _spaces(features):
    """A list of float arrays (A, N, D), rows of length 1, one for each feature space."""
    many = features if isinstance(features, list | tuple) else [features]
    out = []
    for x in many:
        x = np.asarray(x, np.float64)
        x = x[None] if x.ndim == 2 else x
        out.append(x / np.maximum(np.linalg.norm(x, axis=2, keepdims=True), 1e-12))
    return out


def nearest(train_features, features, scales=None):
    """Nearest training image by cosine similarity: (score (N,), its index (N,)).

    train_features: (M, D), or a list with one such array for each feature space. features: (N, D),
    or (8, N, D) from `augmented` images, of which the best counts; a list in the same way.
    scales: one number a space; with several spaces the score is the sum of the similarities, each
    divided by its scale (see `spread`), for the same training image and the same side.
    """
    train, query = _spaces(train_features), _spaces(features)
    scales = np.ones(len(train)) if scales is None else np.asarray(scales, float)
    if not len(train) == len(query) == len(scales):
        raise UserError("give as many feature spaces for the samples as for the training images")
    # the sum of scaled cosines is one inner product of the joined vectors
    gallery = np.concatenate([t[0] / s for t, s in zip(train, scales, strict=True)], 1)
    sides = np.concatenate(query, 2)
    score, index = np.full(sides.shape[1], -np.inf), np.zeros(sides.shape[1], int)
    for side in sides:
        for i in range(0, len(side), BLOCK):
            near = side[i : i + BLOCK] @ gallery.T
            best, rows = near.argmax(1), np.arange(i, min(i + BLOCK, len(side)))
            value = near[np.arange(len(best)), best]
            better = value > score[rows]
            score[rows[better]], index[rows[better]] = value[better], best[better]
    return score, index


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


def calibrate(positive, negative, fpr=0.01):
    """Threshold above which a score counts as a copy, at a false-positive rate on new images.

    positive: scores of photographs whose sibling is in the gallery; negative: scores of unseen
    lesions (validation) against the same gallery. The threshold is the order statistic that a new
    negative exceeds with probability fpr at most; with n < 1 / fpr - 1 negatives it is the highest
    one, and the rate it holds is 1 / (n + 1).
    """
    positive, negative = np.asarray(positive, float), np.sort(np.asarray(negative, float))
    n = len(negative)
    if len(positive) < 2 or n < 2:
        raise UserError(
            f"calibration needs 2 positives and negatives or more, got {len(positive)} and {n}"
        )
    rank = min(int(np.ceil((n + 1) * (1 - fpr) - 1e-9)), n)
    threshold = float(negative[rank - 1])
    auc = auc_interval(positive, negative, "same lesion against unseen lesion")
    return Calibration(threshold, auc, float((positive > threshold).mean()), 1 - rank / (n + 1))


def copy_rate(scores, threshold, label=""):
    """Share of the samples whose score lies above the threshold, with Wilson's interval.

    threshold: a number, or one for each sample (calibrated for its class).
    """
    copied = np.asarray(scores) > np.asarray(threshold)
    return wilson(int(copied.sum()), copied.size, label)


@dataclass(frozen=True)
class Checker:
    """A calibrated search for copies of one set's train images; made by `checker`."""

    spaces: list  # features of all train images, one array for each space
    scales: list
    rows: np.ndarray  # their rows in the set
    limit: Calibration
    pairs: int  # same-lesion pairs the threshold was set with
    encode: object

    def __call__(self, images):
        """(score (N,), row in the set of the nearest train image (N,)) of uint8 images."""
        score, index = nearest(self.spaces, describe(np.asarray(images), self.encode, turned=True), self.scales)
        return score, self.rows[index]


def checker(images, records, encode):
    """Calibrate on a set: one photograph of each train lesion that has several is asked for its
    siblings (positives), validation images are asked for anything (negatives). The search itself
    then sees all train images.

    images: uint8 (N,H,H,3); records: its table; encode: images -> features. Raises UserError where
    fewer than eight lesions have a second photograph.
    """
    train, held = (np.flatnonzero(records.split == name) for name in ("train", "val"))
    names = records.lesion_id[train]
    query = train[(names.duplicated(keep=False) & ~names.duplicated()).to_numpy()]
    if len(query) < 8:
        raise UserError(f"only {len(query)} train lesions have a second photograph: too few to calibrate copies")
    spaces = describe(images[np.setdiff1d(train, query)], encode)
    sibling, unseen = (describe(images[x], encode, turned=True) for x in (query, held))
    scales = spread(spaces, unseen)
    limit = calibrate(nearest(spaces, sibling, scales)[0], nearest(spaces, unseen, scales)[0])
    return Checker(describe(images[train], encode), scales, train, limit, len(query), encode)
