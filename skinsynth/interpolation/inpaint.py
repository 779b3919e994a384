"""Pseudo-normal skin: the lesion painted over by one of several methods behind one interface.

Each method fills an area of one image; what is the same for all stands in `inpaint`: the mask is
dilated, so that the lesion's soft rim is inside, and the seam is blended.
"""

import functools

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import splu
from sklearn.feature_extraction.image import grid_to_graph

from ..core.errors import UserError
from ..core.machine import device
from ..networks.weights import NotComputed, find, folder, require
from ..numerics.arrays import to_tensor, to_uint8

FULL = 0.95  # of the image: beyond that no skin is left to copy from


def dilate(mask, share=0.05):
    """Grow a mask (H, W) by a share of the image side."""
    radius = max(1, round(share * mask.shape[0]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def _surroundings(image, area, sigma):
    """The image blurred by `sigma` pixels with nothing of `area` in it: float32 (H, W, 3)."""
    weight = cv2.GaussianBlur((~area).astype(np.float32), (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(image * (~area)[..., None].astype(np.float32), (0, 0), sigma)
    return blurred / np.maximum(weight, 1e-6)


def _grain(image, area):
    """Fine structure of the skin around, dealt out anew: float32 (H, W, 3)."""
    # a plain blur would take the lesion's edge for grain
    skin = (image - _surroundings(image, area, 1.5))[~area]
    rng = np.random.default_rng(int(area.sum()))
    dealt = skin[rng.integers(0, len(skin), image.shape[:2])]
    dealt = cv2.GaussianBlur(dealt, (0, 0), 0.7)
    return dealt / np.maximum(dealt.std((0, 1)), 1e-6) * skin.std(0)


def telea(image, area):
    """Fast marching from the rim inwards (Telea 2004), smoothed, with the grain of the skin."""
    radius = max(2, image.shape[0] // 16)
    filled = cv2.inpaint(image, area.astype(np.uint8) * 255, radius, cv2.INPAINT_TELEA)
    smooth = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), max(1.0, image.shape[0] / 24))
    return smooth + _grain(image, area)


def harmonic(image, area):
    """The smoothest surface through the skin at the rim (Laplace's equation), with the skin's grain."""
    sigma = max(1.0, image.shape[0] / 32)
    rim = _surroundings(image, area, sigma)  # a single pixel of the rim would leave a streak
    inside = area.ravel()
    # which pixels (columns) touch one of the area (row), itself among them
    near = csr_array(grid_to_graph(*area.shape, dtype=float))[inside]
    laplace = diags_array(near.sum(1)) - near[:, inside]
    out = image.astype(np.float32)
    out[area] = splu(laplace.tocsc()).solve(near[:, ~inside] @ rim[~area])
    return out + _grain(image, area) * area[..., None]


@functools.cache
def _lama(where):
    """The network, read once; where: the folder of weights, so that another one is looked into again."""
    return torch.jit.load(str(require("lama")), map_location=device()).eval()


@torch.no_grad()
def lama(image, area):
    """LaMa (Suvorov et al. 2022) as TorchScript; see `weights.NETWORKS`."""
    network = _lama(folder())
    h, w = area.shape
    pad = ((0, -h % 8), (0, -w % 8))
    x = (to_tensor(np.pad(image, (*pad, (0, 0)), mode="symmetric")[None]) + 1) / 2
    mask = torch.from_numpy(np.pad(area, pad, mode="symmetric")[None, None].astype(np.float32))
    made = network(x.to(device()), mask.to(device()))
    return to_uint8(made * 2 - 1)[0, :h, :w].astype(np.float32)


INPAINTERS = dict(telea=telea, harmonic=harmonic, lama=lama)


def best():
    """Name of the best method there is: LaMa where its weights lie, else Telea's, the nearest to the phantom's validation skin."""
    return "telea" if isinstance(find("lama"), NotComputed) else "lama"


def available():
    """Names of the methods whose weights are there."""
    return [name for name in INPAINTERS if name != "lama" or best() == "lama"]


def inpaint(image, mask, method="telea", widen=True):
    """Pseudo-normal skin: `image` with the lesion under `mask` painted over.

    image: uint8 (H,W,3); mask: bool (H,W), the lesion; method: a name of INPAINTERS; widen: whether the
    mask is dilated, which the paper does not do. Where there is no lesion, or no skin left to copy from, the image comes back unchanged. Raises UserError on another method.
    """
    if method not in INPAINTERS:
        raise UserError(f"unknown inpainter {method!r}; choose one of: {', '.join(INPAINTERS)}")
    area, rim = dilate(mask) if widen else mask, vignette(image, mask)
    if not mask.any() or (area | rim).mean() > FULL:
        return image.copy()
    return blend(image, INPAINTERS[method](image, area | rim), area & ~rim)


def inpaint_all(images, masks, method, widen=True):
    """`inpaint` of each of some images (N,H,W,3) under its own mask (N,H,W)."""
    return np.stack([inpaint(x, m, method, widen) for x, m in zip(images, masks, strict=True)])


def vignette(image, lesion):
    """Mask of the black corners that the dermatoscope's tube leaves: no skin to copy from, nothing to fill.

    A dark lesion (mask: bool (H,W)) may reach a corner, too: what lies in it mostly is none.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    dark = (grey < 0.35 * np.percentile(grey, 90)).astype(np.uint8)
    label = cv2.connectedComponents(dark)[1]
    corners = set(label[[0, 0, -1, -1], [0, -1, 0, -1]]) - {0}
    return np.isin(label, [k for k in corners if lesion[label == k].mean() <= 0.5])


def blend(image, filled, area):
    """`filled` inside `area`, the image outside, a soft seam on the inside of the rim."""
    edge = cv2.GaussianBlur(area.astype(np.float32), (0, 0), 1.0)[..., None] * area[..., None]
    return np.clip(image * (1 - edge) + filled * edge, 0, 255).round().astype(np.uint8)


@torch.no_grad()
def repaint(pipe, images, masks, seed=0, steps=16, batch=64):
    """The project's own diffusion model as inpainter, without class: uint8 (N,H,W,3) to the same.

    pipe: pipeline.SkinPipeline. What lies outside the dilated masks (N,H,W) is kept. It has only ever
    seen skin with a lesion in it, so it may paint one back: notebook 05 measures that.
    """
    areas = np.stack([dilate(m) for m in masks])
    out = []
    for i in range(0, len(images), batch):
        x = to_tensor(images[i : i + batch]).to(device())
        area = torch.from_numpy(areas[i : i + batch])
        z = pipe.latent_format.encode(pipe.vae, x)
        cells = F.adaptive_max_pool2d(area[:, None].float(), z.shape[-1]) == 0
        seeds = [seed + k for k in range(i, i + len(x))]
        out.append(pipe(["none"] * len(x), seeds, guidance_scale=1, steps=steps, keep=(z, cells)))
    made = np.array(images)
    for k, filled in enumerate(np.concatenate(out).astype(np.float32)):
        if masks[k].any() and areas[k].mean() <= FULL:
            made[k] = blend(images[k], filled, areas[k])
    return made
