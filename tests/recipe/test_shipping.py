"""The package's generators: whom they serve, and that this code would make them again."""

from dataclasses import replace

import pytest
import torch

from skinsynth import recipe
from skinsynth.core import store
from skinsynth.core.config import PROFILES, configure
from skinsynth.core.errors import UserError
from skinsynth.core.versions import VERSIONS
from skinsynth.data import splits
from skinsynth.diffusion import denoiser, pipeline, vae
from skinsynth.networks.bundled import FOLDER
from skinsynth.numerics.arrays import records_of
from skinsynth.recipe import shipping

pytestmark = pytest.mark.usefixtures("two_lanes")

CARD = store.read_json(FOLDER / "trained" / "card.json")


def of_package(stage):
    return FOLDER in stage.path.parents


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path))
    return store.Run("test")


@pytest.mark.parametrize(
    ("changed", "same_vae", "same_denoiser"),
    [
        ({}, True, True),
        (dict(guidance=5.0, samples=3, classify_steps=1), True, True),
        (dict(unet_steps=300), True, False),
        (dict(vae_steps=3), False, False),
        (dict(n_train=2000), False, False),
        (dict(seed=1), False, False),
        (dict(version="paper"), False, False),
        (dict(trained=False), False, False),
        (dict(patches=4), True, False),
    ],
)
def test_they_serve_as_long_as_nothing_is_changed_that_made_them(
    run, changed, same_vae, same_denoiser
):
    cfg = configure("micro", **changed)
    with store.planning():
        assert of_package(recipe.autoencoder(run, cfg, "8ch")) == same_vae
        assert of_package(recipe.model(run, cfg, "8ch+ML")) == same_denoiser
        assert not of_package(recipe.autoencoder(run, cfg, "pretrained"))
        other = replace(VERSIONS["recommended"], dehair=False)
        assert not of_package(recipe.model(run, cfg, "8ch", other)), "another method, same cfg"
        assert not of_package(recipe.model(run, PROFILES["smoke"], "8ch"))
        course = recipe.course(run, cfg)
        assert (course is not None) == (same_denoiser and "samples" not in changed)
        with store.planning() as found:
            recipe.rungs(run, cfg)
        climbed = [f["inputs"]["model"] for f in found.values() if f["stage"] == "samples"]
        assert climbed and not any(map(of_package, climbed)), "all rungs are equally long"


def test_the_pages_say_how_long_they_were_trained(run):
    long = {k: shipping.LENGTHS[k] for k in ("vae_steps", "unet_steps")}
    assert recipe.steps(run, configure("micro")) == long
    changed = configure("micro", unet_steps=300)
    assert recipe.steps(run, changed) == long | dict(unet_steps=300)


def test_they_are_not_compared_with_shorter_trainings(run):
    with store.planning(), pytest.raises(UserError, match="set trained = False too"):
        recipe.trained_again(run, configure("micro", generator_seeds=2))


def test_their_parts_fit_together():
    for name, (kind, levels) in recipe.MODELS.items():
        made = store.Stage(FOLDER / "trained" / f"denoiser-{name}", "")
        net, _ = denoiser.load_denoiser(made)
        assert (net.adapters is not None) == levels
        assert all(p.dtype == torch.float32 for p in net.parameters())
        if kind != "pretrained":
            own = store.Stage(FOLDER / "trained" / f"vae-{kind}", "")
            pipe = pipeline.load_pipeline(made, own)
            assert pipe.vae.config.latent_channels == net.unet.config.in_channels == int(kind[0])
            assert store.read_json(made / "trained_on.json")["vae"] == vae.weights_digest(own)


def test_they_belong_to_the_split_that_every_processor_draws(run):
    """Else a run refuses them: no pixel may count, for those are a grey level apart on other processors."""
    made = recipe.records(run, configure("micro", size=16, n_pad=240))  # split by ids alone
    train = (records_of(made).split == "train").sum()
    for name in recipe.MODELS:
        facts = store.read_json(FOLDER / "trained" / f"denoiser-{name}" / "trained_on.json")
        assert (facts["manifest"], facts["ids"]) == (splits.manifest_hash(made), train)


def test_the_card_says_how_they_were_made():
    assert {k: CARD[k] for k in shipping.LENGTHS} == shipping.LENGTHS
    assert CARD["images_seen"] == shipping.LENGTHS["unet_steps"] * configure("micro").batch
    assert all(seconds > 0 for seconds in CARD["seconds"].values())


def test_one_command_makes_them_and_finds_what_it_has_made(run, tmp_path):
    tiny = shipping.BRIEF | dict(n_train=100, size=32, batch=16, samples=2, sampling_steps=2)
    made = [shipping.train_shipped(run, tmp_path / "assets", **tiny) for _ in range(2)]
    assert made[0] == made[1]
    folder = tmp_path / "assets" / "trained"
    ours, theirs = (
        {str(p.relative_to(at)) for p in at.rglob("*") if p.is_file()}
        for at in (FOLDER / "trained", folder)
    )
    assert ours == theirs
    card = store.read_json(folder / "card.json")
    assert CARD.keys() <= card.keys() and card["images_seen"] == 2 * 16
    parts = (store.Stage(folder / name, "") for name in ("denoiser-8ch+ML", "vae-8ch"))
    assert pipeline.load_pipeline(*parts).vae.config.latent_channels == 8


def test_this_code_takes_the_same_first_steps(run, monkeypatch):
    """A change of data, networks, losses or the loop shows in the first losses: then the weights are another code's.

    Remedy: `skinsynth pretrain`, which makes them again.
    """
    monkeypatch.setenv("SKINSYNTH_PRECISION", "float32")
    found = shipping.first_steps(run)
    assert found.keys() == CARD["first_steps"].keys()
    for name, losses in found.items():
        assert losses == pytest.approx(CARD["first_steps"][name], rel=1e-3), name
