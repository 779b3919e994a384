"""Skin, hair and the camera: everything of a photograph that is not the lesion."""

from typing import NamedTuple

import cv2
import numpy as np

from .canvas import EXTENT, Canvas, lognormal, step

# Absorbance (red, green, blue) of unit density, chosen to match dermatoscopic hues.
BROWN = np.array([0.29, 0.80, 1.04], np.float32)
RED = np.array([0.10, 0.80, 0.45], np.float32)
BLUE = np.array([0.95, 0.62, 0.34], np.float32)
HAIR_COVERAGE = 0.15  # a pixel counts as hair from this share of its area
MASK_ALPHA = 0.25  # a pixel counts as lesion from this strength of the border's fade

# Log colour of dermatoscopic skin: mean and principal axes (brightness, red, yellow-blue).
_MEAN = np.array([-0.165, -0.44, -0.38], np.float32)
_AXES = np.array([[0.11, 0.69, 0.72], [0.98, 0.06, -0.20], [-0.18, 0.72, -0.67]], np.float32)
_TONE_SD, _LIGHT_SD = np.array([0.13, 0.08, 0.035]), np.array([0.10, 0.06, 0.025])


class Phantom(NamedTuple):
    """A phantom photograph and its truth.

    `image`, `clean` (without hair), `normal` (without lesion and hair): (size, size, 3) uint8 RGB;
    `mask` (lesion), `hair`: (size, size) bool. `image` equals `clean` outside `hair`.
    """

    image: np.ndarray
    mask: np.ndarray
    hair: np.ndarray
    clean: np.ndarray
    normal: np.ndarray


def absorb(rgb, brown=0.0, red=0.0, blue=0.0):
    """Skin colour (..., 3) in 0-1 seen through densities of melanin, blood and deep melanin."""
    brown = np.asarray(brown, np.float32)
    out = np.empty_like(rgb)
    for c in range(3):
        density = BROWN[c] * brown + RED[c] * red + BLUE[c] * blue
        if c == 0:  # dense melanin turns black: its red absorption grows faster than linearly
            density = density + np.float32(0.13) * brown * brown
        out[..., c] = rgb[..., c] * np.exp(-density)
    return out


def render(skin, layers, rng, canvas):
    """The lesion `layers`, unevenly thick, laid on the skin canvas (side, side, 3)."""
    alpha = layers.alpha
    grain = 1 + rng.uniform(0.04, 0.16) * canvas.fbm(rng, 9, 4, 0.8)
    fade = rng.uniform(0.7, 1.1) + rng.uniform(0, 0.3) * canvas.noise(rng, 3)
    body = alpha * np.clip(fade, 0.4, 1.4) * grain
    rgb = absorb(skin, body * layers.brown, body * layers.red, body * layers.blue)
    for amount, colour in layers.white:
        rgb = rgb + (alpha * amount)[..., None] * (np.asarray(colour, np.float32) - rgb)
    return rgb


def dermal_skin(canvas, rng, dark=None):
    """Skin as a dermatoscope shows it, (side, side, 3) in 0-1: tone, mottling, pores, freckles.

    `dark`: melanin density of the whole skin; by default drawn, mostly 0 (Fitzpatrick I-III).
    """
    tone = _MEAN + _AXES.T @ (_TONE_SD * rng.standard_normal(3).clip(-2, 2))
    drawn = rng.choice([0.0, 0.35, 0.9], p=[0.95, 0.04, 0.01])
    dark = drawn if dark is None else dark
    rough = lognormal(rng, 0.95, 0.3, 0.55, 1.7)
    blotch = lognormal(rng, 0.8, 0.5, 0.3, 1.8)
    brown = 0.035 * blotch * canvas.fbm(rng, 3, 4, 0.65) + dark
    red = 0.055 * blotch * canvas.fbm(rng, 4, 4, 0.7)
    shade = rough * (0.022 * canvas.fbm(rng, 22, 3, 0.8) + 0.008 * canvas.noise(rng, 170))
    pores = canvas.mesh(rng, rng.uniform(0.025, 0.05), 0.5)
    shade = shade + 0.012 * rough * rng.random() * pores
    if rng.random() < 0.22:  # sun-damaged skin: lentigines and freckles
        n = rng.integers(8, 60)
        at, size = rng.uniform(-0.8, 0.8, (n, 2)), rng.uniform(0.008, 0.035, n)
        spots = canvas.blur(canvas.spots(at, size, rng.uniform(0.3, 1, n)), 0.008)
        brown = brown + rng.uniform(0.15, 0.5) * spots * (0.7 + 0.4 * canvas.noise(rng, 12))
    return absorb(np.exp(tone.astype(np.float32) + shade[..., None]), brown, red)


