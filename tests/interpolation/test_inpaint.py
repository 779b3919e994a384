"""Pseudo-normal skin: each method against a truth, one interface, true formats where weights are absent."""

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skinsynth import phantom, recipe
from skinsynth.core import config
from skinsynth.core.errors import UserError
from skinsynth.interpolation import inpaint
from skinsynth.networks import table


def lesions(n=6, size=64, dx="mel"):
    drawn = [phantom.dermatoscopy(3, i, dx, size) for i in range(n)]
    return [p for p in drawn if p.mask.mean() < 0.5]


@pytest.mark.parametrize("dx, least", [("mel", 6), ("nv", 3), ("vasc", 3)])
@pytest.mark.parametrize("method", ["telea", "harmonic"])
def test_each_method_comes_nearer_to_the_true_skin(method, dx, least):
    gains = []
    for p in lesions(dx=dx):
        made = inpaint.inpaint(p.clean, p.mask, method)
        before, after = (
            ((x[p.mask] / 255 - p.normal[p.mask] / 255) ** 2).mean() for x in (p.clean, made)
        )
        gains.append(10 * np.log10(before / after))
        outside = ~inpaint.dilate(p.mask, 0.12)
        assert np.array_equal(made[outside], p.clean[outside])
    assert np.median(gains) > least


def test_a_dark_lesion_in_a_corner_is_painted_over_and_a_vignette_is_not():
    image, mask = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), bool)
    mask[:24, :24] = True
    image[mask] = image[50:, 50:] = 40
    made = inpaint.inpaint(image, mask)
    assert made[:20, :20].min() > 120, "the lesion"
    assert (made[52:, 52:] == 40).all(), "the tube"


class Painter:
    """A pipeline that paints white wherever it may, with cells of eight pixels."""

    vae, latent_format = None, SimpleNamespace(encode=lambda vae, x: torch.zeros(len(x), 4, 8, 8))

    def __call__(self, labels, seeds, keep, **choices):
        white = np.kron(~keep[1][:, 0].numpy(), np.ones((8, 8), bool))
        return 255 * white[..., None].repeat(3, -1).astype(np.uint8)


def test_a_generator_paints_the_lesion_over_and_leaves_the_skin():
    images, masks = np.full((2, 64, 64, 3), 100, np.uint8), np.zeros((2, 64, 64), bool)
    masks[0, 20:44, 20:44] = masks[1, 4:20, 30:60] = True
    made = inpaint.repaint(Painter(), images, masks)
    for image, mask in zip(made, masks, strict=True):
        assert (image[mask] > 250).all() and (image[~inpaint.dilate(mask)] == 100).all()
    untouched = inpaint.repaint(Painter(), images, np.zeros_like(masks))
    assert np.array_equal(untouched, images), "without a lesion nothing is painted"


def test_harmonic_continues_a_slope():
    """On a plane of brightness the smoothest surface is the plane; a fill with the mean is not."""
    y, x = np.mgrid[:64, :64]
    image = np.repeat((60 + 2 * x)[..., None], 3, -1).astype(np.uint8)
    area = np.hypot(x - 30, y - 30) < 14
    holed = np.where(area[..., None], 0, image).astype(np.uint8)
    filled = inpaint.harmonic(holed, area)
    assert np.abs(filled[area] - image[area]).max() < 6
    corner = (x < 12) & (y < 12)  # the area touches the image's edge
    assert (
        np.abs(
            inpaint.harmonic(np.where(corner[..., None], 0, image).astype(np.uint8), corner)[corner]
            - image[corner]
        ).mean()
        < 16
    )


@pytest.mark.parametrize("method", ["telea", "harmonic"])
def test_only_a_widened_mask_covers_the_rim(method):
    """The paper takes the mask as it is: what lies around it stays, pixel by pixel."""
    p = lesions()[0]
    rim = inpaint.dilate(p.mask) & ~p.mask
    wide, narrow = (inpaint.inpaint(p.clean, p.mask, method, widen) for widen in (True, False))
    assert np.array_equal(narrow[~p.mask], p.clean[~p.mask])
    assert (wide[rim] != p.clean[rim]).any() and (narrow[p.mask] != p.clean[p.mask]).any()


