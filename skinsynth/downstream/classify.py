"""Downstream classification: the arms of Tables 3 and 4, at equal numbers of steps."""

from functools import partial

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.store import Stage, stage
from ..diffusion.pipeline import provenance_check
from ..diffusion.vae import round_trip
from ..networks import classifiers
from ..numerics.arrays import Rows, labels_of, load_array, records_of, save_array

ARMS = {  # code: what it is trained on, as tables and figures name it
    "R0": "originals",
    "R1": "originals drawn by class",
    "R2": "originals, strong augmentation",
    "R3": "originals + repeats",
    "R4": "originals + repeats through the VAE",
    "S": "synthetic only",
    "M": "mixed, half synthetic",
    "RS": "originals + synthetic",
    "RSA": "originals + synthetic, strong augmentation",
    "RSI": "originals + partly interpolated",
    "O": "originals + fresh phantom lesions (ceiling)",
}
PAPER_COLUMNS = {  # of Tables 3 and 4
    "R0": "original",
    "S": "synthetic",
    "M": "mixed",
    "RS": "original + synthetic",
}


def _replayed(labels, counts, rng):
    """Row numbers of the given counts of each class that is there, none twice before each was drawn once."""
    pools = {c: rng.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)}
    return np.concatenate([np.resize(pool, counts[c]) for c, pool in pools.items()])


def arm_data(arm, real, added, vae, seed):
    """(images, labels, draw weights) of an arm; real: (images, labels); added: `samples` of train_arm, or as real."""
    x, y = real
    rng = np.random.default_rng([seed, list(ARMS).index(arm)])
    if arm in ("R0", "R1", "R2"):
        return x, y, classifiers.balanced_weights(y) if arm == "R1" else None
    if arm in ("R3", "R4"):
        rows = _replayed(y, np.full(len(CLASSES), added), rng)
        extra = (round_trip(vae, Rows((x, rows))), slice(None)) if arm == "R4" else (x, rows)
        return Rows((x, slice(None)), extra), np.concatenate([y, y[rows]]), None
    xs, ys = added
    if arm == "S":
        return xs, ys, None
    if arm == "M":  # half of each class is replaced by synthetic images
        own = np.bincount(y, minlength=len(CLASSES))
        half, drawn = _replayed(y, own - own // 2, rng), _replayed(ys, own // 2, rng)
        return Rows((x, half), (xs, drawn)), np.concatenate([y[half], ys[drawn]]), None
    both = Rows((x, slice(None)), (xs, slice(None)))  # RS, RSA, RSI, O
    return both, np.concatenate([y, ys]), None


def _arm(arm, own, drawn, records, samples, vae, seed):
    """`arm_data` of pixels or features, of all originals (`own`) and of the samples, and the originals' split.

    drawn: file of the samples' pixels or features, None where there are none.
    """
    table = records_of(records)
    train = (table.split == "train").to_numpy()
    if drawn:
        provenance_check(samples, records)
        made = pd.read_csv(samples / "metadata.csv").rename(columns={"class": "dx"})
        samples = load_array(drawn), labels_of(made, CLASSES)
    real = Rows((own, train)), labels_of(table, CLASSES)[train]
    return arm_data(arm, real, samples, vae, seed), table.split.to_numpy()


def _answers(out, own, split, others, file, answer):
    """Save answer(pixels or features) of val, test and other sets; metrics see original images as they are."""
    sets = {name: Rows((own, split == name)) for name in ("val", "test")}
    sets |= {name: load_array(made / file) for name, made in others.items()}
    for name, x in sets.items():
        save_array(out / f"{name}.npy", answer(x))


@stage("classifier")
def train_arm(out, *, arm, records, samples, vae, others, backbone, start, steps, batch, seed):
    """One classifier: arm, seed. Writes its model and its probabilities on val, test and other sets.

    records: the original set; samples: of R3 and R4 how often each class is repeated, of R0 to R2 None, else a
    folder of synthetic images (RSI: of partly interpolated ones, O: of fresh phantom images); vae: of R4; others:
    stages of sets to be tested on, by name. So no arm of originals is trained again when a generator changes.
    Raises UserError when the samples' generator was trained under another split.
    """
    if arm not in ARMS:
        raise UserError(f"unknown arm {arm!r}; known: {', '.join(ARMS)}")
    own, drawn = load_array(records / "images.npy"), None
    if isinstance(samples, Stage):
        drawn = samples / "images.npy"
    (x, y, weights), split = _arm(arm, own, drawn, records, samples, vae, seed)
    given = dict(weights=weights, steps=steps, batch=batch, desc=f"classifier {arm} seed {seed}")
    given |= dict(change=classifiers.strong if arm in ("R2", "RSA") else classifiers.augment)
    model = classifiers.train_classifier(out, x, y, backbone, start, seed, **given)
    _answers(out, own, split, others, "images.npy", partial(classifiers.probabilities, model))


@stage("linear-probe")
def linear_probe(out, *, arm, records, samples, embedded, others, seed):
    """Logistic regression on frozen features: the cheap second classifier. As train_arm, without R4.

    embedded: dict of features stages (panel.cache_features), of the original set ("records") and of
    the samples ("samples") where there are any; others: those of further sets.
    """
    if arm not in ARMS or arm == "R4":
        known = ", ".join(a for a in ARMS if a != "R4")
        raise UserError(f"no linear probe for arm {arm!r}; known: {known}")
    files = {k: made / "embeddings.npy" for k, made in embedded.items()}
    own, drawn = load_array(files["records"]), files.get("samples")
    (x, y, weights), split = _arm(arm, own, drawn, records, samples, None, seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.01))
    weights = None if weights is None else weights / weights.mean()
    model.fit(np.asarray(x), y, logisticregression__sample_weight=weights)

    def answer(features):
        p = np.zeros((len(features), len(CLASSES)), np.float32)
        p[:, model.classes_] = model.predict_proba(np.asarray(features))
        return p

    _answers(out, own, split, others, "embeddings.npy", answer)
