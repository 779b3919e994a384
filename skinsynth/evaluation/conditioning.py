"""What the class and its guidance do to samples of the same seeds (Fig 10).

Sets of samples are uint8 images (7n,H,W,3): n of each class in the order of CLASSES, from the same n
seeds, as recipe.guidance_rows makes them.
"""

from dataclasses import replace

import numpy as np

from ..core.config import CLASSES
from ..networks.classifiers import probabilities
from ..numerics import stats
from . import metrics


def _wanted(images):
    """(number of the class asked for, number of the seed) of each image."""
    n = len(images) // len(CLASSES)
    return np.repeat(np.arange(len(CLASSES)), n), np.tile(np.arange(n), len(CLASSES))


def one_each(images):
    """The first image of each class: the same seed."""
    return images[:: len(images) // len(CLASSES)]


def confidence(probe, images):
    """(7n,) probability that the probe gives to the class asked for."""
    wanted, _ = _wanted(images)
    return probabilities(probe, images)[np.arange(len(images)), wanted]


def strength(probe, sets):
    """Mean probability of the class asked for, a row for each set {name: images}, intervals over seeds.

    Images of "unconditional" are the same for all classes: their mean is one in seven, without interval.
    """
    rows = {}
    for name, images in sets.items():
        _, seeds = _wanted(images)
        mean = stats.within(stats.mean_interval(confidence(probe, images), clusters=seeds), 0, 1)
        if name == "unconditional":
            mean = replace(mean, low=np.nan, high=np.nan)
        rows[name] = {"probability of the class asked for": mean}
    return stats.frame("row", rows)


def gain(probe, strong, weak):
    """Mean probability of the class asked for in one set minus that in another, paired by image (Estimate)."""
    _, seeds = _wanted(strong)
    return stats.paired_difference(
        confidence(probe, strong), confidence(probe, weak), clusters=seeds
    )


def class_share_difference(embed, first, second):
    """Share of the variance of embed(images) between the classes asked for: first set minus second (Estimate)."""
    wanted, seeds = _wanted(first)
    features = [embed(images) for images in (first, second)]

    def difference(keep):
        a, b = (metrics.between_class_share(x[keep], wanted[keep]) for x in features)
        return a - b

    return stats.jackknife(difference, stats.make_groups(seeds))
