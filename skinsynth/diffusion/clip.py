"""The CLIP image encoder: all its layers as maps, five of its levels as tokens."""

import math

import numpy as np
import open_clip
import torch
from torch.nn import functional as F

from ..core.machine import device
from ..core.store import stage
from ..networks.classifiers import in_batches
from ..numerics.arrays import load_array, map_array

PAPER_LEVELS = (5, 11, 17, 23, 31)  # of ViT-H/14's 32 blocks; as in the released code
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


def levels_of(layers):
    """The five levels of an encoder with `layers` blocks, at the paper's relative depths."""
    return tuple(math.ceil((level + 1) * layers / 32) - 1 for level in PAPER_LEVELS)


def normalised(model, x):
    """[-1,1] images at a CLIP model's size, with CLIP's mean and deviation."""
    size = model.visual.image_size[0]
    if x.shape[-1] != size:
        x = F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False)
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((x + 1) / 2 - mean) / std


def load_clip(source):
    """Frozen CLIP model on the device; source: a folder of open_clip's format (a stage, or a hub's)."""
    model = open_clip.create_model(f"local-dir:{source.path}")
    return model.to(device()).eval().requires_grad_(False)


@torch.no_grad()
def hidden_states(model, x, indices=None):
    """Patch features of chosen blocks (all by default): (N, blocks, 1 + patches, width).

    x: (N,3,H,W) in [-1,1]. Token 0 is CLS, the others are the patches, row by row.
    """
    form = dict(intermediates_only=True, output_fmt="NLC", output_extra_tokens=True)
    found = model.visual.forward_intermediates(normalised(model, x), indices, **form)
    parts = (found[f"image_intermediates{kind}"] for kind in ("_prefix", ""))
    return torch.cat([torch.stack(part, 1) for part in parts], 2)


def select_tokens(states, patches):
    """CLS and the patch tokens of largest norm of each level: (N, L, 1+P, D) -> (N, L, 1+k, D)."""
    norms = states[:, :, 1:].norm(dim=-1)
    top = norms.topk(patches, dim=-1).indices.sort(-1).values + 1
    chosen = torch.cat([torch.zeros_like(top[..., :1]), top], -1)
    return states.gather(2, chosen[..., None].expand(-1, -1, -1, states.shape[-1]))


def image_tokens(model, images, patches):
    """Tokens of the five levels of uint8 images: float16 (N, 5, 1 + patches, width)."""
    levels = levels_of(len(model.visual.transformer.resblocks))
    found = in_batches(lambda x: select_tokens(hidden_states(model, x, levels), patches), images)
    return found.astype(np.float16)


@stage("tokens")
def cache_tokens(out, *, clip, images, patches):
    """Multi-level tokens of all images of a set, in its order."""
    model, pixels = load_clip(clip), load_array(images / "images.npy")
    map_array(out / "tokens.npy", lambda part: image_tokens(model, part, patches), pixels)


def embed(model, images):
    """L2-normalised CLIP image embeddings of uint8 images: float64 (N, D)."""

    def embedding(x):
        return model.encode_image(normalised(model, x), normalize=True)

    return in_batches(embedding, images, 128).astype(np.float64)


@stage("embeddings")
def cache_embeddings(out, *, clip, images):
    """L2-normalised embeddings of all images of a stage, in its order."""
    model, pixels = load_clip(clip), load_array(images / "images.npy")
    map_array(out / "embeddings.npy", lambda part: embed(model, part), pixels)
