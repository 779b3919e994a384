"""Samples of several models beside originals of the same classes: the sets that the chapters compare."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from .panel import Judge, matched


@dataclass(frozen=True)
class Compared:
    """Samples of one plan of classes and seeds from several models, and the original images.

    images: uint8 (N,H,W,3) with their `records`; pixels: {model: uint8 (M,H,W,3)}; meta: what metadata.csv
    says of the M samples (class, seed, reference); seed: draws which images are left out of a balanced set.
    """

    judge: Judge
    records: pd.DataFrame
    images: np.ndarray
    pixels: dict
    meta: pd.DataFrame
    seed: int = 0

    @property
    def labels(self):
        """(M,) class codes of the samples."""
        return self.meta["class"].to_numpy()

    @property
    def seeds(self):
        """(M,) seeds of the samples: what intervals over samples treat as drawn together."""
        return self.meta.seed.to_numpy()

    def rows(self, *splits):
        """Rows of the originals of some splits."""
        return np.flatnonzero(self.records.split.isin(splits))

    @cached_property
    def _matched(self):
        test = self.rows("test")
        real, fake = matched(self.records.dx[test], self.labels, self.seed)
        return test[real], fake

    @property
    def target(self):
        """(K,) rows of the test images that samples are compared with: of each class as many as `take`."""
        return self._matched[0]

    @property
    def take(self):
        """(K,) rows of the samples that are compared, in the same order of classes as `target`."""
        return self._matched[1]

    def originals(self, rows):
        """Features of originals, grouped by lesion."""
        return self.judge(self.images[rows], self.records.dx[rows], self.records.lesion_id[rows])

    @cached_property
    def real(self):
        """Features of the target."""
        return self.originals(self.target)

    def samples(self, of):
        """Features of the samples of a model of `pixels`, or of other images (M,H,W,3) of the same plan."""
        images = self.pixels[of] if isinstance(of, str) else of
        return self.judge(images[self.take], self.labels[self.take], self.seeds[self.take])
