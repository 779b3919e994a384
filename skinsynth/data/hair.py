"""DullRazor: find dark hair by black-hat closings and fill it in from the skin around (Fig 14).

After Lee et al. 1997. The textbook version (9x9 black-hat, 3x3 blur, threshold 10, Telea radius 6 at
600x450) also takes vessels and the pigment network. Here a pixel counts where it is dark in red as
well, and a component where it runs along a line, is long and thin, and no less dark in red than in
grey. Everything scales with the image. Known limits: light hair is not seen, hair over a lesion as
dark as itself is not either, and a ruler's scale looks like hair.
"""

import functools
from typing import NamedTuple

import cv2
import numpy as np

from ..core.errors import UserError

REFERENCE = 450  # shorter side, in pixels, that the textbook's values are meant for


class HairSteps(NamedTuple):
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
        raise UserError(f"hair removal takes RGB (H, W, 3), got {image.shape}; convert to RGB")


def _along(dark, length):
    """Largest mean of `dark` along a line through each pixel, of 8 directions: noise averages out."""
    dark, best = dark.astype(np.float32), np.zeros(dark.shape, np.float32)
    for line in _lines(length, 8):
        mean = cv2.filter2D(dark, -1, line / np.float32(line.sum()), borderType=cv2.BORDER_REFLECT)
        best = cv2.max(best, mean)
    return best


def _components(mask, seed, length, width):
    """(component of each pixel, extent of each component, whether it is thin and much of it `seed`).

    A tangle of crossing hairs is not thin but very long. Component 0 is what lies outside of the mask.
    """
    _, label, box, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    area = box[:, cv2.CC_STAT_AREA]
    reach = np.hypot(box[:, cv2.CC_STAT_WIDTH], box[:, cv2.CC_STAT_HEIGHT])
    keep = (area <= width * reach) | (reach >= 3 * length)
    keep &= np.bincount(label[seed], minlength=len(area)) >= 0.4 * area
    keep[0] = False
    return label, reach, keep


def _blackhat(channel, kernel):
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (kernel, kernel))
    return cv2.morphologyEx(channel, cv2.MORPH_BLACKHAT, disc)


def _find(image, threshold, scale, channel, purity):
    """(grey, its black-hat, mask of thin dark lines) of an RGB image.

    threshold: black-hat in grey levels from which a pixel counts. channel: the lines have to be dark in it
    as well, at `purity` of their darkness in grey or more.
    """
    kernel = _odd(9 * scale, 3)  # wider than a hair
    length = max(7, 40 * scale)  # of the shortest hair
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)  # the image is RGB: BGR2GRAY swaps the weights
    both = grey, np.ascontiguousarray(image[..., channel])
    smooth = (cv2.GaussianBlur(x, (3, 3), 0) if scale > 0.5 else x for x in both)
    blackhat, second = (_blackhat(x, kernel) for x in smooth)
    dark = cv2.min(blackhat, second)
    along = _along(dark, _odd(21 * scale, 9))
    strong, seed = dark >= threshold, along >= 1.5 * threshold
    # hairs are long, thin and as dark in red as in grey, unlike melanin and blood
    label, reach, keep = _components(strong, seed & strong, length, 0.8 * kernel)
    in_red, in_grey = (np.bincount(label.ravel(), x.ravel(), len(keep)) for x in (second, blackhat))
    found = (keep & (reach >= length) & (in_red >= purity * in_grey))[label]
    if not found.any():
        return grey, blackhat, found
    # weaker components go on where a hair was lost: thin, long, much of them found
    weak = (dark >= 0.4 * threshold) & (along >= 0.6 * threshold)
    label, _, keep = _components(weak | found, found, length, kernel)
    found = found | keep[label]
    # a hair's rim is where the line has faded to a quarter of its darkness nearby
    sharp = _blackhat(grey, kernel + 2)
    ridge = np.where(found, sharp, 0).astype(np.uint8)
    peak = cv2.dilate(ridge, np.ones((kernel, kernel), np.uint8))
    near = cv2.dilate(found.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return grey, blackhat, near & (sharp >= np.maximum(0.25 * peak, 3))


def dullrazor(image, *, light=False):
    """Remove dark hair from one uint8 RGB image (H, W, 3) of any size; returns `HairSteps`.

    Widths and lengths are those of the textbook at 600x450, scaled. light: also thin light lines, which
    the method of the paper does not see (white top-hat: the same search in the negative); notebook 01
    shows what it costs. Raises UserError on another dtype or shape.
    """
    _check(image)
    image = np.ascontiguousarray(image)
    scale = min(image.shape[:2]) / REFERENCE
    # a hair narrower than a pixel keeps only its share of the contrast
    threshold = 10 * min(1, 0.75 + scale / 2)
    # vessels and brown structures are bright in red (channel 0); dark hair is dark in every channel
    grey, blackhat, mask = _find(image, threshold, scale, 0, 0.95)
    if light:  # fair hair stands out little, and in green (channel 1) more than in red
        mask = mask | _find(255 - image, 0.7 * threshold, scale, 1, 0.9)[2]
    return HairSteps(grey, blackhat, mask, fill(image, mask))


def fill(image, mask, radius=None):
    """The image (H, W, 3) with the pixels of a hair mask filled from around (Telea 2004)."""
    radius = radius or max(2, 6 * min(image.shape[:2]) / REFERENCE)
    return cv2.inpaint(image, mask.astype(np.uint8), radius, cv2.INPAINT_TELEA)


def textbook(image):
    """DullRazor with the values of the textbook at 600x450, for comparison; returns `HairSteps`."""
    _check(image)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    blackhat = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, np.ones((9, 9), np.uint8))
    mask = cv2.GaussianBlur(blackhat, (3, 3), 0) > 10
    return HairSteps(grey, blackhat, mask, fill(image, mask, 6))


def remove(images):
    """Remove dark hair from a batch: uint8 RGB (N, H, W, 3) to the same."""
    return np.stack([dullrazor(image).inpainted for image in images]) if len(images) else images


def mask_f1(pred, true):
    """F1 of two hair masks (H, W) or (N, H, W) pooled, with one pixel of slack.

    A found pixel is right within a pixel of a true one, a true one is found likewise.
    NaN when both are empty.
    """
    pred, true = (np.atleast_3d(np.asarray(m, bool).T).T for m in (pred, true))
    if pred.shape != true.shape:
        raise UserError(f"masks of shapes {pred.shape} and {true.shape}; compare equal sizes")
    if not pred.any() and not true.any():
        return float("nan")
    square = np.ones((3, 3), np.uint8)
    around = [[cv2.dilate(m.astype(np.uint8), square) > 0 for m in ms] for ms in (pred, true)]
    right, found = (pred & around[1]).sum(), (true & around[0]).sum()
    precision, recall = right / max(pred.sum(), 1), found / max(true.sum(), 1)
    return float(2 * precision * recall / max(precision + recall, 1e-12))
