"""Expansion, adapters, latents, pipeline: the invariants of the models, on real small networks."""

import hub
import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from skinsynth import phantom
from skinsynth.core import store
from skinsynth.core.config import CLASSES
from skinsynth.core.errors import UserError
from skinsynth.core.store import Stage
from skinsynth.diffusion import (
    adapters,
    clip,
    denoiser,
    expansion,
    layers,
    objective,
    pipeline,
    vae,
)
from skinsynth.numerics import arrays
from skinsynth.numerics.arrays import to_tensor, to_uint8
from skinsynth.pretrain import contrastive

SIDE, TOKENS, WIDTH = 4, 3, 24


@pytest.fixture(scope="module")
def small():
    """A 4-channel VAE and UNet of smoke size with random weights."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(denoiser.micro_unet_config(16, 4, SIDE))
    return vae.new_vae(16).eval(), unet.eval()


@torch.no_grad()
def test_vae_expansion_keeps_the_function(small):
    old, x = small[0], torch.rand(2, 3, 32, 32) * 2 - 1
    wide = expansion.expand_vae(old, 8)
    a, b = old.encode(x).latent_dist, wide.encode(x).latent_dist
    assert (a.mean - b.mean[:, :4]).abs().max() < 1e-5
    assert (a.logvar - b.logvar[:, :4]).abs().max() < 1e-5
    assert (old.decode(a.mean).sample - wide.decode(b.mean).sample).abs().max() < 1e-5
    assert b.mean[:, 4:].std() > 0.01, "new encoder rows are random, so that they can learn"


@torch.no_grad()
def test_new_channels_are_aimed_at_what_the_old_ones_leave_out(small):
    old, x = small[0], torch.rand(16, 3, 32, 32) * 2 - 1
    wide = expansion.expand_vae(old, 8)
    random = wide.encode(x).latent_dist.mean
    expansion.aim_new_channels(wide, 4, x)
    code = wide.encode(x).latent_dist.mean
    assert torch.equal(code[:, :4], random[:, :4])
    assert (
        old.decode(old.encode(x).latent_dist.mean).sample - wide.decode(code).sample
    ).abs().max() < 1e-5
    spread = code.std((0, 2, 3))
    assert torch.allclose(spread[4:], spread[:4].max(), rtol=1e-3), (
        "as strong as the strongest old channel"
    )
    seen = []
    hook = wide.encoder.conv_out.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    wide.encode(x)
    hook.remove()

    def flat(z):
        return z.transpose(0, 1).flatten(1).T - z.mean((0, 2, 3))

    features = flat(seen[0])

    def left_out(z):
        return (features - flat(z) @ torch.linalg.lstsq(flat(z), features).solution).square().sum()

    assert left_out(code) < 0.8 * left_out(random) < left_out(random[:, :4])


def test_new_channels_receive_gradient(small):
    wide = expansion.expand_vae(small[0], 8).train()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    (wide.decode(wide.encode(x).latent_dist.mean).sample - x).square().mean().backward()
    assert wide.decoder.conv_in.weight.grad[:, 4:].abs().max() > 0


def test_a_published_vae_is_read_by_its_old_names_and_what_is_missing_is_named(small, tmp_path):
    """Stable Diffusion's file calls the parts of attention query, key, value and proj_attn."""
    small[0].save_pretrained(tmp_path / "vae")
    file, own = tmp_path / "vae/diffusion_pytorch_model.safetensors", small[0].state_dict()
    published = hub.old_names(load_file(file))
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in published
    save_file(published, file, metadata={"format": "pt"})
    read = expansion.pretrained(AutoencoderKL, Stage(tmp_path, ""), "vae").state_dict()
    assert all(torch.equal(read[k], v) for k, v in own.items()) and len(read) == len(own)
    del published["decoder.conv_in.weight"]
    save_file(published, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match="vae: weights without decoder.conv_in.weight; delete"):
        expansion.pretrained(AutoencoderKL, Stage(tmp_path, ""), "vae")


