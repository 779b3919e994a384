"""Panel of metrics, failure score, architecture: planted faults are found, networks named."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from skinsynth import phantom
from skinsynth.core import store
from skinsynth.core.errors import UserError
from skinsynth.core.machine import device
from skinsynth.diffusion import architecture, clip, denoiser, pipeline, vae
from skinsynth.evaluation import failures, panel
from skinsynth.networks import table


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
    return np.stack(
        [phantom.dermatoscopy(0, i, c, 64).clean for i, c in enumerate(classes)]
    ), classes


def test_failure_score_finds_planted_hair_and_colour(skin):
    images, classes = skin
    score = failures.ExcessScore(images[::2], classes[::2], panel.Judge().embed)
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


def test_inception_of_the_true_architecture_stands_beside_under_its_own_name(monkeypatch, tmp_path):
    """Random weights in torch-fidelity's file format: read after the hash, measured once, under FID's name."""

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            return None

    torch.manual_seed(0)
    torch.save({}, tmp_path / "none.pth")
    names = ["2048", "logits_unbiased"]
    theirs = Untrained("random", names, feature_extractor_weights_path=str(tmp_path / "none.pth"))
    network = table.NETWORKS["inception"]
    file = tmp_path / network.source.rpartition("/")[2]
    torch.save(theirs.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setenv("SKINSYNTH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path / "results"))
    with pytest.raises(UserError, match="SHA-256"):
        panel.Judge()
    monkeypatch.setitem(table.NETWORKS, "inception", replace(network, digest=digest))
    judge = panel.Judge(store.Run("r"))
    images = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 3), dtype=np.uint8)
    found = judge(images, ["nv"] * 8, range(8))
    wanted, logits = theirs(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert np.allclose(found.inception.features, wanted, rtol=1e-4, atol=1e-5)
    assert np.allclose(found.inception.probabilities, logits.softmax(1), atol=1e-6)
    row = panel.row(judge, "x", found, judge(images[::-1].copy(), ["nv"] * 8, range(8)))
    assert {"FID", "KID", "IS", *panel.NAMES, "coverage"} <= set(row), (
        "both networks, each under its own name"
    )
    monkeypatch.setattr(panel, "BATCH", 2)
    for path in (tmp_path / "results/r/features").iterdir():
        path.unlink()
    again = judge(images, ["nv"] * 8, range(8))
    assert np.allclose(found.features, again.features, atol=1e-4), (
        "the batch changes nothing but float noise"
    )
    judge.net = judge.inception = None
    assert np.array_equal(judge(images, ["nv"] * 8, range(8)).features, again.features), (
        "read, not measured again"
    )


def test_without_inception_nothing_bears_its_names(monkeypatch, tmp_path):
    monkeypatch.setenv("SKINSYNTH_WEIGHTS", str(tmp_path / "a"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "b"))
    judge = panel.Judge()
    assert (
        str(judge.inception)
        == "not computed: weights absent: inception; skinsynth weights fetch inception"
    )
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    found = judge(images, ["nv"] * 8, range(8))
    row = panel.row(judge, "x", found, found)
    assert found.inception is None and not {"FID", "KID", "IS"} & set(row)
    assert row[panel.NAMES[0]] == pytest.approx(0, abs=1e-3)
