"""DullRazor: hair is found and filled, skin is left alone."""

import time

import cv2
import numpy as np
import pytest
from conftest import ROOT

from skinsynth import phantom
from skinsynth.core.config import CLASSES
from skinsynth.core.errors import UserError
from skinsynth.data import hair, layouts
from skinsynth.numerics import pixels

REAL = ROOT.parent / "shared" / "data"
SKIN = (205, 150, 140)


def skin(size, seed=0):
    """Plain skin with a little grain."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(SKIN, 2, (size, size, 3)), 0, 255).astype(np.uint8)


def curves(image, seed=0, count=6, colour=(45, 35, 30), width=None):
    """(image with anti-aliased curved hairs, where they are)."""
    rng, size = np.random.default_rng(seed), image.shape[0]
    big = np.zeros((4 * size, 4 * size), np.uint8)
    width = width or max(4, round(4 * size / 90))
    for _ in range(count):
        start, bend = rng.random(2), rng.normal(0, 0.15, 2)
        angle = rng.uniform(0, 2 * np.pi)
        t = np.linspace(0, 0.9, 30)[:, None]
        points = start + t * (np.cos(angle), np.sin(angle)) + t**2 * bend
        cv2.polylines(big, [(points * 4 * size).astype(np.int32)], False, 255, width)
    cover = cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA)[..., None] / 255
    return (image * (1 - cover) + np.array(colour) * cover).round().astype(np.uint8), cover[
        ..., 0
    ] > 0.15


@pytest.mark.parametrize("size", [64, 128, 256, 450])
def test_finds_and_fills_hair_at_every_size(size):
    clean = skin(size)
    image, true = curves(clean)
    steps = hair.dullrazor(image)
    assert hair.mask_f1(steps.mask, true) > 0.85
    before = np.abs(image.astype(int) - clean)[true].mean()
    after = np.abs(steps.inpainted.astype(int) - clean)[true].mean()
    assert after < 0.2 * before
    assert (steps.inpainted == image)[~steps.mask].all()
    assert steps.grey.shape == steps.blackhat.shape == steps.mask.shape == (size, size)
    assert steps.mask.dtype == bool and steps.inpainted.dtype == np.uint8


def test_dark_hair_of_the_phantom():
    """Hair of a pixel's width or less: found where it is 20 and more grey levels darker."""
    drawn = [phantom.dermatoscopy(5, i, CLASSES[i % 7], 64) for i in range(210)]
    hairy = [p for p in drawn if p.hair.mean() > 0.003]
    grey = [
        [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(int) for x in (p.clean, p.image)] for p in hairy
    ]
    contrast = np.array([(a - b)[p.hair].mean() for p, (a, b) in zip(hairy, grey, strict=True)])
    true, clean, image = (
        np.stack([getattr(p, k) for p in hairy]) for k in ("hair", "clean", "image")
    )
    steps = [hair.dullrazor(x) for x in image]
    found, out = np.stack([s.mask for s in steps]), np.stack([s.inpainted for s in steps])
    assert (contrast > 25).sum() >= 8
    assert hair.mask_f1(found[contrast > 25], true[contrast > 25]) >= 0.88
    assert hair.mask_f1(found[contrast > 20], true[contrast > 20]) >= 0.8
    left, before = (np.abs(x.astype(int) - clean)[true].mean() for x in (out, image))
    assert left < 0.5 * before
    bare = np.stack([p.image for p in drawn if not p.hair.any()])
    assert np.abs(hair.remove(bare).astype(int) - bare).mean() < 0.2  # the cost where no hair is


def test_grey_is_from_rgb_not_bgr():
    """A bluish dark line that is only dark when red weighs 0.299 and blue 0.114."""
    image = np.full((64, 64, 3), (180, 120, 60), np.uint8)
    image[30, 5:60] = (60, 118, 180)
    assert (
        cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[30, 30]
        > cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[0, 0]
    )
    steps = hair.dullrazor(image)
    assert steps.grey[30, 30] == round(0.299 * 60 + 0.587 * 118 + 0.114 * 180)
    assert steps.mask[30, 10:55].all()
    assert not hair.dullrazor(np.ascontiguousarray(image[..., ::-1])).mask.any()


def test_vessels_dots_and_short_strokes_are_kept():
    red, _ = curves(skin(64), colour=(200, 70, 70))
    assert not hair.dullrazor(red).mask.any()  # red: as bright as the skin in red
    dots = skin(64)
    dots[6::9, 6::9] = 60
    assert not hair.dullrazor(dots).mask.any()
    short = skin(64)
    short[30, 30:34] = 50
    assert not hair.dullrazor(short).mask.any()
    edge = skin(64)
    edge[20:50, 20:50] = 90  # a dark lesion has an edge but is no line
    assert not hair.dullrazor(edge).mask.any()


def test_light_hair_is_a_known_blind_spot():
    image, true = curves(skin(64), colour=(250, 230, 190))
    assert hair.mask_f1(hair.dullrazor(image).mask, true) < 0.3


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 600), (600, 7), (33, 47), (1, 300)])
def test_any_size(shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    steps = hair.dullrazor(image)
    assert steps.inpainted.shape == image.shape and steps.mask.shape == shape
    assert not hair.dullrazor(np.zeros_like(image)).mask.any()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        [[1]],
    ],
)
def test_other_images_are_refused(image):
    with pytest.raises(UserError, match="hair removal takes"):
        hair.dullrazor(image)


def test_views_and_batches():
    image, _ = curves(skin(64))
    batch = np.stack([image, image[::-1], skin(64)])
    out = hair.remove(batch)
    assert (out[0] == hair.dullrazor(image).inpainted).all() and out.dtype == np.uint8
    assert (out[1] == hair.dullrazor(np.ascontiguousarray(image[::-1])).inpainted).all()
    assert hair.remove(batch[:0]).shape == (0, 64, 64, 3)


def test_f1_tolerance():
    a, b = np.zeros((2, 10, 10), bool)
    a[5], b[6] = True, True
    assert hair.mask_f1(a, b) == 1 and hair.mask_f1(a, np.roll(b, 1, 0)) == 0
    assert hair.mask_f1(a, np.zeros_like(a)) == 0 and np.isnan(hair.mask_f1(~a & a, ~a & a))
    half = a.copy()
    half[:, :5] = False
    assert hair.mask_f1(half, a) == pytest.approx(2 * 0.6 / 1.6)  # 6 of 10 lie within a pixel


def test_fast_enough():
    image, _ = curves(skin(64))
    hair.dullrazor(image)
    seconds = []
    for _ in range(60):
        start = time.perf_counter()
        hair.dullrazor(image)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.5e-3


@pytest.mark.skipif(not REAL.is_dir(), reason="real images are not on this machine")
@pytest.mark.parametrize("size", [64, 150])
def test_hair_drawn_on_real_images(size):
    records = layouts.load_ham(REAL).iloc[::50]
    images = pixels.read_images(records, size)
    bare = images[[not hair.dullrazor(i).mask.any() for i in images]][:40]
    assert len(bare) == 40
    drawn = [curves(image, seed=k) for k, image in enumerate(bare)]
    steps = [hair.dullrazor(image) for image, _ in drawn]
    true = np.stack([mask for _, mask in drawn])
    assert hair.mask_f1(np.stack([s.mask for s in steps]), true) > 0.85
    left = np.abs(np.stack([s.inpainted for s in steps]).astype(int) - bare)[true].mean()
    assert left < 0.35 * np.abs(np.stack([i for i, _ in drawn]).astype(int) - bare)[true].mean()
