"""The seven diagnoses of HAM10000 as painters of their textbook dermatoscopic structures.

Each painter takes a `Canvas` and a generator and returns `Layers`. Structures vary widely and are
often missing, so that the classes overlap as they do in the clinic.
"""

import numpy as np

from ..core.errors import UserError
from .canvas import EXTENT, Canvas, Layers, lognormal, step
from .skin import contact_light, dermal_skin, draw_hair, finish, render, view

_PALE, _VEIL, _SCALE = (0.93, 0.84, 0.84), (0.62, 0.66, 0.78), (0.96, 0.92, 0.84)


def _radius(rng, median, spread=0.33):
    return lognormal(rng, median, spread, 0.08, 0.58)


def _union(first, second, soft):
    """Extent of two outlines together."""
    return np.maximum(step(first.depth, soft), step(second.depth, soft))


def _off_centre(rng, outline, share=0.6):
    angle = rng.uniform(0, 2 * np.pi)
    return tuple(share * outline.size * rng.random() * np.array([np.cos(angle), np.sin(angle)]))


def _rise(outline):
    """Relative depth inside the outline: 0 at the border, about 1 in the middle."""
    return np.clip(outline.depth / outline.size, 0, 1)


def nevus(canvas, rng):
    """Symmetric, one or two browns, regular network or globules fading at the border."""
    body = canvas.outline(
        rng, _radius(rng, 0.27), rng.uniform(0.03, 0.13), rng.uniform(0.04, 0.14), 0.35
    )
    alpha = step(body.depth, rng.uniform(0.05, 0.17))
    depth = lognormal(rng, 0.8, 0.45, 0.2, 2.4)
    profile = 1 + rng.uniform(-0.4, 1.2) * (_rise(body) - 0.4)
    brown = depth * profile * (1 + 0.16 * canvas.fbm(rng, 7, 3, 0.6))
    kind = rng.choice(["network", "globules", "both", "plain"], p=[0.42, 0.2, 0.13, 0.25])
    strength, period = rng.uniform(0.12, 0.52), rng.uniform(0.034, 0.055)
    net = canvas.network(rng, period, rng.uniform(0.15, 0.4), rng.uniform(0.25, 0.5))
    cells = np.clip((canvas.mesh(rng, period * 1.1, 0.45) - 0.2) / 0.4, 0, 1)
    centre = step(_rise(body) - rng.uniform(0.25, 0.6), 0.3)
    if kind == "network":
        brown = brown * (1 + strength * (net - 0.55))
    elif kind == "globules":
        brown = brown * (1 + strength * (1.1 * cells - 0.3))
    elif kind == "both":
        brown = brown * (1 + strength * ((1 - centre) * (net - 0.5) + centre * (cells - 0.3)))
    blotch = canvas.patch(rng, 3, 0.35)
    if rng.random() < 0.25:  # mildly atypical: a second brown, off centre
        brown = brown * (1 + rng.uniform(0.2, 0.7) * blotch)
    return Layers(alpha, brown, red=rng.uniform(-0.05, 0.22) * np.ones_like(alpha))


def _rays(canvas, rng, outline):
    """Streaks and pseudopods that leave the outline in one sector, 0-1."""
    sector, reach = (rng.uniform(0, 6.28), rng.uniform(1, 4)), rng.uniform(0.04, 0.1)
    n = int(rng.integers(12, 40))
    root = outline.points(rng, n, 0.85, 1.0, sector)
    out = root - outline.centre
    out = out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-6)
    ends = root + out * reach * rng.uniform(0.6, 1.3, (n, 1))
    paths = [np.linspace(a, b, 6) for a, b in zip(root, ends, strict=True)]
    return canvas.blur(canvas.strokes(paths, [(0.018, 0.006)] * n, rng.uniform(0.4, 0.9, n)), 0.006)


