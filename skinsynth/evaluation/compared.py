"""Samples of several models beside originals of the same classes: the sets that the chapters compare."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..diffusion.vae import round_trip
from ..numerics.arrays import load_array
from ..numerics.stats import make_groups
from .panel import Judge, matched


def pictures(folders):
    """{name: uint8 images (M,H,W,3)} of folders of samples {name: stage}."""
    return {name: load_array(folder / "images.npy") for name, folder in folders.items()}


@dataclass(frozen=True)
class Compared:
    """Samples of one plan of classes and seeds from several models, and the original images.

    images: uint8 (N,H,W,3) with their `records`; pixels: {model: uint8 (M,H,W,3)}; meta: what metadata.csv
    says of the M samples (class, seed, reference); seed: draws which images are left out of a balanced set;
    split: of the originals that they are compared with.
    """

    judge: Judge
    records: pd.DataFrame
    images: np.ndarray
    pixels: dict
    meta: pd.DataFrame
    seed: int = 0
    split: str = "test"

    @property
    def labels(self):
        """(M,) class codes of the samples."""
        return self.meta["class"].to_numpy()

    @property
    def seeds(self):
        """(M,) seeds of the samples: what intervals over samples treat as drawn together."""
        return self.meta.seed.to_numpy()

    def rows(self, split, *classes):
        """Rows of the originals of a split, of some classes or of all."""
        own = self.records.dx.isin(classes) if classes else True
        return np.flatnonzero((self.records.split == split) & own)

    @cached_property
    def _matched(self):
        test = self.rows(self.split)
        real, fake = matched(self.records.dx[test], self.labels, self.seed)
        return test[real], fake

    @property
    def target(self):
        """(K,) rows of the originals that samples are compared with: of each class as many as `take`."""
        return self._matched[0]

    @property
    def take(self):
        """(K,) rows of the samples that are compared, in the same order of classes as `target`."""
        return self._matched[1]

    @property
    def references(self):
        """(M,) rows of the train images that samples of 8ch+ML were shown; None where it samples without."""
        names = self.meta.reference
        if names.isna().any():
            return None
        return self.records.set_index("image_id").index.get_indexer(names)

    def lesions(self, rows):
        """Number of lesions of some rows of the originals."""
        return self.records.lesion_id.iloc[rows].nunique()

    @property
    def groups(self):
        """Jackknife groups: (of `target`, by lesion; of `take`, by seed)."""
        lesions = self.records.lesion_id.to_numpy()[self.target]
        return make_groups(lesions), make_groups(self.seeds[self.take])

    def first(self, of, c, n=6):
        """The first n images of class c, by seed: of a model of `pixels`, or of the test images ("original")."""
        if of == "original":
            return self.images[self.rows("test", c)[:n]]
        return self.pixels[of][np.flatnonzero(self.labels == c)[:n]]

    def originals(self, rows, images=None):
        """Features of originals, grouped by lesion; images: what is looked at in their place."""
        images = self.images[rows] if images is None else images
        return self.judge(images, self.records.dx[rows], self.records.lesion_id[rows])

    @cached_property
    def real(self):
        """Features of the target."""
        return self.originals(self.target)

    def samples(self, of):
        """Features of the samples of a model of `pixels`, or of other images (M,H,W,3) of the same plan."""
        images = self.pixels[of] if isinstance(of, str) else of
        return self.judge(images[self.take], self.labels[self.take], self.seeds[self.take])

    def floors(self, vae):
        """{name: Features} of what no generator can beat: train images, as they are and through a VAE stage.

        As many of each class are taken as the target holds.
        """
        train, dx = self.rows("train"), self.records.dx
        rows = train[matched(dx[self.target], dx[train], self.seed)[1]]
        again = round_trip(vae, self.images[rows])
        return {
            "original train images (floor)": self.originals(rows),
            "original train images through the 8ch VAE (floor)": self.originals(rows, again),
        }
