"""DullRazor: find dark hair by black-hat closings and fill it in from the skin around (Fig 14).

After Lee et al. 1997. The textbook version (9x9 black-hat, 3x3 blur, threshold 10, Telea radius 6 at
600x450) also takes vessels and the pigment network; here a pixel counts only where it is dark in red
as well and continues along a line, and a component only where it is long. Everything scales with
the image. Light hair is not seen, and a ruler's scale looks like hair: known limits.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from .errors import UserError

REFERENCE = 450  # shorter side, in pixels, that the textbook's values are meant for


@dataclass(frozen=True)
class HairSteps:
    """What the four panels of Fig 14 show, each (H, W) of the image.

    grey, blackhat: uint8; mask: bool, the hair; inpainted: uint8 RGB (H, W, 3).
    """

    grey: np.ndarray
    blackhat: np.ndarray
    mask: np.ndarray
    inpainted: np.ndarray


@functools.cache
def _lines(length, directions):
    """Structuring elements: centred lines of `length` pixels in evenly spaced directions."""
    kernels, half = [], length // 2
    for angle in np.arange(directions) * np.pi / directions:
        reach = half / max(abs(np.cos(angle)), abs(np.sin(angle)))
        dx, dy = round(reach * np.cos(angle)), round(reach * np.sin(angle))
        dx, dy = (int(np.clip(v, -half, half)) for v in (dx, dy))
        kernel = np.zeros((length, length), np.uint8)
        cv2.line(kernel, (half - dx, half - dy), (half + dx, half + dy), 1)
        kernels.append(kernel)
    return tuple(kernels)


def _odd(value, least):
    return max(least, 2 * round((value - 1) / 2) + 1)


def _check(image):
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise UserError(f"hair removal takes uint8 images, got {kind}; scale to 0-255 and convert")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UserError(f"hair removal takes RGB (H, W, 3), got shape {image.shape}; convert to RGB")


def _long_and_thin(strong, weak, length):
    """Components of `weak` that hold a pixel of `strong` and reach over `length`."""
    n, labels, stats, _ = cv2.connectedComponentsWithStats(weak.astype(np.uint8), connectivity=8)
    keep = np.zeros(n, bool)
    keep[labels[strong & weak]] = True
    keep &= np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) >= length
    keep[0] = False
    return keep[labels]


def _blackhat(channel, kernel, scale):
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (kernel, kernel))
    smooth = cv2.GaussianBlur(channel, (3, 3), 0) if scale > 0.5 else channel
    return cv2.morphologyEx(smooth, cv2.MORPH_BLACKHAT, disc)


def dullrazor(image, *, kernel=None, threshold=None, length=None, radius=None):
    """Remove dark hair from one uint8 RGB image (H, W, 3) of any size; returns `HairSteps`.

    kernel: width in pixels of the black-hat, more than a hair's (9 at 600x450, scaled, at least 3);
    threshold: black-hat in grey levels from which a pixel counts (10, at 64 px 8); length: shortest
    hair in pixels; radius: Telea's neighbourhood in pixels (6 at 600x450, scaled, at least 2).
    None: from the resolution. Raises UserError on another dtype or shape.
    """
    _check(image)
    image = np.ascontiguousarray(image)
    scale = min(image.shape[:2]) / REFERENCE
    kernel = kernel or _odd(9 * scale, 3)
    # a hair narrower than a pixel keeps only its share of the contrast
    threshold = 10 * min(1, 0.75 + scale / 2) if threshold is None else threshold
    length = length or max(7, 40 * scale)
    radius = radius or max(2, 6 * scale)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # the image is RGB: BGR2GRAY swaps the weights
    blackhat = _blackhat(grey, kernel, scale)
    # vessels and brown structures are bright in red; hair is dark in every channel
    dark = cv2.min(blackhat, _blackhat(np.ascontiguousarray(image[..., 0]), kernel, scale))
    along = np.zeros_like(grey)
    for line in _lines(_odd(15 * scale, 5), 8):
        along = cv2.max(along, cv2.morphologyEx(dark, cv2.MORPH_OPEN, line))
    found = _long_and_thin(along >= 0.9 * threshold, dark >= threshold, length)
    flank = cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    mask = found | (flank & (_blackhat(grey, kernel + 2, scale) >= threshold / 2))
    inpainted = cv2.inpaint(image, mask.astype(np.uint8), radius, cv2.INPAINT_TELEA)
    return HairSteps(grey, blackhat, mask, inpainted)


def remove(images):
    """Remove dark hair from a batch: uint8 RGB (N, H, W, 3) to the same."""
    return np.stack([dullrazor(image).inpainted for image in images]) if len(images) else images


def coverage(mask):
    """Share of hair pixels: float for one mask (H, W), (N,) for a batch."""
    return np.asarray(mask, bool).mean((-2, -1))


def mask_f1(pred, true, tolerance=1):
    """F1 of two hair masks (H, W) or (N, H, W) pooled, with `tolerance` pixels of slack.

    A found pixel is right within `tolerance` of a true one, a true one is found likewise.
    NaN when both are empty.
    """
    pred, true = (np.atleast_3d(np.asarray(m, bool).T).T for m in (pred, true))
    if pred.shape != true.shape:
        raise UserError(f"masks of shapes {pred.shape} and {true.shape}; compare equal sizes")
    disc = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * tolerance + 1,) * 2)
    near = [np.stack([cv2.dilate(m.astype(np.uint8), disc) > 0 for m in ms]) for ms in (pred, true)]
    right, found = (pred & near[1]).sum(), (true & near[0]).sum()
    if not pred.any() and not true.any():
        return float("nan")
    precision, recall = right / max(pred.sum(), 1), found / max(true.sum(), 1)
    return float(2 * precision * recall / max(precision + recall, 1e-12))
