"""Procedural dermatoscopy phantom: photographs with exact truth, drawn from (seed, index)."""

import numpy as np

from ..errors import UserError
from .canvas import EXTENT, Canvas
from .lesions import PAINTERS
from .skin import Phantom, contact_light, dermal_skin, draw_hair, finish, render, view

__all__ = ["Phantom", "dermatoscopy"]


def dermatoscopy(seed, index, dx, size=64, lesion=None, photo=0):
    """Phantom dermatoscopic photograph of one of HAM10000's seven diagnoses.

    `dx` is a HAM10000 code, `size` the side in pixels (32-512). `lesion` numbers the lesion
    (default `index`); `photo` numbers its photographs: same anatomy and skin, other position,
    light and hair. Returns `Phantom`. Raises UserError on an unknown `dx`.
    """
    if dx not in PAINTERS:
        raise UserError(f"unknown diagnosis {dx!r}; choose one of: {', '.join(PAINTERS)}")
    number = index if lesion is None else lesion
    side = round(1.5 * size) if size <= 128 else size
    canvas = Canvas(round(side * EXTENT))
    skin = dermal_skin(canvas, np.random.default_rng([1, seed, number]))
    rng = np.random.default_rng([2, seed, number])
    layers = PAINTERS[dx](canvas, rng)
    lesion_skin = render(skin, layers, rng, canvas)
    rng = np.random.default_rng([3, seed, index, photo])
    normal, clean, alpha = view(rng, side, (skin, lesion_skin, layers.alpha))
    hair = draw_hair(rng, side)
    light = contact_light(rng, side)
    return finish(rng, size, normal, clean, alpha, hair, light)
