"""Can you tell? A page of pairs, an original beside a sample, that a reader tries to tell apart."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..core import code, store
from ..core.config import CLASSES
from ..core.errors import UserError
from ..figures.grids import CLASS_NAMES, png
from ..numerics.arrays import load_array, records_of
from ..numerics.stats import wilson
from ..project import chapters, state
from . import gates, pages

PAIRS = 20


def pairs(originals, classes, samples, labels, seed, n=PAIRS):
    """At most n pairs of one class each, chosen and shuffled by seed: [(class, original, sample, side of the sample)].

    originals, samples: uint8 (N,H,H,3) and (M,H,H,3); classes (N,), labels (M,): their codes. No image is in
    two pairs, the classes are as even as they can be; side: 0 is left, 1 right.
    """
    rng, found = np.random.default_rng(seed), []
    for c in CLASSES:
        rows = [rng.permutation(np.flatnonzero(x == c)) for x in (classes, labels)]
        found += [(turn, c, i, j) for turn, (i, j) in enumerate(zip(*rows, strict=False))]
    found = sorted(found, key=lambda pair: pair[0])[:n]
    chosen = [found[k] for k in rng.permutation(len(found))]
    sides = rng.integers(0, 2, len(chosen)).tolist()
    given = zip(chosen, sides, strict=True)
    return [(c, originals[i], samples[j], side) for (_, c, i, j), side in given]


def of_run(run):
    """The pairs of a finished run: test images, hair removed as for training, and samples of 8ch+ML.

    None where the run's images do not lie on this machine; nothing is computed.
    """
    whole = state.manifest(run)
    if not any(run.stages.glob("samples-*/stage.json")):
        return None
    from .. import recipe  # late: it imports every network

    real = whole["data"] != "phantom"
    try:
        named = os.environ.get("SKINSYNTH_DATA") or whole["data"]
        data = chapters.data_folder(named, whole["profile"]) if real else ""
        cfg, _ = chapters.configured(whole["profile"], data, pages.given(whole), chapters.present())
    except UserError:  # the data lie elsewhere, or a notebook has lost a parameter
        return None
    with store.planning() as planned:
        made, drawn = recipe.records(run, cfg), recipe.samples(run, cfg, "8ch+ML")
        bare = recipe.training_images(run, cfg)
    if not all(planned[folder.path.name]["finished"] for folder in (made, drawn, bare)):
        return None
    records, test = records_of(made), np.flatnonzero(records_of(made).split == "test")
    labels = pd.read_csv(drawn / "metadata.csv")["class"].to_numpy()
    originals, samples = (load_array(folder / "images.npy") for folder in (bare, drawn))
    return pairs(originals[test], records.dx.to_numpy()[test], samples, labels, cfg.seed)


def write(run, target):
    """Write what the page includes, unless it is there: the game, or a sentence where the images are missing."""
    whole = state.manifest(run)
    made_by = Path(__file__), Path(__file__).with_name("templates") / "tell.md"
    stamp = f"% {code.digest([whole, *(code.digest(path.read_bytes()) for path in made_by)])}"
    if target.exists() and target.read_text().startswith(stamp):
        return
    shown = [
        {
            "of": CLASS_NAMES[c],
            "images": [f"data:image/png;base64,{png(x)}" for x in ((b, a), (a, b))[side]],
            "side": side,
        }
        for c, a, b, side in of_run(run) or ()
    ]
    n = len(shown)
    enough = next((k for k in range(n + 1) if wilson(k, n).low > 0.5), n) if n else 0
    text = pages.render("tell.md", pairs=shown, data=json.dumps(shown), enough=enough, run=whole)
    with store.atomic(target) as part:
        part.write_text(f"{stamp}\n{text}" if shown else text)


def leave_out(site):
    """Take the page off the menu of a built site where it has no pairs."""
    if 'id="tell"' in (site / "book" / "tell.html").read_text():
        return
    entry = re.compile(r'<li class="toctree-l1[^"]*"><a[^>]*href="[^"]*tell\.html".*?</li>')
    for path in gates.html_pages(site):
        path.write_text(entry.sub("", path.read_text()))
