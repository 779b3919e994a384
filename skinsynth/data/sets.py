"""Stages that turn a data folder into arrays: read once, used by every later stage."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from .. import phantom
from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.store import atomic, stage, write_csv, write_json
from ..numerics import arrays, pixels
from ..numerics.arrays import load_array, map_array, save_array
from . import hair, layouts, splits

# the phantom of seed 0 served to choose the settings of the micro models: no run is measured on it
PHANTOM_SEED = 2025
FRESH_SEED = 4050  # further from any run's own lesions than seeds are counted
FEWEST = 6  # images of a class; of fewer none has five neighbours, which some measures want


@stage("phantom")
def make_phantom(out, *, size, n_train, n_test, n_pad, seed):
    """The procedural data set, in the official layouts."""
    numbers = dict(n_train=n_train, n_test_lesions=n_test, n_pad=n_pad)
    phantom.write_dataset(out / "data", size=size, seed=seed, **numbers)


def data_folder(run, cfg):
    """(folder that holds ham10000/ and pad_ufes_20/, {set: what identifies its content}): the user's, by
    its records, or the phantom's stage."""
    if cfg.data:
        return Path(cfg.data), layouts.identity(cfg.data)
    numbers = dict(n_train=cfg.n_train, n_test=cfg.n_test, n_pad=cfg.n_pad)
    made = make_phantom(run, size=cfg.size, seed=PHANTOM_SEED + cfg.seed, **numbers)
    return made / "data", dict.fromkeys(("ham", "pad", "isic"), made.key)


def _limited(records, limit, seed):
    """About `limit` images of each split, classes kept in proportion but none below FEWEST."""
    if not limit:
        return records
    share = (limit / records.groupby("split").dx.transform("size")).clip(upper=1)
    kept = []
    for _, rows in records.groupby(["split", "dx"]):
        n = min(len(rows), max(FEWEST, round(share[rows.index[0]] * len(rows))))
        kept.append(rows.sample(n, random_state=seed))
    return pd.concat(kept).sort_index()


@stage("images")
def read_set(out, *, folder, identity, size, limit, seed, name):
    """One set as arrays: records.csv, images.npy (N,S,S,3), masks.npy (N,S,S), manifest.csv.

    name: "ham" (with its split and the truth where there is one), "pad" or "isic".
    """
    records = layouts.load(folder, seed=seed)[name]
    if records is None:
        raise UserError(f"{folder}: no {name} set found; see `skinsynth data verify`")
    records = whole = records.reset_index(drop=True)
    if name == "ham":
        splits.write_manifest(out / "manifest.csv", records)
        records = _limited(records, limit, seed)
    elif limit:
        records = records.groupby("dx").head(limit)
    # all are read: a broken file stops, whatever the limit
    wanted, blocks = whole.index.isin(records.index), arrays.blocks(len(whole))
    parts = (pixels.read_images(whole.iloc[rows], size)[wanted[rows]] for rows in blocks)
    arrays.stream_array(out / "images.npy", len(records), parts)
    records = records.reset_index(drop=True)
    if name == "ham" and (records.mask_path != "").all():
        map_array(out / "masks.npy", partial(pixels.read_masks, size=size), records)
    if name == "ham" and (records.truth_dir != "").all():
        for kind in pixels.TRUTH:
            read = partial(pixels.read_truth, kind=kind, size=size)
            map_array(out / f"{kind}.npy", read, records)
    with atomic(out / "records.csv") as part:
        records.to_csv(part, index=False)


def load_set(run, cfg, name="ham"):
    """Stage of one set (see read_set)."""
    folder, identity = data_folder(run, cfg)
    given = dict(folder=folder, identity=identity[name], limit=cfg.limit if cfg.data else 0)
    return read_set(run, size=cfg.size, seed=cfg.seed, name=name, **given)


@stage("fresh-phantom")
def fresh_phantom(out, *, n, size, seed, records):
    """New phantom lesions, n of each class, in the form of a folder of samples: what a generator
    that knew the truth would draw. No lesion of the data set is among them."""
    drawn = Parallel(-1)(
        delayed(phantom.dermatoscopy)(FRESH_SEED + seed, k * n + i, c, size)
        for k, c in enumerate(CLASSES)
        for i in range(n)
    )
    save_array(out / "images.npy", np.stack([d.image for d in drawn]))
    facts = {"class": np.repeat(CLASSES, n), "seed": np.tile(np.arange(n), len(CLASSES))}
    write_csv(out / "metadata.csv", pd.DataFrame(facts))
    write_json(out / "provenance.json", dict(manifest=splits.manifest_hash(records), ids=0))


@stage("training-images")
def training_images(out, *, images, dehair):
    """The images of a set that networks are trained on: with hair removed, if so wished (Fig 14)."""
    given = load_array(images / "images.npy")
    map_array(out / "images.npy", hair.remove if dehair else np.asarray, given)