def draw_hair(rng, side, few=0.35, short=0.3, count=None, colour=None, thick=None):
    """Hair coverage (side, side) in 0-1 and its colour; bare with probability 1 - `few`.

    `short`: share of short hairs; `count`: number of hairs; `colour`: rgb in 0-1; `thick`: width as a
    share of the side (0.004 to 0.014); by default these are drawn.
    """
    canvas = Canvas(side, 1.0)
    hairy, n = rng.random() < few, int(lognormal(rng, 5, 0.9, 1, 50))
    n = n if count is None else count
    light, lean = rng.random() < 0.15, rng.uniform(0, 2 * np.pi)
    dark = rng.uniform(0.5, 1.0) * np.array([0.16, 0.12, 0.11]) + rng.uniform(0, 0.12)
    hue = rng.uniform([0.72, 0.60, 0.42], [0.95, 0.88, 0.74]) if light else dark
    width = lognormal(rng, 0.0065, 0.3, 0.004, 0.014)
    colour = hue if colour is None else np.asarray(colour)
    thick = width if thick is None else thick
    if not hairy:
        return np.zeros((side, side), np.float32), colour
    t = np.linspace(0, 1, 16)[:, None]
    paths, widths = [], []
    for _ in range(n):
        angle = lean + rng.normal(0, 0.45)
        reach = rng.uniform(0.08, 0.3) if rng.random() < short else rng.uniform(0.4, 1.3)
        along = np.array([np.cos(angle), np.sin(angle)])
        bend = np.array([-along[1], along[0]]) * rng.normal(0, 0.22) * reach
        start = rng.uniform(-0.6, 0.6, 2) - along * reach / 2
        paths.append(start + along * reach * t + bend * 4 * t * (1 - t))
        widths.append((thick * rng.uniform(0.8, 1.2), thick * rng.uniform(0.2, 0.5)))
    return canvas.strokes(paths, widths, rng.uniform(0.3, 0.78) * rng.uniform(0.8, 1, n)), colour


def view(rng, side, stack, zoom=(0.8, 1.05), shift=0.05):
    """A photograph's crop of canvas images (C, C, k): random turn, zoom and shift, flips."""
    turn, scale = rng.uniform(0, 2 * np.pi), rng.uniform(*zoom)
    move, flip = rng.normal(0, shift, 2).clip(-0.12, 0.12), rng.choice([-1, 1])
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    turning = np.array([[c * flip, -s], [s * flip, c]])
    k = stack[0].shape[0] / EXTENT  # canvas pixels per unit
    centre = (EXTENT / 2 + move - turning @ [0.5, 0.5]) * k
    matrix = np.concatenate([turning * k / side, centre[:, None]], 1)
    matrix[:, 2] += turning @ [0.5, 0.5] * k / side - 0.5  # pixel centres, not corners
    how = dict(flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101)
    return [cv2.warpAffine(image, matrix, (side, side), **how) for image in stack]


