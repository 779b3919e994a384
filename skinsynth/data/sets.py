"""Stages that turn a data folder into arrays: read once, used by every later stage."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from .. import phantom
from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.store import atomic, folder_identity, stage, write_csv, write_json
from ..numerics import arrays, pixels
from ..numerics.arrays import load_array, map_array, save_array
from . import hair, layouts, splits

# the phantom of seed 0 served to choose the settings of the micro models: no run is measured on it
PHANTOM_SEED = 2025
FRESH_SEED = 4050  # further from any run's own lesions than seeds are counted


@stage("phantom")
def make_phantom(out, *, size, n_train, n_test, n_pad, seed):
    """The procedural data set, in the official layouts (DESIGN: phantom)."""
    phantom.write_dataset(
        out / "data", size=size, n_train=n_train, n_test_lesions=n_test, n_pad=n_pad, seed=seed
    )


def data_folder(run, cfg):
    """(folder that holds ham10000/ and pad_ufes_20/, what identifies its content): the user's, by
    names, sizes and tables, or the phantom's stage."""
    if cfg.real:
        return Path(cfg.data), folder_identity(cfg.data)
    numbers = dict(n_train=cfg.n_train, n_test=cfg.n_test, n_pad=cfg.n_pad)
    made = make_phantom(run, size=cfg.size, seed=PHANTOM_SEED + cfg.seed, **numbers)
    return made / "data", made.key


def _limited(records, limit, seed):
    """At most `limit` images of each split, whole classes kept in proportion but none below four."""
    if not limit:
        return records
    kept = []
    for _, part in records.groupby("split"):
        share = min(1.0, limit / len(part))
        for _, rows in part.groupby("dx"):
            n = min(len(rows), max(4, round(share * len(rows))))
            kept.append(rows.sample(n, random_state=seed))
    return pd.concat(kept).sort_index()


def _stream(path, read, records, kept):
    """Write what `read` makes of the records, of which `kept` (their index) are wanted, a block at a time."""
    wanted = np.isin(records.index, kept)
    parts = (read(records.iloc[rows])[wanted[rows]] for rows in arrays.blocks(len(records)))
    arrays.stream_array(path, int(wanted.sum()), parts)


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
    read = partial(pixels.read_images, size=size)
    _stream(out / "images.npy", read, whole, records.index)
    records = records.reset_index(drop=True)
    readers = {}
    if name == "ham" and (records.mask_path != "").all():
        readers["masks"] = partial(pixels.read_masks, size=size)
    if name == "ham" and (records.truth_dir != "").all():
        for kind in ("hair", "clean", "normal"):
            readers[kind] = partial(pixels.read_truth, kind=kind, size=size)
    for kind, read in readers.items():
        _stream(out / f"{kind}.npy", read, records, records.index)
    with atomic(out / "records.csv") as part:
        records.to_csv(part, index=False)


def load_set(run, cfg, name="ham"):
    """Stage of one set (see read_set)."""
    folder, identity = data_folder(run, cfg)
    given = dict(folder=folder, identity=identity, limit=cfg.limit if cfg.real else 0)
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
