"""How the generators that come with the package are made: those of `micro`, trained longer than a reader may wait."""

import os
import time
from functools import partial
from unittest.mock import patch

import pandas as pd

from ..core import machine
from ..core.config import configure
from ..core.store import read_json, write_json
from ..networks.bundled import FOLDER, copy_halved, size_of
from .models import MODELS, autoencoder, model
from .trainings import course

LENGTHS = dict(symmetries=True, vae_steps=2000, vae_lr=3e-4, unet_steps=1500, unet_lr=1e-3)
# at 32 pixels much is alike that is not at 64
BRIEF = dict(size=64, symmetries=True, n_train=60, n_test=1, n_pad=10, vae_steps=2, unet_steps=2)


def _makers(run):
    """({kind: function of a configuration -> autoencoder}, {name: -> denoiser}) of all that is shipped."""
    autoencoders = {kind: partial(autoencoder, run, kind=kind) for kind in ("4ch", "8ch")}
    return autoencoders, {name: partial(model, run, name=name) for name in MODELS}


def first_steps(run):
    """{name: losses of the first two steps and after them}, of all generators on a few small images.

    The code of the method decides these numbers: by them a test finds weights that another code has made.
    """
    cfg, found = configure("smoke", trained=False, **BRIEF), {}
    for part, makers in zip(("vae", "denoiser"), _makers(run), strict=True):
        for name, make in makers.items():
            log = pd.read_csv(make(cfg=cfg) / "log.csv")
            found[f"{part}-{name}"] = log[["loss", "validation"]].stack().tolist()
    return found


def train_shipped(run, folder=FOLDER, **changes):
    """Train the package's generators and write them to folder/trained, weights in float16; says how large they are.

    changes: of `micro` and LENGTHS. Stages of `run`: a killed run goes on where it was. card.json beside them
    says the parameters, images seen, seconds and machine.
    """
    changes = dict(trained=False, course=True) | LENGTHS | changes
    cfg, place = configure("micro", **changes), folder / "trained"
    autoencoders, denoisers = _makers(run)
    made = {f"vae-{kind}": make(cfg=cfg) for kind, make in autoencoders.items()}
    made |= {f"denoiser-{name}": make(cfg=cfg) for name, make in denoisers.items()}
    for name, stage in made.items():
        copy_halved(stage.path, place / name, ("course",))
    copy_halved(course(run, cfg).path, place / "course")
    seconds = {name: read_json(stage / "stage.json")["seconds"] for name, stage in made.items()}
    facts = changes | dict(images_seen=cfg.unet_steps * cfg.batch, seconds=seconds)
    facts |= dict(machine=machine.sentence(), written=time.strftime("%Y-%m-%d"))
    with patch.dict(os.environ, SKINSYNTH_PRECISION="float32"):  # so that other machines come near
        write_json(place / "card.json", facts | dict(first_steps=first_steps(run)))
    return size_of(place)