def contact_light(rng, side):
    """Dermatoscope light: gain (side, side, 3) and an overlay (amount, rgb) of ruler and gel."""
    canvas = Canvas(side, 1.0)
    radius = np.hypot(canvas.x, canvas.y)
    balance = np.exp(_AXES.T @ (_LIGHT_SD * rng.standard_normal(3).clip(-2, 2)))
    angle, slope = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.06)
    gain = 1 + slope * (np.cos(angle) * canvas.x + np.sin(angle) * canvas.y)
    gain = gain * (1.02 - lognormal(rng, 0.12, 0.7, 0.02, 0.6) * radius**2)
    dark, tube = rng.random() < 0.10, rng.uniform(0.58, 0.70)
    off = rng.normal(0, 0.02, 2)
    if dark:  # the tube's rim in the corners
        rim = np.hypot(canvas.x - off[0], canvas.y - off[1])
        gain = gain * (0.04 + 0.96 * step(tube - rim, 0.05))
    overlay = np.zeros((side, side), np.float32)
    ruled, bubbly = rng.random() < 0.04, rng.random() < 0.03
    height, pitch = rng.uniform(0.36, 0.46), rng.uniform(0.03, 0.05)
    at, sizes = rng.uniform(-0.5, 0.5, (6, 2)), rng.uniform(0.01, 0.05, 6)
    if ruled:
        ticks = np.arange(-9, 10) * pitch
        ends = [height - (0.04 if k % 5 == 4 else 0.02) for k in range(len(ticks))]
        lines = [[(ticks[0], height), (ticks[-1], height)]]
        lines += [[(t, height), (t, end)] for t, end in zip(ticks, ends, strict=True)]
        overlay = canvas.strokes(lines, [(0.006, 0.006)] * len(lines), 0.8)
    colour = np.array([0.15, 0.13, 0.14], np.float32)
    if bubbly:
        ring = canvas.spots(at, sizes) - 0.8 * canvas.spots(at, sizes * 0.75)
        overlay, colour = 0.5 * np.clip(ring, 0, 1), np.array([0.97, 0.96, 0.97], np.float32)
    return gain[..., None] * balance, (overlay, colour)


def finish(rng, size, normal, clean, alpha, hair, light, sharp=0.003, grain=0.0075):
    """Light, focus, grain and hair on the views; everything down to `size` as a `Phantom`.

    `normal`, `clean`: (side, side, 3) in 0-1; `hair` = (coverage, rgb); `light` = (gain,
    (overlay, rgb)). All truth images share light, focus and grain.
    """
    side = len(normal)
    canvas = Canvas(side, 1.0)
    gain, (overlay, ink) = light
    blur, grain = lognormal(rng, sharp, 0.35, 0, 0.006), lognormal(rng, grain, 0.2, 0.0055, 0.03)
    speckle = 1.4 * grain * canvas.fbm(rng, 64, 3, 1.2)[..., None]
    tint = 0.5 * grain * np.stack([canvas.noise(rng, 96) for _ in range(3)], -1)
    coverage, colour = hair
    # auto-exposure: were red to saturate, brown lesions would turn red
    gain = gain * min(1.0, 0.95 / float((normal * gain).mean((0, 1)).max()))

    def shrink(image):
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)

    def expose(image):
        image = canvas.blur(image * gain, blur)
        return image + overlay[..., None] * (ink - image) + speckle + tint

    def develop(image):
        small = shrink(image)
        small = np.where(small > 0.8, 0.8 + 0.18 * np.tanh((small - 0.8) / 0.18), small)
        return (np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)

    clean = expose(clean)
    hue = colour.astype(np.float32) * gain * (1 + 6 * (speckle + tint))
    hairy = develop(clean + coverage[..., None] * (hue - clean))
    hidden = shrink(coverage) >= HAIR_COVERAGE
    clean, normal = develop(clean), develop(expose(normal))
    mask = shrink(alpha) >= MASK_ALPHA
    # beyond the faded border the lesion is gone to the last grey level: the truth is exact
    reach = max(3, 2 * round(0.045 * size) + 1)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    clean = np.where(near[..., None], clean, normal)
    image = np.where(hidden[..., None], hairy, clean)
    return Phantom(image, mask, hidden, clean, normal)
