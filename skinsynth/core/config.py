"""Configuration: one frozen dataclass; profiles.toml says what each profile changes of it."""

import tomllib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .errors import UserError
from .versions import VERSIONS

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")  # HAM10000's codes, alphabetical
PAD_CLASSES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
CHOICES = {  # of fields with names
    "version": tuple(VERSIONS),
    "inpainter": ("best", "telea", "harmonic", "lama"),
}


@dataclass(frozen=True)
class Config:
    """Every choice a run depends on. Sizes in pixels, counts in images, lengths in optimiser steps."""

    profile: str = "micro"
    data: str = ""  # folder with ham10000/ and pad_ufes_20/; "" is the phantom
    seed: int = 0
    extras: bool = False  # the expensive extra tables of chapters 4 and 7
    more_arms: bool = False  # more arms and doses in chapter 6
    version: str = "recommended"  # of the method, also "paper" or "released" (versions.py)
    trained: bool = True  # take the package's generators where nothing they depend on is changed
    base: str = "micro"  # the 4-channel model: bundled, "scratch" or a Stable Diffusion hub id
    clip: str = "micro"  # bundled, or "open_clip model/pretrained tag"
    patches: int = 8  # patch tokens taken from each CLIP level, besides CLS
    backbone: str = "tf_efficientnet_lite0"  # timm names, commas between; the first is the probe's
    size: int = 64  # image side; the latent's side is an eighth of it
    width: int = 32  # base "scratch": the dial of network sizes
    n_train: int = 2500  # phantom: images of the train + validation pool
    n_test: int = 100  # phantom: test lesions a class
    n_pad: int = 600  # phantom: clinical images
    limit: int = 0  # real data: about how many images of each split, drawn by class; 0 is all
    batch: int = 64  # denoiser's images a step; classifiers take half, the segmenter a quarter
    vae_batch: int = 8  # autoencoders' images a step
    accumulate: int = 1  # parts in which a batch passes through VAE and UNet, for want of memory
    pretrain_steps: int = 0  # base "scratch": steps of the 4-channel VAE and UNet on generic skin
    vae_steps: int = 140  # fine-tuning of each VAE
    vae_lr: float = 5e-4  # largest learning rates, chosen on the validation split of the phantom
    symmetries: bool = False  # denoisers learn each image's eight symmetries
    unet_steps: int = 80  # fine-tuning of each denoiser
    unet_lr: float = 2.4e-3
    generator_seeds: int = 1  # trainings of each denoiser; all but the first for a comparison only
    course: bool = False  # keep each denoiser as it was at each eighth of its training
    rung_steps: int = 0  # fine-tuning of each denoiser of the ladder; 0: unet_steps
    longest: int = 1000  # sampling steps; rungs of the ladder with more are left out
    segment_steps: int = 150
    inpainter: str = "best"  # of pseudo-normal skin: of inpaint.INPAINTERS, or the best there is
    classify_steps: int = 36
    classifier_seeds: int = 2
    samples: int = 28  # synthetic images a class and model
    sampling_steps: int = 8
    guidance: float = 3.0  # classifier-free guidance scale; 1 is no guidance

    @property
    def real(self):
        """Whether the images are photographs: a data folder that the phantom was not drawn into."""
        return bool(self.data) and not (Path(self.data) / "truth").is_dir()

    @property
    def backbones(self):
        return tuple(name.strip() for name in self.backbone.split(","))

    @property
    def run(self):
        """Name of the results folder: the profile, with -ham on real data, -drawn on a phantom's folder."""
        if self.data and not self.real:
            return f"{self.profile}-drawn"
        return self.profile + ("-ham" if self.real and not self.profile.startswith("ham") else "")


_CHANGED = tomllib.loads(Path(__file__).with_name("profiles.toml").read_text())
PROFILES = {name: Config(name, **changed) for name, changed in _CHANGED.items()}


def check(given, declared, where=""):
    """Raise UserError on a name that is not declared, or a value of another type than declared.

    declared: {name: a value of the right type}; where: what the message begins with.
    """
    for name, value in given.items():
        if name not in declared:
            raise UserError(f"{where}unknown parameter {name!r}; known: {', '.join(declared)}")
        wanted, found = type(declared[name]), type(value)
        if found is not wanted and (found, wanted) != (int, float):
            should = f"should be {wanted.__name__}, got {found.__name__} {value!r}"
            raise UserError(f"{where}parameter {name} {should}")
        if isinstance(value, int | float) and value < 0:
            raise UserError(f"{where}parameter {name} should not be below zero, got {value!r}")


def choose(name, known, what):
    """Raise UserError that lists the known names where `name` is none of them."""
    if name not in known:
        raise UserError(f"unknown {what} {name!r}; choose one of: {', '.join(known)}")


def configure(profile="micro", **overrides):
    """Configuration of a profile with some fields replaced.

    Raises UserError on an unknown profile or field, or a value of another type than the field's.
    """
    choose(profile, PROFILES, "profile")
    check(overrides, asdict(PROFILES[profile]))
    for name in CHOICES.keys() & overrides.keys():
        choose(overrides[name], CHOICES[name], name)
    return replace(PROFILES[profile], **overrides)
