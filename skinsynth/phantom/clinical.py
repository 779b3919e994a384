"""Smartphone photographs in the manner of PAD-UFES-20: no polarised light, relief, shine."""

import cv2
import numpy as np

from ..core.errors import UserError
from .canvas import EXTENT, Canvas, Layers, lognormal, step
from .lesions import PAINTERS
from .skin import absorb, draw_hair, finish, render, view

# Fitzpatrick types 1-6: share in PAD-UFES-20 and log brightness of the skin.
_TYPES = np.array([0.10, 0.58, 0.26, 0.045, 0.01, 0.005])
_TONES = np.array([-0.08, 0.02, -0.16, -0.42, -0.75, -1.1])
_MEAN = np.array([-0.36, -0.57, -0.70], np.float32)
_BRIGHT = np.array([0.40, 0.57, 0.72])  # a darker skin loses more blue than red


def squamous(canvas, rng):
    """Squamous cell carcinoma: a red nodule around a crusted, bleeding or keratotic core."""
    body = canvas.outline(rng, lognormal(rng, 0.32, 0.3, 0.12, 0.5), 0.12, 0.14, 0.3)
    core = canvas.outline(
        rng,
        body.size * rng.uniform(0.3, 0.75),
        0.2,
        0.25,
        0.4,
        tuple(rng.normal(0, 0.1, 2) * body.size),
    )
    alpha, crust = step(body.depth, rng.uniform(0.06, 0.2)), step(core.depth, 0.08)
    red = rng.uniform(0.35, 0.8) * (1 + 0.3 * canvas.fbm(rng, 6, 4, 0.7))
    rough = canvas.patch(rng, 10, 0.5)
    keratin, blood = rng.random() < 0.6, rng.uniform(0.3, 1.2)
    brown = blood * crust * rough
    colour = rng.uniform([0.78, 0.68, 0.48], [0.93, 0.88, 0.74])
    white = [(rng.uniform(0.4, 0.9) * crust * (1 - 0.6 * rough), colour)] if keratin else []
    return Layers(alpha, brown, red + 0.5 * crust * (not keratin), 0.0, white)


_PAINTERS = {
    "ACK": PAINTERS["akiec"],
    "BCC": PAINTERS["bcc"],
    "MEL": PAINTERS["mel"],
    "NEV": PAINTERS["nv"],
    "SCC": squamous,
    "SEK": PAINTERS["bkl"],
}
# How far each lesion rises above the skin: lowest and highest relief.
_RELIEF = {
    "ACK": (0, 0.2),
    "BCC": (0.2, 0.9),
    "MEL": (0, 0.5),
    "NEV": (0, 0.9),
    "SCC": (0.4, 1.0),
    "SEK": (0.2, 0.8),
}


def fitzpatrick(seed, patient):
    """Fitzpatrick skin type, 1-6, of a phantom patient."""
    return int(np.random.default_rng([4, seed, patient]).choice(6, p=_TYPES)) + 1


def _skin(canvas, rng, kind):
    """Skin in daylight (side, side, 3) and the height of its furrows, in arbitrary units."""
    tone = _MEAN + _BRIGHT * (_TONES[kind - 1] + 0.10 * rng.standard_normal())
    blotch, rough = lognormal(rng, 1.0, 0.4, 0.4, 2), lognormal(rng, 1.0, 0.6, 0.3, 3)
    brown = 0.04 * blotch * canvas.fbm(rng, 5, 4, 0.7)
    red = 0.06 * blotch * canvas.fbm(rng, 4, 4, 0.7)
    lines = canvas.ridges(rng, rng.uniform(0.03, 0.06)) + canvas.ridges(rng, 0.04)
    height = rough * (0.35 * canvas.fbm(rng, 22, 3, 0.8) - 0.4 * lines)
    if rng.random() < 0.3:
        n = rng.integers(5, 40)
        at, size = rng.uniform(-0.8, 0.8, (n, 2)), rng.uniform(0.006, 0.03, n)
        brown = brown + rng.uniform(0.2, 0.6) * canvas.blur(canvas.spots(at, size), 0.008)
    skin = np.broadcast_to(np.exp(tone).astype(np.float32), (canvas.side, canvas.side, 3))
    return absorb(skin, brown, red), height.astype(np.float32)


