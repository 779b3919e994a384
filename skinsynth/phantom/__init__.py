"""Procedural dermatoscopy phantom: photographs with exact truth, drawn from (seed, index)."""

from .clinical import clinical
from .dataset import write_dataset
from .generic import ATTRIBUTES, caption, generic
from .lesions import dermatoscopy

__all__ = ["ATTRIBUTES", "caption", "clinical", "dermatoscopy", "generic", "write_dataset"]
