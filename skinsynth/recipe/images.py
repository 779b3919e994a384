"""The sets of images that are read, and what CLIP sees in them."""

from ..data import layouts, sets
from ..diffusion import clip
from ..networks import bundled


def records(run, cfg):
    """The dermatoscopic set: arrays, records with the split, manifest."""
    return sets.load_set(run, cfg)


def clinical(run, cfg):
    return sets.load_set(run, cfg, "pad")


def others(run, cfg):
    """Sets that classifiers are tested on without training: {name: stage}; isic where the user has it."""
    isic = bool(cfg.data) and layouts.has(cfg.data, "isic2018_test")
    return {name: sets.load_set(run, cfg, name) for name in ("pad", *["isic"] * isic)}


def training_images(run, cfg, dehair=True):
    return sets.training_images(run, images=records(run, cfg), dehair=dehair)


def encoder(cfg):
    """Where the CLIP model lies."""
    return bundled.named(cfg.clip, "clip")


def load_clip(cfg):
    return clip.load_clip(encoder(cfg))


def tokens(run, cfg):
    images = training_images(run, cfg)
    return clip.cache_tokens(run, clip=encoder(cfg), images=images, patches=cfg.patches)
