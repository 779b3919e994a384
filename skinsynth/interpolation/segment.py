"""Lesion segmentation: a small U-Net trained on the train split's masks."""

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..core.errors import UserError
from ..core.machine import device, moved
from ..core.store import read_json, stage
from ..networks.classifiers import augment, in_batches, save_module
from ..numerics.arrays import Rows, fill, load_array, records_of, to_tensor
from ..numerics.training import fit


def _block(a, b):
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1),
        nn.GroupNorm(4, b),
        nn.SiLU(),
        nn.Conv2d(b, b, 3, padding=1),
        nn.GroupNorm(4, b),
        nn.SiLU(),
    )


class Segmenter(nn.Module):
    """U-Net over four scales: images (N,3,H,W) in [-1,1] -> lesion logits (N,1,H,W)."""

    def __init__(self, width):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip([3, *widths], widths, strict=False))
        self.up = nn.ModuleList(
            _block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        kept = []
        for i, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if i else x)
            kept.append(x)
        for block, skip in zip(self.up, kept[-2::-1], strict=True):
            x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], 1))
        return self.out(x)


@stage("segmenter")
def train_segmenter(out, *, start, images, records, steps, batch, seed):
    """Fine-tune a segmenter on the train split's lesion masks.

    Raises UserError where the set has no masks.
    """
    if not (records / "masks.npy").exists():
        raise UserError(
            "no lesion masks found: add HAM10000_segmentations_lesion_tschandl to ham10000/"
        )
    rows = np.flatnonzero(records_of(records).split == "train")
    pixels, masks = (
        Rows((load_array(made / f"{name}.npy"), rows))
        for made, name in ((images, "images"), (records, "masks"))
    )
    width = read_json(start / "config.json")["width"]
    fit_segmenter(out, load_segmenter(start), pixels, masks, width, steps, batch, seed)


def fit_segmenter(out, model, pixels, masks, width, steps, batch, seed):
    """Cross-entropy plus soft Dice on flipped and turned images."""

    def loss(net, index, rng):
        x = to_tensor(pixels[index.numpy()])
        y = torch.from_numpy(masks[index.numpy()]).float()[:, None]
        x, y = moved(augment(torch.cat([x, y], 1), rng)).split([3, 1], 1)
        logit = net(x).float()
        p = logit.sigmoid()
        dice = 1 - (2 * (p * y).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + y.sum((1, 2, 3)) + 1)
        return F.binary_cross_entropy_with_logits(logit, y) + dice.mean()

    fit(
        model,
        loss,
        len(pixels),
        out=out,
        steps=steps,
        batch=batch,
        lr=2e-3,
        seed=seed,
        ema=0.98,
        divisible=True,
        desc="segmenter",
    )
    save_module(out, model, dict(width=width))


def load_segmenter(made):
    model = Segmenter(read_json(made / "config.json")["width"])
    fill(model, made / "model.safetensors")
    return model.to(device()).eval()


def segment(model, images):
    """Lesion masks (N,H,W) bool of uint8 images: the largest connected region above 0.5."""
    probability = in_batches(lambda x: model(x).float().sigmoid()[:, 0], images)
    return np.stack([_largest(p > 0.5) for p in probability])


def _largest(mask):
    count, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return mask
    return label == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
