"""The bundled models: small, in the public formats, made by one command that resumes."""

import json
import re

import numpy as np
import open_clip
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import safe_open

from skinsynth import cli, phantom
from skinsynth.core import config, store
from skinsynth.core.errors import UserError
from skinsynth.diffusion import clip
from skinsynth.interpolation import segment
from skinsynth.networks import bundled
from skinsynth.numerics import arrays
from skinsynth.pretrain import micro

DIFFUSION = bundled.FOLDER / "diffusion"


def test_bundle_is_small_and_half_precision():
    files = [p for p in bundled.FOLDER.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 90e6
    assert {p.suffix for p in files} == {".json", ".safetensors", ".csv"}
    for path in (p for p in files if p.suffix == ".safetensors"):
        with safe_open(path, "pt") as handle:
            kinds = {handle.get_slice(k).get_dtype() for k in handle.keys()}
        assert kinds <= {"F16", "I64"}, path
    for path in (p for p in files if p.suffix != ".safetensors"):
        assert not re.search(r"[\"' ](/|[A-Z]:\\)\w", path.read_text()), (
            f"{path}: a path of a machine"
        )


def test_bundle_loads_by_the_public_libraries():
    vae = AutoencoderKL.from_pretrained(str(DIFFUSION), subfolder="vae", use_safetensors=True)
    unet = UNet2DConditionModel.from_pretrained(
        str(DIFFUSION), subfolder="unet", use_safetensors=True
    )
    assert vae.config.latent_channels == unet.config.in_channels == 4
    assert sum(p.numel() for p in unet.parameters()) <= 7e6
    model = open_clip.create_model(f"local-dir:{bundled.FOLDER / 'clip'}")
    assert len(model.visual.transformer.resblocks) >= 8 and model.transformer.resblocks


def test_card_says_how_the_bundle_was_made():
    card = json.loads((bundled.FOLDER / "card.json").read_text())
    assert card["scale"] == 1 and card["steps"] == micro.BUDGET
    assert set(card["seconds"]) == set(micro.BUDGET) - {"images"}
    assert "no diagnosis" in card["training"]


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(UserError, match="clip is missing: .*skinsynth pretrain"):
        bundled.bundled("clip", tmp_path)


def test_pretraining_makes_every_part_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path / "results"))
    run, out = store.Run("pretrain"), tmp_path / "assets"
    tiny = dict(scale=0.0005, size=32, width=16, batch=4)
    micro.pretrain(run, out, **tiny)
    names = {p.name for p in run.stages.iterdir()}
    first = {p: p.read_bytes() for p in out.rglob("*.safetensors")}
    assert {p.name for p in out.iterdir() if p.is_dir()} == {
        p.name for p in bundled.FOLDER.iterdir() if p.is_dir() and p.name != "trained"
    }
    micro.pretrain(run, out, **tiny)
    assert {p.name for p in run.stages.iterdir()} == names, "finished stages are not made again"
    assert all(p.read_bytes() == content for p, content in first.items())
    model = clip.load_clip(bundled.bundled("clip", out))
    assert clip.embed(model, torch.zeros(1, 32, 32, 3, dtype=torch.uint8).numpy()).shape == (1, 64)
    segment.load_segmenter(bundled.bundled("segmenter", out))


def test_the_bundled_segmenter_marks_the_lesion_and_not_the_skin():
    drawn = [phantom.dermatoscopy(3, i, dx, 64) for i, dx in enumerate(2 * config.CLASSES)]
    model = segment.load_segmenter(bundled.bundled("segmenter"))
    found = segment.segment(model, np.stack([p.image for p in drawn]))
    pairs = zip(found, (p.mask for p in drawn), strict=True)
    dice = [2 * (f & m).sum() / (f.sum() + m.sum()) for f, m in pairs]
    assert np.median(dice) > 0.7, dice


def test_weights_of_photographs_stay_out_of_the_package(capsys):
    assert cli.main(["pretrain", "--data", "somewhere"]) == 1
    assert "give --folder" in capsys.readouterr().err


def test_photographs_can_take_the_place_of_generic_skin(tmp_path, monkeypatch):
    """The train split only, with masks, and its diagnoses as attributes."""
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path / "results"))
    phantom.write_dataset(tmp_path / "data", size=32, n_train=40, n_test_lesions=1, n_pad=6)
    run, out = store.Run("pretrain"), tmp_path / "models"
    options = dict(scale=0.0005, size=32, width=16, batch=4)
    micro.pretrain(run, out, data=str(tmp_path / "data"), **options)
    made = next(run.stages.glob("described-*"))
    records = arrays.records_of(next(run.stages.glob("images-*")))
    assert len(arrays.load_array(made / "images.npy")) == (records.split == "train").sum()
    assert set(store.read_json(made / "attributes.json")["vocabulary"]["dx"]) <= set(config.CLASSES)
    assert (out / "diffusion" / "unet" / "config.json").exists()
