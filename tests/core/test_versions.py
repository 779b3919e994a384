"""The three versions and the ladder: every difference is priced once, and each switch does what it says."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from skinsynth.core import config
from skinsynth.core.errors import UserError
from skinsynth.core.versions import PAPER, RECOMMENDED, RELEASED, RUNGS, VERSIONS, ladder
from skinsynth.diffusion import adapters, denoiser, pipeline
from skinsynth.interpolation import inpaint


def test_ladder_turns_every_switch_once():
    steps = [how for _, how in ladder()]
    assert steps[0] == RELEASED and steps[-1] == RECOMMENDED
    changed = []
    for (name, fields), a, b in zip(RUNGS, steps, steps[1:], strict=False):
        moved = [k for k in asdict(a) if getattr(a, k) != getattr(b, k)]
        assert sorted(moved) == sorted(fields), name
        changed += moved
    assert sorted(changed) == sorted(
        k for k in asdict(RELEASED) if getattr(RELEASED, k) != getattr(RECOMMENDED, k)
    )
    assert "solver" in RUNGS[0][1]


def test_every_choice_belongs_to_training_or_sampling():
    assert set(asdict(RECOMMENDED)) == {*RECOMMENDED.training, *RECOMMENDED.sampling, "dehair"}


def test_versions_are_named_in_the_configuration():
    assert config.configure("micro").version == "recommended" and PAPER.levels == RECOMMENDED.levels
    with pytest.raises(
        UserError, match="unknown version 'theirs'; choose one of: recommended, paper, released"
    ):
        config.configure("micro", version="theirs")
    assert [v.levels for v in VERSIONS.values()] == [None, None, (1, 2, 3)]
    assert set(config.CHOICES["inpainter"]) == {"best", *inpaint.INPAINTERS}
    assert all(
        getattr(config.PROFILES["micro"], name) in known for name, known in config.CHOICES.items()
    )


def _loss(net, **choices):
    z = np.random.default_rng(0).normal(size=(8, 4, 2, 2)).astype(np.float32)
    scheduler = denoiser.micro_scheduler()
    loss = denoiser.diffusion_loss(z, scheduler, np.zeros(8, np.int64), **choices)
    return loss(
        net(scheduler, torch.from_numpy(z)), torch.arange(8), torch.Generator().manual_seed(0)
    ).item()


def _true_velocity(scheduler, z):
    """A network that knows the image: it answers with the velocity itself."""

    def net(noisy, t, label):
        kept = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
        noise = (noisy - kept.sqrt() * z) / (1 - kept).sqrt()
        return scheduler.get_velocity(z, noise, t)

    return net


def test_both_targets_are_met_by_the_true_velocity_and_by_nothing_else():
    zero = lambda scheduler, z: lambda noisy, t, label: torch.zeros_like(noisy)  # noqa: E731
    for target in ("own", "epsilon"):
        for norm in ("l1", "l2"):
            assert _loss(_true_velocity, target=target, norm=norm) < 1e-3
            assert _loss(zero, target=target, norm=norm) > 0.05
    assert _loss(zero, target="epsilon", norm="l1") != pytest.approx(
        _loss(zero, target="epsilon", norm="l2"), rel=1e-3
    )


@pytest.mark.parametrize(("half", "wanted"), [(0, 2 / 3), (1, 1 / 3)])
def test_an_error_in_the_lesion_counts_twice(half, wanted):
    """The lesion fills the left half of each image; an error of 1 lies in one half."""
    masks = np.zeros((8, 2, 2), np.float32)
    masks[..., 0] = 1

    def wrong(scheduler, z):
        true, off = _true_velocity(scheduler, z), torch.zeros(2)
        off[half] = 1
        return lambda *given: true(*given) + off

    assert _loss(wrong, masks=masks) == pytest.approx(wanted, abs=1e-3)
    assert _loss(wrong) == pytest.approx(1 / 2, abs=1e-3)


@pytest.mark.parametrize(("times", "share"), [("all", 0.5), ("middle", 0.728)])
def test_noise_is_learnt_everywhere_alike_or_in_the_middle(times, share):
    """Of a normal variable's logistic 72.8 % lie between a quarter and three quarters; those are learnt, not others."""
    seen = []

    def net(noisy, t, label):
        seen.append(t)
        return noisy

    z, n = np.zeros((4000, 1, 1, 1), np.float32), np.zeros(4000, np.int64)
    loss = denoiser.diffusion_loss(z, denoiser.micro_scheduler(), n, times=times)
    loss(net, torch.arange(4000), torch.Generator().manual_seed(0))
    t = seen[0]
    assert (
        0 <= t.min() < 60
        and 940 < t.max() < 1000
        and t.float().mean().item() == pytest.approx(500, abs=15)
    )
    assert ((t >= 250) & (t < 750)).float().mean().item() == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize(("drop", "mixed"), [("batch", False), ("image", True)])
