"""Procedural dermatoscopy phantom: photographs with exact truth, drawn from (seed, index)."""

from .clinical import clinical, fitzpatrick
from .dataset import write_dataset
from .generic import ATTRIBUTES, caption, generic
from .lesions import dermatoscopy
from .skin import Phantom

__all__ = [
    "ATTRIBUTES",
    "Phantom",
    "caption",
    "clinical",
    "dermatoscopy",
    "fitzpatrick",
    "generic",
    "write_dataset",
]
