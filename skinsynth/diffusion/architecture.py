"""Fig 1, drawn from the live modules: every box is a module, every shape was seen in a forward pass."""

import re

import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch.nn.modules.module import register_module_forward_hook

from ..core.machine import device
from ..numerics.arrays import to_tensor
from .adapters import LevelAttention
from .clip import hidden_states, image_tokens, levels_of
from .denoiser import Denoiser, micro_scheduler, unet_for
from .pipeline import SkinPipeline
from .vae import load_vae

COLORS = dict(vae="#56B4E9", unet="#E69F00", clip="#009E73", adapters="#CC79A7")


def _said(name):
    """What Fig 1 calls a part of a network: "down_blocks.0" is "down 0", "mid_block" "middle"."""
    return name.replace("mid_block", "middle").replace("_blocks.", " ").replace("conv_", "conv ")


def _parts(pipe, visual):
    """{module: (lane, name)} of what Fig 1 shows."""
    vae, unet, blocks = pipe.vae, pipe.denoiser.unet, visual.transformer.resblocks
    shown = {blocks[i]: ("clip", f"level {i}") for i in levels_of(len(blocks))}
    for lane, network in dict(encoder=vae.encoder, unet=unet, decoder=vae.decoder).items():
        ends = "|conv_in|conv_out" if network is unet else ""
        for name, module in network.named_modules():
            if re.fullmatch(r"(down|up)_blocks\.\d+|mid_block" + ends, name):
                shown[module] = lane, _said(name)
    return shown


@torch.no_grad()
def trace(pipe, clip_model, image, tokens):
    """Run one image through VAE, CLIP and UNet and note what each part gives; of a CLIP level, what of it is read.

    image: (1,3,H,W) in [-1,1]; tokens: (1,L,T,D), the levels' tokens that the adapters read. Returns a
    DataFrame: lane, part, shape, parameters.
    """
    rows, place = [], _parts(pipe, clip_model.visual)

    def note(module, args, out):
        if module in place:
            first = out[0] if isinstance(out, tuple) else out
            size, shape = sum(p.numel() for p in module.parameters()), first.shape[1:]
            if place[module][0] == "clip":  # of a level's tokens the adapters read some
                shape = tokens.shape[2:]
            rows.append([*place[module], " x ".join(map(str, shape)), size])

    with register_module_forward_hook(note):
        hidden_states(clip_model, image)
        z = pipe.latent_format.encode(pipe.vae, image)
        label = torch.zeros(1, dtype=torch.long, device=z.device)
        pipe.denoiser(z, torch.tensor([500], device=z.device), label, tokens.to(device()))
        pipe.latent_format.decode(pipe.vae, z)
    rows.append(["latent", "latent", " x ".join(map(str, z.shape[1:])), 0])
    return pd.DataFrame(rows, columns=["lane", "part", "shape", "parameters"])


