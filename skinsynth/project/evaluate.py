"""The whole panel for anybody's folder of samples: distances, floors, label fidelity, copies."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from .. import recipe
from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.store import Stage
from ..diffusion.pipeline import provenance_check
from ..evaluation import copies, judges, panel
from ..networks import classifiers
from ..numerics import arrays, stats

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_folder(folder, size):
    """A folder of samples: (uint8 images (N,size,size,3), class codes (N,), seeds or names (N,)).

    Either metadata.csv with file_name and class, or one subfolder for each class code. Images of
    another size are resized by area. Raises UserError on a missing folder, an unknown class, an
    unreadable file, or no image at all.
    """
    folder = Path(folder)
    if (folder / "metadata.csv").exists():
        table = pd.read_csv(folder / "metadata.csv")
        if not {"file_name", "class"} <= set(table):
            raise UserError(f"{folder / 'metadata.csv'}: needs the columns file_name and class")
    else:
        found = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in SUFFIXES)
        table = pd.DataFrame(
            {
                "file_name": [f"{p.parent.name}/{p.name}" for p in found],
                "class": [p.parent.name for p in found],
            }
        )
    if table.empty:
        raise UserError(
            f"{folder}: no images found; give metadata.csv, or a subfolder for each of {', '.join(CLASSES)}"
        )
    if wrong := sorted(set(table["class"]) - set(CLASSES)):
        raise UserError(f"{folder}: unknown class {wrong[0]!r}; known: {', '.join(CLASSES)}")
    images = np.empty((len(table), size, size, 3), np.uint8)
    for i, name in enumerate(table.file_name):
        image = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(f"{folder / name}: not a readable image; remove it or mend it")
        images[i] = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)[..., ::-1]
    ids = table["seed"] if "seed" in table else table.file_name
    return images, table["class"].to_numpy(), ids.to_numpy()


def evaluate(run, cfg, folder):
    """{name: DataFrame} of a folder of samples against the originals of a profile: "distances", what they
    can see ("judges"), "fidelity", "copies". Models that no run has made yet are trained first."""
    samples, of_class, ids = read_folder(folder, cfg.size)
    made = recipe.records(run, cfg)
    known = (Path(folder) / "provenance.json").exists()
    if known:  # refuses a generator that may have seen test lesions
        provenance_check(Stage(Path(folder), ""), made)
    records, images = arrays.records_of(made), arrays.load_array(made / "images.npy")
    test, train = (np.flatnonzero(records.split == name) for name in ("test", "train"))
    judge, probe = panel.Judge(run), classifiers.load_classifier(recipe.probe(run, cfg))
    rows, take = panel.matched(records.dx[test], of_class, cfg.seed)
    if len(take) < 10:
        raise UserError(
            f"{folder}: {len(take)} images match a class of the test split; 10 or more are needed"
        )
    target = test[rows]
    real = judge(images[target], records.dx[target], records.lesion_id[target])
    fake = judge(samples[take], of_class[take], ids[take])
    floors = panel.floors(
        judge, images, records, target, train, recipe.autoencoder(run, cfg, "8ch"), cfg.seed
    )
    tables = {
        "distances": pd.DataFrame(
            [
                *panel.floor_rows(judge, real, floors, cfg.seed),
                panel.row(judge, str(folder), real, fake),
            ]
        )
    }
    tables["distances"]["generator's split"] = [
        "",
        "",
        "this one" if known else "unknown: it may have seen test lesions",
    ]
    sight = pd.read_csv(recipe.judged(run, cfg) / "judges.csv")
    tables["judges"] = pd.DataFrame(
        [
            {"measure": m, "property": p, "planted faults": judges.sees(sight, m, p)[1]}
            for m in (*judge.names, "precision", "recall", "coverage")
            for p in ("detail", "colour", "variety")
        ]
    )

    def answer(x, labels):
        return classifiers.probabilities(probe, x).argmax(1) == [CLASSES.index(c) for c in labels]  # noqa: E731

    right, original = answer(samples, of_class), answer(images[test], records.dx[test])
    shares = {
        c: stats.wilson(int(right[of_class == c].sum()), int((of_class == c).sum()))
        for c in sorted(set(of_class))
    }
    tables["fidelity"] = pd.DataFrame(
        [
            {"class": c, "n": e.n, "originals": original[(records.dx[test] == c).to_numpy()].mean()}
            | stats.columns({"samples": e})
            for c, e in shares.items()
        ]
    )
    try:
        near = copies.checker(images, records, judge.embed)
    except UserError as reason:
        return tables | {
            "copies": pd.DataFrame([{"images": str(folder), "copies": f"not computed: {reason}"}])
        }
    sets = {
        "held-out test images (chance)": (images[target], records.dx[target]),
        str(folder): (samples, of_class),
    }
    rates = {
        k: copies.copy_rate(near(x)[0], near.thresholds(classes))
        for k, (x, classes) in sets.items()
    }
    tables["copies"] = pd.DataFrame(
        [
            {"images": k, "n": e.n, "AUC of the score": near.limit.auc.value}
            | stats.columns({"share counted as copies": e})
            for k, e in rates.items()
        ]
    )
    return tables
