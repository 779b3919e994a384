"""The command that makes the bundled micro models from generic skin."""

import shutil
import time

import torch
from safetensors.torch import load_file, save_file

from ..core.config import configure
from ..core.store import read_json, write_json
from ..data import sets
from ..diffusion import vae
from ..networks.bundled import FOLDER
from . import models
from .contrastive import train_clip
from .skin import described_photographs, generic_skin

BUDGET = dict(images=12288, clip=1000, segmenter=1000, vae=6500, unet=7000)


def steps_of(scale):
    """The budget of `pretrain`, each number multiplied by `scale`."""
    return {k: max(2, round(n * scale)) for k, n in BUDGET.items()}


def pretrain(
    run, folder=FOLDER, *, data="", scale=1.0, size=64, width=32, batch=32, seed=0, say=print
):
    """Train all bundled models on generic skin and write them to `folder`, weights in float16.

    data: a folder with ham10000/, whose train split takes the place of generic skin. Stages of
    `run`: a killed run goes on where it was. folder/card.json says the seeds, steps, hardware and
    seconds.
    """
    n, training = steps_of(scale), dict(batch=batch, seed=seed)
    if data:
        given = sets.load_set(run, configure(data=data, size=size, seed=seed))
        skin = described_photographs(run, images=given, records=given)
    else:
        skin = generic_skin(run, n=n["images"], size=size, seed=seed)
    of = dict(generic=skin, width=width, **training)
    made = {"vae": models.pretrain_vae(run, steps=n["vae"], **of)}
    latents = vae.cache_latents(run, vae=made["vae"], images=skin)
    made["unet"] = models.pretrain_unet(run, latents=latents, steps=n["unet"], **of)
    made["clip"] = train_clip(run, generic=skin, size=size, steps=n["clip"], **training)
    of |= dict(width=width // 2, batch=batch // 2)
    made["segmenter"] = models.pretrain_segmenter(run, steps=n["segmenter"], **of)
    for part, stage in made.items():
        _export(stage, folder / ("diffusion" if part in ("vae", "unet") else part))
    _write_card(folder, made, n, bool(data), size=size, width=width, scale=scale, **training)
    say(f"{folder}: {sum(p.stat().st_size for p in folder.rglob('*') if p.is_file()) / 1e6:.1f} MB")


def _write_card(folder, made, steps, photographs, **facts):
    """card.json: how the models in a folder were made."""
    own = "generic procedural skin: no photograph, no diagnosis"
    facts |= dict(steps=steps, training="the train split of a data folder" if photographs else own)
    facts |= dict(seconds={k: read_json(s / "stage.json")["seconds"] for k, s in made.items()})
    facts |= dict(hardware=f"{torch.get_num_threads()} CPU threads", torch=torch.__version__)
    write_json(folder / "card.json", facts | dict(written=time.strftime("%Y-%m-%d")))


def _export(stage, folder):
    """Copy a stage's models without its logs; weights become float16."""
    for source in sorted(p for p in stage.path.rglob("*") if p.is_file()):
        if source.name in ("stage.json", "log.csv", "latent_format.json"):
            continue
        target = folder / source.relative_to(stage.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".safetensors":
            state = load_file(source).items()
            small = {k: v.half() if v.is_floating_point() else v for k, v in state}
            save_file(small, target, metadata={"format": "pt"})
            target.chmod(0o644)
        else:
            shutil.copy(source, target)
