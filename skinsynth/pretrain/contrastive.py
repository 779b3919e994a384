"""The micro CLIP: images and captions of generic skin in one space."""

import re

import open_clip
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from ..core.machine import device
from ..core.store import atomic, read_json, stage, write_json
from ..diffusion.clip import MEAN, STD, normalised
from ..numerics.arrays import load_array, to_tensor
from ..numerics.training import fit

CONTEXT = 40  # longest caption in words, with start and end


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


def clip_loss(images, texts):
    """CLIP's symmetric loss; images: uint8 (N,H,W,3), texts: their captions from `tokenize`."""

    def loss(net, index, rng):
        x = normalised(net, to_tensor(images[index.numpy()]).to(device()))
        image, text, scale = net(x, texts[index].to(device()))
        logits = scale.float() * image.float() @ text.float().T
        # two pictures of a batch may share a caption: both count as right
        same = (texts[index][:, None] == texts[index][None]).all(-1).float().to(device())
        target = same / same.sum(1, keepdim=True)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    return loss


@stage("clip")
def train_clip(out, *, generic, size, steps, batch, seed):
    """Train the micro CLIP on generic skin and its captions."""
    images = load_array(generic / "images.npy")
    captions = read_json(generic / "attributes.json")["captions"]
    words = words_of(captions)
    config = micro_config(size, len(words))
    torch.manual_seed(seed)
    model, loss = open_clip.CLIP(**config), clip_loss(images, tokenize(captions, words))
    training = dict(steps=steps, batch=batch, lr=1e-3, seed=seed, ema=0.99, desc="CLIP")
    fit(model, loss, len(images), out=out, **training)
    with atomic(out / "open_clip_model.safetensors") as part:
        save_file({k: v.cpu().contiguous() for k, v in model.state_dict().items()}, part)
    facts = dict(model_cfg=config, preprocess_cfg=dict(mean=MEAN, std=STD))
    write_json(out / "open_clip_config.json", facts)
    write_json(out / "words.json", words)
