"""The training image nearest to an image: how alike two are, in several feature spaces, seen from any side."""

import numpy as np

from ..data.splits import descriptors
from ..numerics.arrays import SYMMETRIES, blocks, turned

COMPONENTS = 100  # of whitened features, at most


def sides(images):
    """The eight flips and rotations of images (N, H, H, 3), one after the other (`turned`): views, not copies."""
    yield from (turned(np.asarray(images), k) for k in range(SYMMETRIES))


def describe(images, encode, turned=False):
    """Two feature spaces of images: [encode(images), 16x16 colours], arrays (N, D).

    turned: of all flips and rotations, arrays (8, N, D).
    """
    views = sides(images) if turned else [np.asarray(images)]
    found = [(encode(view), descriptors(view).reshape(len(view), -1)) for view in views]
    return [np.stack(x) for x in zip(*found, strict=True)] if turned else list(found[0])


def unit(spaces):
    """Feature spaces (N, D) or (sides, N, D) as float arrays (sides, N, D), each row of length 1."""
    spaces = [np.asarray(x, np.float64) for x in spaces]
    spaces = [x[None] if x.ndim == 2 else x for x in spaces]
    return [x / np.maximum(np.linalg.norm(x, axis=2, keepdims=True), 1e-12) for x in spaces]


def nearest(gallery, spaces, scales=None, others=0):
    """Nearest training image by cosine similarity: (score (N,), its index (N,)).

    gallery: features of the training images, an array (M, D) for each space. spaces: those of the
    images, (N, D), or (8, N, D) of their `sides`, of which the best counts.
    scales: one number a space; the score is the sum of the similarities, each divided by its scale
    (see `spread`), for the same training image and the same side.
    others: the mean score of that many next nearest images is taken away, so that an image that
    resembles many is no copy of any.
    """
    scales = np.ones(len(gallery)) if scales is None else np.asarray(scales, float)
    # the sum of scaled cosines is one inner product of the joined vectors
    known = np.concatenate([t[0] / s for t, s in zip(unit(gallery), scales, strict=True)], 1)
    views = np.concatenate(unit(spaces), 2)
    score, index = np.empty(views.shape[1]), np.empty(views.shape[1], int)
    for part in blocks(len(score)):
        near = views[0, part] @ known.T
        for view in views[1:]:
            np.maximum(near, view[part] @ known.T, out=near)
        index[part], score[part] = near.argmax(1), near.max(1)
        if others:
            k = min(others, near.shape[1] - 1)
            score[part] -= np.sort(near, 1)[:, -k - 1 : -1].mean(1)
    return score, index


def spread(gallery, spaces):
    """Scale of each space: standard deviation of the nearest similarity of images not copied."""
    pairs = zip(gallery, spaces, strict=True)
    return [max(nearest([known], [x])[0].std(ddof=1), 1e-6) for known, x in pairs]


def whitening(features):
    """A function that turns features so that those of the training images (N, D) spread equally along their
    first components: COMPONENTS, and at most as many as half the images can tell."""
    mean = features.mean(0)
    _, size, rows = np.linalg.svd(features - mean, full_matrices=False)
    k = int(min(COMPONENTS, (size > 1e-3 * size[0]).sum(), max(1, len(features) // 2)))
    turn = rows[:k].T / size[:k] * np.sqrt(len(features))

    def whiten(x):
        return (x - mean) @ turn

    return whiten


class Gallery:
    """Training images, uint8 (M, H, H, 3), in whitened feature spaces, and the way of any other image into them.

    encode: uint8 images -> features (N, D). `spaces`: features of the training images (M, components), for
    each space.
    """

    def __init__(self, images, encode):
        plain = describe(images, encode)
        self.encode, self.white = encode, [whitening(x) for x in plain]
        self.spaces = [w(x) for w, x in zip(self.white, plain, strict=True)]

    def describe(self, images, turned=False):
        """As the function of that name, whitened."""
        plain = describe(images, self.encode, turned)
        return [w(x) for w, x in zip(self.white, plain, strict=True)]