@torch.no_grad()
def test_unet_expansion_keeps_the_function(small):
    z, t, e = torch.randn(2, 8, SIDE, SIDE), torch.tensor([3, 700]), torch.randn(2, 1, 64)
    wide = expansion.expand_unet(small[1], 8)
    assert (small[1](z[:, :4], t, e).sample - wide(z, t, e).sample[:, :4]).abs().max() < 1e-5
    moved = z.clone()
    moved[:, 4:] += 1
    assert torch.equal(wide(z, t, e).sample, wide(moved, t, e).sample)


@pytest.mark.slow
@torch.no_grad()
def test_expansion_at_the_size_of_stable_diffusion():
    """The public configuration of Stable Diffusion 1.5 with random weights: 83.7 M and 859.5 M."""
    torch.manual_seed(0)
    old = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 256, 512, 512],
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    ).eval()
    assert round(sum(p.numel() for p in old.parameters()) / 1e6, 1) == 83.7
    wide, x = expansion.expand_vae(old, 8), torch.rand(1, 3, 64, 64) * 2 - 1
    a, b = old.encode(x).latent_dist.mean, wide.encode(x).latent_dist.mean
    assert (old.decode(a).sample - wide.decode(b).sample).abs().max() < 1e-5
    unet = UNet2DConditionModel(
        sample_size=64,
        block_out_channels=[320, 640, 1280, 1280],
        cross_attention_dim=768,
        attention_head_dim=8,
    ).eval()
    assert round(sum(p.numel() for p in unet.parameters()) / 1e6, 1) == 859.5
    z, t, e = torch.randn(1, 8, 8, 8), torch.tensor([300]), torch.randn(1, 1, 768)
    before = unet(z[:, :4], t, e).sample
    wide = expansion.expand_unet(unet, 8)
    assert (before - wide(z, t, e).sample[:, :4]).abs().max() < 1e-5


def test_level_map_shallow_levels_at_high_resolution(small):
    unet = UNet2DConditionModel.from_config(dict(small[1].config))
    adapters.attach(unet, 5, TOKENS)
    own = {n: p for n, p in unet.attn_processors.items() if isinstance(p, adapters.LevelAttention)}
    short = {n.split(".attentions")[0]: p.levels for n, p in own.items()}
    assert short["down_blocks.0"] == short["up_blocks.2"] == (0, 1)
    assert short["mid_block"] == (4,)
    assert sorted({k for levels in short.values() for k in levels}) == [0, 1, 2, 3, 4]


@pytest.fixture(scope="module")
def adapted(small):
    torch.manual_seed(1)
    return denoiser.Denoiser.build(expansion.expand_unet(small[1], 8), 5, TOKENS, WIDTH).eval()


def _inputs(n=2):
    g = torch.Generator().manual_seed(5)
    z = torch.randn(n, 8, SIDE, SIDE, generator=g)
    return z, torch.full((n,), 500), torch.arange(n), torch.randn(n, 5, TOKENS, WIDTH, generator=g)


@torch.no_grad()
def test_adapters_start_as_the_identity(adapted):
    z, t, label, tokens = _inputs()
    assert torch.equal(adapted(z, t, label), adapted(z, t, label, tokens))


def test_adapters_learn_and_drop(small):
    torch.manual_seed(3)
    wide = expansion.expand_unet(small[1], 8)
    net = denoiser.Denoiser.build(wide, 5, 1 + 4, WIDTH)
    z, t, label, _ = _inputs()
    tokens = torch.randn(2, 5, 5, WIDTH)
    assert torch.equal(net.eval()(z, t, label), net(z, t, label, tokens))
    torch.nn.init.normal_(net.unet.conv_out.weight, std=0.1)
    net(z, t, label, tokens).square().sum().backward()
    moved = [
        m.to_out.weight.grad
        for m in net.unet.modules()
        if isinstance(m, adapters.LevelAttention) and m.levels
    ]
    assert all(g.abs().max() > 0 for g in moved)
    with torch.no_grad():
        for m in net.unet.modules():
            if isinstance(m, adapters.LevelAttention):
                torch.nn.init.normal_(m.to_out.weight, std=0.2)
        assert not torch.allclose(net(z, t, label), net(z, t, label, tokens))
        assert torch.equal(net(z, t, label), net(z, t, label, tokens, torch.zeros(2)))


