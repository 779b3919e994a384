"""Panel of metrics, failure score, architecture: planted faults are found, stand-ins named."""

import hashlib

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from skinsynth import (
    architecture,
    assets,
    clip,
    denoiser,
    encoders,
    failures,
    metrics,
    panel,
    phantom,
    pipeline,
    standard,
    store,
    vae,
)
from skinsynth.machine import device


def test_matched_takes_equally_many_of_each_class():
    a, b = ["x"] * 5 + ["y"] * 9 + ["z"] * 2, ["x"] * 7 + ["y"] * 3
    rows = panel.matched(a, b)
    assert len(rows[0]) == len(rows[1]) == 8
    assert [np.array(a)[rows[0]].tolist().count(c) for c in "xyz"] == [5, 3, 0]
    assert np.array(a)[rows[0]].tolist() == np.array(b)[rows[1]].tolist()


def test_excess_is_none_at_the_floor_and_one_at_the_far_end():
    def cloud(seed, shift):
        x = np.random.default_rng(seed).normal(size=(200, 4)) + shift
        return panel.Features(x, x, np.array(["nv"] * 200), np.arange(200) % 20)

    real, floor, far = cloud(0, 0), cloud(1, 0), cloud(2, 4)
    share = lambda fake: panel.excess_share(real, fake, floor, far)  # noqa: E731
    assert abs(share(cloud(3, 0)).value) < 0.02 and share(far).value == pytest.approx(1)
    half = share(cloud(4, 2))
    assert half.low < 0.25 < half.high and half.high - half.low < 0.1  # a distance of squares


@pytest.fixture(scope="module")
def skin():
    classes = np.array([c for c in ("nv", "vasc") for _ in range(40)])
    return np.stack([phantom.dermatoscopy(0, i, c, 64).clean for i, c in enumerate(classes)]), classes


def test_collapsed_noisy_and_blue_generators_are_told_from_good_ones(skin):
    """One image repeated: precise, no recall; noise and BGR images: far beyond the floor."""
    images, classes = skin
    net = lambda x: encoders.in_batches(encoders.load_encoder(assets.bundled("measure")).embed, x)  # noqa: E731
    real, other = net(images[::2]), net(images[1::2])
    collapsed = np.repeat(images[:1], len(real), 0).astype(int) + np.random.default_rng(0).integers(-1, 2, (len(real), 1, 1, 1))
    found = {k: v.mean() for k, v in metrics.prdc(real, net(collapsed.clip(0, 255).astype(np.uint8))).items()}
    assert found["precision"] > 0.9 and found["recall"] < 0.1 and found["coverage"] < 0.2
    floor = metrics.frechet_distance(real, other)
    noise = np.random.default_rng(1).integers(0, 256, images[1::2].shape, dtype=np.uint8)
    for wrong in (noise, images[1::2, :, :, ::-1]):
        assert metrics.frechet_distance(real, net(wrong)) > 5 * floor


def test_failure_score_finds_planted_hair_and_colour(skin):
    images, classes = skin
    embed = lambda x: encoders.in_batches(encoders.load_encoder(assets.bundled("measure")).embed, x)  # noqa: E731
    score = failures.ExcessScore(images[::2], classes[::2], embed)
    plain = images[1::2][:10]
    usual = score(plain, classes[1::2][:10])
    striped = plain.copy()
    for x in range(4, 60, 9):
        striped[:, 3:61, x] = (striped[:, 3:61, x] * 0.2).astype(np.uint8)
    green = plain.copy()
    green[..., 1] = np.minimum(255, green[..., 1].astype(int) + 90)
    hair, _, features = score.parts(striped, classes[1::2][:10])
    _, colour, _ = score.parts(green, classes[1::2][:10])
    assert np.median(hair) > np.max(score.parts(plain, classes[1::2][:10])[0])
    assert colour.min() > np.median(usual) and np.median(colour) > 2 * np.median(usual)
    assert np.median(features) > np.median(score.parts(plain, classes[1::2][:10])[2])


def test_architecture_shows_the_live_modules():
    torch.manual_seed(0)
    model = clip.micro_clip(32, 20).to(device()).eval()
    net = denoiser.Denoiser(denoiser.micro_unet_config(16, 8, 4), 5, 3, 128).to(device()).eval()
    wide = vae.expand_vae(vae.new_vae(16), 8).to(device())
    pipe = pipeline.SkinPipeline(wide, net, denoiser.micro_scheduler(), (0.0,) * 8, (1.0,) * 8)
    x = torch.rand(1, 3, 32, 32, device=device()) * 2 - 1
    traced = architecture.trace(pipe, model, x, torch.randn(1, 5, 3, 128))
    shape = traced.set_index(["lane", "part"])["shape"]
    assert shape["latent", "latent"] == "8 x 4 x 4"
    assert shape["unet", "conv out"] == "8 x 4 x 4"
    assert len(shape["clip"]) == 5 and shape["clip", "level 7"] == "65 x 128"
    links = architecture.level_links(net)
    assert links["middle"] == (4,) and links["down 0"] == (0, 1)
    assert len(architecture.draw(traced, links).axes) == 1


def test_inception_of_the_true_architecture_takes_its_own_name(monkeypatch, tmp_path):
    """Random weights in torch-fidelity's file format: read after the hash, measured once, under FID's name."""

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            return None

    torch.manual_seed(0)
    torch.save({}, tmp_path / "none.pth")
    names = ["2048", "logits_unbiased"]
    theirs = Untrained("random", names, feature_extractor_weights_path=str(tmp_path / "none.pth"))
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()[:8]
    (tmp_path / "w.pth").rename(tmp_path / f"weights-{digest}.pth")
    for module in (standard, panel):
        monkeypatch.setattr(module, "INCEPTION", f"weights-{digest}.pth")
    monkeypatch.setenv("SKINSYNTH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path / "results"))
    torch.manual_seed(0)
    encoders.save_module(tmp_path / "probe", encoders.new_classifier("test_resnet.r160_in1k", 7), dict(backbone="test_resnet.r160_in1k"))
    judge = panel.Judge(store.Run("r"), assets.bundled("measure"), store.Stage(tmp_path / "probe", "p"))
    assert judge.names == ("FID", "KID", "IS") and judge.inception
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 3), dtype=np.uint8)
    found = judge(images, ["nv"] * 5, range(5))
    wanted, logits = theirs(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert np.allclose(found.features, wanted, rtol=1e-4, atol=1e-5)
    assert np.allclose(found.probabilities, logits.softmax(1), atol=1e-6)
    monkeypatch.setattr(panel, "BATCH", 2)
    (file,) = (tmp_path / "results/r/features").iterdir()
    file.unlink()
    again = judge(images, ["nv"] * 5, range(5))
    assert np.allclose(found.features, again.features, atol=1e-5), "the batch changes nothing but float noise"
    judge.network = None
    assert np.array_equal(judge(images, ["nv"] * 5, range(5)).features, again.features), "read, not measured again"
