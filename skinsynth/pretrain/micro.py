"""The command that makes the bundled micro models from generic skin."""

import shutil
import time

import torch
from safetensors.torch import load_file, save_file

from ..core.config import configure
from ..core.store import read_json, write_json
from ..data import sets
from ..diffusion import clip, denoiser, vae
from ..interpolation import segment
from ..networks.bundled import FOLDER

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
    n = steps_of(scale)
    if data:
        cfg = configure(data=data, size=size, seed=seed)
        skin = sets.described_photographs(
            run, images=sets.load_set(run, cfg), records=sets.load_set(run, cfg)
        )
    else:
        skin = sets.generic_skin(run, n=n["images"], size=size, seed=seed)
    made = {
        "vae": vae.pretrain_vae(
            run, generic=skin, width=width, steps=n["vae"], batch=batch, seed=seed
        )
    }
    latents = vae.cache_latents(run, vae=made["vae"], images=skin)
    made["unet"] = denoiser.pretrain_unet(
        run, latents=latents, generic=skin, width=width, steps=n["unet"], batch=batch, seed=seed
    )
    made["clip"] = clip.train_clip(
        run, generic=skin, size=size, steps=n["clip"], batch=batch, seed=seed
    )
    made["segmenter"] = segment.pretrain_segmenter(
        run, generic=skin, width=width // 2, steps=n["segmenter"], batch=batch // 2, seed=seed
    )
    for part, stage in made.items():
        _export(stage, folder / ("diffusion" if part in ("vae", "unet") else part))
    facts = dict(seed=seed, size=size, width=width, batch=batch, scale=scale)
    write_json(
        folder / "card.json",
        facts
        | dict(
            training="the train split of a data folder"
            if data
            else "generic procedural skin: no photograph, no diagnosis",
            steps=n,
            seconds={k: read_json(s / "stage.json")["seconds"] for k, s in made.items()},
            hardware=f"{torch.get_num_threads()} CPU threads",
            torch=torch.__version__,
            written=time.strftime("%Y-%m-%d"),
        ),
    )
    say(f"{folder}: {sum(p.stat().st_size for p in folder.rglob('*') if p.is_file()) / 1e6:.1f} MB")


def _export(stage, folder):
    """Copy a stage's models without its logs; weights become float16."""
    for source in sorted(p for p in stage.path.rglob("*") if p.is_file()):
        if source.name in ("stage.json", "log.csv", "latent_format.json"):
            continue
        target = folder / source.relative_to(stage.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".safetensors":
            small = {
                k: v.half() if v.is_floating_point() else v for k, v in load_file(source).items()
            }
            save_file(small, target, metadata={"format": "pt"})
            target.chmod(0o644)
        else:
            shutil.copy(source, target)