def _trained(model):
    """The same model with adapters and new output rows away from zero."""
    torch.manual_seed(2)
    other = denoiser.Denoiser.from_config(model.config)
    other.load_state_dict(model.state_dict())
    for m in other.unet.modules():
        if isinstance(m, adapters.LevelAttention):
            torch.nn.init.normal_(m.to_out.weight, std=0.2)
    torch.nn.init.normal_(other.unet.conv_out.weight, std=0.05)
    return other.eval()


@torch.no_grad()
def test_dropped_tokens_and_scale_zero_add_nothing(adapted):
    model = _trained(adapted)
    z, t, label, tokens = _inputs()
    plain, given = model(z, t, label), model(z, t, label, tokens)
    assert (plain - given).abs().max() > 1e-3
    assert (plain - model(z, t, label, tokens, torch.zeros(2))).abs().max() < 1e-6
    half = model(z, t, label, tokens, torch.tensor([1.0, 0.0]))
    assert (half[0] - given[0]).abs().max() < 1e-5 and (half[1] - plain[1]).abs().max() < 1e-5
    model.set_adapters(0)
    assert torch.equal(plain, model(z, t, label, tokens))


def test_gradients_reach_every_level(adapted):
    model = _trained(adapted).train()
    z, t, label, tokens = _inputs()
    model(z, t, label, tokens).square().mean().backward()
    for project in model.adapters.project:
        assert project[1].weight.grad.abs().max() > 0


def test_each_level_matters(adapted):
    model = _trained(adapted)
    z, t, label, tokens = _inputs()
    with torch.no_grad():
        whole = model(z, t, label, tokens)
        for k in range(5):
            other = tokens.clone()
            other[:, k] += torch.randn(tokens[:, k].shape)
            assert (model(z, t, label, other) - whole).abs().max() > 1e-5, f"level {k}"


