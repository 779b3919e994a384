"""Procedural dermatoscopy phantom: photographs with exact truth, drawn from (seed, index)."""

from .clinical import clinical
from .dataset import write_dataset
from .generic import ATTRIBUTES, caption, generic
from .lesions import dermatoscopy
from .structures import STRUCTURES, pairs

__all__ = [
    "ATTRIBUTES",
    "STRUCTURES",
    "caption",
    "clinical",
    "dermatoscopy",
    "generic",
    "pairs",
    "write_dataset",
]
