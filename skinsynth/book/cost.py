"""What a stage costs on this machine: time, memory and disk, from its counted work and a few seconds of measuring."""

import functools
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from .. import phantom
from ..core import machine
from ..core.config import CLASSES, configure
from ..data import hair, layouts
from ..diffusion import clip, denoiser, vae
from ..networks import bundled, classifiers

SD_VAE = dict(
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    block_out_channels=(128, 256, 512, 512),
    layers_per_block=2,
    latent_channels=8,
)
SD_UNET = dict(in_channels=8, out_channels=8, cross_attention_dim=768, attention_head_dim=8)
VIT_H = 2 * 632e6 * 257  # operations of an image through ViT-H/14: two for each weight and token
BACKWARD = 3  # a step of training costs as much as three passes forward


def _on_meta(kind, config):
    with torch.device("meta"):
        return kind.from_config({k: v for k, v in dict(config).items() if not k.startswith("_")})


def _cost(net, forward):
    """(operations of a pass forward, bytes that a step keeps for the way back, weights): counted on shapes alone."""
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x)
    with FlopCounterMode(display=False) as counter, hooks:
        forward()
    own = {id(p) for p in net.parameters()}
    bytes_kept = sum(
        {id(x): x.numel() * x.element_size() for x in kept if id(x) not in own}.values()
    )
    return counter.get_total_flops(), bytes_kept, sum(p.numel() for p in net.parameters())


def _models(cfg, where):
    """{kind: (network, function of a batch's size -> its output)} at a configuration's sizes, on a device."""
    side, size = cfg.size // 8, cfg.size
    if cfg.base == "micro":
        folder = bundled.bundled("diffusion").path
        wide = AutoencoderKL.load_config(folder, subfolder="vae") | dict(latent_channels=8)
        deep = UNet2DConditionModel.load_config(folder, subfolder="unet") | dict(
            in_channels=8, out_channels=8
        )
    elif cfg.base == "scratch":
        wide, deep = (
            vae.new_vae(cfg.width, 8).config,
            denoiser.micro_unet_config(cfg.width, 8, side),
        )
    else:
        wide, deep = SD_VAE, SD_UNET
    with torch.device(where):
        autoencoder, unet = (
            kind.from_config({k: v for k, v in config.items() if not k.startswith("_")})
            for kind, config in ((AutoencoderKL, wide), (UNet2DConditionModel, deep))
        )
        network = classifiers.Classifier(cfg.backbones[0], len(CLASSES))

    def new(*shape):
        return torch.zeros(shape, device=where)

    def predict(n):
        tokens = 1 + len(clip.PAPER_LEVELS) * (1 + cfg.patches)  # the class, then the levels
        context = new(n, tokens, unet.config.cross_attention_dim)
        return unet(new(n, 8, side, side), new(n), encoder_hidden_states=context).sample

    def encode(n):
        return autoencoder.encode(new(n, 3, size, size)).latent_dist.mode()

    return {
        "encode": (autoencoder, encode),
        "decode": (autoencoder, lambda n: autoencoder.decode(new(n, 8, side, side)).sample),
        "unet": (unet, predict),
        "classifier": (network, lambda n: network(new(n, 3, size, size))),
    }


@functools.cache
def networks(cfg):
    """Cost of one image in each network of a configuration: {kind: (operations, bytes kept, weights)}."""
    found = {}
    for kind, (net, call) in _models(cfg, "meta").items():
        operations, kept, weights = _cost(
            net, lambda call=call: call(2)
        )  # batch normalisation wants two
        found[kind] = operations / 2, kept / 2, weights
    found["clip"] = (VIT_H, 0, 632e6) if cfg.clip != "micro" else (found["classifier"][0], 0, 3e6)
    return found


@functools.cache
def speeds():
    """What this machine does in a second, measured in a few with the networks of `micro`:
    {("train" or "infer", kind): operations}, and images drawn ("draw") and rid of hair ("hair") at 64 pixels."""
    cfg, batch, found = configure("micro"), 16, {}
    for kind, (_, call) in _models(cfg, machine.device()).items():

        def step(call=call):
            with machine.mixed():
                call(batch).float().square().mean().backward()

        found["train", kind] = BACKWARD * batch * networks(cfg)[kind][0] / _seconds(step)
        with torch.no_grad():
            found["infer", kind] = (
                batch
                * networks(cfg)[kind][0]
                / _seconds(lambda call=call: call(batch).float().sum().item())
            )
    found["draw"] = machine.processors() / _seconds(lambda: phantom.dermatoscopy(1, 0, "nv", 64))
    skin = phantom.dermatoscopy(1, 0, "nv", 64).image
    found["hair"] = 1 / _seconds(lambda: hair.dullrazor(skin))
    return found