def test_latent_format_whitens_and_floors():
    z = torch.randn(64, 8, 4, 4) * torch.tensor([1, 2, 3, 4, 5, 6, 7, 0.0]).view(1, 8, 1, 1) + 3
    form = vae.LatentFormat.measure(z)
    white = form.whiten(z)
    assert white.mean((0, 2, 3)).abs().max() < 1e-4
    assert (white[:, :7].std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert form.std[7] == pytest.approx(0.05 * max(form.std)), "a dead channel is not blown up"
    assert (form.restore(white) - z).abs().max() < 1e-5


def test_uint8_round_trip_is_exact_and_clips():
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    assert np.array_equal(to_uint8(to_tensor(x)), x)
    assert to_uint8(torch.full((1, 3, 2, 2), 3.0)).max() == 255


@pytest.fixture(scope="module")
def pipe(small, adapted):
    scheduler = pipeline.SOLVERS["dpm"](denoiser.micro_scheduler().config)
    plain = (0.0,) * 8, (1.0,) * 8
    return pipeline.SkinPipeline(
        expansion.expand_vae(small[0], 8), _trained(adapted), scheduler, *plain
    )


@pytest.mark.parametrize("solver", pipeline.SOLVERS)
def test_image_depends_on_its_seed_only(pipe, solver):
    scheduler = pipeline.SOLVERS[solver](pipe.scheduler.config)
    plain = pipe.latent_format.mean, pipe.latent_format.std
    pipe = pipeline.SkinPipeline(pipe.vae, pipe.denoiser, scheduler, *plain)
    tokens = _inputs(4)[3].half().numpy()
    labels, seeds = ["mel", "df", "nv", "none"], [7, 8, 9, 10]
    together = pipe(labels, seeds, steps=3, reference=tokens).astype(int)
    for k in range(4):
        alone = pipe(labels[k : k + 1], seeds[k : k + 1], steps=3, reference=tokens[k : k + 1])
        assert abs(alone[0].astype(int) - together[k]).max() <= 1
    turned = pipe(labels[::-1], seeds[::-1], steps=3, reference=tokens[::-1].copy()).astype(int)
    assert abs(turned[::-1] - together).max() <= 1
    assert abs(together[0] - together[1]).max() > 1


@pytest.mark.parametrize(("solver", "steps"), [("dpm", 16), ("ddpm", 750), ("ddpm", 500)])
def test_a_solver_goes_from_nothing_but_noise_to_the_image(solver, steps):
    """Of a network that knows the image, at steps that do not divide the times of training too."""
    scheduler = pipeline.SOLVERS[solver](denoiser.micro_scheduler().config)
    scheduler.set_timesteps(steps)
    assert scheduler.timesteps[0] == 999 and len(scheduler.timesteps) == steps
    image, z = torch.linspace(-2, 2, 16).view(1, 1, 4, 4), pipeline.noise_of([3], (1, 4, 4))
    noise = torch.Generator().manual_seed(0)
    for t in scheduler.timesteps:
        kept = scheduler.alphas_cumprod[t]
        added = (z - kept.sqrt() * image) / (1 - kept).sqrt()
        velocity = kept.sqrt() * added - (1 - kept).sqrt() * image
        z = scheduler.step(velocity, t, z, generator=noise).prev_sample
        if solver == "ddpm" and 300 < t < 700:  # what is left is as much noise as the next time has
            assert 0.4 < added.std() < 1.8
    assert (z - image).abs().max() < 0.02


def test_noise_on_the_way_is_not_the_noise_at_the_start(pipe, monkeypatch):
    seen, shape = [], (8, SIDE, SIDE)
    scheduler = pipeline.SOLVERS["ddpm"](pipe.scheduler.config)
    step = type(scheduler).step

    def spied(self, *given, generator):
        copy = torch.Generator()
        copy.set_state(generator[0].get_state())
        seen.append(torch.randn(shape, generator=copy))
        return step(self, *given, generator=generator)

    monkeypatch.setattr(type(scheduler), "step", spied)
    plain = pipe.latent_format.mean, pipe.latent_format.std
    pipeline.SkinPipeline(pipe.vae, pipe.denoiser, scheduler, *plain)(["nv"], [7], steps=3)
    start = pipeline.noise_of([7], shape)[0]
    assert (
        len(seen) == 3
        and abs(torch.corrcoef(torch.stack([seen[0].flatten(), start.flatten()]))[0, 1]) < 0.5
    )


@torch.no_grad()
def test_what_is_to_stay_is_kept_and_the_rest_is_painted(pipe):
    own, given = torch.randn(2, 8, SIDE, SIDE), (["nv", "df"], [1, 2])
    cells = torch.ones(2, 1, SIDE, SIDE, dtype=torch.bool)
    kept = pipe(*given, steps=3, keep=(own, cells)).astype(int)
    assert abs(kept - vae.decode(pipe.vae, pipe.latent_format, own)).max() <= 1
    painted, free = pipe(*given, steps=3, keep=(own, ~cells)), pipe(*given, steps=3)
    assert abs(painted.astype(int) - free).max() <= 1


def test_guidance_acts_on_all_channels(pipe):
    z, t, label, tokens = _inputs()
    with torch.no_grad():
        base = pipe._guided(z, t, label, tokens, 1)
        guided = pipe._guided(z, t, label, tokens, 3.0)
        none = torch.full_like(label, objective.NONE)
        reference = pipe.denoiser(z, t, none, tokens)
        without = pipe.denoiser(z, t, none)
        strong = pipe._guided(z, t, label, tokens, 3.0, 3.0)
        mild = pipe._guided(z, t, label, tokens, 3.0, 2.0)
        plain = pipe._guided(z, t, label, None, 3.0)
        alone = pipe.denoiser(z, t, label)
    assert (guided - (reference + 3 * (base - reference))).abs().max() < 1e-4
    assert (strong - (without + 3 * (base - without))).abs().max() < 1e-4
    assert (
        mild - (without + 2 * (reference - without) + 3 * (base - reference))
    ).abs().max() < 1e-4
    assert (plain - (without + 3 * (alone - without))).abs().max() < 1e-4
    assert ((guided - base).abs().amax((0, 2, 3)) > 1e-5).all()


def test_adapters_have_a_strength_while_sampling(pipe):
    tokens = _inputs(2)[3].half().numpy()

    def drawn(**how):
        return pipe(["mel", "df"], [7, 8], steps=2, **how).astype(int)

    full, half, off = (drawn(reference=tokens, adapter_strength=k) for k in (1.0, 0.5, 0.0))
    plain = drawn(reference=np.zeros_like(tokens), adapter_strength=0.0)
    assert abs(full - half).max() > 1 and abs(full - off).max() > 1
    assert abs(off - plain).max() <= 1, "switched off, the reference does not matter"
    assert abs(drawn(reference=tokens) - full).max() <= 1, (
        "as trained by default, whatever came before"
    )


def test_levels_can_be_left_out_while_sampling(pipe):
    tokens = _inputs(2)[3].half().numpy()

    def drawn(**how):
        return pipe(["mel", "df"], [7, 8], steps=2, reference=tokens, **how).astype(int)

    whole, off = drawn(), drawn(adapter_strength=0.0)
    for k in range(5):
        assert abs(drawn(without_levels=(k,)) - whole).max() > 1, f"level {k}"
    assert abs(drawn(without_levels=range(5)) - off).max() <= 1, "no level is no adapter"
    assert abs(drawn() - whole).max() <= 1, "all levels by default, whatever came before"


def test_saved_pipeline_gives_the_same_images(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = pipeline.SkinPipeline.from_pretrained(tmp_path, local_files_only=True)
    assert np.array_equal(pipe(["mel"], [3], steps=2), again(["mel"], [3], steps=2))


def test_wrong_calls_are_refused(pipe):
    with pytest.raises(UserError, match="unknown class 'melanoma'.*akiec"):
        pipe(["melanoma"], [0])
    with pytest.raises(UserError, match="3 seeds for 2 images"):
        pipe(["mel", "df"], [0, 1, 2])
    with pytest.raises(UserError, match="1 references for 2 images"):
        pipe(["mel", "df"], [0, 1], reference=np.zeros((1, 5, TOKENS, WIDTH), np.float16))


def test_levels_have_the_papers_relative_depths():
    assert clip.levels_of(32) == clip.PAPER_LEVELS
    assert clip.levels_of(8) == (1, 2, 4, 5, 7)


def test_clip_states_levels_and_selection():
    torch.manual_seed(0)
    model = open_clip.CLIP(**contrastive.micro_config(32, 20)).eval()
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    states = clip.hidden_states(model, x)
    assert states.shape == (2, 8, 65, 128)
    assert torch.allclose(clip.hidden_states(model, x, (1, 4))[:, 1], states[:, 4], atol=1e-5)
    chosen = clip.select_tokens(states, 8)
    assert chosen.shape == (2, 8, 9, 128) and torch.equal(chosen[:, :, 0], states[:, :, 0])
    norms = states[0, 3, 1:].norm(dim=-1)
    assert chosen[0, 3, 1:].norm(dim=-1).min() >= norms.sort().values[-8] - 1e-5
    assert layers.pca_maps(states).shape == (8, 2, 8, 8, 3)


@pytest.mark.slow
def test_levels_of_the_papers_encoder_at_its_size():
    """ViT-H/14 with random weights: all 32 layers for Fig 3, five levels of CLS and 32 patches."""
    facts = open_clip.get_model_config("ViT-H-14")
    torch.manual_seed(0)
    model = open_clip.CLIP(
        facts["embed_dim"], facts["vision_cfg"], dict(width=64, heads=1, layers=1)
    ).eval()
    assert round(sum(p.numel() for p in model.visual.parameters()) / 1e6) == 632
    x = torch.rand(1, 3, 256, 256) * 2 - 1
    states = clip.hidden_states(model, x)
    assert states.shape == (1, 32, 257, 1280)
    chosen = clip.hidden_states(model, x, clip.levels_of(32))
    assert torch.allclose(chosen, states[:, list(clip.PAPER_LEVELS)], atol=1e-4)
    assert clip.select_tokens(chosen, 32).shape == (1, 5, 33, 1280)
    assert layers.pca_maps(states).shape == (32, 1, 16, 16, 3)


def test_captions_name_no_diagnosis_and_tokens_end_once():
    captions = [phantom.caption(phantom.generic(0, i, 32)[2]) for i in range(40)]
    words = contrastive.words_of(captions)
    for word in (
        "melanoma",
        "nevus",
        "naevus",
        "carcinoma",
        "keratosis",
        "dermatofibroma",
        *CLASSES,
    ):
        assert word not in words
    tokens = contrastive.tokenize(captions, words)
    assert (tokens == len(words) + 2).sum(1).eq(1).all() and tokens.max() == len(words) + 2


def test_class_and_image_are_dropped_independently():
    """Over many items the four combinations occur in the shares of two independent draws."""
    seen = []

    def spy(z, t, label, tokens, keep):
        seen.append(torch.stack([label[:, 0] == objective.NONE, ~keep]))
        return z

    n = 4000
    loss = objective.diffusion_loss(
        np.zeros((n, 4, 2, 2), np.float32),
        denoiser.micro_scheduler(),
        np.zeros(n, np.int64),
        tokens=np.zeros((n, 1, 1, 1), np.float16),
        share=0.3,
    )
    loss(spy, torch.arange(n), torch.Generator().manual_seed(0))
    label, image = seen[0].float()
    assert label.mean() == pytest.approx(0.3, abs=0.03) and image.mean() == pytest.approx(
        0.3, abs=0.03
    )
    assert (label * image).mean() == pytest.approx(0.09, abs=0.02)


def test_the_check_of_training_is_always_the_same_and_draws_from_its_own_generators():
    seen = []

    def net(z, t, label, tokens, keep):
        seen.append((z, t, label, keep))
        return torch.zeros_like(z)

    z = np.random.default_rng(0).normal(size=(10, 4, 2, 2)).astype(np.float32)
    given = dict(tokens=np.zeros((10, 1, 1, 1), np.float16), share=0)
    loss = objective.diffusion_loss(
        z, denoiser.micro_scheduler(), np.arange(10) % len(CLASSES), **given
    )
    check = objective.fixed_check(loss, 10, seed=3)
    before = torch.get_rng_state()
    first, again = check(net), check(net)
    assert first == again and torch.equal(before, torch.get_rng_state())
    assert first != objective.fixed_check(loss, 10, seed=4)(net)
    assert all((label != objective.NONE).all() and keep.all() for _, _, label, keep in seen)
    assert sum(len(z) for z, *_ in seen) == 30, "every item, each time"


def test_symmetries_turn_latents_and_masks_alike_and_keep_labels(small, tmp_path):
    """Eight views of each image, the images as they are first; tokens stay those of the image itself."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    masks = rng.integers(0, 2, (5, 32, 32), dtype=np.uint8)
    for name, array in (("images", images), ("masks", masks)):
        arrays.save_array(tmp_path / f"{name}.npy", array)
    arrays.save_array(tmp_path / "tokens.npy", np.arange(5, dtype=np.float16))
    made = store.Stage(tmp_path, "")
    vae.save_vae(tmp_path, small[0], images)
    vae.cache_latents.__wrapped__(tmp_path, vae=made, images=made, symmetries=8)
    latents = arrays.load_array(tmp_path / "latents.npy")
    model, form = vae.load_vae(made)
    turned = [arrays.turned(images, k) for k in range(8)]
    assert len({x.tobytes() for x in turned}) == 8 and np.array_equal(turned[0], images)
    for k in (0, 3, 6):
        assert np.allclose(
            latents[5 * k : 5 * k + 5], vae.encode(model, form, turned[k]), atol=1e-5
        )
    rows, table = np.array([1, 4]), pd.DataFrame({"dx": ["nv", "mel", "nv", "df", "bcc"]})
    how = dict(lesion_weight=True)
    seen = denoiser._cached(rows, table, latents, made, made, how, symmetries=8)
    assert len(seen["latents"]) == len(seen["labels"]) == len(seen["tokens"]) == 16
    for k in (0, 3, 6):
        own = slice(2 * k, 2 * k + 2)
        wanted = objective.cell_masks(arrays.turned(masks, k)[rows], SIDE)
        assert np.array_equal(seen["masks"][own], wanted)
        assert np.array_equal(seen["latents"][own], latents[5 * k + rows])
        assert [CLASSES[i] for i in seen["labels"][own]] == ["mel", "bcc"]
        assert list(seen["tokens"][own]) == [1, 4]
