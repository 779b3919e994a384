"""The plan: all stages without computing one, costs by counted work, true sizes without weights."""

from dataclasses import replace

import pytest

from skinsynth import cli
from skinsynth.book import asked, cost, plan
from skinsynth.core import store
from skinsynth.core.config import configure


@pytest.fixture
def speed(monkeypatch, tmp_path):
    """A machine of known speed, and an empty results folder."""
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path / "results"))
    kinds = [
        (way, kind)
        for way in ("train", "infer")
        for kind in ("encode", "decode", "unet", "classifier")
    ]
    monkeypatch.setattr(
        cost, "speeds", lambda: dict.fromkeys(kinds, 1e11) | {"draw": 50.0, "hair": 500.0}
    )
    return tmp_path


def test_nothing_is_computed_and_nothing_written(speed):
    found = asked.stages(store.Run("micro"), configure("micro"))
    assert len(found) > 50 and not any(facts["finished"] for facts in found.values())
    assert not (speed / "results").exists()
    names = [facts["stage"] for facts in found.values()]
    assert names.count("denoiser") == 4 and names.count("vae") == 2 and names[0] == "phantom"
    assert set(f["notebook"] for f in found.values()) == {
        "01_data",
        "02_vae",
        "03_diffusion",
        "04_generation",
        "05_interpolation",
        "06_downstream",
    }
    more = asked.stages(store.Run("micro"), configure("micro", extras=True))
    assert set(found) < set(more)


def test_a_stage_called_outside_a_plan_computes_again(speed):
    with store.planning() as found:
        pass
    assert found == {} and store._PLANNED is None


def test_time_follows_the_counted_work(speed):
    cfg, run = configure("micro"), store.Run("micro")
    seconds = lambda c: plan.table(run, c).groupby("stage").seconds.sum()  # noqa: E731
    once, twice = seconds(cfg), seconds(replace(cfg, unet_steps=2 * cfg.unet_steps))
    assert twice.denoiser == pytest.approx(2 * once.denoiser) and twice.vae == once.vae
    operations, kept, weights = cost.networks(cfg)["unet"]
    assert once.denoiser == pytest.approx(4 * 3 * cfg.unet_steps * cfg.batch * operations / 1e11)
    assert 5e6 < weights < 7e6 and kept > 1e6


@pytest.mark.parametrize("profile", ["smoke", "ham64", "ham128"])
def test_every_profile_has_a_plan(speed, profile, monkeypatch):
    monkeypatch.setattr(plan, "images_of", lambda cfg: 1000)
    cfg = configure(profile, extras=True)  # on the phantom's stages, so that no data are needed
    found = plan.table(store.Run(profile), cfg)
    assert (
        (found.seconds > 0).all()
        and (found.memory > 0).all()
        and set(found.notebook) <= set(asked.NOTEBOOKS)
    )


def test_true_sizes_are_counted_without_weights(speed):
    counted = cost.networks(configure("paper", data="/data"))
    assert 8.5e8 < counted["unet"][2] < 8.7e8 and 8.3e7 < counted["encode"][2] < 8.5e7
    assert 1e11 < counted["unet"][0] < 4e11, (
        "operations of a 32 x 32 latent, twice its multiplications"
    )


def test_the_command_says_minutes_memory_and_disk(speed, capsys):
    assert cli.main(["plan", "-p", "unet_steps=100", "-p", "extras=true"]) == 0
    said = capsys.readouterr().out
    assert "denoiser" in said and "GiB of memory" in said and "of stages left" in said
    assert cli.main(["plan", "-p", "unet_stepz=1"]) == 1
    assert cli.main(["plan", "--profile", "ham64"]) == 1, "real images are wanted"


def test_before_a_run_the_time_is_said_and_nothing_where_all_is_done(speed, monkeypatch):
    said, cfg, run = [], configure("micro"), store.Run("micro")
    with plan.announced(run, cfg, ("01_data",), said.append):
        pass
    assert len(said) == 1 and "3 of 3 stages are left: about" in said[0]
    done = asked.stages(run, cfg, ("01_data",))
    monkeypatch.setattr(
        plan, "stages", lambda *_: {k: v | {"finished": True} for k, v in done.items()}
    )
    with plan.announced(run, cfg, ("01_data",), said.append):
        pass
    assert len(said) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30, "30 s"), (600, "10 minutes"), (7200, "2.0 hours"), (864000, "10 days")],
)
def test_durations_in_words(seconds, text):
    assert plan.words(seconds) == text
