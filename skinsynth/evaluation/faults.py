"""Faults of known size for the test of the judges: of pixels, of the choice of images, of labels."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..data import hairtest
from ..interpolation.inpaint import inpaint
from ..numerics.pixels import jpeg


def _grey(images, change):
    return np.clip(np.rint(images + change), 0, 255).astype(np.uint8)


def blur(x, sigma, **_):
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in x])


def noise(x, sd, rng, **_):
    return _grey(x, rng.normal(0, sd, x.shape))


def blocks(x, step, rng, **_):
    """Each square of 8 pixels lighter or darker by up to `step` grey levels."""
    n, h, w, _ = x.shape
    shift = rng.uniform(-step, step, (n, -(-h // 8), -(-w // 8), 1))
    return _grey(x, shift.repeat(8, 1).repeat(8, 2)[:, :h, :w])


def colour_shift(x, step, **_):
    return _grey(x, np.array([step, 0, -step]))


def contrast(x, percent, **_):
    mean = x.mean((1, 2), keepdims=True)
    return _grey(mean + (1 - percent / 100) * (x - mean), 0)


def lesions_moved(x, percent, rng, masks, **_):
    """A share of the images shows another image's lesion on its own pseudo-normal skin."""
    out, order = x.copy(), rng.permutation(len(x))
    for i, j in zip(order, np.roll(order, 1), strict=True):
        if rng.random() < percent / 100 and masks[i].any() and masks[j].any():
            soft = cv2.GaussianBlur(masks[j].astype(np.float32), (0, 0), x.shape[1] / 64)[..., None]
            out[i] = _grey(soft * x[j] + (1 - soft) * inpaint(x[i], masks[i]), 0)
    return out


@dataclass(frozen=True)
class Fault:
    """One kind of fault. `change` alters pixels; `rows` picks images of the pool, whose first n are the
    faultless set; `labels` renames them."""

    property: str
    unit: str
    sizes: tuple
    words: str  # the fault in a sentence, with its size
    change: object = None
    rows: object = None
    labels: object = None


def _mixed(y, percent, rng):
    out, part = y.copy(), np.flatnonzero(rng.random(len(y)) < percent / 100)
    out[part] = rng.permutation(y[part])
    return out


def _drawn(first, pool, n, rng):
    """Rows of the faultless set that stay, filled up to n from the rest of the pool."""
    stay, more = np.flatnonzero(first), n + np.flatnonzero(pool[n:])
    return np.concatenate([stay, rng.permutation(more)[: n - len(stay)]])


def _typical(y, percent, odd):
    """Of each class those nearest to its mean picture, repeated to the class's number."""
    out = np.empty(len(y), int)
    for c in np.unique(y):
        own = np.flatnonzero(y == c)
        near = own[np.argsort(odd[own], kind="stable")]
        out[own] = np.resize(near[: max(2, round(len(own) * (1 - percent / 100)))], len(own))
    return out


FAULTS = {
    "blur": Fault("detail", "px", (0.5, 0.7, 1.0, 2.0), "a blur of {:g} px", blur),
    "noise": Fault("detail", "grey levels", (4, 12), "noise of {:g} grey levels", noise),
    "JPEG": Fault(
        "detail",
        "below quality 100",
        (20, 60),
        "JPEG {:g} below quality 100",
        lambda x, loss, **_: jpeg(x, 100 - loss),
    ),
    "blocks": Fault("detail", "grey levels", (4, 12), "blocks of {:g} grey levels", blocks),
    "colour shift": Fault(
        "colour", "grey levels", (4, 8, 16), "a shift of {:g} grey levels", colour_shift
    ),
    "contrast": Fault("colour", "% lost", (10, 30), "{:g} % less contrast", contrast),
    "hair": Fault(
        "hair",
        "hairs",
        (4, 16),
        "{:g} hairs",
        lambda x, n, **_: hairtest.draw(x, number={4: "few", 16: "many"}[n]).images,
    ),
    "lesions moved": Fault(
        "structure",
        "% of images",
        (50, 100),
        "lesions moved in {:g} % of the images",
        lesions_moved,
    ),
    "melanoma missing": Fault(
        "variety",
        "class",
        (1,),
        "that melanoma is missing",
        rows=lambda y, n, _, rng, odd: _drawn(y[:n] != "mel", y != "mel", n, rng),
    ),
    "melanoma only": Fault(
        "variety",
        "class",
        (1,),
        "that there is melanoma only",
        rows=lambda y, n, _, rng, odd: _drawn(y[:n] == "mel", y == "mel", n, rng),
    ),
    "a part many times": Fault(
        "variety",
        "% left out",
        (50, 90),
        "the loss of any {:g} % of the images",
        rows=lambda y, n, percent, rng, odd: np.resize(
            rng.permutation(n)[: max(2, round(n * (1 - percent / 100)))], n
        ),
    ),
    "typical ones only": Fault(
        "variety",
        "% left out",
        (50, 75),
        "the loss of the {:g} % least typical images",
        rows=lambda y, n, percent, rng, odd: _typical(y[:n], percent, odd[:n]),
    ),
    "labels mixed": Fault(
        "class", "% of images", (10, 25, 50), "{:g} % of the labels mixed", labels=_mixed
    ),
}
