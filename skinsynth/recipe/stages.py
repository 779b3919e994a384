"""How the stages follow from a configuration: what is read, trained and drawn."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..core.config import CLASSES, PROFILES
from ..core.versions import VERSIONS
from ..data import sets
from ..diffusion import clip, denoiser, pipeline, vae
from ..evaluation import planting
from ..interpolation import inpaint, paths, segment
from ..interpolation.paths import ALPHAS
from ..networks import bundled, classifiers, weights
from ..pretrain import models, skin

MODELS = {  # column of Tables 2 and 5: (its VAE, whether it has multi-level adapters)
    "baseline": ("pretrained", False),
    "4ch": ("4ch", False),
    "8ch": ("8ch", False),
    "8ch+ML": ("8ch", True),
}
MODES = ("none", "train", "class-mean")  # what serves as reference image


def check(cfg):
    """Raise UserError where a network that is not the profile's own cannot be used here."""
    if cfg.backbone != PROFILES[cfg.profile].backbone:
        for name in cfg.backbones:
            classifiers.try_backbone(name, cfg.size)
    if cfg.inpainter == "lama":
        weights.require("lama")


def records(run, cfg):
    """The dermatoscopic set: arrays, records with the split, manifest."""
    return sets.load_set(run, cfg)


def clinical(run, cfg):
    return sets.load_set(run, cfg, "pad")


def others(run, cfg):
    """Sets that classifiers are tested on without training: {name: stage}; isic where the user has it."""
    isic = cfg.real and (Path(cfg.data) / "isic2018_test").is_dir()
    return {name: sets.load_set(run, cfg, name) for name in ("pad", *["isic"] * isic)}


def training_images(run, cfg, dehair=True):
    return sets.training_images(run, images=records(run, cfg), dehair=dehair)


def load_clip(cfg):
    return clip.load_clip(bundled.named(cfg.clip, "clip"))


def tokens(run, cfg):
    return clip.cache_tokens(
        run,
        clip=bundled.named(cfg.clip, "clip"),
        images=training_images(run, cfg),
        patches=cfg.patches,
    )


def base(run, cfg):
    """The pre-trained 4-channel model, in diffusers' layout: (where its VAE lies, where its UNet lies)."""
    if cfg.base != "scratch":
        return (bundled.named(cfg.base, "diffusion"),) * 2
    training = dict(width=cfg.width, steps=cfg.pretrain_steps, batch=cfg.batch, seed=cfg.seed)
    n = min(12288, 16 * cfg.pretrain_steps)
    seen = skin.generic_skin(run, n=n, size=cfg.size, seed=cfg.seed)
    start = models.pretrain_vae(run, generic=seen, **training)
    latents = vae.cache_latents(run, vae=start, images=seen)
    return start, models.pretrain_unet(run, latents=latents, generic=seen, **training)


def autoencoder(run, cfg, kind):
    """kind: "pretrained" (4 channels, untouched), "4ch" or "8ch" (both fine-tuned, equal steps)."""
    given = dict(images=training_images(run, cfg), records=records(run, cfg))
    start = vae.pretrained_vae(run, start=base(run, cfg)[0], **given)
    if kind == "pretrained":
        return start
    return vae.train_vae(
        run,
        start=start,
        channels=dict([("4ch", 4), ("8ch", 8)])[kind],
        steps=cfg.vae_steps,
        lr=cfg.vae_lr,
        batch=cfg.batch // 2,
        accumulate=cfg.accumulate,
        seed=cfg.seed,
        **given,
    )


def model(run, cfg, name, how=None):
    """A denoiser stage of MODELS; how: a Method, by default the version that cfg names."""
    how = how or VERSIONS[cfg.version]
    kind, levels = MODELS[name]
    own = autoencoder(run, cfg, kind)
    return denoiser.train_denoiser(
        run,
        start=base(run, cfg)[1],
        vae=own,
        records=records(run, cfg),
        latents=vae.cache_latents(
            run, vae=own, images=training_images(run, cfg, how.dehair), whiten=how.whiten
        ),
        tokens=tokens(run, cfg) if levels else None,
        how=how.training,
        steps=cfg.unet_steps,
        lr=cfg.unet_lr,
        batch=cfg.batch,
        accumulate=cfg.accumulate,
        seed=cfg.seed,
    )