def test_condition_is_dropped_for_a_batch_or_for_each_image(drop, mixed):
    seen = []

    def net(noisy, t, label):
        seen.append((label == denoiser.NONE).float().mean().item())
        return noisy

    z, n = np.zeros((16, 4, 2, 2), np.float32), np.zeros(16, np.int64)
    loss = denoiser.diffusion_loss(z, denoiser.micro_scheduler(), n, drop=drop, share=0.5)
    for k in range(20):
        loss(net, torch.arange(16), torch.Generator().manual_seed(k))
    assert any(0 < s < 1 for s in seen) == mixed and 0.2 < np.mean(seen) < 0.8


def test_levels_that_do_not_reach_are_read_by_no_block():
    names = [
        f"{b}.attentions.0.attn2"
        for b in ("down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.1")
    ]
    used = lambda reach: {k for v in adapters.level_map(names, 5, reach).values() for k in v}  # noqa: E731
    assert used(None) == {0, 1, 2, 3, 4} and used((1, 2, 3)) == {1, 2, 3}


def test_stretch_uses_each_images_own_range():
    images = np.stack([np.full((4, 4, 3), 90), np.full((4, 4, 3), 200)]).astype(np.uint8)
    images[:, 0, 0], images[:, 1, 1] = 60, 210
    images[1, 0, 0] = 150
    out = pipeline.stretched(images)
    assert (out.min((1, 2, 3)) == 0).all() and (out.max((1, 2, 3)) == 255).all()
    assert out[0, 2, 2, 0] == round(30 / 150 * 255) and out[1, 2, 2, 0] == round(50 / 60 * 255)


@torch.no_grad()
def test_the_released_adapters_weigh_little_and_a_saved_model_keeps_its_levels():
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_config(denoiser.micro_unet_config(16, 4, 4))
    model = denoiser.Denoiser.build(
        unet, 5, 3, 24, reach=(1, 2, 3), scale=replace(RELEASED).adapter_weight
    )
    scales = {m.scale for m in model.unet.modules() if isinstance(m, adapters.LevelAttention)}
    assert scales == {0.02}
    for name in (n for n in model.unet.attn_processors if n.endswith("attn2.processor")):
        attn = model.unet.get_submodule(name.removesuffix(".processor"))
        own = attn.processor
        torch.nn.init.normal_(own.to_out.weight)
        x, tokens = (
            torch.randn(2, 4, attn.to_q.in_features),
            torch.randn(2, 16, own.to_k.in_features),
        )
        own.strength = 0
        plain, own.strength = own(attn, x, tokens), 1
        little, own.scale = own(attn, x, tokens) - plain, 1.0
        assert torch.allclose(little, 0.02 * (own(attn, x, tokens) - plain), atol=1e-6)
    again = denoiser.Denoiser.from_config(model.config)
    assert {m.levels for m in again.unet.modules() if isinstance(m, adapters.LevelAttention)} == {
        m.levels for m in model.unet.modules() if isinstance(m, adapters.LevelAttention)
    }, "a saved model keeps the levels that reach it"
