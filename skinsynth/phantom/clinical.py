"""Smartphone photographs in the manner of PAD-UFES-20: no polarised light, relief, shine."""

import cv2
import numpy as np

from ..core.config import choose
from .canvas import EXTENT, Canvas, Layers, canvas_for, lognormal, step
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
    size, centre = body.size * rng.uniform(0.3, 0.75), tuple(rng.normal(0, 0.1, 2) * body.size)
    core = canvas.outline(rng, size, 0.2, 0.25, 0.4, centre)
    alpha, crust = step(body.depth, rng.uniform(0.06, 0.2)), step(core.depth, 0.08)
    red = rng.uniform(0.35, 0.8) * (1 + 0.3 * canvas.fbm(rng, 6, 4, 0.7))
    rough = canvas.patch(rng, 10, 0.5)
    keratin, blood = rng.random() < 0.6, rng.uniform(0.3, 1.2)
    brown = blood * crust * rough
    colour = rng.uniform([0.78, 0.68, 0.48], [0.93, 0.88, 0.74])
    white = [(rng.uniform(0.4, 0.9) * crust * (1 - 0.6 * rough), colour)] if keratin else []
    return Layers(alpha, brown, red + 0.5 * crust * (not keratin), 0.0, white)


# Who paints a lesion, and how far it rises above the skin: lowest and highest relief.
_LESIONS = {
    "ACK": (PAINTERS["akiec"], (0, 0.2)),
    "BCC": (PAINTERS["bcc"], (0.2, 0.9)),
    "MEL": (PAINTERS["mel"], (0, 0.5)),
    "NEV": (PAINTERS["nv"], (0, 0.9)),
    "SCC": (squamous, (0.4, 1.0)),
    "SEK": (PAINTERS["bkl"], (0.2, 0.8)),
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

    brown, red, blue = (soft(x) for x in (layers.brown, layers.red, layers.blue))
    white = [(0.8 * soft(amount), colour) for amount, colour in layers.white]
    return Layers(layers.alpha, brown, red, 0.6 * blue, white)


def _shade(canvas, image, height, angle, shine):
    """Side light on the relief: shading and small highlights, (side, side, 3)."""
    height = canvas.blur(height, 0.007)  # one scale of slopes at every resolution
    dx, dy = (cv2.Sobel(height, -1, *axis, scale=0.125) for axis in ((1, 0), (0, 1)))
    slope = (np.cos(angle) * dx + np.sin(angle) * dy) * (canvas.scale / 100)
    gloss = shine * np.clip(slope - 0.2, 0, 1.2)
    return image * (1 + 0.22 * np.tanh(slope))[..., None] + gloss[..., None]


def clinical(seed, index, dx, size=64, lesion=None, photo=0, patient=None):
    """Phantom smartphone photograph with one of PAD-UFES-20's labels (ACK BCC MEL NEV SCC SEK).

    As `dermatoscopy`; `patient` (default: the lesion's number) decides the skin type, see
    `fitzpatrick`. Returns `Phantom`. Raises UserError on an unknown `dx`.
    """
    choose(dx, _LESIONS, "label")
    number, (painter, relief) = index if lesion is None else lesion, _LESIONS[dx]
    side, canvas = canvas_for(size)
    kind = fitzpatrick(seed, number if patient is None else patient)
    skin, height = _skin(canvas, np.random.default_rng([5, seed, number]), kind)
    rng = np.random.default_rng([6, seed, number])
    wide = Canvas(canvas.side, EXTENT * rng.uniform(1.1, 2.4))  # the lesion is smaller in view
    layers = _unpolarised(wide, painter(wide, rng))
    marked = render(skin, layers, rng, wide)
    dome = canvas.blur(layers.alpha, 0.05) * (1 + 0.25 * wide.fbm(rng, 6, 3))
    bump = rng.uniform(*relief) * 9 * dome * layers.alpha
    angle, shine = rng.uniform(0, 2 * np.pi), lognormal(rng, 0.10, 0.7, 0, 0.32)
    normal = _shade(canvas, skin, height, angle, shine)
    risen = height * (1 - 0.5 * layers.alpha) + bump
    marked = _shade(canvas, marked, risen, angle, shine * 1.5)
    rng = np.random.default_rng([7, seed, index, photo])
    normal, clean, alpha = view(rng, side, (normal, marked, layers.alpha), (0.75, 1.05), 0.08)
    hair, light = draw_hair(rng, side, few=0.25), _daylight(rng, side)
    return finish(rng, size, normal, clean, alpha, hair, light, grain=0.012)


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