def _unpolarised(canvas, layers):
    """What is left of deep structures without polarised light and contact: blurred pigment."""

    def soft(density):
        return canvas.blur(density, 0.008) if isinstance(density, np.ndarray) else density

    white = [(0.8 * soft(amount), colour) for amount, colour in layers.white]
    return Layers(
        layers.alpha, soft(layers.brown), soft(layers.red), 0.6 * soft(layers.blue), white
    )


def _shade(canvas, image, height, angle, shine):
    """Side light on the relief: shading and small highlights, (side, side, 3)."""
    height = canvas.blur(height, 0.007)  # one scale of slopes at every resolution
    slope = (
        np.cos(angle) * cv2.Sobel(height, -1, 1, 0, scale=0.125)
        + np.sin(angle) * cv2.Sobel(height, -1, 0, 1, scale=0.125)
    ) * (canvas.scale / 100)
    gloss = shine * np.clip(slope - 0.2, 0, 1.2)
    return image * (1 + 0.22 * np.tanh(slope))[..., None] + gloss[..., None]


def clinical(seed, index, dx, size=64, lesion=None, photo=0, patient=None):
    """Phantom smartphone photograph with one of PAD-UFES-20's labels (ACK BCC MEL NEV SCC SEK).

    As `dermatoscopy`; `patient` (default: the lesion's number) decides the skin type, see
    `fitzpatrick`. Returns `Phantom`. Raises UserError on an unknown `dx`.
    """
    if dx not in _PAINTERS:
        raise UserError(f"unknown label {dx!r}; choose one of: {', '.join(_PAINTERS)}")
    number = index if lesion is None else lesion
    side = round(1.5 * size) if size <= 128 else size
    canvas = Canvas(round(side * EXTENT))
    kind = fitzpatrick(seed, number if patient is None else patient)
    skin, height = _skin(canvas, np.random.default_rng([5, seed, number]), kind)
    rng = np.random.default_rng([6, seed, number])
    wide = Canvas(canvas.side, EXTENT * rng.uniform(1.1, 2.4))  # the lesion is smaller in view
    layers = _unpolarised(wide, _PAINTERS[dx](wide, rng))
    marked = render(skin, layers, rng, wide)
    dome = canvas.blur(layers.alpha, 0.05) * (1 + 0.25 * wide.fbm(rng, 6, 3))
    bump = rng.uniform(*_RELIEF[dx]) * 9 * dome * layers.alpha
    angle, shine = rng.uniform(0, 2 * np.pi), lognormal(rng, 0.10, 0.7, 0, 0.32)
    normal = _shade(canvas, skin, height, angle, shine)
    risen = height * (1 - 0.5 * layers.alpha) + bump
    marked = _shade(canvas, marked, risen, angle, shine * 1.5)
    rng = np.random.default_rng([7, seed, index, photo])
    normal, clean, alpha = view(rng, side, (normal, marked, layers.alpha), (0.75, 1.05), 0.08)
    hair = draw_hair(rng, side, few=0.25)
    return finish(
        rng, size, normal, clean, alpha, hair, _daylight(rng, side), sharp=0.003, grain=0.012
    )


def _daylight(rng, side):
    """Room light: colour cast, falloff to one side; sometimes a pen's ring around the lesion."""
    canvas = Canvas(side, 1.0)
    cast = np.exp(rng.normal(0, [0.06, 0.04, 0.07]) + rng.normal(0, 0.12))
    angle, slope = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.18)
    gain = 1 + slope * (np.cos(angle) * canvas.x + np.sin(angle) * canvas.y)
    ring, radius = rng.random() < 0.05, rng.uniform(0.28, 0.42)
    wobble = rng.normal(0, 0.03, 2)
    turn = np.linspace(0, rng.uniform(4.5, 6.2), 40)
    reach = radius * (1 + wobble[0] * np.cos(2 * turn) + wobble[1] * np.sin(3 * turn))
    path = np.stack([np.cos(turn), np.sin(turn)], 1) * reach[:, None]
    overlay = canvas.strokes([path], [(0.016, 0.013)], 0.75 if ring else 0.0)
    return gain[..., None].clip(0.3) * cast, (overlay, np.array([0.25, 0.18, 0.5], np.float32))
