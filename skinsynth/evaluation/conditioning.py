"""What the class, its guidance (Fig 10) and the adapters do to samples of the same seeds, and the price of guidance.

Unless said, sets of samples are uint8 images (7n,H,W,3): n of each class in the order of CLASSES, from the
same n seeds, as recipe.guidance_rows makes them.
"""

from dataclasses import replace

import numpy as np

from ..core.config import CLASSES
from ..networks.classifiers import probabilities
from ..numerics import stats
from ..numerics.arrays import labels_of
from . import metrics


def _wanted(images):
    """(class asked for, number of the seed) of each image."""
    n = len(images) // len(CLASSES)
    return np.repeat(CLASSES, n), np.tile(np.arange(n), len(CLASSES))


def one_each(images):
    """The first image of each class: the same seed."""
    return images[:: len(images) // len(CLASSES)]


def confidence(probe, images, classes):
    """(N,) probability that the probe gives to the class (N,) of each of the uint8 images (N,H,W,3)."""
    wanted = [CLASSES.index(c) for c in classes]
    return probabilities(probe, images)[np.arange(len(images)), wanted]


def strength(probe, sets):
    """Mean probability of the class asked for, a row for each set {name: images}, intervals over seeds.

    Images of "unconditional" are the same for all classes: their mean is one in seven, without interval.
    """
    rows = {}
    for name, images in sets.items():
        wanted, seeds = _wanted(images)
        mean = stats.mean_interval(confidence(probe, images, wanted), clusters=seeds)
        mean = stats.within(mean, 0, 1)
        if name == "unconditional":
            mean = replace(mean, low=np.nan, high=np.nan)
        rows[name] = {"probability of the class asked for": mean}
    return stats.frame("row", rows)


def gain(probe, strong, weak):
    """Mean probability of the class asked for in one set minus that in another, paired by image (Estimate)."""
    wanted, seeds = _wanted(strong)
    pair = (confidence(probe, images, wanted) for images in (strong, weak))
    return stats.paired_difference(*pair, clusters=seeds)


def without_class(embed, told):
    """Share of the variance of embed(images) that lies between the classes asked for, without the class minus with it.

    told: images drawn with the class and without reference images. Without either nothing tells the class: a
    seed gives one image for all classes, whose share is zero. So this is minus the share of `told`
    (metrics.between_class_share, which is zero in the mean for classes that look alike). Returns an Estimate.
    """
    wanted, seeds = _wanted(told)
    features = embed(told)

    def minus_share(keep):
        return -metrics.between_class_share(features[keep], wanted[keep])

    return stats.jackknife(minus_share, stats.make_groups(seeds))


def utility(answers, table):
    """Balanced accuracy of a classifier that was trained on samples alone (Estimate, jackknife over lesions).

    answers: its probabilities (N, 7) of original images; table: their N records.
    """
    truth = labels_of(table, CLASSES)
    right = answers.argmax(1) == truth

    def balanced(keep):
        return np.mean([right[keep & (truth == k)].mean() for k in np.unique(truth[keep])])

    groups = stats.make_groups(table.lesion_id.to_numpy())
    return stats.within(stats.jackknife(balanced, groups), 0, 1)


def price(compared, sets):
    """The price of guidance, a row for each scale: kernel distance, precision, recall, coverage, utility.

    sets: {guidance scale: (uint8 samples (M,H,W,3) of compared's plan, probabilities (N,7) that a classifier
    trained on them gives to the validation images, None where there is none: then without utility)}.
    """
    rows, valid = {}, compared.records.iloc[compared.rows("val")]
    for scale, (images, answers) in sets.items():
        args = compared.real.beside(compared.samples(images))
        distance = {compared.judge.names[1]: metrics.with_interval(metrics.kid, *args)}
        shares = metrics.prdc_with_interval(*args)
        del shares["density"]
        use = {} if answers is None else {"utility": utility(answers, valid)}
        rows[scale] = distance | shares | use
    return stats.frame("guidance", rows)


def _directions(judge, images):
    """Features of images as vectors of length 1: (M, D)."""
    found = judge.embed(images)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def adapters(judge, pixels, references, seeds, trained):
    """{setting of the adapters: {column: Estimate}}: how near the samples are to their references, and what moved.

    judge: a panel.Judge; pixels: {setting: uint8 (M,H,W,3)}, samples of the same M seeds and classes;
    references: uint8 (M,H,W,3), what each was shown; trained: the setting that the others are compared with.
    Columns: the distance (1 minus the cosine of the judge's features, 0 alike), its difference from that
    of `trained`, paired by sample, and the mean absolute change of a pixel in grey levels. Intervals over seeds.
    """
    shown = _directions(judge, references)
    distance = {k: 1 - (_directions(judge, x) * shown).sum(1) for k, x in pixels.items()}
    rows = {}
    for setting, far in distance.items():
        row = rows[setting] = {"to the reference": stats.mean_interval(far, clusters=seeds)}
        if setting != trained:
            farther = stats.paired_difference(far, distance[trained], clusters=seeds)
            moved = np.abs(np.asarray(pixels[setting], int) - pixels[trained]).mean((1, 2, 3))
            row["minus as trained"] = farther
            row["change (grey levels)"] = stats.mean_interval(moved, clusters=seeds)
    return rows
