"""How the stages follow from a configuration: the one place that wires them together."""

from . import clip, counterfactual, denoiser, encoders, pipeline, segment, sets, vae
from .adapters import PATCHES
from .classify import train_arm

MODELS = {  # column of Tables 2 and 5: (its VAE, whether it has multi-level adapters)
    "baseline": ("pretrained", False),
    "4ch": ("4ch", False),
    "8ch": ("8ch", False),
    "8ch+ML": ("8ch", True),
}
PROPOSED = "8ch+ML"


def records(run, cfg):
    """The dermatoscopic set: arrays, records with the split, manifest."""
    return sets.load_set(run, cfg)


def clinical(run, cfg):
    return sets.load_set(run, cfg, "pad")


def training_images(run, cfg, dehair=True):
    return sets.training_images(run, images=records(run, cfg), dehair=dehair)


def generic(run, cfg):
    return sets.generic_skin(run, n=min(2048, 16 * cfg.encoder_steps), size=cfg.size, seed=cfg.seed)


def encoder(run, cfg, role):
    """role: "loss" (perceptual term of the VAE) or "measure" (FD-micro, LPIPS-micro)."""
    width, seed = dict(loss=(16, 1), measure=(24, 2))[role]
    return encoders.train_encoder(
        run, generic=generic(run, cfg), width=width, steps=cfg.encoder_steps, batch=cfg.batch,
        seed=cfg.seed + 1000 * seed,
    )  # fmt: skip


def clip_model(run, cfg):
    """The CLIP stage of the micro profiles; None where an open_clip model is named."""
    if cfg.clip != "micro":
        return None
    return clip.train_clip(
        run, generic=generic(run, cfg), size=cfg.size, steps=cfg.encoder_steps, batch=cfg.batch,
        seed=cfg.seed,
    )  # fmt: skip


def load_clip(run, cfg):
    return clip.load_clip(clip_model(run, cfg), cfg.clip)


def tokens(run, cfg):
    return clip.cache_tokens(
        run, clip=clip_model(run, cfg), name=cfg.clip, images=training_images(run, cfg), patches=PATCHES
    )


def autoencoder(run, cfg, kind):
    """kind: "pretrained" (4 channels, untouched), "4ch" or "8ch" (both fine-tuned, equal steps)."""
    perceptual = encoder(run, cfg, "loss")
    start = vae.pretrain_vae(
        run, base=cfg.base, generic=generic(run, cfg), perceptual=perceptual, width=cfg.width,
        steps=cfg.pretrain_steps, batch=cfg.batch // 2, seed=cfg.seed,
    )  # fmt: skip
    if kind == "pretrained":
        return start
    return vae.train_vae(
        run, start=start, images=training_images(run, cfg), records=records(run, cfg),
        perceptual=perceptual, channels=dict([("4ch", 4), ("8ch", 8)])[kind], steps=cfg.vae_steps,
        batch=cfg.batch // 2, seed=cfg.seed,
    )  # fmt: skip


def model(run, cfg, name, dehair=True):
    """A denoiser stage of MODELS; dehair: train it on images whose hair was removed."""
    kind, levels = MODELS[name]
    start = denoiser.pretrain_unet(
        run, base=cfg.base, width=cfg.width, steps=cfg.pretrain_steps, batch=cfg.batch, seed=cfg.seed,
        latents=vae.cache_latents(run, vae=autoencoder(run, cfg, "pretrained"), images=generic(run, cfg)),
    )  # fmt: skip
    own = autoencoder(run, cfg, kind)
    return denoiser.train_denoiser(
        run, start=start, vae=own, records=records(run, cfg),
        latents=vae.cache_latents(run, vae=own, images=training_images(run, cfg, dehair)),
        tokens=tokens(run, cfg) if levels else None, steps=cfg.unet_steps, batch=cfg.batch, seed=cfg.seed,
    )  # fmt: skip


def samples(run, cfg, name, *, n=None, guidance=None, mode=None, no_class=False, first=0, dehair=True):
    """A folder of samples: by default cfg.samples of each class at cfg.guidance.

    mode of the references: "train" by default for the model with adapters, else "none". no_class
    drops the class token and keeps the references; first is the number of the first seed.
    """
    labels, seeds = pipeline.plan(n or cfg.samples, first_seed=cfg.seed * 100_000 + first)
    levels = MODELS[name][1]
    return pipeline.sample(
        run, model=model(run, cfg, name, dehair), vae=autoencoder(run, cfg, MODELS[name][0]),
        labels=["none"] * len(labels) if no_class else labels, seeds=seeds, reference_labels=labels,
        guidance=cfg.guidance if guidance is None else float(guidance),
        steps=cfg.sampling_steps, mode=mode or ("train" if levels else "none"),
        tokens=tokens(run, cfg) if levels else None, records=records(run, cfg), seed=cfg.seed,
    )  # fmt: skip


def probe(run, cfg):
    """The independent judge of label fidelity: trained on real train images only."""
    return encoders.train_probe(
        run, images=records(run, cfg), records=records(run, cfg), backbone=cfg.backbone,
        steps=2 * cfg.classify_steps, batch=cfg.batch, seed=cfg.seed + 77,
    )  # fmt: skip


def segmenter(run, cfg):
    return segment.train_segmenter(
        run, images=records(run, cfg), records=records(run, cfg), width=cfg.width // 2,
        steps=cfg.segment_steps, batch=cfg.batch // 2, seed=cfg.seed,
    )  # fmt: skip


def interpolation(run, cfg, folder, rows, **choices):
    """The workflow of Fig 4 on rows of a folder of samples, through the 8-channel VAE."""
    return counterfactual.interpolate(
        run, vae=autoencoder(run, cfg, "8ch"), segmenter=segmenter(run, cfg), samples=folder,
        rows=[int(r) for r in rows], **choices,
    )  # fmt: skip


def classifier(run, cfg, arm, seed, samples, interpolated=None):
    """One classifier of Tables 3 and 4: arm of classify.ARMS, seed 0, 1, ..."""
    return train_arm(
        run, arm=arm, images=records(run, cfg), records=records(run, cfg), samples=samples,
        interpolated=interpolated, vae=autoencoder(run, cfg, "8ch"), pad=clinical(run, cfg),
        backbone=cfg.backbone, steps=cfg.classify_steps, batch=cfg.batch, seed=cfg.seed + seed,
    )  # fmt: skip
