"""Configuration: one frozen dataclass, one line a profile."""

from dataclasses import asdict, dataclass, replace

from .errors import UserError
from .versions import VERSIONS

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")  # HAM10000's codes, alphabetical
PAD_CLASSES = ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")


CHOICES = dict(
    version=tuple(VERSIONS), inpainter=("best", "telea", "harmonic", "lama")
)  # of fields with names


@dataclass(frozen=True)
class Config:
    """Every choice a run depends on. Sizes in pixels, counts in images, lengths in optimiser steps."""

    profile: str = "micro"
    data: str = ""  # folder with ham10000/ and pad_ufes_20/; "" is the phantom
    seed: int = 0
    extras: bool = False  # the expensive extra tables
    version: str = (
        "recommended"  # of the method: "recommended", "paper" or "released" (versions.py)
    )
    base: str = (
        "micro"  # the 4-channel model: "micro" (bundled), "scratch" or a Stable Diffusion hub id
    )
    clip: str = "micro"  # "micro" (bundled) or "open_clip model/pretrained tag"
    patches: int = 8  # patch tokens taken from each CLIP level, besides CLS
    backbone: str = "tf_efficientnet_lite0"  # timm names of the classifiers' networks, commas between; the first judges
    size: int = 64  # image side; the latent's side is an eighth of it
    width: int = 32  # base "scratch": the dial of network sizes
    n_train: int = 2500  # phantom: images of the train + validation pool
    n_test: int = 100  # phantom: test lesions a class
    n_pad: int = 600  # phantom: clinical images
    limit: int = 0  # real data: images used from each split, drawn by class; 0 is all
    batch: int = 64  # images of a step of the denoiser; the autoencoder and classifiers take half, the segmenter a quarter
    accumulate: int = (
        1  # parts in which a batch passes through the VAE and the UNet, for want of memory
    )
    pretrain_steps: int = 0  # base "scratch": steps of the 4-channel VAE and UNet on generic skin
    vae_steps: int = 145  # fine-tuning of each VAE
    vae_lr: float = 1.6e-3  # largest learning rates, chosen on the validation split of the phantom
    unet_steps: int = 90  # fine-tuning of each denoiser
    unet_lr: float = 2.4e-3
    rung_steps: int = 0  # fine-tuning of each denoiser of the ladder; 0: unet_steps
    longest: int = 1000  # sampling steps; rungs of the ladder with more are left out
    segment_steps: int = 150
    inpainter: str = (
        "best"  # of pseudo-normal skin: a name of inpaint.INPAINTERS, or the best there is
    )
    classify_steps: int = 40
    classifier_seeds: int = 2
    samples: int = 28  # synthetic images a class and model
    sampling_steps: int = 8
    guidance: float = 3.0  # classifier-free guidance scale; 1 is no guidance

    @property
    def real(self):
        return bool(self.data)

    @property
    def backbones(self):
        return tuple(name.strip() for name in self.backbone.split(","))

    @property
    def run(self):
        """Name of the results folder: the profile, with -ham on real data."""
        return self.profile + ("-ham" if self.real and not self.profile.startswith("ham") else "")


PROFILES = {
    c.profile: c
    for c in (
        Config(
            "smoke",
            size=32,
            backbone="test_resnet.r160_in1k",
            n_train=240,
            n_test=10,
            n_pad=90,
            limit=30,
            batch=16,
            vae_steps=4,
            unet_steps=4,
            segment_steps=4,
            classify_steps=4,
            classifier_seeds=1,
            samples=6,
            sampling_steps=3,
        ),  # noqa: E501
        Config("micro"),
        Config(
            "ham64",
            classifier_seeds=3,
            vae_steps=1500,
            vae_lr=1e-3,
            unet_steps=1200,
            unet_lr=1.2e-3,
            rung_steps=250,
            longest=100,
            segment_steps=1600,
            classify_steps=1000,
            samples=80,
            sampling_steps=16,
        ),  # noqa: E501
        Config(
            "ham128",
            size=128,
            base="scratch",
            width=64,
            backbone="resnet18.a1_in1k,convnextv2_atto.fcmae_ft_in1k",
            classifier_seeds=5,
            pretrain_steps=3000,
            vae_steps=6000,
            vae_lr=1e-3,
            unet_steps=12000,
            unet_lr=1.2e-3,
            segment_steps=6000,
            classify_steps=8000,
            samples=500,
            sampling_steps=25,
        ),  # noqa: E501
        Config(
            "paper",
            size=256,
            base="stable-diffusion-v1-5/stable-diffusion-v1-5",
            clip="ViT-H-14/laion2b_s32b_b79k",
            patches=32,
            backbone="resnet50.a1_in1k,convnext_tiny.in12k_ft_in1k",
            batch=32,
            accumulate=4,
            classifier_seeds=5,
            vae_steps=20000,
            vae_lr=2e-5,
            unet_steps=40000,
            unet_lr=5e-5,
            segment_steps=10000,
            classify_steps=12000,
            samples=1000,
            sampling_steps=25,
        ),  # noqa: E501
    )
}


def configure(profile="micro", **overrides):
    """Configuration of a profile with some fields replaced.

    Raises UserError on an unknown profile or field, or a value of another type than the field's.
    """
    if profile not in PROFILES:
        raise UserError(f"unknown profile {profile!r}; choose one of: {', '.join(PROFILES)}")
    fields = asdict(PROFILES[profile])
    for name, value in overrides.items():
        if name not in fields or name == "profile":
            raise UserError(f"unknown parameter {name!r}; known: {', '.join(fields)}")
        wanted = type(fields[name])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise UserError(
                f"parameter {name} should be {wanted.__name__}, got {type(value).__name__} {value!r}"
            )
    for name in CHOICES.keys() & overrides.keys():
        if overrides[name] not in CHOICES[name]:
            raise UserError(
                f"unknown {name} {overrides[name]!r}; choose one of: {', '.join(CHOICES[name])}"
            )
    return replace(PROFILES[profile], **overrides)
