"""What each layer of the CLIP image encoder sees (Fig 3): its patches as colours, and how far neighbours differ."""

import math

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch.nn import functional as F

from ..core.machine import device
from ..numerics import stats
from ..numerics.arrays import to_tensor
from .clip import hidden_states


def validation_rows(records, classes, n, seed):
    """Rows of validation images: the first of each of some classes, then at most n others drawn by `seed`."""
    val = records[records.split == "val"]
    chosen = [val.index[val.dx == c][0] for c in classes]
    others = val.index.difference(chosen)
    drawn = np.random.default_rng(seed).choice(others, min(n, len(others)), replace=False)
    return chosen, drawn.tolist()


def look(model, images, shown):
    """What every layer makes of uint8 images (N,H,W,3): (maps of the first `shown`, distances of neighbours).

    maps: uint8 (L, shown, side, side, 3), see `pca_maps`, whose colours all N images set; distances: (N, L).
    """
    states = hidden_states(model, to_tensor(images).to(device())).cpu()
    maps = (pca_maps(states)[:, :shown] * 255).round().astype(np.uint8)
    return maps, neighbour_distance(states)


def depth_table(distance):
    """Mean and standard deviation over images of `neighbour_distance` (N, L), a row a layer."""
    known = dict(distance=distance.mean(0), sd=distance.std(0), n=len(distance))
    return pd.DataFrame({"layer": range(distance.shape[1])} | known)


def depth_trend(distance, lesions):
    """Whether deeper layers differ more: rank correlation of layer and distance, the mean over images (Estimate).

    distance: `neighbour_distance` (N, L); lesions: (N,) ids. 1: each layer's distance is larger than that
    of the layer before, in every image; -1: smaller. A rise that is lost again comes near 0.
    """
    number = np.arange(distance.shape[1])
    ranks = [spearmanr(number, own).statistic for own in distance]
    return stats.mean_interval(ranks, "layer and distance", lesions)


def picture_rows(images, maps, layers):
    """Rows for grids.grid: each image, then its map in each of some layers, as large as the image."""
    zoom = images.shape[1] // maps.shape[2]
    large = maps.repeat(zoom, 2).repeat(zoom, 3)
    return [[image, *large[layers, r]] for r, image in enumerate(images)]


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
