"""The CLIP image encoder: all its layers as maps, five of its levels as tokens."""

import math
import re

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from ..core.machine import device, side_by_side
from ..core.store import atomic, read_json, stage, write_json
from ..numerics.arrays import load_array, map_array, to_tensor
from ..numerics.training import fit

PAPER_LEVELS = (5, 11, 17, 23, 31)  # of ViT-H/14's 32 blocks; released code, DESIGN section 2
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


def levels_of(layers):
    """The five levels of an encoder with `layers` blocks, at the paper's relative depths."""
    return tuple(math.ceil((level + 1) * layers / 32) - 1 for level in PAPER_LEVELS)


CONTEXT = 40


def words_of(captions):
    """The sorted words of captions: the text tower's whole vocabulary."""
    return sorted({w for text in captions for w in re.findall(r"[a-z]+", text.lower())})


def tokenize(captions, words):
    """Captions -> (N, CONTEXT) int64: 0 pads, 1 starts, words follow, the largest number ends."""
    number = {w: i + 2 for i, w in enumerate(words)}
    rows = torch.zeros(len(captions), CONTEXT, dtype=torch.int64)
    for row, text in zip(rows, captions, strict=True):
        found = [1, *(number[w] for w in re.findall(r"[a-z]+", text.lower()))][: CONTEXT - 1]
        row[: len(found) + 1] = torch.tensor([*found, len(words) + 2])
    return rows


def micro_config(size, words):
    """A small OpenCLIP model: ViT with 8 blocks on an 8 x 8 grid of patches, and a text tower."""
    return dict(
        embed_dim=64,
        vision_cfg=dict(image_size=size, patch_size=size // 8, width=128, layers=8, head_width=32),
        text_cfg=dict(context_length=CONTEXT, vocab_size=words + 3, width=64, heads=2, layers=2),
    )


def micro_clip(size, words):
    """An untrained model of that configuration."""
    return open_clip.CLIP(**micro_config(size, words))


def _normalised(x, size):
    """[-1,1] images at the encoder's size, with CLIP's mean and deviation."""
    if x.shape[-1] != size:
        x = F.interpolate(x, (size, size), mode="bicubic", antialias=True, align_corners=False)
    mean, std = (torch.tensor(v, device=x.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return ((x + 1) / 2 - mean) / std


@stage("clip")
def train_clip(out, *, generic, size, steps, batch, seed):
    """Train the micro CLIP on generic skin and its captions, with CLIP's symmetric loss."""
    images = load_array(generic / "images.npy")
    captions = read_json(generic / "attributes.json")["captions"]
    words = words_of(captions)
    texts = tokenize(captions, words)
    torch.manual_seed(seed)
    model = micro_clip(size, len(words))

    def loss(net, index, rng):
        x = _normalised(to_tensor(images[index.numpy()]).to(device()), size)
        image, text, scale = net(x, texts[index].to(device()))
        logits = scale.float() * image.float() @ text.float().T
        # two pictures of a batch may share a caption: both count as right
        same = (texts[index][:, None] == texts[index][None]).all(-1).float().to(device())
        target = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    fit(
        model,
        loss,
        len(images),
        out=out,
        steps=steps,
        batch=batch,
        lr=1e-3,
        seed=seed,
        ema=0.99,
        desc="CLIP",
    )
    with atomic(out / "open_clip_model.safetensors") as part:
        save_file({k: v.cpu().contiguous() for k, v in model.state_dict().items()}, part)
    facts = dict(model_cfg=micro_config(size, len(words)), preprocess_cfg=dict(mean=MEAN, std=STD))
    write_json(out / "open_clip_config.json", facts)
    write_json(out / "words.json", words)


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
        _normalised(x, image_side(model)),
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
    made = lambda part: image_tokens(model, part, patches)  # noqa: E731
    map_array(out / "tokens.npy", made, load_array(images / "images.npy"))


@torch.no_grad()
def embed(model, images, batch=128):
    """L2-normalised CLIP image embeddings of uint8 images: float64 (N, D)."""
    side = image_side(model)

    def one(start):
        x = _normalised(to_tensor(images[start : start + batch]).to(device()), side)
        return model.encode_image(x, normalize=True)

    return torch.cat(side_by_side(one, range(0, len(images), batch))).double().cpu().numpy()


@stage("embeddings")
def cache_embeddings(out, *, clip, images):
    """L2-normalised embeddings of all images of a stage, in its order."""
    model = load_clip(clip)
    map_array(
        out / "embeddings.npy", lambda part: embed(model, part), load_array(images / "images.npy")
    )


def pca_maps(states):
    """First three principal components of each block's patch features as RGB in [0,1].

    states: (N, L, 1+P, D) -> (L, N, side, side, 3). One basis a layer, shared by the images;
    each component is stretched to its 1-99 % range (this is a map, not a picture of skin).
    """
    n, layers, tokens, _ = states.shape
    side = math.isqrt(tokens - 1)
    maps = []
    for k in range(layers):
        x = states[:, k, 1:].reshape(n * side * side, -1).double()
        x = x - x.mean(0)
        _, _, v = torch.linalg.svd(x, full_matrices=False)
        y = x @ v[:3].T
        low, high = y.quantile(0.01, 0), y.quantile(0.99, 0)
        maps.append(((y - low) / (high - low).clamp_min(1e-9)).clamp(0, 1).view(n, side, side, 3))
    return torch.stack(maps).numpy()


def neighbour_distance(states):
    """Mean cosine distance between adjacent patches, per image and block: (N, L).

    The paper's caption of Fig 3 says that deeper layers show larger differences.
    """
    n, layers, tokens, width = states.shape
    side = math.isqrt(tokens - 1)
    x = F.normalize(states[:, :, 1:].double(), dim=-1).view(n, layers, side, side, width)
    right = 1 - (x[:, :, :, 1:] * x[:, :, :, :-1]).sum(-1)
    down = 1 - (x[:, :, 1:] * x[:, :, :-1]).sum(-1)
    return ((right.mean((2, 3)) + down.mean((2, 3))) / 2).numpy()


def reference_rows(records, labels, seed, index, split="train"):
    """Row of a train-split image of each wanted class, drawn by (seed, index): list of int."""
    pools = {c: np.flatnonzero((records.dx == c) & (records.split == split)) for c in set(labels)}
    return [
        int(pools[c][np.random.default_rng([seed, int(i)]).integers(len(pools[c]))])
        for c, i in zip(labels, index, strict=True)
    ]
