"""Downstream classification: the arms of Tables 3 and 4, at equal numbers of steps."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.store import stage
from ..diffusion.pipeline import provenance_check
from ..diffusion.vae import round_trip
from ..networks.classifiers import (
    augment,
    balanced_weights,
    load_classifier,
    probabilities,
    strong,
    train_classifier,
)
from ..numerics.arrays import Rows, labels_of, load_array, records_of, save_array

ARMS = {  # name: what it is trained on
    "R0": "original images",
    "R1": "original images, drawn by class",
    "R2": "original images, strong augmentation",
    "R3": "original images replayed at RS's class counts",
    "R4": "R3, the replayed ones through the VAE",
    "S": "synthetic only",
    "M": "mixed at the original's size",
    "RS": "original + synthetic",
    "RSA": "original + synthetic, strong augmentation",
    "RSI": "original + partly interpolated synthetic",
    "O": "original + fresh phantom images: the ceiling",
}
PAPER_COLUMNS = {  # of Tables 3 and 4
    "R0": "original",
    "S": "synthetic",
    "M": "mixed",
    "RS": "original + synthetic",
}


def _replayed(labels, counts, rng):
    """Row numbers that repeat real images to the given counts of each class."""
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(labels == c), n)
            for c, n in enumerate(counts)
            if n and (labels == c).any()
        ]
    )


def arm_data(arm, real, synthetic, vae, seed):
    """(images, labels, draw weights) of an arm; real and synthetic are (images, labels)."""
    (x, y), (xs, ys) = real, synthetic
    rng = np.random.default_rng([seed, list(ARMS).index(arm)])
    if arm in ("R0", "R2"):
        return x, y, None
    if arm == "R1":
        return x, y, balanced_weights(y)
    if arm == "S":
        return xs, ys, None
    if arm == "M":  # half of each class is replaced by synthetic images
        half = np.sort(rng.permutation(len(y))[: len(y) // 2])
        counts = np.bincount(np.delete(y, half), minlength=len(CLASSES))
        drawn = _replayed(ys, counts, rng)
        return Rows((x, half), (xs, drawn)), np.concatenate([y[half], ys[drawn]]), None
    if arm in ("R3", "R4"):
        rows = _replayed(y, np.bincount(ys, minlength=len(CLASSES)), rng)
        extra = (round_trip(vae, Rows((x, rows))), slice(None)) if arm == "R4" else (x, rows)
        return Rows((x, slice(None)), extra), np.concatenate([y, y[rows]]), None
    both = Rows((x, slice(None)), (xs, slice(None)))  # RS, RSA, RSI, O
    return both, np.concatenate([y, ys]), None


def _synthetic(folder, records):
    provenance_check(folder, records)
    table = pd.read_csv(folder / "metadata.csv").rename(columns={"class": "dx"})
    return load_array(folder / "images.npy"), labels_of(table, CLASSES)


def _arm(arm, images, records, samples, vae, seed):
    """(images, labels, draw weights) of an arm, and the table of the original set."""
    if arm not in ARMS:
        raise UserError(f"unknown arm {arm!r}; known: {', '.join(ARMS)}")
    table = records_of(records)
    train, labels = (table.split == "train").to_numpy(), labels_of(table, CLASSES)
    real = Rows((load_array(images / "images.npy"), train)), labels[train]
    return arm_data(arm, real, _synthetic(samples, records), vae, seed), table


def _answers(out, table, records, others, answer):
    """Save the class probabilities of val, test and other sets; metrics see original images as they are."""
    untouched, split = load_array(records / "images.npy"), table.split.to_numpy()
    for name in ("val", "test"):
        save_array(out / f"{name}.npy", answer(untouched[split == name]))
    for name, made in others.items():
        save_array(out / f"{name}.npy", answer(load_array(made / "images.npy")))


@stage("classifier")
def train_arm(
    out, *, arm, images, records, samples, vae, others, backbone, start, steps, batch, seed
):
    """One classifier: arm, seed. Writes its model and its probabilities on val, test and other sets.

    images/records: the original set; samples: a folder of synthetic images (RSI: of partly
    interpolated ones, O: of fresh phantom images); others: stages of sets to be tested on, by name. Raises
    UserError when the samples' generator was trained under another split.
    """
    (x, y, weights), table = _arm(arm, images, records, samples, vae, seed)
    train_classifier(
        out,
        x,
        y,
        backbone=backbone,
        start=start,
        steps=steps,
        batch=batch,
        seed=seed,
        weights=weights,
        change=strong if arm in ("R2", "RSA") else augment,
        desc=f"classifier {arm} seed {seed}",
    )
    model = load_classifier(out)
    _answers(out, table, records, others, lambda pixels: probabilities(model, pixels))


@stage("linear-probe")
def linear_probe(out, *, arm, records, samples, embedded, others, seed):
    """Logistic regression on frozen features: the cheap second classifier. As train_arm, without R4.

    embedded: dict of features stages (panel.cache_features), of the original set ("records") and of
    the samples ("samples"); others: those of further sets.
    """
    if arm not in ARMS or arm == "R4":
        known = ", ".join(a for a in ARMS if a != "R4")
        raise UserError(f"no linear probe for arm {arm!r}; known: {known}")
    table = records_of(records)
    split, labels = table.split.to_numpy(), labels_of(table, CLASSES)
    own, made = (load_array(embedded[name] / "embeddings.npy") for name in ("records", "samples"))
    real = own[split == "train"], labels[split == "train"]
    x, y, weights = arm_data(arm, real, (made, _synthetic(samples, records)[1]), None, seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.01))
    weights = None if weights is None else weights / weights.mean()
    model.fit(np.asarray(x), y, logisticregression__sample_weight=weights)
    sets = {name: own[split == name] for name in ("val", "test")}
    sets |= {name: load_array(made / "embeddings.npy") for name, made in others.items()}
    for name, features in sets.items():
        p = np.zeros((len(features), len(CLASSES)), np.float32)
        p[:, model.classes_] = model.predict_proba(features)
        save_array(out / f"{name}.npy", p)
