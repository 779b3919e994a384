"""Faults of known size for the test of the judges: of pixels, of the choice of images, of labels."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..data import hairtest
from ..interpolation.inpaint import inpaint
from ..numerics.pixels import jpeg

GREY, SHARE, LOST, CLASS = "grey levels", "% of images", "% left out", "class"
FAULTS = {}  # {name: Fault} in the order in which they stand here


@dataclass(frozen=True)
class Fault:
    """One kind of fault: of property "variety" it chooses images, of "class" labels, of all others it alters pixels."""

    property: str
    unit: str
    sizes: tuple
    words: str  # the fault in a sentence, with its size
    plant: object  # the function below


def _fault(name, *facts):
    """Enter the function that plants a fault among FAULTS."""

    def enter(plant):
        FAULTS[name] = Fault(*facts, plant)
        return plant

    return enter


# Faults of pixels: uint8 images (N,H,W,3) in and out. rng: a generator; masks: of the lesions, (N,H,W).


def _grey(images, change):
    return np.clip(np.rint(images + change), 0, 255).astype(np.uint8)


@_fault("blur", "detail", "px", (0.5, 0.7, 1.0, 2.0), "a blur of {:g} px")
def blur(x, sigma, **_):
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in x])


@_fault("noise", "detail", GREY, (4, 12), "noise of {:g} grey levels")
def noise(x, sd, rng, **_):
    return _grey(x, rng.normal(0, sd, x.shape))


@_fault("JPEG", "detail", "below quality 100", (20, 60), "JPEG {:g} below quality 100")
def jpeg_loss(x, loss, **_):
    return jpeg(x, 100 - loss)


@_fault("blocks", "detail", GREY, (4, 12), "blocks of {:g} grey levels")
def blocks(x, step, rng, **_):
    """Each square of 8 pixels lighter or darker by up to `step` grey levels."""
    n, h, w, _ = x.shape
    shift = rng.uniform(-step, step, (n, -(-h // 8), -(-w // 8), 1))
    return _grey(x, shift.repeat(8, 1).repeat(8, 2)[:, :h, :w])


@_fault("colour shift", "colour", GREY, (4, 8, 16), "a shift of {:g} grey levels")
def colour_shift(x, step, **_):
    return _grey(x, np.array([step, 0, -step]))


@_fault("contrast", "colour", "% lost", (10, 30), "{:g} % less contrast")
def contrast(x, percent, **_):
    mean = x.mean((1, 2), keepdims=True)
    return _grey(mean + (1 - percent / 100) * (x - mean), 0)


@_fault("hair", "hair", "hairs", (4, 16), "{:g} hairs")
def hairs(x, number, **_):
    return hairtest.draw(x, number={4: "few", 16: "many"}[number]).images


@_fault("lesions moved", "structure", SHARE, (50, 100), "lesions moved in {:g} % of the images")
def lesions_moved(x, percent, rng, masks, **_):
    """A share of the images shows another image's lesion on its own pseudo-normal skin."""
    out, order = x.copy(), rng.permutation(len(x))
    for i, j in zip(order, np.roll(order, 1), strict=True):
        if rng.random() < percent / 100 and masks[i].any() and masks[j].any():
            soft = cv2.GaussianBlur(masks[j].astype(np.float32), (0, 0), x.shape[1] / 64)[..., None]
            out[i] = _grey(soft * x[j] + (1 - soft) * inpaint(x[i], masks[i]), 0)
    return out


# Faults of the choice: n rows of a pool with classes y, whose first n are the faultless set. odd: (n,)
# how far each of these lies from its class's mean picture.


def _drawn(wanted, n, rng):
    """Rows of the faultless set that are wanted, filled up to n from the rest of the pool."""
    stay, more = np.flatnonzero(wanted[:n]), n + np.flatnonzero(wanted[n:])
    return np.concatenate([stay, rng.permutation(more)[: n - len(stay)]])


@_fault("melanoma missing", "variety", CLASS, (1,), "that melanoma is missing")
def melanoma_missing(y, n, _, rng, odd):
    return _drawn(y != "mel", n, rng)


@_fault("melanoma only", "variety", CLASS, (1,), "a set of melanoma alone")
def melanoma_only(y, n, _, rng, odd):
    return _drawn(y == "mel", n, rng)


@_fault("a part many times", "variety", LOST, (50, 90), "a loss of {:g} % of the images at random")
def part_repeated(y, n, percent, rng, odd):
    """Any part of the images, repeated to the same number."""
    return np.resize(rng.permutation(n)[: max(2, round(n * (1 - percent / 100)))], n)


@_fault(
    "typical ones only",
    "variety",
    LOST,
    (50, 75),
    "a loss of the {:g} % least typical images, beside one as large at random",
)
def typical(y, n, percent, rng, odd):
    """Of each class those nearest to its mean picture, repeated to the class's number; with odd by chance any others."""
    out, y = np.empty(n, int), y[:n]
    for c in np.unique(y):
        own = np.flatnonzero(y == c)
        near = own[np.argsort(odd[own], kind="stable")]
        out[own] = np.resize(near[: max(2, round(len(own) * (1 - percent / 100)))], len(own))
    return out


@_fault("labels mixed", "class", SHARE, (10, 25, 50), "{:g} % of the labels mixed")
def labels_mixed(y, percent, rng):
    """Some of the labels (N,) change places."""
    out, part = y.copy(), np.flatnonzero(rng.random(len(y)) < percent / 100)
    out[part] = rng.permutation(y[part])
    return out