def test_grain_of_the_skin_is_kept():
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(150, 6, (64, 64, 3)), 0, 255).astype(np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[20:44, 20:44] = True
    made = inpaint.inpaint(image, mask)
    assert 0.5 < made[26:38, 26:38].std() / image.std() < 1.5


def test_nothing_to_paint_leaves_the_image_alone():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for mask in (np.zeros((16, 16), bool), np.ones((16, 16), bool)):
        assert np.array_equal(inpaint.inpaint(image, mask), image)
    with pytest.raises(UserError, match="unknown inpainter 'magic'.*harmonic"):
        inpaint.inpaint(image, np.eye(16, dtype=bool), "magic")
    with pytest.raises(UserError, match="unknown inpainter"):
        config.configure(inpainter="magic")


class Paler(torch.nn.Module):
    """A stand-in of LaMa's signature: (image, mask) -> image, sides in multiples of 8."""

    def forward(self, image, mask):
        assert image.shape[2] % 8 == 0 and image.shape[1] == 3 and mask.shape[1] == 1
        assert float(image.max()) <= 1.0 and float(image.min()) >= 0.0
        return image * (1 - mask) + mask * torch.tensor([0.8, 0.6, 0.4]).view(1, 3, 1, 1)


def test_lama_is_read_from_torchscript_after_its_hash(monkeypatch, tmp_path):
    monkeypatch.setenv("SKINSYNTH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    image, mask = np.full((30, 30, 3), 200, np.uint8), np.zeros((30, 30), bool)
    mask[10:20, 10:20] = True
    assert inpaint.best() == "telea"
    with pytest.raises(UserError, match="lama is needed and absent: skinsynth weights fetch lama"):
        inpaint.inpaint(image, mask, "lama")
    torch.jit.script(Paler()).save(str(tmp_path / "big-lama.pt"))
    with pytest.raises(UserError, match="lama is needed and absent"):
        monkeypatch.setenv("SKINSYNTH_WEIGHTS", str(tmp_path / "none"))
        recipe.check(config.configure(inpainter="lama"))
    monkeypatch.setenv("SKINSYNTH_WEIGHTS", str(tmp_path))
    with pytest.raises(UserError, match="SHA-256"):
        inpaint.inpaint(image, mask, "lama")
    digest = hashlib.sha256((tmp_path / "big-lama.pt").read_bytes()).hexdigest()
    monkeypatch.setitem(table.NETWORKS, "lama", replace(table.NETWORKS["lama"], digest=digest))
    assert inpaint.best() == "lama"
    made = inpaint.inpaint(image, mask, "lama")
    assert np.abs(made[13:17, 13:17].astype(int) - [204, 153, 102]).max() <= 1, "RGB in, RGB out"
    assert np.array_equal(made[:5], image[:5])


@pytest.mark.parametrize("method", ["telea", "harmonic"])
def test_the_black_corners_of_the_tube_are_neither_copied_nor_filled(method):
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal((205, 150, 140), 3, (64, 64, 3)), 0, 255).astype(np.uint8)
    y, x = np.mgrid[:64, :64] - 31.5
    corner, lesion = np.hypot(x, y) > 38, np.hypot(x - 12, y - 12) < 14
    image[corner], image[lesion] = 8, (90, 50, 40)
    assert np.array_equal(inpaint.vignette(image, lesion), corner), (
        "the corners, and not the lesion"
    )
    made = inpaint.inpaint(image, lesion, method)
    inside = inpaint.dilate(lesion) & ~inpaint.dilate(corner, 0.05)
    assert made[inside].min() > 110 and made[corner].max() < 60
