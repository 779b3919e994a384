"""Do samples show their class? What a classifier of originals names them, and which originals lie nearest."""

import pandas as pd

from ..core.config import CLASSES
from ..diffusion.vae import round_trip
from ..networks.classifiers import probabilities
from ..numerics import stats
from . import metrics


def named_right(probe, images, classes):
    """(N,) whether the probe names the class code (N,) of each of the uint8 images (N,H,W,3)."""
    return probabilities(probe, images).argmax(1) == [CLASSES.index(c) for c in classes]


def table(compared, probe, vae, model="8ch+ML"):
    """Label fidelity: the share of each class's images that the probe names right, a row a class.

    Columns: samples of a model (Wilson's interval), and all test images, as they are and through a
    VAE stage (intervals over lesions).
    """
    test = compared.rows("test")
    classes, lesions = (compared.records[k].to_numpy()[test] for k in ("dx", "lesion_id"))
    originals = {
        "test images": compared.images[test],
        "test images through the 8ch VAE": round_trip(vae, compared.images[test]),
    }
    right = {name: named_right(probe, x, classes) for name, x in originals.items()}
    samples = named_right(probe, compared.pixels[model], compared.labels)
    rows = {}
    for c in CLASSES:
        own, fake = classes == c, samples[compared.labels == c]
        shares = {name: stats.share_interval(x[own], lesions[own]) for name, x in right.items()}
        shares["samples"] = stats.wilson(int(fake.sum()), len(fake))
        rows[c] = {"n": len(fake), "n test": int(own.sum())} | shares
    return stats.frame("class", rows)


def above_chance(fidelity):
    """Share of the samples named right minus what guessing gives, an Estimate for each row of `table`."""
    found, chance = [], 1 / len(CLASSES)
    for row in fidelity.to_dict("records"):
        value, low, high = (row[f"samples{end}"] - chance for end in ("", " low", " high"))
        found.append(stats.Estimate(value, low, high, row["n"], row["class"]))
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
