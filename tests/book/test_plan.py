"""The plan: all stages without computing one, costs by counted work, true sizes without weights."""

from dataclasses import replace

import pytest
from conftest import ROOT

from skinsynth import cli
from skinsynth.book import asked, cost, plan
from skinsynth.core import store
from skinsynth.core.config import configure


@pytest.fixture
def speed(monkeypatch, tmp_path):
    """A machine of known speed, and an empty results folder."""
    monkeypatch.setenv("SKINSYNTH_RESULTS", str(tmp_path / "results"))
    kinds = [(way, kind) for way in ("train", "infer") for kind in cost.KINDS]
    monkeypatch.setattr(
        cost, "speeds", lambda: dict.fromkeys(kinds, 1e11) | {"draw": 50.0, "hair": 500.0}
    )
    return tmp_path


def test_nothing_is_computed_and_nothing_written(speed):
    found = asked.stages(store.Run("micro"), configure("micro", trained=False))
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
    more = asked.stages(
        store.Run("micro"), configure("micro", trained=False, extras=True, more_arms=True)
    )
    assert set(found) < set(more)
    fewer = asked.stages(store.Run("micro"), configure("micro"))
    assert {"vae", "denoiser"}.isdisjoint(facts["stage"] for facts in fewer.values()), (
        "the package's"
    )


def test_a_plan_ends_with_its_block(speed):
    with store.planning() as found:
        pass
    assert found == {} and store._PLANNED is None


def test_time_follows_the_counted_work(speed):
    cfg, run = configure("micro", trained=False), store.Run("micro")
    seconds = lambda c: plan.table(run, c).groupby("stage").seconds.sum()  # noqa: E731
    once, twice = seconds(cfg), seconds(replace(cfg, unet_steps=2 * cfg.unet_steps))
    assert twice.denoiser == pytest.approx(2 * once.denoiser) and twice.vae == once.vae
    operations, kept, weights = cost.networks(cfg)["unet"]
    assert once.denoiser == pytest.approx(4 * 3 * cfg.unet_steps * cfg.batch * operations / 1e11)
    assert 5e6 < weights < 7e6 and kept > 1e6
    learned = 2 * 3 * cfg.vae_steps * cfg.vae_batch / 1e11  # both autoencoders, an operation
    net = {kind: found[0] for kind, found in cost.networks(cfg).items()}
    copies = net["encode"] + net["decode"] + net["perceptual"] / 4
    assert seconds(replace(cfg, version="released")).vae == pytest.approx(learned * copies)
    assert once.vae == pytest.approx(learned * (copies + net["critic"])), "its loss has a critic"


@pytest.mark.parametrize("profile", ["smoke", "ham64", "ham128"])
def test_every_profile_has_a_plan(speed, profile, monkeypatch):
    monkeypatch.setattr(plan, "images_of", lambda cfg: 1000)
    cfg = configure(
        profile, extras=True, more_arms=True
    )  # on the phantom's stages, so that no data are needed
    found = plan.table(store.Run(profile), cfg)
    assert (
        (found.seconds > 0).all()
        and (found.memory > 0).all()
        and set(found.notebook) <= set(asked.NOTEBOOKS)
    )


def test_true_sizes_are_counted_without_weights(speed):
    counted = cost.networks(configure("paper", data="/data"))
    assert 8.9e8 < counted["unet"][2] < 9.1e8 and 8.3e7 < counted["encode"][2] < 8.5e7
    assert 1e11 < counted["unet"][0] < 4e11, (
        "operations of a 32 x 32 latent, twice its multiplications"
    )


def test_a_card_needs_its_memory_and_its_time(speed, monkeypatch):
    """Of `paper`: an 80 GB card trains as the profile has it, 24 GB an image at a time, and nothing fits 8 GB."""
    monkeypatch.setattr(plan, "images_of", lambda cfg: 10015)
    monkeypatch.setitem(cost.CARDS, "small", (10, 5, 8))
    cfg, run = configure("paper"), store.Run("paper")
    fast, slow = (plan.on_card(run, cfg, card) for card in ("H100 80GB", "A100 80GB"))
    assert 2 < slow[0] / fast[0] < 989.4 / 312 and fast[2] == slow[2] == {}
    parts, size = plan.on_card(run, cfg, "RTX 4090")[2]["denoiser"]
    assert parts > cfg.accumulate and size * 2**30 < 24e9
    assert plan.on_card(run, cfg, "small")[2]["denoiser"] is None
    assert "not even an image" in " ".join(plan.card_words(run, cfg, "small"))


def test_the_guide_for_gpus_says_what_the_plan_computes(speed, monkeypatch):
    monkeypatch.setattr(plan, "images_of", lambda cfg: 10015)
    guide = (ROOT / "book/rerun.md").read_text()
    for card in cost.CARDS:
        cells = [card]
        for profile in ("ham128", "paper"):
            seconds, memory, better = plan.on_card(store.Run(profile), configure(profile), card)
            cells.append(plan.words(seconds))
            memory = better.get("denoiser", (0, memory))[1]
        cells += [
            f"{memory:.0f} GiB",
            str(better.get("denoiser", (configure("paper").accumulate,))[0]),
        ]
        assert f"| {' | '.join(cells)} |" in guide, cells
    found = plan.table(store.Run("paper"), configure("paper"), card="H100 80GB")
    tokens = found[found.stage == "tokens"].disk.sum()
    assert f"{tokens:.1f} GiB for the tokens" in guide
    assert f"{plan.checkpoint(configure('paper'), found):.0f} GiB for a checkpoint" in guide


def test_the_command_says_minutes_memory_and_disk(speed, capsys):
    assert cli.main(["plan", "-p", "unet_steps=100", "-p", "extras=true"]) == 0
    said = capsys.readouterr().out
    assert "denoiser" in said and "GiB of memory" in said and "of stages left" in said
    assert cli.main(["plan", "-p", "unet_stepz=1"]) == 1
    assert cli.main(["plan", "--card", "Voodoo"]) == 1
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
    [
        (30, "30 s"),
        (600, "10 minutes"),
        (7200, "2.0 hours"),
        (864000, "10 days"),
        (1e10, "more than a year"),
    ],
)
def test_durations_in_words(seconds, text):
    assert plan.words(seconds) == text
