"""Painters of pigmented lesions: nevus, melanoma, benign keratosis; see lesions.py."""

import numpy as np

from .canvas import Layers, lesion_radius, lognormal, step

_PALE, _VEIL = (0.93, 0.84, 0.84), (0.62, 0.66, 0.78)


def nevus(canvas, rng):
    """Symmetric, one or two browns, regular network or globules fading at the border."""
    size, lobes, ragged = lesion_radius(rng, 0.27), rng.uniform(0.03, 0.13), rng.uniform(0.04, 0.14)
    body = canvas.outline(rng, size, lobes, ragged, 0.35)
    alpha = step(body.depth, rng.uniform(0.05, 0.17))
    depth = lognormal(rng, 0.8, 0.45, 0.2, 2.4)
    profile = 1 + rng.uniform(-0.4, 1.2) * (body.rise() - 0.4)
    brown = depth * profile * (1 + 0.16 * canvas.fbm(rng, 7, 3, 0.6))
    kind = rng.choice(["network", "globules", "both", "plain"], p=[0.42, 0.2, 0.13, 0.25])
    strength, period = rng.uniform(0.12, 0.52), rng.uniform(0.034, 0.055)
    net = canvas.network(rng, period, rng.uniform(0.15, 0.4), rng.uniform(0.25, 0.5))
    cells = np.clip((canvas.mesh(rng, period * 1.1, 0.45) - 0.2) / 0.4, 0, 1)
    centre = step(body.rise() - rng.uniform(0.25, 0.6), 0.3)
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
    paths = np.linspace(root, root + out * reach * rng.uniform(0.6, 1.3, (n, 1)), 6, axis=1)
    return canvas.blur(canvas.strokes(paths, [(0.018, 0.006)] * n, rng.uniform(0.4, 0.9, n)), 0.006)


def melanoma(canvas, rng):
    """Asymmetric, ragged, several colours: veil, black blotches, dots, streaks, regression."""
    evil = rng.beta(1.6, 1.1)  # near 0: looks like a nevus
    size, lobes, ragged = lesion_radius(rng, 0.31), 0.08 + 0.17 * evil, 0.07 + 0.16 * evil
    body = canvas.outline(rng, size, lobes, ragged, 0.45)
    size, centre = body.size * rng.uniform(0.45, 0.8), body.near_centre(rng, evil + 0.1)
    lobe = canvas.outline(rng, size, 0.2, 0.2, 0.3, centre)
    soft = rng.uniform(0.04, 0.12)
    alpha = np.maximum(step(body.depth, soft), step(lobe.depth, soft))
    mottle = np.exp((0.15 + 0.35 * evil) * canvas.fbm(rng, 3, 4, 0.6))
    brown = lognormal(rng, 0.85, 0.45, 0.2, 2.4) * (0.8 + 0.5 * body.rise()) * mottle
    red = rng.uniform(0, 0.3) + 0.25 * evil * canvas.patch(rng, 3, 0.3)
    net = canvas.network(rng, rng.uniform(0.045, 0.08), rng.uniform(0.1, 0.5), 0.7)
    brown = brown * (1 + rng.uniform(0.2, 0.9) * canvas.patch(rng, 3, 0.5) * (net - 0.5))
    veiled, blotched, regressed, dotted, streaked = rng.random(5) < 0.12 + 0.5 * evil
    inner = step(body.rise() - 0.1, 0.25)
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


def _discs(canvas, rng, body, low, high):
    """Soft discs with radii from `low` to `high` inside the outline, 0-1."""
    n = int(rng.integers(5, 28))
    at, sizes = body.points(rng, n, 0, 0.9), rng.uniform(low, high, n)
    return canvas.blur(canvas.spots(at, sizes, rng.uniform(0.5, 1, n)), 0.004)


def _stuck_on(canvas, rng, body, brown):
    """Milia-like cysts, comedo-like openings, furrows and a horny film: (brown, white)."""
    milia, plugs, furrowed, horny = rng.random(4) < [0.6, 0.55, 0.5, 0.35]
    white = []
    if milia:
        white.append((0.75 * _discs(canvas, rng, body, 0.008, 0.022), (0.97, 0.93, 0.84)))
    if furrowed:
        furrows = canvas.blur(canvas.ridges(rng, rng.uniform(0.04, 0.09)), 0.004)
        deep = rng.uniform(0.3, 1.0) * canvas.patch(rng, 3, 0.6)
        brown = brown * (1 + deep * (furrows - 0.25))
    if plugs:
        openings = _discs(canvas, rng, body, 0.01, 0.026)
        brown = brown + rng.uniform(0.8, 1.6) * openings
    if horny:
        white.append((0.3 * canvas.patch(rng, 6, 0.4), (0.80, 0.73, 0.72)))
    return brown, white


def keratosis(canvas, rng):
    """Benign keratosis: stuck-on, sharp moth-eaten border, milia, openings, furrows, dull brown."""
    kind = rng.choice(["stuck-on", "lentigo", "lichenoid"], p=[0.58, 0.27, 0.15])
    body = canvas.outline(rng, lesion_radius(rng, 0.35), 0.14, rng.uniform(0.06, 0.2), 0.35)
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
        brown = brown * (0.6 + rng.uniform(0.2, 0.8) * prints)
        brown = brown * (0.6 + 0.6 * canvas.patch(rng, 5, 0.6))
        grey = 0.4 * grey
    else:  # regressing: grey granules on pink
        brown, red = brown * (0.3 + canvas.patch(rng, 4, 0.4)), red + 0.25
        grains = canvas.spots(body.points(rng, 80, 0, 1), 0.007)
        grey = 0.5 * grey + 0.6 * grains * canvas.patch(rng, 4, 0.5)
        white.append((0.2 * canvas.patch(rng, 4, 0.4), _PALE))
    return Layers(alpha, brown, red, grey, white)
