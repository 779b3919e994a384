"""The same lesion with one of its structures and without: vessels, pigment network, or scale."""

import copy

import numpy as np

from .lesions import PAINTERS, dermatoscopy

STRUCTURES = {"vessels": "bcc", "network": "nv", "scale": "akiec"}  # each with a class that has it


def _without(structure, painter):
    """A painter that draws all the same but for one structure, which becomes its own mean."""

    def paint(canvas, rng):
        if structure == "scale":
            return painter(canvas, rng)._replace(white=())
        canvas, draw = copy.copy(canvas), getattr(canvas, structure)
        setattr(canvas, structure, lambda *how: np.full_like(drawn := draw(*how), drawn.mean()))
        return painter(canvas, rng)

    return paint


def pairs(structure, n, size, seed=0, least=2.0):
    """(with, without): uint8 (n,size,size,3) each, without hair, equal but for a structure of STRUCTURES.

    least: grey levels, root mean square, by which the two differ at least; lesions that lack it are passed over.
    """
    dx, index, found = STRUCTURES[structure], 0, []
    while len(found) < n:
        of_lesion = dict(seed=seed + 7, index=index, dx=dx, size=size)
        with_it = dermatoscopy(**of_lesion).clean
        bare = dermatoscopy(**of_lesion, painter=_without(structure, PAINTERS[dx])).clean
        if (with_it.astype(float) - bare).std() >= least:
            found.append((with_it, bare))
        index += 1
    return tuple(np.stack(images) for images in zip(*found, strict=True))