def melanoma(canvas, rng):
    """Asymmetric, ragged, several colours: veil, black blotches, dots, streaks, regression."""
    evil = rng.beta(1.6, 1.1)  # near 0: looks like a nevus
    body = canvas.outline(rng, _radius(rng, 0.31), 0.08 + 0.17 * evil, 0.07 + 0.16 * evil, 0.45)
    lobe = canvas.outline(
        rng,
        body.size * rng.uniform(0.45, 0.8),
        0.2,
        0.2,
        0.3,
        _off_centre(rng, body, 1.0 * evil + 0.1),
    )
    alpha = _union(body, lobe, rng.uniform(0.04, 0.12))
    mottle = np.exp((0.15 + 0.35 * evil) * canvas.fbm(rng, 3, 4, 0.6))
    brown = lognormal(rng, 0.85, 0.45, 0.2, 2.4) * (0.8 + 0.5 * _rise(body)) * mottle
    red = rng.uniform(0, 0.3) + 0.25 * evil * canvas.patch(rng, 3, 0.3)
    net = canvas.network(rng, rng.uniform(0.045, 0.08), rng.uniform(0.1, 0.5), 0.7)
    brown = brown * (1 + rng.uniform(0.2, 0.9) * canvas.patch(rng, 3, 0.5) * (net - 0.5))
    veiled, blotched, regressed, dotted, streaked = rng.random(5) < 0.12 + 0.5 * evil
    inner = step(_rise(body) - 0.1, 0.25)
    blue, white = 0.0, []
    if veiled:
        veil = canvas.patch(rng, 2.5, rng.uniform(0.2, 0.5)) * inner
        blue = rng.uniform(0.35, 1.0) * veil * (1 + 0.15 * canvas.fbm(rng, 9, 3))
        brown = brown * (1 - 0.45 * veil)
        white.append((0.38 * veil * rng.uniform(0.6, 1), _VEIL))
    if blotched:
        black = canvas.patch(rng, 3, rng.uniform(0.1, 0.35)) * inner
        brown = brown + rng.uniform(0.6, 1.6) * black
    if regressed:
        scar = canvas.patch(rng, 2.5, rng.uniform(0.15, 0.4)) * inner
        brown, red = brown * (1 - 0.7 * scar), red * (1 - 0.4 * scar)
        blue = blue + 0.7 * scar * canvas.spots(body.points(rng, 60, 0, 0.9), 0.006)
        white.append((0.25 * scar, _PALE))
    if dotted:
        n = int(rng.integers(12, 50))
        at, sizes = body.points(rng, n, 0.35, 1.08), rng.uniform(0.006, 0.02, n)
        dots = canvas.blur(canvas.spots(at, sizes), 0.003)
        brown, alpha = brown + rng.uniform(0.6, 1.4) * dots, np.maximum(alpha, 0.7 * dots)
    if streaked:
        rays = _rays(canvas, rng, body)
        brown, alpha = brown + 0.8 * rays, np.maximum(alpha, rays)
    return Layers(alpha, brown, red, blue, white)


def _stuck_on(canvas, rng, body, brown):
    """Milia-like cysts, comedo-like openings, furrows and a horny film: (brown, white)."""
    milia, plugs, furrowed, horny = rng.random(4) < [0.6, 0.55, 0.5, 0.35]
    white = []
    if milia:
        n = int(rng.integers(5, 28))
        at, sizes = body.points(rng, n, 0, 0.9), rng.uniform(0.008, 0.022, n)
        cysts = canvas.blur(canvas.spots(at, sizes, rng.uniform(0.5, 1, n)), 0.004)
        white.append((0.75 * cysts, (0.97, 0.93, 0.84)))
    if furrowed:
        furrows = canvas.blur(canvas.ridges(rng, rng.uniform(0.04, 0.09)), 0.004)
        deep = rng.uniform(0.3, 1.0) * canvas.patch(rng, 3, 0.6)
        brown = brown * (1 + deep * (furrows - 0.25))
    if plugs:
        n = int(rng.integers(5, 28))
        at, sizes = body.points(rng, n, 0, 0.9), rng.uniform(0.01, 0.026, n)
        openings = canvas.blur(canvas.spots(at, sizes, rng.uniform(0.5, 1, n)), 0.004)
        brown = brown + rng.uniform(0.8, 1.6) * openings
    if horny:
        white.append((0.3 * canvas.patch(rng, 6, 0.4), (0.80, 0.73, 0.72)))
    return brown, white


def keratosis(canvas, rng):
    """Benign keratosis: stuck-on, sharp moth-eaten border, milia, openings, furrows, dull brown."""
    kind = rng.choice(["stuck-on", "lentigo", "lichenoid"], p=[0.58, 0.27, 0.15])
    body = canvas.outline(rng, _radius(rng, 0.35), 0.14, rng.uniform(0.06, 0.2), 0.35)
    sharp = {"stuck-on": 0.03, "lentigo": 0.06, "lichenoid": 0.16}[kind]
    alpha = step(body.depth, sharp * rng.uniform(0.6, 1.6))
    brown = lognormal(rng, 0.42, 0.5, 0.12, 1.9) * (1 + 0.25 * canvas.fbm(rng, 6, 4, 0.7))
    grey, red, white = lognormal(rng, 0.07, 0.8, 0, 0.4), rng.uniform(-0.05, 0.12), []
    if kind == "stuck-on":
        brown, white = _stuck_on(canvas, rng, body, brown)
    elif kind == "lentigo":  # flat, moth-eaten, fingerprint lines
        bites = body.points(rng, 9, 0.95, 1.15)
        alpha = alpha * (1 - canvas.spots(bites, rng.uniform(0.015, 0.05, 9)))
        prints = canvas.ridges(rng, rng.uniform(0.03, 0.045), 0.8)
        brown = (
            brown * (0.6 + rng.uniform(0.2, 0.8) * prints) * (0.6 + 0.6 * canvas.patch(rng, 5, 0.6))
        )
        grey = 0.4 * grey
    else:  # regressing: grey granules on pink
        brown, red = brown * (0.3 + canvas.patch(rng, 4, 0.4)), red + 0.25
        grains = canvas.spots(body.points(rng, 80, 0, 1), 0.007)
        grey = 0.5 * grey + 0.6 * grains * canvas.patch(rng, 4, 0.5)
        white.append((0.2 * canvas.patch(rng, 4, 0.4), _PALE))
    return Layers(alpha, brown, red, grey, white)


