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
    kinds = ["MSE", "PSNR (dB)", "LPIPS (AlexNet)", "MS-SSIM"]
    assert list(same) == [*kinds, *reconstruction.ENERGY]
    assert (same["MSE"] == 0).all() and same["MS-SSIM"] == pytest.approx(np.ones(8), abs=1e-4)
    assert worse["MSE"] == pytest.approx(np.full(8, (20 / 255) ** 2), rel=0.05)
    for measure, sign in (("MSE", 1), ("PSNR (dB)", -1), ("LPIPS (AlexNet)", 1), ("MS-SSIM", -1)):
        assert (sign * far[measure] > sign * worse[measure]).all(), measure


def test_table_1_has_means_over_images_and_intervals_over_lesions():
    x, wilson = np.array([1.0, 1.0, 3.0, 3.0]), stats.wilson(2, 4)
    sets = {"a": {"flips": wilson}, "b": {"flips": wilson}}
    given = {"a": {"MSE": x}, "b": {"MSE": 2 * x}}, sets, {"MSE": wilson, "flips": wilson}
    table = reconstruction.table(*given, list("ppqq"))
    wanted = stats.mean_interval(x, clusters=list("ppqq"))
    assert list(table.model) == ["a", "b", reconstruction.DIFFERENCE]
    assert list(table.columns[:5]) == ["model", "n", "MSE", "MSE low", "MSE high"]
    assert list(table.MSE) == [2, 4, 0.5] and list(table.flips) == [0.5] * 3
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
    copies, judge = {"same": light, "dark": 255 - light}, panel.Judge()
    rows, gain = reconstruction.as_sets(
        light, copies, records, judge, bright, np.arange(6), "dark", "same"
    )
    found = stats.frame("model", rows).set_index("model")
    distance = "rFD-EfficientNet"
    assert abs(found[distance]["same"]) < 1e-3 < found[distance]["dark"]
    assert (found[f"{distance} low"] >= 0).all()
    assert list(found["labels flipped"]) == [0, 1] and rows["dark"]["labels flipped"].n == 8
    assert gain["labels flipped"].value == 1 and gain[distance].low > 0, "new minus old"
    assert gain[distance].value == pytest.approx(np.diff(found[distance])[0], rel=1e-3)


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
    assert list(table.channel) == [0, 1, 2, 3] and list(table.new) == ["no"] * 3 + ["yes"]
    lost = table["PSNR lost (dB)"].to_numpy()
    assert lost[[0, 2, 3]] == pytest.approx(np.zeros(3), abs=1e-6) and lost[1] != 0
    model, latents = vae.load_vae(stage)
    codes = vae.encode(model, latents, originals)
    codes[:, 1] = 0
    without = measures.psnr(originals, vae.decode(model, latents, codes))
    assert lost[1] == pytest.approx((measures.psnr(originals, copies) - without).mean())
    for old, carried in ((0, lost[1]), (1, lost[1]), (2, 0)):
        joint = reconstruction.new_channels_loss(stage, originals, copies, np.arange(8), old)
        assert joint.value == pytest.approx(carried, abs=1e-6) and joint.n == 8


def test_a_channel_that_is_not_read_needs_nothing(originals, stage):
    need = reconstruction.needs(stage, originals)
    assert need[1] > 0 or need.max() == 0
    assert need[[0, 2, 3]] == pytest.approx(np.zeros(3), abs=1e-9)


def test_rounded_latents_take_the_bits_they_are_given_where_they_are_needed():
    torch.manual_seed(0)
    codes = torch.randn(64, 4, 8, 8)
    coarse, few = reconstruction.rounded(codes, np.ones(4), 256)
    fine, many = reconstruction.rounded(codes, np.ones(4), 1024)
    assert few == pytest.approx(256, rel=0.02) and many == pytest.approx(1024, rel=0.02)
    assert (fine - codes).std() < 0.3 * (coarse - codes).std()
    # with equal needs each of 4 channels has 4 bits a place: steps of sqrt(2 pi e) / 2**4
    assert float((fine - codes).std()) == pytest.approx(4.13 / 16 / 12**0.5, rel=0.05)
    some, bits = reconstruction.rounded(codes, np.array([1, 1, 0, 0.01]), 512)
    error = (some - codes).std((0, 2, 3)).tolist()
    assert bits == pytest.approx(512, rel=0.02) and not some[:, 2].any()
    assert error[0] == pytest.approx(error[1], rel=0.05) and error[3] > 5 * error[0]
    # so fine that nothing is lost
    assert torch.allclose(reconstruction.rounded(codes, np.ones(4), 1e6)[0], codes, atol=1e-3)


def test_at_equal_bits_a_channel_that_carries_nothing_costs_unless_rounded_by_need(
    originals, monkeypatch
):
    """Two decoders that read the same picture; the latent of the second is doubled by noise."""
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=(8, 3, 32, 32))).float()
    plain = torch.from_numpy(originals).permute(0, 3, 1, 2) / 64.0 - 2

    def encode(channels, _, images):
        return torch.cat([plain, noise], 1)[:, :channels]

    def decode(channels, _, codes):
        shown = (codes[:, :3] + 2) * 64 + 5
        return shown.clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy()

    monkeypatch.setattr(reconstruction.vae, "load_vae", lambda channels: (channels, None))
    monkeypatch.setattr(reconstruction.vae, "encode", encode)
    monkeypatch.setattr(reconstruction.vae, "decode", decode)
    found = reconstruction.needs(6, originals)
    assert (found[:3] > 0).all() and (found[3:] == 0).all(), "noise spares nothing"
    need = {"4ch": np.ones(3), "8ch": np.array([1.0] * 3 + [0.0] * 3)}
    given = originals, {"4ch": 3, "8ch": 6}, need, np.arange(8), (12,)
    rows = reconstruction.at_equal_bits(*given)
    whole, alike, fair = (row["MSE"].value for row in rows.values())
    assert abs(whole) < 1e-9 and alike > 1e-5 and abs(fair) < 0.01 * alike
    assert [row["bits an image"] for row in rows.values()][1:] == [12 * 32 * 32] * 2
    assert rows["not rounded"]["MSE"].label == "MSE"


def test_what_a_gain_is_owed_to_follows_the_intervals():
    better, unclear = stats.Estimate(-2, -3, -1, 9), stats.Estimate(-2, -5, 1, 9)

    def said(whole, *fair):
        ways = {"not rounded": whole, "8 bits a place, all channels alike": better}
        names = (f"{bits} bits a place, each channel by its need" for bits in (32, 16))
        ways |= dict(zip(names, fair, strict=True))
        return reconstruction.width_or_size({k: {"MSE": e} for k, e in ways.items()}, "MSE")

    assert "no gain of 8 channels is clear" in said(unclear, better, better)
    assert "stays at 32 and 16 bits" in said(better, better, better)
    assert "not found at 32 and 16 bits" in said(better, unclear, unclear)
    both = said(better, better, unclear)
    assert "stays at 32 bits" in both and "not found at 16 bits" in both
