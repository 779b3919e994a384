"""Drawing primitives in unit coordinates, so that a scene looks alike at every resolution."""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

EXTENT = 1.6  # units a canvas spans; the photograph's view is one unit wide inside it
_BANK = 1024  # side of the noise bank


@cache
def _bank():
    """Fixed standard normal grid; textures are random crops of it, far cheaper than new draws."""
    return np.random.default_rng(20251020).standard_normal((_BANK, _BANK), dtype=np.float32)


def _crop(rng, n):
    row, column = rng.integers(0, _BANK - n, 2)
    return _bank()[row : row + n, column : column + n]


def step(values, width):
    """Smooth step from 0 to 1 across a transition of the given width centred on zero."""
    t = np.clip(values / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def lognormal(rng, median, spread, low=0.0, high=np.inf):
    """One log-normal draw given by its median and log-deviation, clipped to [low, high]."""
    return float(np.clip(median * np.exp(spread * rng.standard_normal()), low, high))


def lesion_radius(rng, median, spread=0.33):
    """Radius of a lesion in units."""
    return lognormal(rng, median, spread, 0.08, 0.58)


class Layers(NamedTuple):
    """A lesion's pigments on the canvas: optical densities, scattering overlays and extent.

    `alpha` (side, side) in 0-1 is the lesion's extent; `brown`, `red`, `blue` are densities of
    epidermal melanin, blood and deep melanin; `white` lists (amount, rgb) overlays of scatter.
    """

    alpha: np.ndarray
    brown: np.ndarray | float = 0.0
    red: np.ndarray | float = 0.0
    blue: np.ndarray | float = 0.0
    white: list | tuple = ()


class Outline(NamedTuple):
    """A star-shaped region: signed depth in units (positive inside) and radius by angle."""

    depth: np.ndarray
    radii: np.ndarray
    centre: tuple
    size: float

    def points(self, rng, n, low=0.0, high=1.0, sector=None):
        """(n, 2) points at `low` to `high` of the radius, optionally within (angle, width)."""
        angle = rng.uniform(0, 2 * np.pi, n)
        if sector is not None:
            angle = sector[0] + (angle / np.pi - 1) * sector[1] / 2
        share = np.sqrt(rng.uniform(low**2, high**2, n)) * self.at(angle)
        return np.stack([np.cos(angle) * share, np.sin(angle) * share], 1) + self.centre

    def at(self, angle):
        """Radius in units along the given angles."""
        n = len(self.radii)
        return self.radii[(np.asarray(angle) / (2 * np.pi) * n).astype(int) % n]

    def rise(self):
        """Relative depth inside: 0 at the border, about 1 in the middle."""
        return np.clip(self.depth / self.size, 0, 1)

    def near_centre(self, rng, share):
        """A random point within `share` of the radius."""
        angle = rng.uniform(0, 2 * np.pi)
        along = np.array([np.cos(angle), np.sin(angle)])
        return tuple(share * self.size * rng.random() * along)


class Canvas:
    """A square drawing area of `side` pixels spanning `extent` units around the origin."""

    def __init__(self, side, extent=EXTENT):
        self.side, self.extent, self.scale = side, extent, side / extent
        ticks = ((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5) * extent
        self.x, self.y = np.meshgrid(ticks, ticks)

    def noise(self, rng, cells):
        """Smooth noise of unit variance with `cells` grid cells per unit, (side, side)."""
        return self.fbm(rng, cells, 1)

    def fbm(self, rng, cells, octaves=3, gain=0.5):
        """Fractal noise of unit variance: octaves of `noise`, each `gain` times the last."""
        n = int(np.clip(round(cells * self.extent), 3, _BANK // 2))
        grid = _crop(rng, n)
        for k in range(1, octaves):
            n = min(2 * n, _BANK // 2)
            grid = cv2.resize(grid, (n, n), interpolation=cv2.INTER_CUBIC)
            grid = grid + np.float32(gain**k) * _crop(rng, n)
        how = cv2.INTER_AREA if n > self.side else cv2.INTER_CUBIC
        grid = cv2.resize(grid, (self.side, self.side), interpolation=how)
        # cubic interpolation between independent nodes loses variance: 1.25 restores it
        grid = grid * np.float32(1.25)
        return grid / np.float32(np.sqrt(sum(gain ** (2 * k) for k in range(octaves))))

    def patch(self, rng, cells, cover, soft=1.4):
        """Irregular patches covering about the share `cover` of the canvas, 0-1."""
        # 2.6 maps a share to a normal quantile closely enough for textures
        return step(self.fbm(rng, cells, 4, 0.6) - 2.6 * (0.5 - cover), soft)

    def blur(self, image, sigma):
        """Gaussian blur with `sigma` in units."""
        pixels = sigma * self.scale
        return cv2.GaussianBlur(image, (0, 0), pixels) if pixels > 0.3 else image

    def outline(self, rng, size, lobes=0.1, ragged=0.1, stretch=0.3, centre=(0.0, 0.0)):
        """Random outline: `lobes` scales smooth bulges, `ragged` the fine border noise."""
        angle = np.linspace(0, 2 * np.pi, 1024, endpoint=False)
        radii = np.ones_like(angle)
        for k in range(2, 8):
            bulge = lobes * rng.standard_normal() / (k - 1)
            radii += bulge * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
        squeeze, axis = 1 - stretch * rng.random(), rng.uniform(0, np.pi)
        radii /= np.hypot(np.cos(angle - axis) * squeeze, np.sin(angle - axis) / squeeze)
        radii = (size * np.clip(radii, 0.35, 1.9)).astype(np.float32)
        dx, dy = self.x - np.float32(centre[0]), self.y - np.float32(centre[1])
        distance, theta = cv2.cartToPolar(dx, dy)
        index = (theta * np.float32(1024 / (2 * np.pi))).astype(np.int32) & 1023
        depth = radii[index] - distance + size * ragged * self.fbm(rng, 6, 5, 0.55)
        return Outline(depth, radii, centre, size)

    def mesh(self, rng, period, warp=0.25):
        """Hexagonal lattice (holes 1, lines -0.5) of `period` units, bent by `warp` periods."""
        bend = warp * period
        x = self.x + bend * self.noise(rng, 0.4 / period)
        y = self.y + bend * self.noise(rng, 0.4 / period)
        turn, k = rng.uniform(0, np.pi), 2 * np.pi / period * 1.155
        value = 0.0
        for angle in turn + np.array([0, 2, 4]) * np.pi / 3:
            along, across = np.float32(k * np.cos(angle)), np.float32(k * np.sin(angle))
            value = value + np.cos(along * x + across * y)
        return value / 3

    def network(self, rng, period, thick=0.25, warp=0.25):
        """Pigment network, 0-1: 1 on the lines of a bent honeycomb."""
        net = np.clip((thick - self.mesh(rng, period, warp)) / 0.6, 0, 1)
        return net * np.clip(0.75 + 0.35 * self.fbm(rng, 0.3 / period, 3, 0.8), 0, 1.3)

    def ridges(self, rng, period, bend=1.0):
        """Winding furrows about `period` units apart, 0-1."""
        turn = rng.uniform(0, np.pi)
        along = np.float32(np.cos(turn)) * self.x + np.float32(np.sin(turn)) * self.y
        phase = along / period + bend * self.fbm(rng, 0.15 / period, 3, 0.6)
        return np.clip((np.cos(np.float32(2 * np.pi) * phase) - 0.35) / 0.65, 0, 1)

    def spots(self, points, radii, values=1.0):
        """Filled roundish discs (units) as a 0-1 image; later ones cover earlier ones."""
        image = np.zeros((self.side, self.side), np.uint8)
        centres = (((np.asarray(points) + self.extent / 2) * self.scale - 0.5) * 16).astype(int)
        radii = np.broadcast_to(radii, len(centres)) * self.scale
        faint = np.minimum(1, (radii / 0.8) ** 2)  # below a pixel a disc fades, never vanishes
        values = np.broadcast_to(values, len(centres)) * faint * 255
        radii = (np.maximum(radii, 0.8) * 16).astype(int).tolist()
        drawn = zip(centres.tolist(), radii, values.tolist(), strict=True)
        for k, (centre, radius, value) in enumerate(drawn):
            if radius < 48:  # three pixels: an ellipse would look like a lozenge
                cv2.circle(image, centre, radius, value, -1, cv2.LINE_AA, 4)
                continue
            axes = (radius, round(radius * (1 - 0.4 * (0.618 * k % 1))))  # golden-ratio spread
            cv2.ellipse(image, centre, axes, 137.5 * k, 0, 360, value, -1, cv2.LINE_AA, 4)
        return image.astype(np.float32) / 255

    def strokes(self, paths, widths, values=1.0):
        """Tapered strokes as a 0-1 image.

        `paths` lists (points, 2) arrays in units, `widths` (start, end) widths in units.
        """
        image = np.zeros((self.side, self.side), np.uint8)
        values = np.broadcast_to(values, len(paths))
        for path, (start, end), value in zip(paths, widths, values, strict=True):
            points = (np.asarray(path) + self.extent / 2) * self.scale - 0.5
            along = np.gradient(points, axis=0)
            normal = np.stack([-along[:, 1], along[:, 0]], 1)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
            width = np.linspace(start, end, len(points))[:, None] * self.scale
            # the anti-aliased rim of a polygon adds about one pixel
            offset = normal * np.maximum((width - 1) / 2, 0.05)
            ring = np.concatenate([points + offset, (points - offset)[::-1]])
            ring, faint = (ring * 16).astype(np.int32), min(1.0, float(width.mean()))
            cv2.fillPoly(image, [ring], float(value * faint * 255), cv2.LINE_AA, 4)
        return image.astype(np.float32) / 255

    def vessels(self, rng, outline, trunks, length, width):
        """Arborising vessels, 0-1: trunks that wind, thin out and branch."""
        paths, widths, roots = [], [], outline.points(rng, trunks, 0.1, 0.95)
        pending = [(root, rng.uniform(0, 2 * np.pi), length, width, 0) for root in roots]
        while pending:
            start, heading, reach, thick, level = pending.pop()
            turns = heading + np.cumsum(rng.standard_normal(10) * 0.28)
            moves = np.stack([np.cos(turns), np.sin(turns)], 1) * reach / 10
            path = start + np.concatenate([np.zeros((1, 2)), np.cumsum(moves, 0)])
            paths.append(path)
            widths.append((thick, thick * 0.45))
            if level < 2:
                for k in np.flatnonzero(rng.random(10) < 0.18):
                    side = turns[k] + rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
                    shorter = reach * rng.uniform(0.35, 0.65)
                    pending.append((path[k], side, shorter, thick * 0.6, level + 1))
        return self.strokes(paths, widths)


def canvas_for(size):
    """(side of the camera's picture in pixels, canvas) for photographs that end at `size` pixels."""
    side = round(1.5 * size) if size <= 128 else size
    return side, Canvas(round(side * EXTENT))