def basal_cell(canvas, rng):
    """Pink and translucent, arborising vessels in focus, blue-grey nests, ulcers, shiny strands."""
    body = canvas.outline(rng, _radius(rng, 0.32), 0.13, rng.uniform(0.06, 0.2), 0.35)
    alpha = step(body.depth, rng.uniform(0.06, 0.2))
    red = rng.uniform(0.08, 0.4) * (1 + 0.35 * canvas.fbm(rng, 5, 3))
    brown = np.full_like(alpha, lognormal(rng, 0.06, 0.8, 0, 0.35))
    white = [(rng.uniform(0.05, 0.4) * canvas.patch(rng, 3, 0.45, 1.0), (0.94, 0.83, 0.86))]
    has = rng.random(4) < [0.72, 0.6, 0.38, 0.3]
    trunks, width = rng.integers(3, 8), rng.uniform(0.005, 0.010)
    tree = canvas.vessels(rng, body, trunks, max(0.22, body.size * rng.uniform(0.7, 1.3)), width)
    n = int(rng.integers(2, 16))
    nest_at, nest_size = (
        body.points(rng, n, 0.2, 0.98),
        lognormal(rng, 0.025, 0.4) * rng.uniform(0.5, 2.2, n),
    )
    nests = canvas.spots(nest_at, nest_size, rng.uniform(0.6, 1, n))
    nests = canvas.blur(nests, 0.016) * (1 + 0.3 * canvas.fbm(rng, 14, 3, 0.8))
    sore = canvas.outline(
        rng, body.size * rng.uniform(0.15, 0.45), 0.2, 0.4, 0.4, _off_centre(rng, body)
    )
    at, reach = body.points(rng, 14, 0, 0.9), rng.normal(0, 0.05, (14, 2))
    strands = canvas.strokes(
        [np.linspace(a - r, a + r, 4) for a, r in zip(at, reach, strict=True)],
        [(0.008, 0.004)] * 14,
    )
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
    body = canvas.outline(rng, _radius(rng, 0.35), 0.15, rng.uniform(0.12, 0.32), 0.4)
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
    body = canvas.outline(rng, _radius(rng, 0.32), 0.08, rng.uniform(0.05, 0.14), 0.3)
    alpha = step(body.depth - 0.02, rng.uniform(0.14, 0.3))
    core = canvas.outline(
        rng,
        body.size * rng.uniform(0.3, 0.62),
        0.15,
        rng.uniform(0.1, 0.3),
        0.4,
        _off_centre(rng, body, 0.25),
    )
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
    size = min(0.42, _radius(rng, 0.19, 0.4))
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


PAINTERS = {
    "akiec": actinic,
    "bcc": basal_cell,
    "bkl": keratosis,
    "df": fibroma,
    "mel": melanoma,
    "nv": nevus,
    "vasc": vascular,
}


def dermatoscopy(seed, index, dx, size=64, lesion=None, photo=0):
    """Phantom dermatoscopic photograph of one of HAM10000's seven diagnoses.

    `dx` is a HAM10000 code, `size` the side in pixels (32-512). `lesion` numbers the lesion
    (default `index`); `photo` numbers its photographs: same anatomy and skin, other position,
    light and hair. Returns `Phantom`. Raises UserError on an unknown `dx`.
    """
    if dx not in PAINTERS:
        raise UserError(f"unknown diagnosis {dx!r}; choose one of: {', '.join(PAINTERS)}")
    number = index if lesion is None else lesion
    side = round(1.5 * size) if size <= 128 else size
    canvas = Canvas(round(side * EXTENT))
    skin = dermal_skin(canvas, np.random.default_rng([1, seed, number]))
    rng = np.random.default_rng([2, seed, number])
    layers = PAINTERS[dx](canvas, rng)
    lesion_skin = render(skin, layers, rng, canvas)
    rng = np.random.default_rng([3, seed, index, photo])
    normal, clean, alpha = view(rng, side, (skin, lesion_skin, layers.alpha))
    hair = draw_hair(rng, side)
    light = contact_light(rng, side)
    return finish(rng, size, normal, clean, alpha, hair, light)
