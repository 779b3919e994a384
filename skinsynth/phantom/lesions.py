"""The seven diagnoses of HAM10000 as painters of their textbook dermatoscopic structures.

Each painter takes a `Canvas` and a generator and returns `Layers`. Structures vary widely and are
often missing, so that the classes overlap as they do in the clinic.
"""

import numpy as np

from ..core.config import choose
from .canvas import Layers, canvas_for, lesion_radius, lognormal, step
from .pigmented import keratosis, melanoma, nevus
from .skin import contact_light, dermal_skin, draw_hair, finish, render, view


def basal_cell(canvas, rng):
    """Pink and translucent, arborising vessels in focus, blue-grey nests, ulcers, shiny strands."""
    body = canvas.outline(rng, lesion_radius(rng, 0.32), 0.13, rng.uniform(0.06, 0.2), 0.35)
    alpha = step(body.depth, rng.uniform(0.06, 0.2))
    red = rng.uniform(0.08, 0.4) * (1 + 0.35 * canvas.fbm(rng, 5, 3))
    brown = np.full_like(alpha, lognormal(rng, 0.06, 0.8, 0, 0.35))
    white = [(rng.uniform(0.05, 0.4) * canvas.patch(rng, 3, 0.45, 1.0), (0.94, 0.83, 0.86))]
    has = rng.random(4) < [0.72, 0.6, 0.38, 0.3]
    trunks, width = rng.integers(3, 8), rng.uniform(0.005, 0.010)
    tree = canvas.vessels(rng, body, trunks, max(0.22, body.size * rng.uniform(0.7, 1.3)), width)
    n = int(rng.integers(2, 16))
    at = body.points(rng, n, 0.2, 0.98)
    sizes = lognormal(rng, 0.025, 0.4) * rng.uniform(0.5, 2.2, n)
    nests = canvas.spots(at, sizes, rng.uniform(0.6, 1, n))
    nests = canvas.blur(nests, 0.016) * (1 + 0.3 * canvas.fbm(rng, 14, 3, 0.8))
    size, centre = body.size * rng.uniform(0.15, 0.45), body.near_centre(rng, 0.6)
    sore = canvas.outline(rng, size, 0.2, 0.4, 0.4, centre)
    at, reach = body.points(rng, 14, 0, 0.9), rng.normal(0, 0.05, (14, 2))
    strands = canvas.strokes(np.linspace(at - reach, at + reach, 4, axis=1), [(0.008, 0.004)] * 14)
    blue = 0.0
    if has[1]:
        blue = rng.uniform(0.35, 1.1) * nests
        brown = brown + rng.uniform(0.1, 0.6) * nests
        alpha = np.maximum(alpha, np.clip(nests, 0, 1))
    if has[2]:
        ulcer = step(sore.depth, 0.06)
        red = red + rng.uniform(0.6, 1.4) * ulcer * (1 + 0.3 * canvas.fbm(rng, 14, 2))
        brown = brown + rng.uniform(0.1, 1.2) * ulcer * canvas.patch(rng, 8, 0.5)
    if has[0]:
        red = red + rng.uniform(0.7, 1.5) * tree
    if has[3]:
        white.append((rng.uniform(0.15, 0.4) * canvas.blur(strands, 0.004), (0.98, 0.94, 0.95)))
    return Layers(alpha, brown, red, blue, white)


def actinic(canvas, rng):
    """Actinic keratosis / Bowen: red pseudo-network (strawberry), scale, dotted vessels, rough."""
    body = canvas.outline(rng, lesion_radius(rng, 0.35), 0.15, rng.uniform(0.12, 0.32), 0.4)
    alpha = step(body.depth, rng.uniform(0.1, 0.3))
    kind = rng.choice(["strawberry", "bowen", "pigmented"], p=[0.45, 0.3, 0.25])
    red = rng.uniform(0.12, 0.42) * (1 + 0.4 * canvas.fbm(rng, 7, 4, 0.75))
    brown = lognormal(rng, 0.14, 0.7, 0, 0.5) * (1 + 0.3 * canvas.fbm(rng, 8, 3))
    holes = np.clip((canvas.mesh(rng, rng.uniform(0.06, 0.11), 0.5) - 0.25) / 0.5, 0, 1)
    n = int(rng.integers(30, 90))
    dots = canvas.spots(body.points(rng, n, 0, 0.95), rng.uniform(0.007, 0.013, n))
    flakes = canvas.patch(rng, 10, rng.uniform(0.15, 0.4), 1.0)
    flakes = flakes * canvas.patch(rng, 3, 0.5) * (0.8 + 0.3 * canvas.noise(rng, 40))
    scaly, strength = rng.random() < 0.6, rng.uniform(0.4, 0.95)
    white = []
    if kind == "strawberry":
        red = red * (1.2 - rng.uniform(0.3, 0.8) * holes)
        white.append((rng.uniform(0.1, 0.45) * holes**2, (0.96, 0.89, 0.80)))
    elif kind == "bowen":
        red = red + rng.uniform(0.4, 0.9) * canvas.blur(dots, 0.003) * canvas.patch(rng, 4, 0.6)
    else:
        brown = brown + rng.uniform(0.25, 0.7) * canvas.patch(rng, 5, 0.45) * (1 - 0.8 * holes)
    if scaly:
        colour = rng.uniform([0.90, 0.82, 0.66], [0.98, 0.96, 0.93])
        white.append((np.clip(strength * flakes, 0, 1), colour))
        if rng.random() < 0.3:  # bleeding crust
            red = red + 1.0 * canvas.patch(rng, 8, 0.2)
            brown = brown + 0.6 * canvas.patch(rng, 8, 0.2)
    return Layers(alpha, brown, red, 0.0, white)


