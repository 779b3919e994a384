"""The sets of samples, paths and fillings that the chapters compare."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ..core.versions import VERSIONS, ladder
from ..diffusion import pipeline, vae
from ..evaluation import fillings, panel
from ..evaluation.compared import Compared, pictures
from ..interpolation import walks
from ..numerics.arrays import load_array, records_of
from .arms import classifier
from .stages import (
    MODELS,
    autoencoder,
    inpainter,
    interpolation,
    model,
    partly_interpolated,
    records,
    samples,
    segmenter,
)


def adapter_settings(run, cfg, n, strengths, levels):
    """Samples of 8ch+ML from the same seeds, the adapters set in several ways: {setting: folder}.

    n: of each class. First the strengths, of which 1 is as trained, then each CLIP level left out in turn;
    levels: numbers that name them. Adapters act in every version here, also where it samples without.
    """
    ways = {f"strength {k:g}": dict(strength=k) for k in strengths}
    ways |= {f"without level {k}": dict(without=(i,)) for i, k in enumerate(levels)}
    how = replace(VERSIONS[cfg.version], adapters_on=True)
    return {k: samples(run, cfg, "8ch+ML", n=n, how=how, **way) for k, way in ways.items()}


def reference_modes(run, cfg):
    """Further samples of 8ch+ML, other references: {name in the tables: folder}; all only with cfg.extras."""
    modes = ("none", "class-mean") if cfg.extras else ("none",)
    sets = {f"8ch+ML, references: {m}": samples(run, cfg, "8ch+ML", mode=m) for m in modes}
    if cfg.extras:
        alike = replace(VERSIONS[cfg.version], reference_scale=cfg.guidance)
        sets["8ch+ML, reference guided like the class"] = samples(run, cfg, "8ch+ML", how=alike)
    return sets


def rungs(run, cfg):
    """Samples of 8ch+ML at each rung of versions.ladder() of at most cfg.longest sampling steps: {rung: folder}.

    Every model is trained for cfg.rung_steps steps, where that is set.
    """
    short = replace(cfg, unet_steps=cfg.rung_steps or cfg.unet_steps)
    climbed = {name: how for name, how in ladder() if how.steps <= cfg.longest}
    return {name: samples(run, short, "8ch+ML", how=how) for name, how in climbed.items()}


def guided(run, cfg, scales=(1, 1.5, 2, 3, 5, 7)):
    """{guidance scale: (samples of 8ch+ML, a classifier trained on nothing but them)}."""
    sets = {g: samples(run, cfg, "8ch+ML", guidance=g) for g in scales}
    return {g: (folder, classifier(run, cfg, "S", 0, folder)) for g, folder in sets.items()}


def guidance_rows(run, cfg, scales):
    """Fewer samples of 8ch+ML from the same seeds (Fig 10): without class, and with it at scales of guidance.

    Returns {row: folder}; "no class" drops the class token and keeps the references, "unconditional"
    drops both.
    """
    rows = {
        "unconditional": dict(no_class=True, mode="none", guidance=1),
        "no class": dict(no_class=True, guidance=3),
        **{f"guidance {scale:g}": dict(guidance=scale) for scale in scales},
    }
    few = max(2, cfg.samples // 3)
    return {row: samples(run, cfg, "8ch+ML", n=few, **how) for row, how in rows.items()}


def compared(run, cfg, names=tuple(MODELS), **choices):
    """Samples of models beside the originals, as evaluation/compared.py; choices: as in `samples`.

    Raises UserError where a generator may have seen test lesions.
    """
    made, folders = records(run, cfg), {n: samples(run, cfg, n, **choices) for n in names}
    for folder in folders.values():
        pipeline.provenance_check(folder, made)
    return Compared(
        panel.Judge(run),
        records_of(made),
        load_array(made / "images.npy"),
        pictures(folders),
        pd.read_csv(folders[names[-1]] / "metadata.csv"),
        cfg.seed,
    )


def sample_walk(run, cfg, spherical=False):
    """Paths of a quarter of the samples of each class, as interpolation/walks.py."""
    folder = samples(run, cfg, "8ch+ML")
    rows = walks.some_of_each(folder, max(2, cfg.samples // 4))
    return walks.of_samples(
        interpolation(run, cfg, folder, rows, spherical=spherical), folder, rows
    )


def true_walk(run, cfg, spherical=False):
    """Paths of about 100 of the phantom's test images without their hair."""
    made = records(run, cfg)
    rows = walks.some_of(made, "test", 100)
    walked = interpolation(run, cfg, made, rows, spherical=spherical, name="clean")
    return walks.of_truth(walked, made, rows)


def all_walks(run, cfg):
    """Both kinds of interpolation, of samples and, where the true skin is known, of test images:
    {(of what, interpolation): Walk}."""
    sets = {"samples": sample_walk}
    if walks.has_truth(records(run, cfg)):
        sets["phantom test images"] = true_walk
    kinds = {"linear": False, "spherical": True}
    return {(n, k): make(run, cfg, how) for n, make in sets.items() for k, how in kinds.items()}


def filled(run, cfg):
    """Test images painted over by every method, as evaluation/fillings.py; None where no true skin is known."""
    made = records(run, cfg)
    if not walks.has_truth(made):
        return None
    pipe = pipeline.load_pipeline(model(run, cfg, "8ch"), autoencoder(run, cfg, "8ch"))
    choices = dict(seed=cfg.seed, steps=cfg.sampling_steps)
    return fillings.paint(made, segmenter(run, cfg), pipe, inpainter(cfg), **choices)


def random_and_interpolated(run, cfg):
    """The sets of Table 6: {"A", "AI", "control": uint8 (N,H,W,3)}, and which rows (N,) bool are moved in AI.

    In the control the same rows pass through the autoencoder only.
    """
    folder = samples(run, cfg, "8ch+ML")
    mixed = partly_interpolated(run, cfg, folder)
    moved = pd.read_csv(mixed / "metadata.csv").alpha.notna().to_numpy()
    random, interpolated = (load_array(f / "images.npy") for f in (folder, mixed))
    control = np.array(random)
    control[moved] = vae.round_trip(autoencoder(run, cfg, "8ch"), random[moved])
    return {"A": random, "AI": interpolated, "control": control}, moved
