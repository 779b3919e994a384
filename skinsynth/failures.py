"""Fig 13: a score for samples that reflect hair or colour excessively."""

import numpy as np

from . import hair, measures


class ExcessScore:
    """How far an image lies outside the real gamut of hair and colour of its class.

    Fitted to real images (N,H,W,3) uint8 and their classes (N,). Hair: share of pixels that the
    hair detector marks, in standard deviations above the real mean. Colour: Mahalanobis distance of
    the CIELAB means and deviations to the class's real images. The score is the larger of the two.
    """

    def __init__(self, images, classes):
        cover, colour = self._measure(images)
        self.cover = cover.mean(), max(cover.std(), 1e-4)
        self.colour = {}
        for c in np.unique(classes):
            x = colour[classes == c]
            spread = np.cov(x.T) + 0.05 * np.diag(colour.var(0))  # few images of rare classes
            self.colour[c] = x.mean(0), np.linalg.inv(spread)

    @staticmethod
    def _measure(images):
        cover = np.array([hair.dullrazor(np.asarray(x)).mask.astype(bool).mean() for x in images])
        return cover, measures.colour_statistics(images)

    def parts(self, images, classes):
        """(hair (N,), colour (N,)), both in the units of the score."""
        cover, colour = self._measure(images)
        far = []
        for x, c in zip(colour, classes, strict=True):
            mean, inverse = self.colour[c]
            far.append(np.sqrt((x - mean) @ inverse @ (x - mean) / len(mean)))
        return (cover - self.cover[0]) / self.cover[1], np.array(far)

    def __call__(self, images, classes):
        return np.maximum(*self.parts(images, classes))
