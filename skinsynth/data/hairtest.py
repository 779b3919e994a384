"""How well hair removal works: hair drawn on images in which none was found, and what is known of it."""

from typing import NamedTuple

import cv2
import numpy as np

from ..phantom import skin
from . import hair

# rgb in 0-1
TONES = dict(dark=(0.12, 0.09, 0.08), brown=(0.35, 0.23, 0.15), light=(0.88, 0.78, 0.6))
NUMBERS = dict(few=4, many=16)
WIDTHS = dict(thin=0.005, thick=0.011)  # shares of the image side


class Hairy(NamedTuple):
    """Images with drawn hair and its truth."""

    images: np.ndarray  # (N, S, S, 3) uint8, with hair
    clean: np.ndarray  # (N, S, S, 3) uint8, without
    masks: np.ndarray  # (N, S, S) bool: a pixel counts from skin.HAIR_COVERAGE of its area


def draw(images, tone="dark", number="many", width="thin", seed=0):
    """Hair of one kind on square images (N, S, S, 3) uint8; each image has its own hairs."""
    size, out, masks = images.shape[1], [], []
    kind = dict(count=NUMBERS[number], colour=TONES[tone], thick=WIDTHS[width])
    for k, image in enumerate(np.asarray(images)):
        rng = np.random.default_rng([17, seed, k])
        cover, colour = skin.draw_hair(rng, 3 * size, few=1.0, short=0.1, **kind)
        cover = cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA)
        mask = cover >= skin.HAIR_COVERAGE
        # as the phantom: no trace of hair outside its mask
        share = np.where(mask, cover, 0)[..., None]
        out.append((image * (1 - share) + 255 * colour * share).round().astype(np.uint8))
        masks.append(mask)
    return Hairy(np.stack(out), np.asarray(images), np.stack(masks))


def _psnr(a, b, mask):
    """PSNR in dB of two images inside a mask; nan where it is empty."""
    error = ((a[mask].astype(float) - b[mask]) ** 2).mean() if mask.any() else np.nan
    return -10 * np.log10(max(error, 1e-3) / 255**2)


def score(hairy, how=hair.dullrazor, **options):
    """What a method does to hairy images: dict of (N,) arrays; nan where an image has no hair.

    F1 (within one pixel), Dice of the mask; PSNR in dB inside the true mask: before, after, and the
    ceiling, the same filling given the true mask.
    """
    rows = []
    for x, clean, true in zip(*hairy, strict=True):
        steps = how(x, **options)
        size = true.sum() + steps.mask.sum()
        dice = 2 * (true & steps.mask).sum() / size if size else np.nan
        restored = [_psnr(y, clean, true) for y in (x, steps.inpainted, hair.fill(x, true))]
        rows.append([hair.mask_f1(steps.mask, true), dice, *restored])
    names = ("F1", "Dice", "PSNR before", "PSNR after", "PSNR ceiling")
    return dict(zip(names, np.array(rows, float).T, strict=True))


def erased(images, masks, how=hair.dullrazor, **options):
    """What hair removal costs where no hair is: (images (N,H,W,3) after, share (N,) of thin structure lost).

    masks: the lesions. Thin structure is what one black-hat, the same for every method, finds dark inside
    the lesion: pigment network, streaks, vessels. nan where a lesion has none.
    """
    after, lost = [], []
    for image, mask in zip(images, masks, strict=True):
        steps = how(image, **options)
        thin = (hair.dullrazor(image).blackhat >= 10) & mask
        lost.append((thin & steps.mask).sum() / thin.sum() if thin.sum() >= 5 else np.nan)
        after.append(steps.inpainted)
    return np.stack(after), np.array(lost)
