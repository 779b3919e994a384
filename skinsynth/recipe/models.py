"""The networks that are trained, and how."""

from functools import partial

from ..core.config import PROFILES
from ..core.versions import VERSIONS
from ..diffusion import clip, denoiser, vae
from ..evaluation import planting
from ..interpolation import inpaint, segment
from ..networks import bundled, classifiers, weights
from ..networks.table import NETWORKS
from ..numerics.arrays import SYMMETRIES
from ..pretrain import models, skin
from .images import encoder, records, tokens, training_images
from .shipped import shipped

MODELS = {  # column of Tables 2 and 5: (its VAE, whether it has multi-level adapters)
    "baseline": ("pretrained", False),
    "4ch": ("4ch", False),
    "8ch": ("8ch", False),
    "8ch+ML": ("8ch", True),
}


def require(cfg):
    """Raise UserError where a network of a hub is absent that a configuration starts from."""
    for name in (cfg.base, cfg.clip):
        if name in NETWORKS:
            weights.require(name)


def check(cfg):
    """Raise UserError where a network that is not the profile's own cannot be used here."""
    if cfg.backbone != PROFILES[cfg.profile].backbone:
        for name in cfg.backbones:
            classifiers.try_backbone(name, cfg.size)
    if cfg.inpainter == "lama":
        weights.require("lama")


def base(run, cfg):
    """The pre-trained 4-channel model, in diffusers' layout: (where its VAE lies, where its UNet lies)."""
    if cfg.base != "scratch":
        return (bundled.named(cfg.base, "diffusion"),) * 2
    training = dict(width=cfg.width, steps=cfg.pretrain_steps, batch=cfg.batch, seed=cfg.seed)
    n = min(12288, 16 * cfg.pretrain_steps)
    seen = skin.generic_skin(run, n=n, size=cfg.size, seed=cfg.seed)
    first = models.pretrain_vae(run, generic=seen, **training)
    latents = vae.cache_latents(run, vae=first, images=seen)
    unet = models.pretrain_unet(run, latents=latents, generic=seen, **training)
    training |= dict(steps=cfg.pretrain_steps // 2, batch=cfg.vae_batch)
    del training["width"]
    return models.sharpen_vae(run, start=first, generic=seen, **training), unet


def autoencoder(run, cfg, kind):
    """kind: "pretrained" (4 channels, untouched), "4ch" or "8ch" (both fine-tuned, equal steps)."""
    if kind == "pretrained":
        return vae.pretrained_vae(run, start=base(run, cfg)[0], **_seen(run, cfg))
    make = partial(_tuned, run, kind=kind)
    return shipped(cfg, f"vae-{kind}", make) or make(cfg=cfg)


def _seen(run, cfg):
    return dict(images=training_images(run, cfg), records=records(run, cfg))


def _tuned(run, cfg, kind):
    training = dict(steps=cfg.vae_steps, lr=cfg.vae_lr, accumulate=cfg.accumulate, seed=cfg.seed)
    training |= dict(batch=cfg.vae_batch, version=cfg.version, channels={"4ch": 4, "8ch": 8}[kind])
    start = autoencoder(run, cfg, "pretrained")
    return vae.train_vae(run, start=start, **_seen(run, cfg), **training)


def model(run, cfg, name, how=None, training=0):
    """A denoiser stage of MODELS; how: a Method, by default the version that cfg names; training: number of another
    one of the same network, in another order of images and with other noise."""
    make, choices = partial(_denoiser, run, name=name), dict(how=how, training=training)
    return shipped(cfg, f"denoiser-{name}", make, **choices) or make(cfg=cfg, **choices)


def _denoiser(run, cfg, name, how=None, training=0):
    how = how or VERSIONS[cfg.version]
    kind, levels = MODELS[name]
    own, images = autoencoder(run, cfg, kind), training_images(run, cfg, how.dehair)
    symmetries = SYMMETRIES if cfg.symmetries else 1
    latents = dict(vae=own, images=images, whiten=how.whiten, symmetries=symmetries)
    lengths = dict(steps=cfg.unet_steps, batch=cfg.batch, lr=cfg.unet_lr)
    return denoiser.train_denoiser(
        run,
        start=base(run, cfg)[1],
        vae=own,
        records=records(run, cfg),
        latents=vae.cache_latents(run, **latents),
        tokens=tokens(run, cfg) if levels else None,
        how=how.training,
        accumulate=cfg.accumulate,
        course=cfg.course and not training,
        seed=cfg.seed + training,
        **lengths,
    )


def classifying(run, cfg, network, seed, times=1):
    """What classifiers.train_probe and classify.train_arm are both given; times: more steps than cfg's."""
    seen = dict(records=records(run, cfg), backbone=network, start=weights.backbone(network))
    return seen | dict(steps=times * cfg.classify_steps, batch=cfg.batch // 2, seed=cfg.seed + seed)


def probe(run, cfg):
    """The independent judge of label fidelity: trained on real train images only."""
    return classifiers.train_probe(run, **classifying(run, cfg, cfg.backbones[0], 77, times=2))


def judged(run, cfg):
    """What each measure sees of planted faults: judges.csv."""
    made = dict(records=records(run, cfg), probe=probe(run, cfg))
    made["embedded"] = clip.cache_embeddings(run, clip=encoder(cfg), images=made["records"])
    return planting.plant(run, n=cfg.samples, seed=cfg.seed, **made)


def segmenter(run, cfg):
    made, start = records(run, cfg), bundled.bundled("segmenter")
    training = dict(steps=cfg.segment_steps, batch=cfg.batch // 4, seed=cfg.seed)
    return segment.train_segmenter(run, start=start, images=made, records=made, **training)


def inpainter(cfg):
    """Name of the method that makes pseudo-normal skin."""
    return inpaint.best() if cfg.inpainter == "best" else cfg.inpainter
