"""Fig 13: a score for samples that reflect hair or colour excessively."""

import numpy as np
from scipy.spatial.distance import cdist

from ..data import hair
from . import measures

PARTS = ("hair", "colour", "features")
NEIGHBOURS = 3


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
        cover = [hair.dullrazor(np.asarray(x)).mask.mean() for x in images]
        far, alone = [], []
        colour, features = measures.colour_statistics(images), np.asarray(self.embed(images), float)
        for c, x, f in zip(classes, colour, features, strict=True):
            mean, inverse = self.colour[c]
            far.append(np.sqrt((x - mean) @ inverse @ (x - mean)))
            near = np.sort(cdist(f[None], self.features[c])[0])
            alone.append(near[min(NEIGHBOURS - 1 + itself, len(near) - 1)])
        return np.array([cover, far, alone])

    def parts(self, images, classes):
        """(3, N) in the order of PARTS, in standard deviations above the originals."""
        return (self._raw(images, classes) - self.mean[:, None]) / self.sd[:, None]

    def __call__(self, images, classes):
        return self.parts(images, classes).max(0)
