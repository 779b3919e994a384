"""The command that makes the bundled micro models from generic skin."""

import time

import torch

from ..core.config import configure
from ..core.store import read_json, write_json
from ..data import sets
from ..diffusion import vae
from ..networks.bundled import FOLDER, copy_halved, size_of
from . import models
from .contrastive import train_clip
from .skin import described_photographs, generic_skin

PLACES = dict(critic="diffusion", unet="diffusion", clip="clip", segmenter="segmenter")
BUDGET = dict(images=12288, clip=1000, segmenter=1000, vae=6500, critic=3000, unet=7000)


def pretrain(run, folder=FOLDER, *, data="", scale=1.0, size=64, width=32, batch=32, seed=0):
    """Train all bundled models on generic skin and write them to `folder`, weights in float16; says how large it is.

    data: a folder with ham10000/, whose train split takes the place of generic skin; scale: what
    BUDGET is multiplied by. Stages of `run`: a killed run goes on where it was. folder/card.json
    says the seeds, steps, hardware and seconds.
    """
    n = {k: max(2, round(full * scale)) for k, full in BUDGET.items()}
    training = dict(batch=batch, seed=seed)
    if data:
        given = sets.load_set(run, configure(data=data, size=size, seed=seed))
        skin = described_photographs(run, images=given, records=given)
    else:
        skin = generic_skin(run, n=n["images"], size=size, seed=seed)
    of = dict(generic=skin, width=width, **training)
    made = {"vae": models.pretrain_vae(run, steps=n["vae"], **of)}
    sharper = dict(start=made["vae"], generic=skin, steps=n["critic"], seed=seed)
    made["critic"] = models.sharpen_vae(run, batch=max(2, batch // 4), **sharper)  # whole images
    latents = vae.cache_latents(run, vae=made["vae"], images=skin)  # the encoder stays the same
    made["unet"] = models.pretrain_unet(run, latents=latents, steps=n["unet"], **of)
    made["clip"] = train_clip(run, generic=skin, size=size, steps=n["clip"], **training)
    of |= dict(width=width // 2, batch=batch // 2)
    made["segmenter"] = models.pretrain_segmenter(run, steps=n["segmenter"], **of)
    for part, place in PLACES.items():
        copy_halved(made[part].path, folder / place, ("log.csv", "latent_format.json"))
    own = "generic procedural skin: no photograph, no diagnosis"
    facts = training | dict(size=size, width=width, scale=scale, steps=n)
    facts |= dict(training="the train split of a data folder" if data else own)
    facts |= dict(seconds={k: read_json(s / "stage.json")["seconds"] for k, s in made.items()})
    facts |= dict(hardware=f"{torch.get_num_threads()} CPU threads", torch=torch.__version__)
    write_json(folder / "card.json", facts | dict(written=time.strftime("%Y-%m-%d")))
    return size_of(folder)
