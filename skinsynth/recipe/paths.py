"""Paths from lesions to pseudo-normal skin, and what of them chapter 5 compares."""

import numpy as np
import pandas as pd

from ..diffusion import pipeline, vae
from ..evaluation import fillings
from ..interpolation import inpaint, paths, walks
from ..interpolation.paths import ALPHAS
from ..numerics.arrays import load_array
from .images import records
from .models import autoencoder, inpainter, model, segmenter
from .samples import samples


def walking(run, cfg):
    """What finds, paints over and encodes the lesions: the inputs that all functions of paths.py share."""
    parts = dict(vae=autoencoder(run, cfg, "8ch"), segmenter=segmenter(run, cfg))
    return parts | dict(inpainter=inpainter(cfg))


def interpolation(run, cfg, folder, rows, **choices):
    """The workflow of Fig 4 on rows of a folder of samples, through the 8-channel VAE."""
    rows = [int(r) for r in rows]
    return paths.interpolate(run, samples=folder, rows=rows, **walking(run, cfg), **choices)


def partly_interpolated(run, cfg, folder, share=0.5, alphas=ALPHAS[1:-1], labels=None):
    """AI of Table 6: the last `share` of each class's samples, moved along their paths.

    labels: classes of the samples, by default those of the folder.
    """
    classes = pd.Series(labels or pd.read_csv(folder / "metadata.csv")["class"])
    kept = (1 - share) * classes.groupby(classes).transform("size")
    rows = np.flatnonzero(classes.groupby(classes).cumcount() >= np.floor(kept)).tolist()
    given = dict(samples=folder, rows=rows, alphas=list(alphas))
    return paths.partly_interpolated(run, **given, **walking(run, cfg))


def sample_walk(run, cfg, spherical=False):
    """Paths of a quarter of the samples of each class, as interpolation/walks.py."""
    folder = samples(run, cfg, "8ch+ML")
    rows = walks.some_of_each(folder, max(2, cfg.samples // 4))
    made = interpolation(run, cfg, folder, rows, spherical=spherical)
    return walks.of_samples(made, folder, rows)


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


def normal_ends(run, cfg, walk):
    """Alpha 0 of a Walk by each filling, through the autoencoder: {"telea, mask widened": uint8 (N,H,W,3), ...}.

    That of the Walk's own method on the widened mask is its path at alpha 0.
    """
    own, masks, found = autoencoder(run, cfg, "8ch"), {"widened": True, "as found": False}, {}
    for method in inpaint.available():
        for words, widen in masks.items():
            normal = inpaint.inpaint_all(walk.images, walk.masks, method, widen)
            found[f"{method}, mask {words}"] = vae.round_trip(own, normal)
    return found


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
