"""A small hub on disk: other people's networks as their hubs lay them out, few channels, random weights.

What reads them is the library's own road of the real weights. True are names, places, files, entries and
kinds of layers, and of the classifiers and Inception the sizes, too. Two networks are known by the hash of a
file that no test has (Inception, LaMa): for these the table of networks is given the hashes of this hub.
"""

import hashlib
import json
import os

import open_clip
import timm
import torch
from conftest import ROOT
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from skinsynth.networks.table import NETWORKS

SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CLIP = "ViT-H-14/laion2b_s32b_b79k"
BACKBONES = ("resnet50.a1_in1k", "convnext_tiny.in12k_ft_in1k")
VAE = dict(  # vae/config.json of Stable Diffusion 1.5, with few channels
    _class_name="AutoencoderKL",
    _diffusers_version="0.6.0",
    act_fn="silu",
    block_out_channels=[8, 8, 16, 16],
    down_block_types=["DownEncoderBlock2D"] * 4,
    in_channels=3,
    latent_channels=4,
    layers_per_block=2,
    norm_num_groups=4,
    out_channels=3,
    sample_size=512,
    up_block_types=["UpDecoderBlock2D"] * 4,
)
UNET = dict(  # the same of unet/config.json
    _class_name="UNet2DConditionModel",
    _diffusers_version="0.6.0",
    act_fn="silu",
    attention_head_dim=8,
    block_out_channels=[16, 32, 32, 32],
    center_input_sample=False,
    cross_attention_dim=32,
    down_block_types=[*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    downsample_padding=1,
    flip_sin_to_cos=True,
    freq_shift=0,
    in_channels=4,
    layers_per_block=2,
    mid_block_scale_factor=1,
    norm_eps=1e-05,
    norm_num_groups=8,
    out_channels=4,
    sample_size=64,
    up_block_types=["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
)
SCHEDULER = (
    dict(  # scheduler/scheduler_config.json, whole: without the kind of prediction it is the noise
        _class_name="PNDMScheduler",
        _diffusers_version="0.6.0",
        beta_end=0.012,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        num_train_timesteps=1000,
        set_alpha_to_one=False,
        skip_prk_steps=True,
        steps_offset=1,
        trained_betas=None,
        clip_sample=False,
    )
)
INDEX = dict(
    _class_name="StableDiffusionPipeline",
    _diffusers_version="0.6.0",
    scheduler=["diffusers", "PNDMScheduler"],
    unet=["diffusers", "UNet2DConditionModel"],
    vae=["diffusers", "AutoencoderKL"],
)
VISION = dict(image_size=224, layers=32, width=32, head_width=8, patch_size=14)
TEXT = dict(context_length=77, vocab_size=49408, width=8, heads=1, layers=1)
OLD_NAMES = dict(to_q="query", to_k="key", to_v="value", to_out="proj_attn")  # of a VAE's attention
SITE = '''"""Hashes of the networks that this hub holds in a version of its own."""

from dataclasses import replace

from skinsynth.networks.table import NETWORKS

for name, digest in {digests!r}.items():
    NETWORKS[name] = replace(NETWORKS[name], digest=digest)
'''


class Filler(torch.nn.Module):
    """LaMa's signature: an image in [0, 1] and a mask give the image with the mean of the rest inside."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rest = (image * (1 - mask)).sum((2, 3), keepdim=True) / (1 - mask).sum((2, 3), keepdim=True)
        return image * (1 - mask) + rest * mask


def _parameters(net):
    """A network's entries, random ones that keep the size of what passes through."""
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return {k: v.contiguous() for k, v in net.state_dict().items()}


def _of_class(kind, config):
    return _parameters(kind.from_config(config))


def old_names(state):
    """A VAE's entries under the names that the published file has."""
    return {
        k.replace(".to_out.0.", ".to_out.").replace(f".{part}.", f".{OLD_NAMES[part]}."): v
        for k, v in state.items()
        for part in [next((p for p in OLD_NAMES if f".{p}." in k), "to_q")]
    }


def wanted(name):
    """(repository, files) of a network of the table that a hub holds."""
    repository, *files = NETWORKS[name].source.removeprefix("hub:").split()
    return repository, files


def put(cache, name, files):
    """Lay a network of the table into the Hugging Face cache as a new revision; returns its folder.

    files: {file: what goes into JSON, or {entry: tensor} for safetensors}; they hold those that the table wants.
    """
    repository, needed = wanted(name)
    assert set(needed) <= set(files)
    root, commit, blobs = cache / f"models--{repository.replace('/', '--')}", hashlib.sha1(), {}
    for folder in ("blobs", "refs"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        if file.endswith(".json") or not hasattr(next(iter(content.values())), "numpy"):
            raw = json.dumps(content, indent=2).encode()
        else:
            raw = save(content, metadata={"format": "pt"})
        # a hub names a large file by its SHA-256, a small one as git does
        large = (
            hashlib.sha256(raw) if len(raw) > 2**16 else hashlib.sha1(b"blob %d\0" % len(raw) + raw)
        )
        blobs[file] = root / "blobs" / large.hexdigest()
        blobs[file].write_bytes(raw)
        commit.update(file.encode() + large.digest())
    snapshot = root / "snapshots" / commit.hexdigest()
    for file, blob in blobs.items():
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).symlink_to(os.path.relpath(blob, (snapshot / file).parent))
    (root / "refs" / "main").write_text(commit.hexdigest())
    return snapshot


def make(folder):
    """Write the hub into a folder; returns the variables {name: value} with which a program finds it."""
    torch.manual_seed(0)
    cache = folder / "huggingface" / "hub"
    weight = "diffusion_pytorch_model.safetensors"
    files = {"model_index.json": INDEX, "scheduler/scheduler_config.json": SCHEDULER}
    files |= {"vae/config.json": VAE, f"vae/{weight}": old_names(_of_class(AutoencoderKL, VAE))}
    files |= {"unet/config.json": UNET, f"unet/{weight}": _of_class(UNet2DConditionModel, UNET)}
    put(cache, SD, files)
    model = dict(embed_dim=16, vision_cfg=VISION, text_cfg=TEXT)
    seen = dict(mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
    files = {"open_clip_config.json": dict(model_cfg=model, preprocess_cfg=seen)}
    files["open_clip_model.safetensors"] = _parameters(open_clip.CLIP(16, VISION, TEXT))
    put(cache, CLIP, files)
    for name in BACKBONES:
        put(cache, name, {"model.safetensors": _parameters(timm.create_model(name))})

    checkpoints, weights = folder / "torch" / "hub" / "checkpoints", folder / "weights"
    for place in (checkpoints, weights, folder / "site"):
        place.mkdir(parents=True)
    inception = checkpoints / NETWORKS["inception"].source.rpartition("/")[2]
    lama = weights / NETWORKS["lama"].source.rpartition("/")[2]
    torch.save(_inception(folder), inception)
    torch.jit.script(Filler()).save(str(lama))
    own = dict(inception=inception, lama=lama)
    digests = {k: hashlib.file_digest(p.open("rb"), "sha256").hexdigest() for k, p in own.items()}
    # read by every Python that starts, the notebooks' kernels among them
    (folder / "site" / "sitecustomize.py").write_text(SITE.format(digests=digests))
    return dict(
        HF_HOME=str(folder / "huggingface"),
        HF_HUB_OFFLINE="1",
        TORCH_HOME=str(folder / "torch"),
        SKINSYNTH_WEIGHTS=str(weights),
        PYTHONPATH=os.pathsep.join([str(folder / "site"), str(ROOT)]),
    )


class Untrained(FeatureExtractorInceptionV3):
    """torch-fidelity's Inception before its file is read."""

    def load_state_dict(self, state):
        return None


def _inception(folder):
    none = folder / "none.pth"
    torch.save({}, none)
    return _parameters(Untrained("inception", ["2048"], feature_extractor_weights_path=str(none)))
