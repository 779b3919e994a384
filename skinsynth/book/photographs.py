"""All photographs of a run's data, to be recognised in any picture that is to be published."""

import numpy as np

from .. import recipe
from ..core.errors import UserError
from ..evaluation import copies, panel
from ..evaluation.similarity import sides
from ..numerics.arrays import load_array, records_of
from ..numerics.pixels import to_square

SAME = 30.0  # dB: a tile as near as this to a photograph is the photograph, or was made from it


class Photographs:
    """The photographs of a run, small, and the search for copies that was calibrated on them."""

    def __init__(self, run, cfg):
        made = recipe.records(run, cfg)
        images = load_array(made / "images.npy")
        other = load_array(recipe.clinical(run, cfg) / "images.npy")
        self.gallery = np.concatenate([self._small(images), self._small(other)])
        try:
            self.near = copies.Checker(images, records_of(made), panel.Judge().embed)
        except UserError:  # a handful of photographs is too few to calibrate with
            self.near = None
        self.classes = records_of(made).dx.to_numpy()

    @staticmethod
    def _small(images):
        small = np.stack([to_square(x, 32) for x in images])
        return small.reshape(len(images), -1).astype(np.float32) / 255

    def shown(self, images):
        """(N,) bool of square images: a photograph in one of its eight views, what was made from one, or a copy."""
        if not len(images):
            return np.zeros(0, bool)
        own, error = (self.gallery**2).sum(1), np.full(len(images), np.inf)
        for view in sides(images):
            x = self._small(view)
            squares = (x**2).sum(1)[:, None] + own - 2 * x @ self.gallery.T
            error = np.minimum(error, squares.min(1))
        found = -10 * np.log10(np.maximum(error / self.gallery.shape[1], 1e-10)) > SAME
        if self.near:
            score, match = self.near(images)
            found |= score > self.near.thresholds(self.classes[match])
        return found