def samples(
    run,
    cfg,
    name,
    *,
    n=None,
    guidance=None,
    mode=None,
    no_class=False,
    first=0,
    how=None,
    classes=CLASSES,
    strength=1.0,
    without=(),
):
    """A folder of samples: by default cfg.samples of each class at cfg.guidance.

    mode of the references: "train" by default for the model with adapters, else "none". no_class
    drops the class token and keeps the references; first is the number of the first seed; strength,
    without: of the adapters, see pipeline.SkinPipeline.
    """
    how = how or VERSIONS[cfg.version]
    labels, seeds = pipeline.plan(n or cfg.samples, classes, first_seed=cfg.seed * 100_000 + first)
    levels = MODELS[name][1] and how.adapters_on
    return pipeline.sample(
        run,
        model=model(run, cfg, name, how),
        vae=autoencoder(run, cfg, MODELS[name][0]),
        labels=["none"] * len(labels) if no_class else labels,
        seeds=seeds,
        reference_labels=labels,
        guidance=cfg.guidance if guidance is None else float(guidance),
        steps=how.steps or cfg.sampling_steps,
        solver=how.solver,
        eta=how.eta,
        pass_class=how.pass_class,
        reference_scale=how.reference_scale,
        stretch=how.stretch,
        strength=float(strength),
        without=list(without),
        mode=mode or ("train" if levels else "none"),
        tokens=tokens(run, cfg) if levels else None,
        records=records(run, cfg),
        seed=cfg.seed,
    )


def probe(run, cfg):
    """The independent judge of label fidelity: trained on real train images only."""
    return classifiers.train_probe(
        run,
        images=records(run, cfg),
        records=records(run, cfg),
        backbone=cfg.backbones[0],
        start=weights.backbone(cfg.backbones[0]),
        steps=2 * cfg.classify_steps,
        batch=cfg.batch // 2,
        seed=cfg.seed + 77,
    )


def judged(run, cfg):
    """What each measure sees of planted faults: judges.csv."""
    return planting.plant(
        run,
        records=records(run, cfg),
        probe=probe(run, cfg),
        n=cfg.samples,
        seed=cfg.seed,
        embedded=clip.cache_embeddings(
            run, clip=bundled.named(cfg.clip, "clip"), images=records(run, cfg)
        ),
    )


def segmenter(run, cfg):
    return segment.train_segmenter(
        run,
        start=bundled.bundled("segmenter"),
        images=records(run, cfg),
        records=records(run, cfg),
        steps=cfg.segment_steps,
        batch=cfg.batch // 4,
        seed=cfg.seed,
    )


def interpolation(run, cfg, folder, rows, **choices):
    """The workflow of Fig 4 on rows of a folder of samples, through the 8-channel VAE."""
    return paths.interpolate(
        run,
        vae=autoencoder(run, cfg, "8ch"),
        segmenter=segmenter(run, cfg),
        samples=folder,
        rows=[int(r) for r in rows],
        inpainter=inpainter(cfg),
        **choices,
    )


def inpainter(cfg):
    """Name of the method that makes pseudo-normal skin."""
    return inpaint.best() if cfg.inpainter == "best" else cfg.inpainter


def partly_interpolated(run, cfg, folder, share=0.5, alphas=ALPHAS[1:-1], labels=None):
    """AI of Table 6: the last `share` of each class's samples, moved along their paths.

    labels: classes of the samples, by default those of the folder.
    """
    classes = pd.Series(labels or pd.read_csv(folder / "metadata.csv")["class"])
    kept = (1 - share) * classes.groupby(classes).transform("size")
    rows = np.flatnonzero(classes.groupby(classes).cumcount() >= np.floor(kept)).tolist()
    return paths.partly_interpolated(
        run,
        vae=autoencoder(run, cfg, "8ch"),
        segmenter=segmenter(run, cfg),
        samples=folder,
        rows=rows,
        alphas=list(alphas),
        inpainter=inpainter(cfg),
    )
