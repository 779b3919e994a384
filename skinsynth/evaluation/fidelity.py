"""Do samples show their class? What a classifier of originals names them, and which originals lie nearest."""

import numpy as np
import pandas as pd

from ..core.config import CLASSES
from ..diffusion.vae import round_trip
from ..networks.classifiers import probabilities
from ..numerics import stats
from . import metrics

CHANCE = "other samples named so"  # how often the probe says a class of samples of all others
CHANCE_TEST = "other test images named so"
UNSHOWN = "samples without reference images"


def named(probe, images):
    """(N,) class codes that the probe gives to uint8 images (N,H,W,3)."""
    return np.array(CLASSES)[probabilities(probe, images).argmax(1)]


def named_right(probe, images, classes):
    """(N,) whether the probe names the class code (N,) of each of the uint8 images (N,H,W,3)."""
    return named(probe, images) == np.asarray(classes)


def table(compared, probe, vae, unshown, model="8ch+ML"):
    """Label fidelity: the share of each class's images that the probe names right, a row a class.

    Columns: samples of a model, the same without reference images (`unshown`, uint8 (M,H,W,3)) and all test
    images, as they are and through a VAE stage, then how often the probe says the class of images of the other
    classes, which is what chance gives (CHANCE, CHANCE_TEST). Intervals over seeds or lesions, Wilson's for the
    samples of one class.
    """
    test = compared.rows("test")
    classes, lesions = (compared.records[k].to_numpy()[test] for k in ("dx", "lesion_id"))
    answers, labels = named(probe, compared.images[test]), compared.labels
    again = named(probe, round_trip(vae, compared.images[test]))
    given, plain = named(probe, compared.pixels[model]), named(probe, unshown)
    rows = {}
    for c in CLASSES:
        own, fake = classes == c, labels == c
        rows[c] = {
            "n": int(fake.sum()),
            "n test": int(own.sum()),
            "lesions": len(np.unique(lesions[own])),
            "samples": stats.wilson(int((given[fake] == c).sum()), int(fake.sum())),
            UNSHOWN: stats.wilson(int((plain[fake] == c).sum()), int(fake.sum())),
            CHANCE: stats.share_interval(given[~fake] == c, compared.seeds[~fake]),
            "test images": stats.share_interval(answers[own] == c, lesions[own]),
            CHANCE_TEST: stats.share_interval(answers[~own] == c, lesions[~own]),
            "test images through the 8ch VAE": stats.share_interval(again[own] == c, lesions[own]),
        }
    return stats.frame("class", rows)


def unknown(fidelity):
    """Classes of `table` whose original test images the probe does not know: the interval of the share named
    right is not above how often it says the class of other test images. Samples of these cannot be judged."""
    return fidelity["class"][~(fidelity["test images low"] > fidelity[CHANCE_TEST])].tolist()


def above_chance(fidelity):
    """Share of a class's samples named so minus how often samples of other classes are: an Estimate for each
    row of `table` that can be judged."""
    found, blind = [], unknown(fidelity)
    for row in fidelity.to_dict("records"):
        own, other = (
            stats.Estimate(row[k], row[f"{k} low"], row[f"{k} high"], row["n"], row["class"])
            for k in ("samples", CHANCE)
        )
        if row["class"] not in blind:
            found.append(stats.apart(own, other))
    return found


def class_matrix(real, fake):
    """Kernel distance of the fakes of each class (rows, column "samples") to the originals of each class.

    real, fake: panel.Features that hold all classes.
    """
    originals = {c: real.features[real.labels == c] for c in CLASSES}
    rows = []
    for c in CLASSES:
        own = fake.features[fake.labels == c]
        rows.append({"samples": c} | {d: metrics.kid(x, own) for d, x in originals.items()})
    return pd.DataFrame(rows)


def nearest_to_own(matrix):
    """In how many rows of `class_matrix` the smallest distance is that to the originals of the same class."""
    return int((matrix.set_index("samples").idxmin(axis=1) == matrix["samples"].to_numpy()).sum())
