"""The loop: order by (seed, step), bitwise resume, refusal of a loss that is not finite."""

import numpy as np
import pytest
import torch
from torch import nn

from skinsynth.core.errors import UserError
from skinsynth.numerics.training import fit, indices, seeded


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
    return model


@pytest.mark.parametrize("stop", [1, 2, 4, 5, 6, 9, 11, 13, 17, 23])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_killed_run_ends_bitwise_the_same(tmp_path, stop, ema):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = _train(tmp_path / "whole", ema=ema)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "killed", stop=stop, ema=ema)
    again = _train(tmp_path / "killed", ema=ema)
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
    assert (tmp_path / "checked" / "log.csv").read_text().count(",0.5\n") == 10


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
    made = []
    for parts in (1, 3):
        torch.manual_seed(0)
        model = nn.Linear(6, 1)
        out = tmp_path / str(parts)
        out.mkdir()
        loss = lambda net, index, rng: (net(x[index]) - x[index, :1]).square().mean()  # noqa: E731
        fit(model, loss, 32, out=out, steps=6, batch=16, lr=1e-2, seed=0, accumulate=parts)
        made.append(model.weight.detach().clone())
    assert (made[0] - made[1]).abs().max() < 1e-3  # bf16 sums in another order


def test_nan_stops_the_run_with_step_and_items(tmp_path):
    model = nn.Linear(1, 1)

    def loss(net, index, rng):
        return net(torch.full((4, 1), float("nan"))).mean()

    with pytest.raises(UserError, match="step 0 of .*; items"):
        fit(model, loss, 10, out=tmp_path, steps=3, batch=4, lr=0.1, seed=0)


def test_seeded_is_a_function_of_all_its_numbers():
    draw = lambda *n: torch.rand(1, generator=seeded(*n)).item()  # noqa: E731
    assert draw(1, 2) == draw(1, 2) and len({draw(1, 2), draw(2, 1), draw(1, 3)}) == 3