def fibroma(canvas, rng):
    """Dermatofibroma: central white scar-like patch in a delicate, fading brown network."""
    body = canvas.outline(rng, lesion_radius(rng, 0.32), 0.08, rng.uniform(0.05, 0.14), 0.3)
    alpha = step(body.depth - 0.02, rng.uniform(0.14, 0.3))
    size, ragged = body.size * rng.uniform(0.3, 0.62), rng.uniform(0.1, 0.3)
    core = canvas.outline(rng, size, 0.15, ragged, 0.4, body.near_centre(rng, 0.25))
    scar = step(core.depth, rng.uniform(0.1, 0.28))
    net = canvas.network(rng, rng.uniform(0.035, 0.055), 0.2, 0.3)
    brown = lognormal(rng, 0.42, 0.4, 0.12, 1.1) * (1 + 0.15 * canvas.fbm(rng, 6, 3))
    brown = brown * (1 + rng.uniform(0.1, 0.7) * (net - 0.5))
    red = rng.uniform(0.0, 0.35) * (1 + 0.2 * canvas.fbm(rng, 4, 3))
    kind = rng.choice(["scar", "white net", "plain"], p=[0.66, 0.2, 0.14])
    strength = rng.uniform(0.2, 0.65)
    pale = rng.uniform([0.88, 0.76, 0.74], [0.98, 0.92, 0.92])
    fibres = canvas.network(rng, rng.uniform(0.05, 0.08), 0.0, 0.5)
    white = []
    if kind == "scar":
        brown = brown * (1 - 0.85 * scar)
        white.append((strength * scar * (0.85 + 0.15 * canvas.fbm(rng, 9, 2)), pale))
    elif kind == "white net":
        brown = brown * (1 - 0.5 * scar)
        white.append((strength * scar * fibres, pale))
    return Layers(alpha, brown, red, 0.0, white)


def vascular(canvas, rng):
    """Red, purple or blue-black lacunae, sharply demarcated, with pale septa."""
    size = min(0.42, lesion_radius(rng, 0.19, 0.4))
    body = canvas.outline(rng, size, 0.12, rng.uniform(0.04, 0.14), 0.3)
    edge = step(body.depth, rng.uniform(0.025, 0.07))
    hue = rng.choice(["cherry", "purple", "thrombosed"], p=[0.5, 0.32, 0.18])
    n = int(np.clip(rng.integers(8, 26) * (body.size / 0.2), 6, 60))
    at = body.points(rng, n, 0, 1)
    sizes = body.size * rng.uniform(0.14, 0.36, n)
    tones, dark = rng.uniform(0.55, 1, n), rng.random(n) < 0.4
    order = np.argsort(-sizes)
    lakes = canvas.blur(canvas.spots(at[order], sizes[order], tones[order]), 0.01)
    clots = canvas.blur(canvas.spots(at[dark], sizes[dark] * 0.8), 0.012)
    red = lognormal(rng, 1.15, 0.4, 0.4, 2.4)
    pooled = rng.random() < 0.35  # homogeneous: the lacunae flow together
    spread = rng.uniform(0.2, 0.7) if not pooled else 0.9
    red = red * (spread + (1.15 - spread) * lakes) * (1 + 0.08 * canvas.fbm(rng, 10, 3))
    blue = {"cherry": 0.0, "purple": rng.uniform(0.25, 0.7), "thrombosed": rng.uniform(0.5, 1)}[hue]
    blue = blue * (0.4 + 0.6 * lakes)
    brown = 0.1 * np.ones_like(edge)
    if hue == "thrombosed":
        red, blue = red + 0.6 * clots, blue + 1.3 * clots
        brown = brown + 0.9 * clots
    white = []
    veil, film = rng.uniform(0.05, 0.35), canvas.patch(rng, 6, 0.35)
    if rng.random() < 0.45:  # pale septa and whitish film over the lacunae
        septa = np.clip(1 - 1.3 * lakes, 0, 1)
        white.append((veil * (0.5 * septa + 0.6 * film), (0.82, 0.72, 0.82)))
    alpha = edge if pooled else np.clip(np.maximum(edge * rng.uniform(0.4, 1), lakes * edge), 0, 1)
    return Layers(alpha, brown, red, blue, white)


PAINTERS = dict(
    akiec=actinic, bcc=basal_cell, bkl=keratosis, df=fibroma, mel=melanoma, nv=nevus, vasc=vascular
)


def dermatoscopy(seed, index, dx, size=64, lesion=None, photo=0, painter=None):
    """Phantom dermatoscopic photograph of one of HAM10000's seven diagnoses.

    `dx` is a HAM10000 code, `size` the side in pixels (32-512). `lesion` numbers the lesion
    (default `index`); `photo` numbers its photographs: same anatomy and skin, other position,
    light and hair; `painter`: other than the diagnosis's own (structures.py). Returns `Phantom`. Raises UserError on an unknown `dx`.
    """
    choose(dx, PAINTERS, "diagnosis")
    number = index if lesion is None else lesion
    side, canvas = canvas_for(size)
    skin = dermal_skin(canvas, np.random.default_rng([1, seed, number]))
    rng = np.random.default_rng([2, seed, number])
    layers = (painter or PAINTERS[dx])(canvas, rng)
    marked = render(skin, layers, rng, canvas)
    rng = np.random.default_rng([3, seed, index, photo])
    normal, clean, alpha = view(rng, side, (skin, marked, layers.alpha))
    hair, light = draw_hair(rng, side), contact_light(rng, side)
    return finish(rng, size, normal, clean, alpha, hair, light)
