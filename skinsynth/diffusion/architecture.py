"""Fig 1, drawn from the live modules: every box is a module, every shape was seen in a forward pass."""

import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ..core.machine import device
from .adapters import LevelAttention
from .clip import hidden_states, levels_of

COLORS = dict(vae="#56B4E9", unet="#E69F00", clip="#009E73", adapters="#CC79A7")


def _parts(pipe, visual):
    """(lane, name, module) of what Fig 1 shows, in order."""
    vae, unet = pipe.vae, pipe.denoiser.unet
    yield from (("encoder", f"down {i}", m) for i, m in enumerate(vae.encoder.down_blocks))
    yield ("encoder", "middle", vae.encoder.mid_block)
    yield ("unet", "conv in", unet.conv_in)
    yield from (("unet", f"down {i}", m) for i, m in enumerate(unet.down_blocks))
    yield ("unet", "middle", unet.mid_block)
    yield from (("unet", f"up {i}", m) for i, m in enumerate(unet.up_blocks))
    yield ("unet", "conv out", unet.conv_out)
    yield ("decoder", "middle", vae.decoder.mid_block)
    yield from (("decoder", f"up {i}", m) for i, m in enumerate(vae.decoder.up_blocks))
    yield from (("clip", f"level {i}", visual.transformer.resblocks[i]) for i in _levels(visual))


def _levels(visual):
    return levels_of(len(visual.transformer.resblocks))


@torch.no_grad()
def trace(pipe, clip_model, image, tokens):
    """Run one image through VAE, CLIP and UNet and note what each part gives.

    image: (1,3,H,W) in [-1,1]; tokens: (1,L,T,D). Returns a DataFrame: lane, part, shape, parameters.
    """
    rows, hooks = [], []
    for lane, name, module in _parts(pipe, clip_model.visual):

        def note(module, args, out, lane=lane, name=name):
            first = out[0] if isinstance(out, tuple) else out
            shape = " x ".join(map(str, first.shape[1:]))
            rows.append([lane, name, shape, sum(p.numel() for p in module.parameters())])

        hooks.append(module.register_forward_hook(note))
    try:
        hidden_states(clip_model, image)
        z = pipe.latent_format.encode(pipe.vae, image)
        label = torch.zeros(1, dtype=torch.long, device=z.device)
        pipe.denoiser(z, torch.tensor([500], device=z.device), label, tokens.to(device()))
        pipe.latent_format.decode(pipe.vae, z)
    finally:
        for hook in hooks:
            hook.remove()
    rows.append(["latent", "latent", " x ".join(map(str, z.shape[1:])), 0])
    return pd.DataFrame(rows, columns=["lane", "part", "shape", "parameters"])


def level_links(denoiser):
    """{UNet part: level numbers it reads}, from the attached adapters themselves."""
    links = {}
    for name, module in denoiser.unet.named_modules():
        if isinstance(module, LevelAttention):
            place = (
                name.split(".attentions")[0].replace("_blocks.", " ").replace("mid_block", "middle")
            )
            links[place] = module.levels
    return links


def _box(axes, x, y, text, color, width=1.5, height=0.62):
    style = "round,pad=0.02,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=style,
            facecolor=color,
            alpha=0.35,
            edgecolor=color,
        )
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=6)


def _arrow(axes, a, b, color="#444444", bend=0.0):
    style = dict(arrowstyle="-|>", mutation_scale=7, linewidth=0.8, shrinkA=1, shrinkB=1)
    axes.add_patch(FancyArrowPatch(a, b, color=color, connectionstyle=f"arc3,rad={bend}", **style))


def draw(data, links):
    """Fig 1 from `trace` (data) and `level_links`: stage 1 above, stage 2 below, CLIP beside the UNet."""
    lanes = {
        k: list(zip(g.part, g["shape"], strict=True)) for k, g in data.groupby("lane", sort=False)
    }
    latent = lanes["latent"][0][1]
    top = [("image", None), *lanes["encoder"], ("latent", latent), *lanes["decoder"]]
    unet, levels = lanes["unet"], lanes["clip"]
    wide = max(len(top), len(unet))
    figure, axes = plt.subplots(figsize=(7.6, 4.3))
    step = 1.75
    place = {}

    def chain(parts, y, color, special=()):
        start = (wide - len(parts)) / 2
        for i, (name, shape) in enumerate(parts):
            x = (start + i) * step
            own = COLORS["adapters"] if name in special else color
            label = name if shape is None else f"{name}\n{shape.replace(' x ', '×')}"
            _box(axes, x, y, label, own)
            place[y, name] = x
            if i and parts[i - 1][0] != "class token":
                _arrow(axes, (x - step + 0.77, y), (x - 0.77, y))

    chain(top, 4.2, COLORS["vae"], ("latent",))
    chain(unet, 1.9, COLORS["unet"])
    chain([("class token", None), *levels], 0.0, COLORS["clip"], ("class token",))
    latent_x = place[4.2, "latent"]
    _arrow(axes, (latent_x - 0.2, 3.86), (place[1.9, "conv in"], 2.24), bend=0.1)
    _arrow(axes, (place[1.9, "conv out"], 2.24), (latent_x + 0.2, 3.86), bend=0.1)
    for part in links:
        _arrow(axes, (place[0.0, "class token"], 0.33), (place[1.9, part], 1.56), "#BBBBBB")
    for part, used in links.items():
        for k in used:
            bend = 0.06 if part.startswith("up") else -0.06
            _arrow(
                axes,
                (place[0.0, levels[k][0]], 0.33),
                (place[1.9, part], 1.56),
                COLORS["adapters"],
                bend,
            )
    middle = (wide - 1) / 2 * step
    for y, text in (
        (4.85, "Stage 1: autoencoder"),
        (2.75, "Stage 2: denoiser of the latent"),
        (
            -0.6,
            "Class token (grey arrows) and five levels of the frozen CLIP image encoder, through adapters (pink arrows)",
        ),
    ):
        axes.text(
            middle, y, text, ha="center", fontsize=8, weight="bold" if "Stage" in text else None
        )
    axes.set(xlim=(-1.2, (wide - 1) * step + 1.2), ylim=(-0.9, 5.2))
    axes.axis("off")
    return figure
