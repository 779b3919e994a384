"""From lesion to pseudo-normal skin: inpaint, encode both ends, interpolate (Fig 4, Fig 11)."""

import cv2
import numpy as np
import pandas as pd
import torch

from .arrays import load_array, save_array
from .pipeline import write_folder
from .segment import load_segmenter, segment
from .store import read_json, stage
from .vae import decode, encode, load_vae

ALPHAS = tuple(round(0.1 * k, 1) for k in range(11))


def dilate(mask, share=0.05):
    """Grow a mask by a share of the image side, so that the lesion's soft rim is inside."""
    radius = max(1, round(share * mask.shape[0]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def inpaint(image, mask):
    """Pseudo-normal skin: fill the dilated mask from its surroundings (Telea), with skin grain.

    image: uint8 (H,W,3); mask: bool (H,W), the lesion. Where the mask leaves no skin to copy from,
    the image comes back unchanged. The grain is the skin's own fine structure, mirrored inward.
    """
    area = dilate(mask)
    if not mask.any() or area.mean() > 0.95:
        return image.copy()
    radius = max(2, image.shape[0] // 16)
    filled = cv2.inpaint(image, area.astype(np.uint8) * 255, radius, cv2.INPAINT_TELEA).astype(np.float32)
    smooth = cv2.GaussianBlur(filled, (0, 0), max(1.0, image.shape[0] / 24))
    skin = ~area
    grain = image.astype(np.float32) - cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.5)
    spread = grain[skin].std(0)
    rng = np.random.default_rng(int(mask.sum()))
    noise = cv2.GaussianBlur(rng.normal(size=image.shape).astype(np.float32), (0, 0), 0.7)
    textured = smooth + noise / max(noise.std(), 1e-6) * spread
    edge = cv2.GaussianBlur(area.astype(np.float32), (0, 0), 1.0)[..., None] * area[..., None]
    return np.clip(image * (1 - edge) + textured * edge, 0, 255).round().astype(np.uint8)


def lerp(normal, lesion, alpha):
    """z = (1 - alpha) z_normal + alpha z_lesion. Paper, interpolation."""
    return (1 - alpha) * normal + alpha * lesion


def slerp(normal, lesion, alpha):
    """Spherical interpolation of latents (N,C,h,w); falls back on nothing: angles are never zero
    unless both ends are equal, where it is the linear one."""
    a, b = normal.flatten(1), lesion.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1)
    angle = cosine.acos().view(-1, *[1] * (normal.ndim - 1))
    weight = lambda s: torch.where(angle < 1e-4, s, (s * angle).sin() / angle.sin().clamp_min(1e-9))  # noqa: E731
    one = torch.ones_like(angle)
    return weight((1 - alpha) * one) * normal + weight(alpha * one) * lesion


@stage("interpolation")
def interpolate(out, *, vae, segmenter, samples, rows, alphas=ALPHAS, spherical=False):
    """Segment, inpaint, encode and interpolate samples `rows` of a folder of images.

    Writes masks.npy (N,H,W), normal.npy (N,H,W,3) and path.npy (N, alphas, H,W,3). alpha = 1 is
    the lesion, alpha = 0 the pseudo-normal skin. alpha is a heuristic direction, not a severity.
    """
    images = load_array(samples / "images.npy")[np.asarray(rows)]
    masks = segment(load_segmenter(segmenter), images)
    normal = np.stack([inpaint(x, m) for x, m in zip(images, masks, strict=True)])
    save_array(out / "masks.npy", masks)
    save_array(out / "normal.npy", normal)
    model, latent_format = load_vae(vae)
    ends = [encode(model, latent_format, x) for x in (normal, images)]
    between = slerp if spherical else lerp
    path = [decode(model, latent_format, between(*ends, a)) for a in alphas]
    save_array(out / "path.npy", np.stack(path, 1))


@stage("partly-interpolated")
def partly_interpolated(out, *, samples, walk, rows, alphas):
    """AI of Table 6 as a folder of samples: of `rows` each image gives way to a point on its own path.

    walk: the interpolation of those rows; its alphas take turns. metadata.csv names them.
    """
    pixels, meta = np.array(load_array(samples / "images.npy")), pd.read_csv(samples / "metadata.csv")
    turn = np.arange(len(rows)) % len(alphas)
    pixels[rows] = load_array(walk / "path.npy")[np.arange(len(rows)), turn]
    meta["alpha"] = meta["alpha"].astype(float)
    meta.loc[rows, "alpha"] = np.asarray(alphas)[turn]
    write_folder(out, pixels, meta, read_json(samples / "provenance.json"))


def variance(features, rows=slice(None)):
    """Trace of the covariance of L2-normalised embeddings (N,D)."""
    x = features[rows]
    return float(x.var(0, ddof=1).sum())


def variance_test(random, mixed, draws=2000, seed=0):
    """Permutation test over source seeds of var(mixed) - var(random); returns (difference, p).

    random, mixed: (N,D) embeddings, row k of both from source seed k. Under the null a seed's two
    versions are exchangeable, so whole seeds are swapped. Two-sided, with the +1 correction.
    """
    seen = variance(mixed) - variance(random)
    rng = np.random.default_rng(seed)
    both = np.stack([random, mixed])
    flips = rng.integers(0, 2, (draws, len(random)))
    rows = np.arange(len(random))
    null = [variance(both[1 - f, rows]) - variance(both[f, rows]) for f in flips]
    return seen, (1 + np.sum(np.abs(null) >= abs(seen) - 1e-12)) / (draws + 1)
