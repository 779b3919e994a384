"""Table 1 and what stands beside it: signs, pairings and places that cannot be swapped unseen."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skinsynth.core.store import write_json
from skinsynth.diffusion import vae
from skinsynth.evaluation import measures, panel, reconstruction
from skinsynth.numerics import pixels, stats


@pytest.fixture(scope="module")
def originals():
    """Eight images (32 pixels) of noise on grey, none alike."""
    noise = np.random.default_rng(1).normal(128, 30, (8, 32, 32, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def bright():
    """A classifier: class 0 where an image is bright, else class 1."""
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor([[1.0] * 3, [-1.0] * 3]))
        net[2].bias.zero_()
    return net


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """A small VAE on disk whose decoder reads channel 1 only."""
    torch.manual_seed(0)
    with torch.no_grad():
        model = vae.new_vae(8)
        model.post_quant_conv.weight[:, [0, 2, 3]] = 0
    folder = tmp_path_factory.mktemp("vae")
    model.save_pretrained(folder / "vae")
    write_json(folder / "latent_format.json", asdict(vae.LatentFormat((0.0,) * 4, (0.01,) * 4)))
    return folder


def test_reconstruction_goes_through_its_own_stage_and_jpeg_through_none(originals, stage):
    found = reconstruction.reconstruct(originals[:2], {"mine": stage})
    assert list(found) == [reconstruction.FLOOR, "mine"]
    assert np.array_equal(found[reconstruction.FLOOR], pixels.jpeg(originals[:2], 90))
    assert np.array_equal(found["mine"], vae.round_trip(stage, originals[:2]))


def test_scores_of_the_same_and_of_a_worse_image(originals):
    worse = np.clip(originals.astype(int) + 20, 0, 255).astype(np.uint8)
    found = reconstruction.measured(
        originals, {"same": originals, "worse": worse, "far": originals[::-1]}
    )
    same, worse, far = (found[name] for name in ("same", "worse", "far"))
    assert list(same) == ["MSE", "PSNR (dB)", "LPIPS (AlexNet)", "MS-SSIM"]
    assert (same["MSE"] == 0).all() and same["MS-SSIM"] == pytest.approx(np.ones(8), abs=1e-4)
    assert worse["MSE"] == pytest.approx(np.full(8, (20 / 255) ** 2), rel=0.05)
    for measure, sign in (("MSE", 1), ("PSNR (dB)", -1), ("LPIPS (AlexNet)", 1), ("MS-SSIM", -1)):
        assert (sign * far[measure] > sign * worse[measure]).all(), measure


def test_table_1_has_means_over_images_and_intervals_over_lesions():
    x = np.array([1.0, 1.0, 3.0, 3.0])
    table = reconstruction.means({"a": {"MSE": x}, "b": {"MSE": 2 * x}}, list("ppqq"))
    wanted = stats.mean_interval(x, clusters=list("ppqq"))
    assert list(table.columns) == ["model", "n", "MSE", "MSE low", "MSE high"]
    assert list(table.MSE) == [2, 4] and list(table.n) == [4, 4]
    assert table["MSE high"][0] == wanted.high > stats.mean_interval(x).high


def test_gains_are_new_minus_old_paired_by_image():
    old, new = np.array([1.0, 5.0, 9.0]), np.array([2.0, 6.0, 10.0])
    scored = {"4ch": {"MSE": old}, "8ch": {"MSE": new}}
    gain = reconstruction.gains(scored, "8ch", "4ch", list("abc"))["MSE"]
    assert gain.value == gain.low == gain.high == 1 and gain.label == "MSE" and gain.n == 3


def test_the_second_opinion_sees_the_rows_it_is_given(originals):
    copy = originals.copy()
    copy[::2] = originals[::-2]
    lesions = np.arange(8)
    given = originals, {"copy": copy}, lesions
    same, other = (reconstruction.second_opinion(*given, rows) for rows in ([1, 3, 5], [0, 2]))
    assert abs(same["LPIPS (VGG16)"][0]) < 1e-5 < other["LPIPS (VGG16)"][0]
    assert list(same.n) == [3] and list(other.n) == [2]


def test_copies_as_a_set(originals, bright):
    records = pd.DataFrame({"dx": ["nv", "mel"] * 4, "lesion_id": list("abcdefgh")})
    records.index += 100  # as rows cut from a larger table are
    light = (originals // 2) + 120
    found = reconstruction.as_sets(
        light, {"same": light, "dark": 255 - light}, records, panel.Judge(), bright, np.arange(6)
    ).set_index("model")
    distance = "rFD-EfficientNet"
    assert abs(found[distance]["same"]) < 1e-3 < found[distance]["dark"]
    assert (found[f"{distance} low"] >= 0).all()
    assert list(found["labels flipped"]) == [0, 1] and list(found.n) == [8, 8]


def test_side_by_side_circles_the_first_models_worst_region(originals):
    image = originals[:2] // 2 + 60
    first, second = image.copy(), image.copy()
    first[1, 20:24, 6:10] += 40
    second[1, 4:8, 26:30] += 10
    grid, circles = reconstruction.side_by_side(image, first, second)
    assert [c[:2] for c in circles] == [(r, c) for r in (0, 1) for c in (0, 1, 2)]
    x, y, radius = circles[-1][2:]
    assert abs(x - 7.5) < 2 and abs(y - 21.5) < 2 and radius == 4
    for shown, wanted in zip(grid[1], (image[1], first[1], second[1]), strict=False):
        assert np.array_equal(shown, wanted)
    assert grid[1][3][21, 7] == 200 and grid[1][4][5, 27] == 50
    assert grid[1][3].dtype == np.uint8 and not grid[0][3].any()


def test_only_a_channel_that_the_decoder_reads_costs_something(originals, stage):
    copies = vae.round_trip(stage, originals)
    table = reconstruction.channel_losses(stage, originals, copies, np.arange(8), old=3)
    assert list(table.channel) == [0, 1, 2, 3] and list(table.new) == [False] * 3 + [True]
    lost = table["PSNR lost (dB)"].to_numpy()
    assert lost[[0, 2, 3]] == pytest.approx(np.zeros(3), abs=1e-6) and lost[1] != 0
    model, latents = vae.load_vae(stage)
    codes = vae.encode(model, latents, originals)
    codes[:, 1] = 0
    without = measures.psnr(originals, vae.decode(model, latents, codes))
    assert lost[1] == pytest.approx((measures.psnr(originals, copies) - without).mean())
