"""Tables 2 and 5: how far sets of samples lie from the original test images, and what the numbers are held against."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ..numerics import stats
from . import metrics, panel

FEW = 10  # images of one class, too few to be compared as a set
UNSHOWN = "8ch+ML, references: none"  # as recipe.reference_modes names it
BOTH = {
    "with reference images": "8ch+ML",
    "without reference images": UNSHOWN,
}  # the proposed method, {label: set}


def of_features(metric, least=-np.inf):
    """A metric of two arrays of features as one of two Features, with its interval, none of it below `least`."""

    def measure(real, fake):
        return stats.within(metrics.with_interval(metric, *real.beside(fake)), least, np.inf)

    return measure


def score(real, fake):
    """How surely the network names the fake images, and how many names there are; no originals are needed."""
    return metrics.inception_score_interval(fake.probabilities, fake.groups)


# the columns of Tables 2 and 5: {name: (name where Inception measures, metric of two Features)};
# one line here adds a metric to both tables
METRICS = {
    panel.NAMES[0]: ("FID", of_features(metrics.frechet_distance, least=0)),
    panel.NAMES[1]: ("KID", of_features(metrics.kid)),
    panel.NAMES[2]: ("IS", score),
}


def row(name, real, fake):
    """One row of a table: METRICS of `fake` against `real`, then precision to coverage, with intervals."""
    found = {own: metric(real, fake) for own, (_, metric) in METRICS.items()}
    if fake.inception:
        beside = real.inception(), fake.inception()
        found |= {theirs: metric(*beside) for theirs, metric in METRICS.values()}
    found |= metrics.prdc_with_interval(*real.beside(fake))
    return {"model": name, "n": len(fake.labels)} | stats.columns(found)


def rows(compared, sets):
    """DataFrame with a row of METRICS for each set {name: Features}, against the target at equal numbers."""
    pairs = {k: panel.equal_numbers(compared.real, fake, compared.seed) for k, fake in sets.items()}
    return pd.DataFrame([row(name, *pair) for name, pair in pairs.items()])


def both(how, features, other, *real):
    """The proposed method against another set: [Estimate with reference images shown to it, without].

    An image shown to one of two models is an aid, so a claim about the model needs both to agree.
    how: a difference of panel.py, how(*real, a, b); features: {name: Features}, which hold those of BOTH.
    """
    pairs = {label: how(*real, features[name], features[other]) for label, name in BOTH.items()}
    return [replace(e, label=label) for label, e in pairs.items()]


def in_words(estimate, less="nearer", more="farther"):
    """A difference with its interval after what its sign means: "nearer (-2 [-3, -1])"."""
    sign = less if estimate.high < 0 else more if estimate.low > 0 else f"neither {less} nor {more}"
    return f"{sign} ({estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}])"


def melanoma_only(compared):
    """A plainly wrong set, for scale: train images of melanoma, at most as many as the target; {name: Features}.

    Empty where there are too few of them.
    """
    found = compared.rows("train", "mel")[: len(compared.target)]
    if len(found) <= FEW:
        return {}
    return {"original melanoma images only": compared.originals(found)}


def shown_references(compared, model="8ch+ML"):
    """The train images that the compared samples of a model were shown; {name: Features}.

    Empty where the model samples without.
    """
    if compared.references is None:
        return {}
    rows = compared.references[compared.take]
    lesions = compared.records.lesion_id[rows]
    shown = compared.judge(compared.images[rows], compared.labels[compared.take], lesions)
    return {f"train images shown to {model}": shown}


def excess_share(real, fake, floor, far, seed=0):
    """Of the way from the floor to a set that is plainly wrong, how much lies between real and fake.

    (FD(fake) - FD(floor)) / (FD(far) - FD(floor)), all to `real`: 0 is as near as other originals, 1
    as far as `far`. All sets are cut to equal numbers, since the distance's bias depends on them;
    real and fake have the same classes in the same order (`matched`). Jackknife over the groups of
    all four sets.
    """
    same, fewer = panel.matched(real.labels, floor.labels, seed)
    n, rng = min(len(fewer), len(far.labels)), np.random.default_rng([seed, 1])
    cut = rng.permutation(len(fewer))[:n]
    others = far[rng.permutation(len(far.labels))[:n]]
    sets = real[same[cut]], fake[same[cut]], floor[fewer[cut]], others

    def statistic(keep):
        kept = keep.reshape(len(sets), n)
        own, *rest = (x.features[k] for x, k in zip(sets, kept, strict=True))
        a, b, c = (metrics.frechet_distance(own, other) for other in rest)
        return (a - b) / (c - b)

    return stats.jackknife(statistic, np.concatenate([x.groups for x in sets]), n=n)


def to_clinical(compared, photographs, table, model="8ch+ML"):
    """Kernel distances between three sets: clinical photographs, dermatoscopic test images, samples.

    photographs: uint8 (N,H,W,3) with their `table` (dx, patient_id), of which as many are drawn as
    the target holds.
    """
    some = np.random.default_rng(compared.seed).permutation(len(table))[: len(compared.target)]
    clinical = compared.judge(photographs[some], table.dx[some], table.patient_id[some])
    real, fake = compared.real, compared.samples(model)
    pairs = {
        "clinical to dermatoscopic test images": (real, clinical),
        f"clinical to samples ({model})": (fake, clinical),
        "samples to dermatoscopic test images": (real, fake),
    }
    name, measure = compared.judge.names[1], of_features(metrics.kid)
    return stats.frame("pair", {k: {name: measure(*pair)} for k, pair in pairs.items()})
