"""The models on the way through their training, and trained again: samples, and what the claims say of them."""

from functools import partial

import pandas as pd

from ..core.store import planning
from ..evaluation import ablation
from ..evaluation.distances import UNSHOWN
from ..numerics.arrays import load_array
from ..numerics.stats import Estimate
from ..numerics.training import eighths
from .images import records
from .models import autoencoder, model
from .samples import compared, of_models, trained_again
from .shipped import card, is_shipped, shipped

MOST = 40  # samples of each class and model at each eighth


def steps(run, cfg):
    """{field of Config: steps} of the generators as they were trained: the package's for longer than cfg says."""
    with planning():
        made = dict(vae_steps=autoencoder(run, cfg, "8ch"), unet_steps=model(run, cfg, "8ch+ML"))
    return {k: card()[k] if is_shipped(stage) else getattr(cfg, k) for k, stage in made.items()}


def course(run, cfg):
    """A stage of measures along the training of MODELS; None where they were not kept on the way.

    Of the package's generators it comes with them.
    """
    make = partial(_course, run)
    if made := shipped(cfg, "course", make):
        return made
    return make(cfg=cfg) if cfg.course else None


def _course(run, cfg):
    n = min(cfg.samples, MOST)
    at = {str(step * cfg.batch): step for step in eighths(cfg.unet_steps)}
    folders = {seen: of_models(run, cfg, n=n, at=step) for seen, step in at.items()}
    return ablation.follow(run, folders=folders, records=records(run, cfg), seed=cfg.seed)


def along(run, cfg, claim):
    """What `course` measured of a claim: [(images seen, [Estimate of each part])], in their order."""
    if not (made := course(run, cfg)):
        return []
    table = pd.read_csv(made / "differences.csv").fillna(dict(label="", method=""))
    own = table[table.claim == claim].drop(columns="claim")
    parts = own.groupby("images", sort=True)
    return [
        (n, [Estimate(**row) for row in of.drop(columns="images").to_dict("records")])
        for n, of in parts
    ]


def repeated(run, cfg):
    """What each further training of the models gave: [{claim: [Estimate of each part]}]."""
    found = []
    for folders in trained_again(run, cfg):
        unshown = load_array(folders.pop(UNSHOWN) / "images.npy")
        beside = compared(run, cfg, folders)
        found.append(ablation.differences(beside, ablation.features_of(beside, unshown), unshown))
    return found
