"""The loop: order by (seed, step), bitwise resume, refusal of a loss that is not finite."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import PartialState
from safetensors.torch import load_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from skinsynth.core.errors import UserError
from skinsynth.diffusion import denoiser, objective
from skinsynth.numerics import training
from skinsynth.numerics.training import fit, indices, seeded

pytestmark = pytest.mark.usefixtures("two_lanes")


def _train(out, steps=24, stop=None, ema=0.9):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.2), nn.SiLU(), nn.Linear(16, 1))
    x = torch.randn(100, 6, generator=torch.Generator().manual_seed(1))
    done = []

    def loss(net, index, rng):
        if stop is not None and len(done) == stop:
            raise KeyboardInterrupt
        done.append(index)
        return (
            (net(x[index] + torch.randn(len(index), 6, generator=rng)) - x[index, :1])
            .square()
            .mean()
        )

    fit(model, loss, 100, out=out, steps=steps, batch=8, lr=1e-2, seed=3, ema=ema, save_every=5)
    return model, len(done)


@pytest.mark.parametrize("stop", [1, 2, 4, 5, 6, 9, 11, 13, 17, 23])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_killed_run_ends_bitwise_the_same(tmp_path, stop, ema):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, _ = _train(tmp_path / "whole", ema=ema)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "killed", stop=stop, ema=ema)
    again, steps = _train(tmp_path / "killed", ema=ema)
    assert (steps < 24) == (stop >= 5), "from the checkpoint, not from the beginning"
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_validation_sees_the_averaged_weights_and_leaves_training_alone(tmp_path):
    seen = []

    def check(net):
        seen.append([p.detach().clone() for p in net.parameters()])
        return 0.5

    def train(name, **choices):
        (tmp_path / name).mkdir()
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
        loss = lambda net, index, rng: (net(x[index]) - 1).square().mean()  # noqa: E731
        fit(model, loss, 50, out=tmp_path / name, steps=20, batch=8, lr=0.1, seed=3, **choices)
        return list(model.parameters())

    plain, checked = train("plain", ema=0.9), train("checked", ema=0.9, check=check)
    raw = train("raw")
    assert all(map(torch.equal, plain, checked))
    assert all(map(torch.equal, seen[-1], checked)) and not torch.equal(seen[-1][0], raw[0])
    assert (tmp_path / "checked" / "log.csv").read_text().count(",0.5\n") == 8
    kept = train("kept", ema=0.9, course=tmp_path / "course")
    files = sorted((tmp_path / "course").iterdir(), key=lambda path: int(path.stem))
    assert [int(path.stem) for path in files] == [3, 5, 8, 10, 13, 15, 18, 20]
    for path, then in zip(files, seen, strict=True):
        own = load_file(path)
        assert all(
            torch.equal(own[k], p.half()) for k, p in zip(("weight", "bias"), then, strict=True)
        )
    assert all(map(torch.equal, kept, checked))


def test_order_is_a_function_of_seed_and_step():
    assert torch.equal(indices(10, 4, 0, 7), indices(10, 4, 0, 7))
    assert not torch.equal(indices(100, 50, 0, 0), indices(100, 50, 1, 0))
    epoch = torch.cat([indices(12, 4, 0, s) for s in range(3)])
    assert sorted(epoch.tolist()) == list(range(12)), "every item once an epoch"


def test_weights_balance_draws():
    weights = np.where(np.arange(100) < 10, 9.0, 1.0)
    drawn = torch.cat([indices(100, 64, 0, s, weights) for s in range(50)])
    assert (drawn < 10).float().mean() == pytest.approx(0.5, abs=0.04)


def test_accumulated_parts_give_the_gradient_of_the_whole_batch(tmp_path):
    x = torch.randn(32, 6, generator=torch.Generator().manual_seed(1))
    for batch, several in ((16, 3), (5, 4)):
        made, losses = [], []
        for parts in (1, several):
            torch.manual_seed(0)
            model = nn.Linear(6, 1)
            out = tmp_path / f"{batch}-{parts}"
            out.mkdir()
            loss = lambda net, index, rng: (net(x[index]) - x[index, :1]).square().mean()  # noqa: E731
            fit(model, loss, 32, out=out, steps=6, batch=batch, lr=1e-2, seed=0, accumulate=parts)
            made.append(model.weight.detach().clone())
            losses.append(pd.read_csv(out / "log.csv").loss)
        assert (made[0] - made[1]).abs().max() < 1e-3  # bf16 sums in another order
        assert losses[1].to_numpy() == pytest.approx(losses[0].to_numpy(), rel=0.02), (
            "a part counts by its share of the batch"
        )


def test_the_learning_rate_warms_up_and_falls_to_nothing(tmp_path):
    _train(tmp_path, steps=40)
    rate = pd.read_csv(tmp_path / "log.csv").learning_rate
    assert rate.iloc[0] == pytest.approx(0.005) and rate.max() == pytest.approx(0.01, rel=0.01)
    assert rate.idxmax() < 3 and rate.iloc[20] == pytest.approx(0.005, rel=0.01)
    assert (rate.diff()[3:] < 0).all() and rate.iloc[-1] < 1e-4


def test_nan_stops_the_run_with_step_and_items(tmp_path):
    model = nn.Linear(1, 1)

    def loss(net, index, rng):
        return net(torch.full((4, 1), float("nan"))).mean()

    with pytest.raises(UserError, match="step 0 of .*; items"):
        fit(model, loss, 10, out=tmp_path, steps=3, batch=4, lr=0.1, seed=0)


@pytest.fixture
def valueless(monkeypatch):
    """The meta device as accelerator: its tensors have no values, so that whoever waits for one fails."""
    where, real = torch.device("meta"), torch.optim.AdamW
    monkeypatch.setitem(PartialState()._shared_state, "device", where)
    state = SimpleNamespace(device=where, num_processes=1, process_index=0, is_main_process=True)
    monkeypatch.setattr(training, "Accelerator", lambda: state)
    # meta has no fused optimiser
    monkeypatch.setattr(torch.optim, "AdamW", lambda p, fused, **how: real(p, **how))
    return where


class Copies(TorchDispatchMode):
    """Counts tensors that go from the CPU to a device."""

    def __init__(self, where):
        super().__init__()
        self.where, self.count = where, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **kwargs or {})
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            sources = [x for x in args if isinstance(x, torch.Tensor) and x.device.type == "cpu"]
            self.count += bool(sources) and out.device == self.where
        return out


def test_a_step_waits_for_no_accelerator_until_its_loss_is_logged(tmp_path, valueless):
    """Three steps of four pass; the fourth is logged, and only there somebody asks for a value. Each part of a
    batch sends what it needs once: noisy latents, times, labels, tokens, what is kept, the noise, masks."""
    net = denoiser.Denoiser(denoiser.micro_unet_config(8, 4, 4), 5, 3, 16)
    rng, n = np.random.default_rng(0), 40
    tokens = rng.normal(size=(n, 5, 3, 16)).astype(np.float16)
    given = dict(tokens=tokens, masks=np.ones((n, 4, 4), np.float32))
    latents = rng.normal(size=(n, 4, 4, 4)).astype(np.float32)
    loss = objective.diffusion_loss(latents, denoiser.micro_scheduler(), np.arange(n) % 7, **given)
    sent = []

    def counted(*args):
        with Copies(valueless) as copies:
            value = loss(*args)
        sent.append(copies.count)
        return value

    how = dict(steps=200, batch=8, lr=1e-3, seed=0, ema=0.9, accumulate=2)
    with pytest.raises(NotImplementedError, match="meta"):
        fit(net, counted, n, out=tmp_path, **how)
    assert sent == [7] * 8


def test_a_planted_wait_is_found(tmp_path, valueless):
    """The test above can fail: a loss that looks at itself stops in the first step."""
    seen = []

    def loss(net, index, rng):
        seen.append(index)
        value = net(torch.zeros(4, 2, device=valueless)).square().mean()
        return value if value > 0 else value

    with pytest.raises((NotImplementedError, RuntimeError)):
        fit(nn.Linear(2, 1), loss, 40, out=tmp_path, steps=200, batch=4, lr=1e-3, seed=0)
    assert len(seen) == 1


def test_a_large_checkpoint_is_written_seldom(tmp_path, monkeypatch):
    """Each may take a twentieth of the time: one that takes a second waits for twenty."""
    clock, saves = [0.0], []
    monkeypatch.setattr(training.time, "perf_counter", lambda: clock[0])

    def loss(net, index, rng):
        clock[0] += 1
        return net(torch.ones(4, 2)).mean()

    def save(self, path, step):
        clock[0] += 2
        saves.append(step)

    monkeypatch.setattr(training._State, "save", save)
    fit(nn.Linear(2, 1), loss, 40, out=tmp_path, steps=100, batch=4, lr=0.1, seed=0, save_every=5)
    assert saves == [5, 45, 85]


def test_seeded_is_a_function_of_all_its_numbers():
    draw = lambda *n: torch.rand(1, generator=seeded(*n)).item()  # noqa: E731
    assert draw(1, 2) == draw(1, 2) and len({draw(1, 2), draw(2, 1), draw(1, 3)}) == 3
