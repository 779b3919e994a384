"""Generic skin for pre-training: attributes drawn independently of each other and of diagnoses."""

import numpy as np

from .canvas import Layers, canvas_for, lognormal, step
from .skin import contact_light, dermal_skin, draw_hair, finish, render, view

ATTRIBUTES = dict(
    size=("small", "medium", "large"),
    shape=("round", "oval", "lobed", "irregular"),
    colour=("tan", "brown", "black", "red", "pink", "purple", "blue", "grey", "white"),
    border=("sharp", "soft", "ragged"),
    texture=("plain", "dots", "lines", "net", "scale", "globes", "vessels", "streaks", "patches"),
    tone=("pale", "tan", "dark"),
    hair=("no", "few", "many"),
)
# densities (brown, red, blue) and amount of white scatter
_COLOURS = {
    "tan": (0.3, 0.0, 0.0, 0.0),
    "brown": (0.85, 0.0, 0.0, 0.0),
    "black": (2.4, 0.0, 0.5, 0.0),
    "red": (0.05, 1.1, 0.0, 0.0),
    "pink": (0.0, 0.35, 0.0, 0.1),
    "purple": (0.0, 1.0, 0.55, 0.0),
    "blue": (0.0, 0.1, 0.9, 0.1),
    "grey": (0.35, 0.0, 0.5, 0.15),
    "white": (0.0, 0.0, 0.0, 0.6),
}
# bulges and largest stretch
_SHAPES = dict(round=(0.02, 0.05), oval=(0.02, 0.6), lobed=(0.3, 0.2), irregular=(0.16, 0.35))
_BORDERS = {"sharp": (0.02, 0.04), "soft": (0.2, 0.04), "ragged": (0.04, 0.22)}  # fade, noise
_RADII = {"small": 0.14, "medium": 0.25, "large": 0.40}
_TONES = {"pale": 0.0, "tan": 0.3, "dark": 0.85}
_HAIRS = {"no": 0, "few": 4, "many": 22}


def caption(attributes):
    """Plain words for a picture's attributes, e.g. for training a text encoder."""
    words = "a {size} {shape} {colour} spot with a {border} border and {texture} texture"
    return (words + " on {tone} skin with {hair} hairs").format(**attributes)


def _texture(canvas, rng, body, kind):
    """Pattern inside the outline, about 0-1."""
    n = int(rng.integers(10, 40))
    at, size = body.points(rng, n, 0, 0.95), rng.uniform(0.006, 0.014, n)
    ends = at + rng.normal(0, 0.06, (n, 2))
    if kind == "dots":
        return canvas.spots(at, size)
    if kind == "globes":
        return canvas.blur(canvas.spots(at[:18], 2.6 * size[:18]), 0.005)
    if kind == "streaks":
        return canvas.strokes(np.linspace(at, ends, 6, axis=1), [(0.018, 0.005)] * n)
    if kind == "lines":
        return canvas.ridges(rng, rng.uniform(0.045, 0.09))
    if kind == "net":
        return canvas.network(rng, rng.uniform(0.045, 0.075), 0.2, 0.35)
    if kind == "scale":
        return canvas.patch(rng, 11, 0.3, 0.8)
    if kind == "vessels":
        return canvas.vessels(rng, body, 5, max(0.2, body.size), 0.009)
    if kind == "patches":
        return canvas.patch(rng, 3.5, 0.45)
    return np.zeros_like(body.depth)


def generic(seed, index, size=64):
    """Generic skin with one spot: (image (size, size, 3) uint8, mask bool, attributes).

    Every attribute, and the colour of the texture, is drawn uniformly and independently.
    """
    rng = np.random.default_rng([8, seed, index])
    a = {name: str(rng.choice(values)) for name, values in ATTRIBUTES.items()}
    side, canvas = canvas_for(size)
    skin = dermal_skin(canvas, rng, dark=_TONES[a["tone"]])
    (lobes, stretch), (fade, ragged) = _SHAPES[a["shape"]], _BORDERS[a["border"]]
    body = canvas.outline(rng, _RADII[a["size"]] * rng.uniform(0.8, 1.2), lobes, ragged, stretch)
    pattern = _texture(canvas, rng, body, a["texture"])
    base = np.array(_COLOURS[a["colour"]]) * lognormal(rng, 1, 0.2, 0.6, 1.5)
    other = np.array(_COLOURS[str(rng.choice(ATTRIBUTES["colour"]))])
    pattern = pattern * rng.uniform(0.5, 1.0)
    brown, red, blue, white = (b + (o - b) * pattern for b, o in zip(base, other, strict=True))
    layers = Layers(step(body.depth, fade), brown, red, blue, [(white, (0.95, 0.90, 0.86))])
    normal, clean, alpha = view(rng, side, (skin, render(skin, layers, rng, canvas), layers.alpha))
    hair = draw_hair(rng, side, few=1.0, count=_HAIRS[a["hair"]])
    drawn = finish(rng, size, normal, clean, alpha, hair, contact_light(rng, side))
    return drawn.image, drawn.mask, a
