"""The loss of stage 1: who learns from which term, and what a critic is for."""

import cv2
import numpy as np
import pytest
import torch

from skinsynth import phantom
from skinsynth.diffusion import vae, vae_loss
from skinsynth.evaluation import measures
from skinsynth.numerics.training import fit, seeded

pytestmark = pytest.mark.usefixtures("two_lanes")


@pytest.fixture
def critic():
    torch.manual_seed(0)
    return vae_loss.Critic(8)


@pytest.fixture(scope="module")
def images():
    return np.stack([phantom.dermatoscopy(0, i, "nv", 32).image for i in range(8)])


def test_each_side_of_the_contest_learns_from_its_own_loss(critic):
    x, y = (torch.rand(2, 3, 32, 32, requires_grad=True) for _ in range(2))
    found_out, mistaken = vae_loss.contest(critic, x, y)
    weights = list(critic.parameters())
    own = torch.autograd.grad(found_out, [y, *weights], allow_unused=True, retain_graph=True)
    assert own[0].abs().max() > 0 and all(g is None for g in own[1:])
    theirs = torch.autograd.grad(mistaken, [y, *weights], allow_unused=True)
    assert theirs[0] is None and all(g.abs().max() > 0 for g in theirs[1::2])


def test_a_loud_critic_pulls_no_harder_than_a_quiet_one():
    """Its gradient at the decoder's last layer is half as large as that of the image, whatever it says."""
    torch.manual_seed(0)
    last, pulled = torch.randn(3, 4, 1, 1, requires_grad=True), []
    hidden = torch.rand(2, 4, 8, 8, requires_grad=True)
    for loudness in (1e-3, 1, 1e3):
        copy = torch.nn.functional.conv2d(hidden, last)
        first, second = (copy - 1).abs().mean(), loudness * (copy**3).mean()
        own, theirs = (torch.autograd.grad(x, last, retain_graph=True)[0] for x in (first, second))
        loss = vae_loss.balanced(copy, last, first, second, 0.5)
        assert loss.item() == pytest.approx(first.item(), rel=1e-4)
        pulled.append(torch.autograd.grad(loss, last)[0])
        wanted = own + 0.5 * theirs * own.norm() / theirs.norm()
        assert torch.allclose(pulled[-1], wanted, rtol=1e-3, atol=1e-6)
    assert torch.allclose(pulled[0], pulled[2], rtol=1e-3, atol=1e-6)


def test_a_critic_learns_to_tell_copies_from_images(critic):
    """And its opinion of a copy then tells the autoencoder the way to the images, not away from them."""
    rng = seeded(0)
    learns = torch.optim.Adam(critic.parameters(), 2e-3)
    for _ in range(40):
        x = torch.randn(8, 3, 32, 32, generator=rng)
        loss = vae_loss.contest(critic, x, 0.1 * x)[1]
        learns.zero_grad()
        loss.backward()
        learns.step()
    assert critic(x).mean() > critic(0.1 * x).mean() + 0.5
    found_out = [vae_loss.contest(critic, x, share * x)[0] for share in (0.1, 0.5, 1)]
    assert found_out[0] > found_out[1] > found_out[2]


def test_weights_of_the_critic_have_unit_norm_and_no_state(critic):
    for weight, _ in critic.weights():
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-4)
    assert not list(critic.buffers())


def test_versions_have_their_own_terms(images):
    x = torch.zeros(1, 3, 32, 32)
    y = x + 0.5
    released = vae_loss.unlikeness("released")(x, y)
    ours = vae_loss.unlikeness("recommended")(x, y)
    perceptual = ours - 0.5
    structure = released - 0.25 - perceptual
    assert perceptual > 0.01 and 0 < structure <= 1, "L1 against squares and structure"
    net = vae.new_vae(8)
    assert vae_loss.Judged(net, "released").critic is None and vae_loss.Judged(net).critic


