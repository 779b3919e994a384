"""The CLIP image encoder: all its layers as maps, five of its levels as tokens."""

import math

import numpy as np
import open_clip
import torch
from torch.nn import functional as F

from ..core.machine import device, side_by_side
from ..core.store import stage
from ..numerics.arrays import load_array, map_array, to_tensor

PAPER_LEVELS = (5, 11, 17, 23, 31)  # of ViT-H/14's 32 blocks; released code, DESIGN section 2
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


def levels_of(layers):
    """The five levels of an encoder with `layers` blocks, at the paper's relative depths."""
    return tuple(math.ceil((level + 1) * layers / 32) - 1 for level in PAPER_LEVELS)


def normalised(x, size):
    """[-1,1] images at the encoder's size, with CLIP's mean and deviation."""
    if x.shape[-1] != size:
        x = F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False)
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((x + 1) / 2 - mean) / std


def load_clip(source):
    """Frozen CLIP model on the device, by open_clip: a folder of its format (a stage), or the
    "model/tag" that a Stage of assets.named holds."""
    if (source / "open_clip_config.json").exists():
        model = open_clip.create_model(f"local-dir:{source.path}")
    else:
        name, tag = str(source.path).split("/")
        model = open_clip.create_model(name, pretrained=tag)
    return model.to(device()).eval().requires_grad_(False)


def image_side(model):
    side = model.visual.image_size
    return side if isinstance(side, int) else side[0]


@torch.no_grad()
def hidden_states(model, x, indices=None):
    """Patch features of chosen blocks (all by default): (N, blocks, 1 + patches, width).

    x: (N,3,H,W) in [-1,1]. Token 0 is CLS, the others are the patches, row by row.
    """
    found = model.visual.forward_intermediates(
        normalised(x, image_side(model)),
        indices=None if indices is None else list(indices),
        normalize_intermediates=False,
        intermediates_only=True,
        output_fmt="NLC",
        output_extra_tokens=True,
    )
    tokens = [
        torch.cat([prefix, patches], 1)
        for prefix, patches in zip(
            found["image_intermediates_prefix"], found["image_intermediates"], strict=True
        )
    ]
    return torch.stack(tokens, 1)


def select_tokens(states, patches):
    """CLS and the patch tokens of largest norm of each level: (N, L, 1+P, D) -> (N, L, 1+k, D)."""
    norms = states[:, :, 1:].norm(dim=-1)
    top = norms.topk(patches, dim=-1).indices.sort(-1).values + 1
    chosen = torch.cat([torch.zeros_like(top[..., :1]), top], -1)
    return states.gather(2, chosen[..., None].expand(-1, -1, -1, states.shape[-1]))


def image_tokens(model, images, patches, batch=64):
    """Tokens of the five levels of uint8 images: float16 (N, 5, 1 + patches, width)."""
    indices = levels_of(len(model.visual.transformer.resblocks))

    def one(start):
        states = hidden_states(
            model, to_tensor(images[start : start + batch]).to(device()), indices
        )
        return select_tokens(states, patches).half().cpu().numpy()

    return np.concatenate(side_by_side(one, range(0, len(images), batch)))


@stage("tokens")
def cache_tokens(out, *, clip, images, patches):
    """Multi-level tokens of all images of a set, in its order."""
    model = load_clip(clip)

    def made(part):
        return image_tokens(model, part, patches)

    map_array(out / "tokens.npy", made, load_array(images / "images.npy"))


@torch.no_grad()
def embed(model, images, batch=128):
    """L2-normalised CLIP image embeddings of uint8 images: float64 (N, D)."""
    side = image_side(model)

    def one(start):
        x = normalised(to_tensor(images[start : start + batch]).to(device()), side)
        return model.encode_image(x, normalize=True)

    return torch.cat(side_by_side(one, range(0, len(images), batch))).double().cpu().numpy()


@stage("embeddings")
def cache_embeddings(out, *, clip, images):
    """L2-normalised embeddings of all images of a stage, in its order."""
    model = load_clip(clip)
    map_array(
        out / "embeddings.npy", lambda part: embed(model, part), load_array(images / "images.npy")
    )


def reference_rows(records, labels, seed, index, split="train"):
    """Row of a train-split image of each wanted class, drawn by (seed, index): list of int."""
    pools = {c: np.flatnonzero((records.dx == c) & (records.split == split)) for c in set(labels)}
    return [
        int(pools[c][np.random.default_rng([seed, int(i)]).integers(len(pools[c]))])
        for c, i in zip(labels, index, strict=True)
    ]