def _seconds(call, times=2):
    """Median seconds of a call, after one that warms up."""
    call()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def images_of(cfg):
    """Number of dermatoscopic images of a configuration; for the phantom about that."""
    if not cfg.real:
        return cfg.n_train + len(CLASSES) * cfg.n_test
    found = len(layouts.load(Path(cfg.data), seed=cfg.seed)["ham"])
    return min(found, 3 * cfg.limit) if cfg.limit else found


def cost(facts, cfg, n):
    """(seconds, GiB of memory, GiB of disk) of a stage; n: images of the set. Estimates, not promises."""
    name, i, net, speed = facts["stage"], facts["inputs"], networks(cfg), speeds()
    pixels, area = cfg.size**2, (cfg.size / 64) ** 2
    steps, batch = i.get("steps", 0), i.get("batch", 0)
    many = len(i.get("labels") or i.get("rows") or ()) or i.get("n") or n

    def train(*kinds, part=1.0):
        return sum(steps * batch * part * BACKWARD * net[k][0] / speed["train", k] for k in kinds)

    def infer(kind, count, like=None):
        return count * net[kind][0] / speed["infer", like or kind]

    seconds = {
        "phantom": lambda: (n + i["n_pad"]) * area / speed["draw"],
        "images": lambda: n * area / 600,
        "training-images": lambda: n * area / speed["hair"] if i["dehair"] else 1,
        "generic": lambda: many * area / speed["draw"],
        "fresh-phantom": lambda: len(CLASSES) * many * area / speed["draw"],
        "vae": lambda: train("encode", "decode", part=0.25),  # crops of half the side
        "vae-scratch": lambda: train("encode", "decode", part=0.25),
        "vae-pretrained": lambda: infer("encode", 512),
        "latents": lambda: infer("encode", n),
        "tokens": lambda: infer("clip", n, "classifier"),
        "embeddings": lambda: infer("clip", n, "classifier"),
        "denoiser": lambda: train("unet"),
        "unet-pretrained": lambda: train("unet"),
        "samples": lambda: (
            infer("unet", many * steps * (2 if i["guidance"] != 1 else 1)) + infer("decode", many)
        ),
        "classifier": lambda: train("classifier") + infer("classifier", n),
        "probe": lambda: train("classifier"),
        "segmenter": lambda: train("encode", part=0.25),
        "interpolation": lambda: infer("decode", 11 * many) + infer("encode", 2 * many),
        "partly-interpolated": lambda: infer("decode", many) + infer("encode", 2 * many),
        "features": lambda: infer("classifier", n) * max(1, 128**2 / pixels),
        "judges": lambda: infer("classifier", 60 * len(CLASSES) * i["n"]) * max(1, 128**2 / pixels),
        "linear-probe": lambda: 3,
    }[name]()
    kinds = dict(
        vae=("encode", "decode"),
        denoiser=("unet",),
        classifier=("classifier",),
        probe=("classifier",),
    )
    used = kinds.get(name.removesuffix("-scratch"), ())
    weights = max((net[k][2] for k in used), default=0)
    kept = (
        sum(net[k][1] for k in used)
        * batch
        / i.get("accumulate", 1)
        * (0.25 if "vae" in name else 1)
    )
    kept /= 1 if machine.precision() == "float32" else 2
    sets = dict(
        images=10 * pixels, latents=pixels / 2, samples=5 * pixels, phantom=6 * pixels
    )  # bytes an image
    sets |= {
        "training-images": 3 * pixels,
        "partly-interpolated": 5 * pixels,
        "interpolation": 37 * pixels,
    }
    sets["tokens"] = len(clip.PAPER_LEVELS) * (1 + cfg.patches) * (1280 if cfg.clip != "micro" else 128) * 2
    return (
        seconds,
        (1e9 + 6 * 4 * weights + kept) / 2**30,
        (4 * weights + many * sets.get(name, 0)) / 2**30,
    )