@pytest.mark.parametrize(
    ("version", "side"), [(vae_loss.FIRST, 32), ("recommended", 64), ("released", 64)]
)
def test_fine_detail_is_learned_on_whole_images(version, side):
    """Normalised over a crop an image passes otherwise than whole: what learns on crops blurs what it is used on."""
    large = np.stack([phantom.dermatoscopy(0, i, "nv", 64).image for i in range(2)])
    model, seen = vae_loss.Judged(vae.new_vae(8), version), []
    model.vae.encoder.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape[2:]))
    vae_loss.vae_loss(large, version)(model, torch.arange(2), seeded(0))
    assert seen == [(side, side)]


def test_the_check_sees_no_critic_and_draws_nothing(images):
    torch.manual_seed(0)
    model = vae_loss.Judged(vae.new_vae(8)).eval()
    check = vae_loss.validation_loss(images)
    before = torch.get_rng_state()
    first = check(model)
    with torch.no_grad():
        model.critic.layers[0].bias += 1
    assert check(model) == first and torch.equal(before, torch.get_rng_state())


def test_a_training_with_a_critic_resumes_bitwise(images, tmp_path):
    def train(out, steps_kept):
        torch.manual_seed(0)
        model = vae_loss.Judged(vae.new_vae(8))
        out.mkdir(exist_ok=True)
        how = dict(steps=4, batch=4, lr=1e-3, seed=0, ema=0.9, divisible=True, save_every=2)
        loss, seen = vae_loss.vae_loss(images), []

        def stopping(*given):
            seen.append(1)
            if steps_kept and len(seen) > 2 * steps_kept:
                raise KeyboardInterrupt
            return loss(*given)

        return fit(model, stopping, len(images), out=out, **how).state_dict(), len(seen)

    whole, all_parts = train(tmp_path / "whole", 0)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", 3)
    resumed, parts = train(tmp_path / "killed", 0)
    assert parts < all_parts, "from the checkpoint, not from the beginning"
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_a_norm_is_taken_in_single_precision_whatever_multiplies(monkeypatch):
    """CUDA has no eigenvalues of half precision; a CPU would convert it by itself."""
    real, kinds = torch.linalg.eigvalsh, []
    monkeypatch.setattr(torch.linalg, "eigvalsh", lambda x: (kinds.append(x.dtype), real(x))[1])
    with torch.autocast("cpu", torch.bfloat16):
        vae_loss.Critic(8)(torch.zeros(1, 3, 32, 32))
    assert set(kinds) == {torch.float32}


def test_latents_are_held_near_normal_as_strongly_at_every_size(images, monkeypatch):
    """Images twice as wide and high, of the same content, have four times the latent."""
    monkeypatch.setattr(vae_loss, "KL", 1e3)  # nothing else counts then
    model = vae_loss.Judged(vae.new_vae(8), "released").eval()

    def loss(x):
        given = torch.arange(2), torch.Generator().manual_seed(0)
        return vae_loss.vae_loss(x, "released")(model, *given).item()

    with torch.no_grad():
        assert loss(np.tile(images, (1, 2, 2, 1))) == pytest.approx(loss(images), rel=0.1)


def test_energy_is_lost_by_blur_and_won_by_noise(images):
    assert np.abs(measures.energy_kept(images, images)).max() == 0
    blurred = np.stack([cv2.GaussianBlur(x, (0, 0), 1.0) for x in images])
    lost = measures.energy_kept(images, blurred)
    assert (lost[:, 1] < lost[:, 0]).all() and (lost < -1).all(), "fine detail first"
    noise = np.random.default_rng(0).normal(0, 8, images.shape)
    noisy = np.clip(images + noise, 0, 255).astype(np.uint8)
    assert (measures.energy_kept(images, noisy)[:, 1] > 1).all()
    whole, half = 2 * (images // 4), images // 4  # half the contrast is a quarter of the energy
    assert measures.energy_kept(whole, half) == pytest.approx(10 * np.log10(0.25), abs=1e-3)
