"""Stages that turn a data folder into arrays: read once, used by every later stage."""

from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from .. import phantom
from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.store import atomic, folder_identity, stage, write_csv, write_json
from ..numerics import pixels
from ..numerics.arrays import (
    BLOCK,
    Rows,
    load_array,
    map_array,
    records_of,
    save_array,
    stream_array,
)
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
    made = make_phantom(
        run,
        size=cfg.size,
        n_train=cfg.n_train,
        n_test=cfg.n_test,
        n_pad=cfg.n_pad,
        seed=PHANTOM_SEED + cfg.seed,
    )
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


def _stream(path, read, records, size, kept=None):
    """Write what `read` makes of the records, of which `kept` are wanted, a block at a time."""
    wanted = np.ones(len(records), bool) if kept is None else np.isin(records.index, kept)
    starts = range(0, len(records), BLOCK)
    stream_array(
        path,
        int(wanted.sum()),
        (read(records.iloc[i : i + BLOCK], size)[wanted[i : i + BLOCK]] for i in starts),
    )


@stage("images")
def read_set(out, *, folder, identity, size, limit, seed, name):
    """One set as arrays: records.csv, images.npy (N,S,S,3), masks.npy (N,S,S), manifest.csv.

    name: "ham" (with its split and the truth where there is one), "pad" or "isic".
    """
    records = layouts.load(folder, seed=seed)[name]
    if records is None:
        raise UserError(f"{folder}: no {name} set found; see `skinsynth data verify`")
    records = records.reset_index(drop=True)
    whole = records
    if name == "ham":
        splits.write_manifest(out / "manifest.csv", records)
        records = _limited(records, limit, seed)
    elif limit:
        records = records.groupby("dx").head(limit)
    _stream(
        out / "images.npy", pixels.read_images, whole, size, records.index
    )  # all: a broken file stops, whatever the limit
    records = records.reset_index(drop=True)
    if name == "ham" and (records.mask_path != "").all():
        _stream(out / "masks.npy", pixels.read_masks, records, size)
    if name == "ham" and (records.truth_dir != "").all():
        for kind in ("hair", "clean", "normal"):
            _stream(
                out / f"{kind}.npy",
                lambda rows, size, kind=kind: pixels.read_truth(rows, kind, size),
                records,
                size,
            )
    with atomic(out / "records.csv") as part:
        records.to_csv(part, index=False)


def load_set(run, cfg, name="ham"):
    """Stage of one set (see read_set)."""
    folder, identity = data_folder(run, cfg)
    return read_set(
        run,
        folder=folder,
        identity=identity,
        size=cfg.size,
        limit=cfg.limit if cfg.real else 0,
        seed=cfg.seed,
        name=name,
    )


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
    write_csv(
        out / "metadata.csv",
        pd.DataFrame({"class": np.repeat(CLASSES, n), "seed": np.tile(np.arange(n), len(CLASSES))}),
    )
    write_json(out / "provenance.json", dict(manifest=splits.manifest_hash(records), ids=0))


@stage("training-images")
def training_images(out, *, images, dehair):
    """The images of a set that networks are trained on: with hair removed, if so wished (Fig 14)."""
    pixels = load_array(images / "images.npy")
    map_array(out / "images.npy", hair.remove if dehair else np.asarray, pixels)


@stage("described")
def described_photographs(out, *, images, records):
    """The train split in the form of `generic_skin`: its attributes are diagnosis and site."""
    table = records_of(records)
    rows = np.flatnonzero(table.split == "train")
    if not (records / "masks.npy").exists():
        raise UserError(
            "no lesion masks found: add HAM10000_segmentations_lesion_tschandl to ham10000/"
        )
    for kind, source in (("images", images), ("masks", records)):
        map_array(out / f"{kind}.npy", np.asarray, Rows((load_array(source / f"{kind}.npy"), rows)))
    facts = table.iloc[rows][["dx", "localization"]].fillna("unknown").to_dict("records")
    vocabulary = {k: sorted({row[k] for row in facts}) for k in ("dx", "localization")}
    captions = [f"{row['dx']} on the {row['localization']}" for row in facts]
    write_json(out / "attributes.json", dict(vocabulary=vocabulary, rows=facts, captions=captions))


@stage("generic")
def generic_skin(out, *, n, size, seed):
    """Generic procedural skin for pre-training: images, masks, attributes, captions;
    no diagnoses."""
    drawn = Parallel(-1 if n > 500 else 1)(
        delayed(phantom.generic)(seed, i, size) for i in range(n)
    )
    save_array(out / "images.npy", np.stack([image for image, _, _ in drawn]))
    save_array(out / "masks.npy", np.stack([mask for _, mask, _ in drawn]))
    rows = [a for _, _, a in drawn]
    vocabulary = {k: list(v) for k, v in phantom.ATTRIBUTES.items()}
    captions = [phantom.caption(a) for a in rows]
    write_json(out / "attributes.json", dict(vocabulary=vocabulary, rows=rows, captions=captions))
