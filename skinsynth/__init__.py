"""skinsynth: a reproducible companion to Kim et al. 2025 on synthetic skin disease images."""

__version__ = "0.1.0"

from .core.machine import prepare

prepare()  # before torch is imported
