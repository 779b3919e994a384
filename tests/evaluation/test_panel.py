"""Panel of metrics, architecture: sets are compared at equal numbers, networks named."""

import hashlib
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from skinsynth.core import store
from skinsynth.core.errors import UserError
from skinsynth.core.machine import device
from skinsynth.diffusion import architecture, denoiser, pipeline, vae
from skinsynth.evaluation import distances, panel
from skinsynth.networks import table
from skinsynth.pretrain import contrastive


def test_matched_takes_equally_many_of_each_class():
    a, b = ["x"] * 5 + ["y"] * 9 + ["z"] * 2, ["x"] * 7 + ["y"] * 3
    rows = panel.matched(a, b)
    assert len(rows[0]) == len(rows[1]) == 8
    assert [np.array(a)[rows[0]].tolist().count(c) for c in "xyz"] == [5, 3, 0]
    assert np.array(a)[rows[0]].tolist() == np.array(b)[rows[1]].tolist()


def test_numbers_are_equal_by_class_and_a_set_of_one_class_meets_all():
    def cloud(labels):
        x = np.arange(len(labels), dtype=float)[:, None]
        return panel.Features(x, x, np.array(labels), np.arange(len(labels)))

    real = cloud(["mel"] * 4 + ["nv"] * 6)
    a, b = panel.equal_numbers(real, cloud(["mel"] * 9 + ["nv"] * 3))
    assert a.labels.tolist() == b.labels.tolist() == ["mel"] * 4 + ["nv"] * 3
    a, b = panel.equal_numbers(real, cloud(["mel"] * 8))
    assert len(a.labels) == len(b.labels) == 8 and set(a.labels) == {"mel", "nv"}


def test_architecture_shows_the_live_modules():
    torch.manual_seed(0)
    model = open_clip.CLIP(**contrastive.micro_config(32, 20)).to(device()).eval()
    net = denoiser.Denoiser(denoiser.micro_unet_config(16, 8, 4), 5, 3, 128).to(device()).eval()
    wide = vae.expand_vae(vae.new_vae(16), 8).to(device())
    pipe = pipeline.SkinPipeline(wide, net, denoiser.micro_scheduler(), (0.0,) * 8, (1.0,) * 8)
    x = torch.rand(1, 3, 32, 32, device=device()) * 2 - 1
    traced = architecture.trace(pipe, model, x, torch.randn(1, 5, 3, 128))
    shape = traced.set_index(["lane", "part"])["shape"]
    assert shape["latent", "latent"] == "8 x 4 x 4"
    assert shape["unet", "conv out"] == "8 x 4 x 4"
    assert len(shape["clip"]) == 5 and shape["clip", "level 7"] == "3 x 128", "what is read of 65"
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
    assert np.allclose(found.inception().features, wanted, rtol=1e-4, atol=1e-5)
    assert np.allclose(found.inception().probabilities, logits.softmax(1), atol=1e-6)
    row = distances.row("x", found, judge(images[::-1].copy(), ["nv"] * 8, range(8)))
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
    row = distances.row("x", found, found)
    assert found.inception is None and not {"FID", "KID", "IS"} & set(row)
    assert row[panel.NAMES[0]] == pytest.approx(0, abs=1e-3)
