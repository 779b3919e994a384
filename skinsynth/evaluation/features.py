"""Features of two sets of images: checked, and read block by block."""

import numpy as np

from ..core.errors import UserError
from ..numerics import arrays


def checked(*sets):
    """The sets as arrays (N, D); memory-mapped ones stay so. Raises UserError on other shapes, nan and infinity."""
    sets = [np.asarray(s) for s in sets]
    for s in sets:
        if s.ndim != 2 or len(s) < 2 or s.shape[1] != sets[0].shape[1]:
            shapes = ", ".join(str(s.shape) for s in sets)
            raise UserError(f"features need shape (N, D), N of 2 or more and one D; got {shapes}")
        if not all(np.isfinite(x).all() for _, x in blocks(s)):
            raise UserError("features contain nan or infinity; check the encoder's input")
    return sets


def blocks(x, rows=None):
    """(first row, float64 block) of an array, or of some of its rows."""
    for part in arrays.blocks(len(x if rows is None else rows)):
        yield part.start, np.asarray(x[part] if rows is None else x[rows[part]], np.float64)
