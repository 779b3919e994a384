"""The differences between models that claims rest on, at the end of their training and on the way there."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from ..core.store import stage, write_csv
from ..numerics import stats
from ..numerics.arrays import load_array, records_of
from . import distances, looks, panel
from .compared import Compared, pictures

# of the course: distance, detail, fidelity, variety
MEASURES = (panel.NAMES[1], looks.FINE, "precision", "recall")
CLAIMS = ("table2-fid", "table5-fid-8ch", "table5-fid-ml", "fig9-sharper", "fig9-diversity")


def features_of(compared, unshown):
    """{model: Features of its samples}, last of 8ch+ML without reference images; unshown: those (M,H,W,3)."""
    sets = {name: compared.samples(name) for name in compared.pixels}
    return sets | {distances.UNSHOWN: compared.samples(unshown)}


def differences(compared, features, unshown):
    """{claim: [Estimate of each part]}, signs as claims.yml says; features: of `features_of`, or more."""
    found = (
        *nearness(panel.kd_difference, compared.real, features),
        looks.fine_steps(compared, unshown),
        distances.both(panel.recall_difference, features, "8ch", compared.real),
    )
    return dict(zip(CLAIMS, found, strict=True))


def nearness(how, real, features):
    """[[Estimate of each part]] of the first three CLAIMS; how: panel.fd_difference or panel.kd_difference."""
    return (
        distances.both(how, features, "baseline", real),
        [how(real, features["8ch"], features["4ch"])],
        distances.both(how, features, "4ch", real),
    )


def over_trainings(found):
    """DataFrame of the differences of several trainings of the same models, one row a part of a claim.

    found: [{claim: [Estimate]}], one of each training. "over trainings": their mean with an interval for others.
    """
    rows = {}
    for claim, parts in found[0].items():
        for k, part in enumerate(parts):
            each = [one[claim][k] for one in found]
            row = {f"training {n}": e for n, e in enumerate(each, 1)}
            rows[f"{claim} {part.label}".strip()] = row | {
                "over trainings": stats.mean_interval([e.value for e in each])
            }
    return stats.frame("claim", rows)


@stage("course")
def follow(out, *, folders, records, seed):
    """Samples made along a training beside the validation images: measures.csv and differences.csv.

    folders: {images seen until then: {model: samples}}, last of 8ch+ML without reference images; the validation
    images choose nothing. Columns of measures.csv: images, model and METRICS of distances.py with
    intervals; of differences.csv: images, claim and an Estimate's.
    """
    table, images = records_of(records), load_array(records / "images.npy")
    measured, found = [], []
    for seen, models in folders.items():
        meta, pixels = pd.read_csv(models["8ch+ML"] / "metadata.csv"), pictures(models)
        plain = np.asarray(pixels.pop(distances.UNSHOWN))
        beside = Compared(panel.Judge(), table, images, pixels, meta, seed, split="val")
        features = features_of(beside, plain)
        rows = distances.rows(beside, features)
        detail = looks.fine_detail(beside, plain).drop(columns="n")
        rows = rows.merge(detail.rename(columns={"set": "model"}), on="model")
        measured.append(rows.assign(images=int(seen)))
        for claim, parts in differences(beside, features, plain).items():
            found += [dict(images=int(seen), claim=claim) | asdict(part) for part in parts]
    write_csv(out / "measures.csv", pd.concat(measured))
    write_csv(out / "differences.csv", pd.DataFrame(found))
