"""The whole panel for anybody's folder of samples: distances, floors, label fidelity, copies."""

from pathlib import Path

import pandas as pd

from .. import recipe
from ..core.errors import UserError
from ..core.store import Stage, read_json
from ..diffusion.pipeline import provenance_check
from ..evaluation import copies, distances, judges
from ..evaluation.fidelity import named_right
from ..networks import classifiers
from ..numerics import stats
from ..recipe.samples import beside_originals
from .sample_folder import read_folder


def _knows_split(folder):
    """Whether a folder of samples says what its generator was trained on; raises UserError where it cannot be read."""
    path = Path(folder) / "provenance.json"
    facts = read_json(path) if path.exists() else None
    return isinstance(facts, dict) and "manifest" in facts


def _compared(run, cfg, folder, say):
    """A folder of samples beside the originals of a profile (Compared); its name is that of the folder.

    Raises UserError where its generator may have seen test lesions, or too few images can be compared.
    """
    samples, meta, words = read_folder(folder, cfg.size)
    say(words)
    if _knows_split(folder):
        provenance_check(Stage(Path(folder), ""), recipe.records(run, cfg))
    compared = beside_originals(run, cfg, {str(folder): samples}, meta)
    if (n := len(compared.take)) < 10:
        few = f"{n} images match a class of the test split"
        raise UserError(f"{folder}: {few}; 10 or more are needed")
    return compared


def _distances(compared, vae):
    """Rows of the floors and of the samples, and whether their generator knew the split."""
    (name,) = compared.pixels
    floors = compared.floors(vae)
    table = distances.rows(compared, floors | {name: compared.samples(name)})
    said = "this one" if _knows_split(name) else "unknown: it may have seen test lesions"
    return table.assign(**{"generator's split": [*[""] * len(floors), said]})


def _fidelity(compared, probe):
    """Share of the samples of each class that the probe names right, beside that of the test images."""
    (samples,) = compared.pixels.values()
    test = compared.rows("test")
    classes = compared.records.dx.to_numpy()[test]
    original = named_right(probe, compared.images[test], classes)
    right, rows = named_right(probe, samples, compared.labels), {}
    for c in sorted(set(compared.labels)):
        own, share = right[compared.labels == c], original[classes == c].mean()
        rows[c] = {"originals": share, "samples": stats.wilson(int(own.sum()), len(own))}
    return stats.frame("class", rows)


def _copies(compared):
    """Share of the samples that count as copies of train images, beside that of test images and of planted copies."""
    try:
        near = copies.Checker(compared.images, compared.records, compared.judge.embed)
    except UserError as reason:
        (name,) = compared.pixels
        return pd.DataFrame([{"images": name, "copies": f"not computed: {reason}"}])
    found = copies.search(near, compared, compared.pixels)
    return copies.shares(found, compared, compared.pixels)


def evaluate(run, cfg, folder, say=print):
    """{name: DataFrame} of a folder of samples against the originals of a profile: "distances", what they
    can see ("judges"), "fidelity", "copies". Models that no run has made yet are trained first.

    say: is given one line first, on the files that were read and those that were not (`read_folder`).
    Raises UserError as `read_folder`, and where samples and originals cannot be compared."""
    compared = _compared(run, cfg, folder, say)
    probe = classifiers.load_classifier(recipe.probe(run, cfg))
    sight = pd.read_csv(recipe.judged(run, cfg) / "judges.csv")
    measures = (*compared.judge.names, "precision", "recall", "coverage")
    return {
        "distances": _distances(compared, recipe.autoencoder(run, cfg, "8ch")),
        "judges": judges.properties(sight[sight.measure.isin(measures)]),
        "fidelity": _fidelity(compared, probe),
        "copies": _copies(compared),
    }
