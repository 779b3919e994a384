"""The whole panel for anybody's folder of samples: distances, floors, label fidelity, copies."""

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from .. import recipe
from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.store import Stage
from ..diffusion.pipeline import provenance_check
from ..evaluation import copies, distances, judges
from ..evaluation.fidelity import named_right
from ..networks import classifiers
from ..numerics import stats
from ..recipe.samples import beside_originals

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_folder(folder, size):
    """A folder of samples: (uint8 images (N,size,size,3), table of their class codes and seeds or names).

    Either metadata.csv with file_name and class, or one subfolder for each class code. Images of
    another size are resized by area. Raises UserError on a missing folder, an unknown class, an
    unreadable file, or no image at all.
    """
    folder, known = Path(folder), ", ".join(CLASSES)
    if (folder / "metadata.csv").exists():
        table = pd.read_csv(folder / "metadata.csv")
        if not {"file_name", "class"} <= set(table):
            raise UserError(f"{folder / 'metadata.csv'}: needs the columns file_name and class")
    else:
        found = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in SUFFIXES)
        named = [(f"{p.parent.name}/{p.name}", p.parent.name) for p in found]
        table = pd.DataFrame(named, columns=["file_name", "class"])
    if table.empty:
        remedy = f"give metadata.csv, or a subfolder for each of {known}"
        raise UserError(f"{folder}: no images found; {remedy}")
    if wrong := sorted(set(table["class"]) - set(CLASSES)):
        raise UserError(f"{folder}: unknown class {wrong[0]!r}; known: {known}")
    images = np.empty((len(table), size, size, 3), np.uint8)
    for i, name in enumerate(table.file_name):
        image = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(f"{folder / name}: not a readable image; remove it or mend it")
        images[i] = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)[..., ::-1]
    return images, table[["class"]].assign(seed=table.get("seed", table.file_name))


def _compared(run, cfg, folder):
    """A folder of samples beside the originals of a profile (Compared); its name is that of the folder.

    Raises UserError where its generator may have seen test lesions, or too few images can be compared.
    """
    samples, meta = read_folder(folder, cfg.size)
    if (Path(folder) / "provenance.json").exists():
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
    known = (Path(name) / "provenance.json").exists()
    said = "this one" if known else "unknown: it may have seen test lesions"
    return table.assign(**{"generator's split": [*[""] * len(floors), said]})


def _judges(sight, names):
    """What the measures of the other tables see of planted faults; sight: judges.csv."""
    pairs = product((*names, "precision", "recall", "coverage"), ("detail", "colour", "variety"))
    rows = [(*pair, judges.sees(sight, *pair)[1]) for pair in pairs]
    return pd.DataFrame(rows, columns=["measure", "property", "planted faults"])


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
    """Share of the samples that count as copies of train images, beside that of the test images."""
    ((name, samples),) = compared.pixels.items()
    test = compared.target
    try:
        near = copies.Checker(compared.images, compared.records, compared.judge.embed)
    except UserError as reason:
        return pd.DataFrame([{"images": name, "copies": f"not computed: {reason}"}])
    chance = near.search(compared.images[test], compared.records.dx[test])
    found = {copies.CHANCE: chance, name: near.search(samples, compared.labels)}
    auc = {"AUC of the score": near.auc.value}
    return stats.frame("images", {k: auc | {copies.SHARE: x.share} for k, x in found.items()})


def evaluate(run, cfg, folder):
    """{name: DataFrame} of a folder of samples against the originals of a profile: "distances", what they
    can see ("judges"), "fidelity", "copies". Models that no run has made yet are trained first.

    Raises UserError as `read_folder`, and where samples and originals cannot be compared."""
    compared = _compared(run, cfg, folder)
    probe = classifiers.load_classifier(recipe.probe(run, cfg))
    sight = pd.read_csv(recipe.judged(run, cfg) / "judges.csv")
    return {
        "distances": _distances(compared, recipe.autoencoder(run, cfg, "8ch")),
        "judges": _judges(sight, compared.judge.names),
        "fidelity": _fidelity(compared, probe),
        "copies": _copies(compared),
    }
