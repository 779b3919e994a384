"""From lesion to pseudo-normal skin: inpaint, encode both ends, interpolate (Fig 4, Fig 11)."""

from functools import partial

import numpy as np
import pandas as pd
import torch

from ..core.errors import UserError
from ..core.store import read_json, stage
from ..diffusion.pipeline import write_folder
from ..diffusion.vae import decode, encode, load_vae
from ..numerics.arrays import load_array, save_array
from .inpaint import FULL, dilate, inpaint_all
from .segment import load_segmenter, segment

ALPHAS = tuple(round(0.1 * k, 1) for k in range(11))


def lerp(normal, lesion, alpha):
    """z = (1 - alpha) z_normal + alpha z_lesion. Paper, interpolation."""
    return (1 - alpha) * normal + alpha * lesion


def slerp(normal, lesion, alpha):
    """Spherical interpolation of latents (N,C,h,w); falls back on nothing: angles are never zero
    unless both ends are equal, where it is the linear one."""
    a, b = normal.flatten(1), lesion.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1).clamp(-1, 1)
    angle = cosine.acos().view(-1, *[1] * (normal.ndim - 1))

    def weight(share):
        turned = (share * angle).sin() / angle.sin().clamp_min(1e-9)
        return torch.where(angle < 1e-4, share, turned)

    return weight(1 - alpha) * normal + weight(alpha) * lesion


def ends(vae, segmenter, images, inpainter, masks=None):
    """Both ends of the paths of uint8 images (N,H,W,3), encoded the same way.

    masks: bool (N,H,W), by default the segmenter's. Returns (masks, pseudo-normal images uint8,
    latents of these, latents of the images, function of latents -> uint8 images).
    """
    masks = segment(load_segmenter(segmenter), images) if masks is None else masks
    normal = inpaint_all(images, masks, inpainter)
    model, latent_format = load_vae(vae)
    latents = (encode(model, latent_format, x) for x in (normal, images))
    return masks, normal, *latents, partial(decode, model, latent_format)


@stage("interpolation")
def interpolate(out, *, vae, segmenter, samples, rows, inpainter, spherical=False, name="images"):
    """Segment, inpaint, encode and interpolate images `rows` of a stage that holds <name>.npy.

    Writes masks.npy (N,H,W), normal.npy (N,H,W,3) and path.npy (N, ALPHAS, H,W,3). alpha = 1 is
    the lesion, alpha = 0 the pseudo-normal skin. alpha is a heuristic direction, not a severity.
    """
    images = load_array(samples / f"{name}.npy")[np.asarray(rows)]
    masks, normal, *latents, back = ends(vae, segmenter, images, inpainter)
    save_array(out / "masks.npy", masks)
    save_array(out / "normal.npy", normal)
    between = slerp if spherical else lerp
    save_array(out / "path.npy", np.stack([back(between(*latents, a)) for a in ALPHAS], 1))


@stage("partly-interpolated")
def partly_interpolated(out, *, vae, segmenter, samples, rows, alphas, inpainter):
    """AI of Table 6 as a folder of samples: each image of `rows` gives way to a point on its own path.

    alphas take turns over the rows; metadata.csv names them.
    """
    pixels = np.array(load_array(samples / "images.npy"))
    meta = pd.read_csv(samples / "metadata.csv")
    turn = np.asarray(alphas)[np.arange(len(rows)) % len(alphas)]
    *_, normal, lesion, back = ends(vae, segmenter, pixels[rows], inpainter)
    own = torch.tensor(turn, dtype=lesion.dtype).view(-1, 1, 1, 1)
    pixels[rows] = back(lerp(normal, lesion, own))
    meta["alpha"] = meta["alpha"].astype(float)
    meta.loc[rows, "alpha"] = turn
    write_folder(out, len(pixels), [pixels], meta, read_json(samples / "provenance.json"))


def of_image(image, mask, alphas, *, vae, segmenter, inpainter):
    """The workflow of Fig 4 on one uint8 image (S,S,3): dict of name -> uint8 picture.

    mask: bool (S,S), or None for the segmenter's. Raises UserError where no lesion is found, or so large
    a one that no skin is left to copy from.
    """
    given = None if mask is None else mask[None]
    masks, normal, *latents, back = ends(vae, segmenter, image[None], inpainter, given)
    if not masks.any():
        raise UserError("no lesion found in the image; give its mask with --mask")
    if dilate(masks[0]).mean() > FULL:
        why = "the lesion fills the image, so there is no skin to copy from"
        raise UserError(f"{why}; give an image with skin around it")
    path = {f"alpha_{a:g}": back(lerp(*latents, a))[0] for a in alphas}
    return dict(image=image, mask=masks[0].astype(np.uint8) * 255, inpainted=normal[0]) | path