def untrained(image, clip_model, patches, autoencoder, start):
    """(`trace`, `level_links`) of the whole method before training, with one image sent through.

    image: uint8 (H,W,3); patches: patch tokens of each CLIP level; autoencoder: an 8-channel VAE stage;
    start: where the pre-trained unet/ lies. Neither table nor links depend on what is learned.
    """
    tokens = torch.from_numpy(image_tokens(clip_model, image[None], patches))
    vae, latents = load_vae(autoencoder)
    unet = unet_for(start, vae.config.latent_channels, len(image) // 8)
    net = Denoiser.build(unet, *tokens.shape[1:]).to(device()).eval()
    pipe = SkinPipeline(vae, net, micro_scheduler(), latents.mean, latents.std)
    return trace(pipe, clip_model, to_tensor(image[None]).to(device()), tokens), level_links(net)


def level_links(denoiser):
    """{UNet part: level numbers it reads}, from the attached adapters themselves."""
    return {
        _said(name.split(".attentions")[0]): m.levels
        for name, m in denoiser.unet.named_modules()
        if isinstance(m, LevelAttention)
    }


STEP, TOP, UNET, BOTTOM = 1.75, 4.2, 1.9, 0.0  # between boxes; heights of the three rows of Fig 1


def _box(axes, x, y, text, color):
    look = dict(boxstyle="round,pad=0.02,rounding_size=0.08", color=color, alpha=0.35)
    axes.add_patch(FancyBboxPatch((x - 0.75, y - 0.31), 1.5, 0.62, **look))
    axes.text(x, y, text, ha="center", va="center", fontsize=6)


def _arrow(axes, a, b, color="#444444", bend=0.0):
    style = dict(arrowstyle="-|>", mutation_scale=7, linewidth=0.8, shrinkA=1, shrinkB=1)
    axes.add_patch(FancyArrowPatch(a, b, color=color, connectionstyle=f"arc3,rad={bend}", **style))


def _chain(axes, parts, y, wide, color, special):
    """Boxes in a row, in the middle of `wide`, with arrows between them: {name: x}.

    parts: [(name, shape or None)]; special: the part that has the adapters' colour.
    """
    place = {}
    for i, (name, shape) in enumerate(parts):
        x = ((wide - len(parts)) / 2 + i) * STEP
        said = (shape or "").replace(" x ", "×")
        if len(said) > 7:  # wider than a box: channels in a line of their own
            said = said.replace("×", " ×\n", 1)
        label = f"{name}\n{said}".strip()
        _box(axes, x, y, label, COLORS["adapters"] if name == special else color)
        place[name] = x
        if i and parts[i - 1][0] != "class token":
            _arrow(axes, (x - STEP + 0.77, y), (x - 0.77, y))
    return place


def _conditions(axes, sources, targets, levels, links):
    """Arrows from the class token (grey) and from the CLIP levels (pink) to the UNet's parts that read them."""
    for part in links:
        start = (sources["class token"], BOTTOM + 0.33)
        _arrow(axes, start, (targets[part], UNET - 0.34), "#BBBBBB")
    for part, used in links.items():
        bend = 0.06 if part.startswith("up") else -0.06
        for k in used:
            start = (sources[levels[k][0]], BOTTOM + 0.33)
            _arrow(axes, start, (targets[part], UNET - 0.34), COLORS["adapters"], bend)


def draw(data, links):
    """Fig 1 from `trace` (data) and `level_links`: stage 1 above, stage 2 below, CLIP beside the UNet."""
    groups = data.groupby("lane", sort=False)
    lanes = {k: list(zip(g.part, g["shape"], strict=True)) for k, g in groups}
    top = [("image", None), *lanes["encoder"], *lanes["latent"], *lanes["decoder"]]
    bottom = [("class token", None), *lanes["clip"]]
    wide = max(len(top), len(lanes["unet"]))
    figure, axes = plt.subplots(figsize=(7.6, 4.3))
    above = _chain(axes, top, TOP, wide, COLORS["vae"], "latent")
    unet = _chain(axes, lanes["unet"], UNET, wide, COLORS["unet"], None)
    below = _chain(axes, bottom, BOTTOM, wide, COLORS["clip"], "class token")
    latent = above["latent"]
    _arrow(axes, (latent - 0.2, TOP - 0.34), (unet["conv in"], UNET + 0.34), bend=0.1)
    _arrow(axes, (unet["conv out"], UNET + 0.34), (latent + 0.2, TOP - 0.34), bend=0.1)
    _conditions(axes, below, unet, lanes["clip"], links)
    middle = (wide - 1) / 2 * STEP
    for y, text in ((4.85, "Stage 1: autoencoder"), (2.75, "Stage 2: denoiser of the latent")):
        axes.text(middle, y, text, ha="center", fontsize=8, weight="bold")
    said = "Class token (grey arrows); tokens read from levels of the frozen CLIP image encoder, through adapters (pink)"
    axes.text(middle, -0.6, said, ha="center", fontsize=8)
    axes.set(xlim=(-1.2, (wide - 1) * STEP + 1.2), ylim=(-0.9, 5.2))
    axes.axis("off")
    return figure
