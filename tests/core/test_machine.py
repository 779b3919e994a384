"""Precision, threads and waiting follow the machine, and what the user has set stays."""

import subprocess
import sys

import pandas as pd
import pytest
import torch
from conftest import ROOT
from torch import nn

from skinsynth.core import machine
from skinsynth.core.errors import UserError
from skinsynth.numerics import training

pytestmark = pytest.mark.usefixtures("two_lanes")

AVX2 = dict(avx2=True, avx512_bf16=False, amx_bf16=False)
NATIVE = dict(avx2=True, avx512_bf16=True, amx_bf16=False)


@pytest.fixture
def processor(monkeypatch):
    """Make this process believe in another processor: processor(instructions, flags)."""
    monkeypatch.delenv("SKINSYNTH_PRECISION", raising=False)

    def pretend(instructions, flags):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)

    return pretend


def _train(out, stop=None, **choices):
    """A short training; returns (network, logged losses, precisions seen inside the loss).

    stop: number of calls of the loss after which the training is interrupted.
    """
    out.mkdir(exist_ok=True)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 3, 3, padding=1))
    x, seen = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(1)), []

    def loss(model, index, rng):
        if len(seen) == stop:
            raise KeyboardInterrupt
        seen.append(
            str(torch.get_autocast_dtype("cpu"))
            if torch.is_autocast_enabled("cpu")
            else "torch.float32"
        )
        noise = torch.randn(len(index), 3, 8, 8, generator=rng)
        return (model(x[index] + noise).float() - x[index]).square().mean()

    given = dict(steps=40, batch=16, lr=1e-2, seed=0, ema=0.9, save_every=5)
    training.fit(net, loss, 64, out=out, **given | choices)
    return net, pd.read_csv(out / "log.csv").loss.to_numpy(), seen


@pytest.mark.parametrize(
    ("instructions", "flags", "expected"),
    [
        ("AVX2", AVX2, "float32"),
        ("AVX2", NATIVE, "float32"),  # torch computes with AVX2 only, whatever the processor has
        ("AVX512", AVX2, "float32"),  # AVX-512 alone emulates bfloat16
        ("AVX512", NATIVE, "bfloat16"),
        ("AVX512", AVX2 | dict(amx_bf16=True), "bfloat16"),
        ("DEFAULT", {}, "float32"),
        ("SVE256", dict(bf16=True), "float32"),
    ],
)
def test_a_processor_gets_bfloat16_only_where_its_hardware_multiplies_it(
    processor, tmp_path, instructions, flags, expected
):
    processor(instructions, flags)
    assert machine.precision(torch.device("cpu")) == expected
    seen = _train(tmp_path / "run", steps=1)[2]
    assert set(seen) == {f"torch.{expected}"}
    assert machine.describe()["precision"] == expected and expected in machine.sentence()


def test_graphics_processors(monkeypatch):
    monkeypatch.delenv("SKINSYNTH_PRECISION", raising=False)
    for native, expected in ((True, "bfloat16"), (False, "float16")):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, native=native: native
        )
        assert machine.precision(torch.device("cuda")) == expected
    assert machine.precision(torch.device("mps")) == "float32"


def test_a_variable_forces_a_precision_and_a_wrong_one_is_refused(processor, monkeypatch):
    processor("AVX2", AVX2)
    monkeypatch.setenv("SKINSYNTH_PRECISION", "bfloat16")
    assert machine.precision(torch.device("cpu")) == "bfloat16"
    monkeypatch.setenv("SKINSYNTH_PRECISION", "bf16")
    with pytest.raises(
        UserError, match="SKINSYNTH_PRECISION=bf16: choose one of float32, bfloat16, float16"
    ):
        machine.precision(torch.device("cpu"))


@pytest.mark.parametrize("chosen", ["bfloat16", "float16"])
def test_precisions_train_alike(tmp_path, monkeypatch, chosen):
    """Declared tolerance: every logged loss within 2 %, of a fall of half or more."""
    found = {}
    for name in ("float32", chosen):
        monkeypatch.setenv("SKINSYNTH_PRECISION", name)
        found[name] = _train(tmp_path / name)[1]
    assert found["float32"][-1] < 0.6 * found["float32"][0]
    assert abs(found[chosen] / found["float32"] - 1).max() < 0.02
    assert abs(found[chosen] - found["float32"]).max() > 0, "both were computed in one precision"


@pytest.mark.parametrize("chosen", ["float32", "float16"])
@pytest.mark.parametrize("divisible", [False, True])
def test_a_killed_run_ends_bitwise_the_same(tmp_path, monkeypatch, chosen, divisible):
    monkeypatch.setenv("SKINSYNTH_PRECISION", chosen)
    whole, _, all_steps = _train(tmp_path / "whole", divisible=divisible)
    with pytest.raises(KeyboardInterrupt):
        parts = torch.get_num_threads() if divisible and machine.lanes() else 1
        _train(tmp_path / "killed", divisible=divisible, stop=23 * parts + 1)
    assert (tmp_path / "killed" / "checkpoint").exists()
    again, _, steps = _train(tmp_path / "killed", divisible=divisible)
    assert len(steps) < len(all_steps), "from the checkpoint, not from the beginning"
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_parts_side_by_side_give_what_one_after_the_other_gives(tmp_path, monkeypatch):
    if machine.lanes() is None:
        pytest.skip("one thread: nothing goes side by side")
    monkeypatch.setenv("SKINSYNTH_PRECISION", "float32")
    n = torch.get_num_threads()
    beside, after = (
        _train(tmp_path / k, divisible=d, accumulate=n)
        for k, d in (("beside", True), ("after", False))
    )
    assert torch.get_num_threads() == n, "the process keeps its threads"
    assert abs(beside[1] / after[1] - 1).max() < 1e-4
    again = _train(tmp_path / "again", divisible=True, accumulate=n)
    for a, b in zip(beside[0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(a, b)


def test_lanes_keep_order_and_gradient_mode_and_may_call_lanes():
    outer = machine.side_by_side(
        lambda i: sum(machine.side_by_side(lambda j: i * j, range(4))), range(5)
    )
    assert outer == [6 * i for i in range(5)]
    weight = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        assert not any(
            y.requires_grad for y in machine.side_by_side(lambda i: i * weight, range(3))
        )
    assert all(y.requires_grad for y in machine.side_by_side(lambda i: i * weight, range(3)))
    with pytest.raises(ValueError, match="bad"):
        machine.side_by_side(lambda i: int("bad"), range(3))


def test_a_batch_smaller_than_its_parts_is_refused(tmp_path):
    with pytest.raises(UserError, match="a batch of 2 cannot be shared by 3; raise batch"):
        _train(tmp_path / "run", batch=2, accumulate=3)


def test_processors_are_those_this_process_may_use(tmp_path):
    quota = tmp_path / "cpu.max"
    everything = machine.processors(quota)
    quota.write_text("max 100000\n")
    assert machine.processors(quota) == everything
    quota.write_text("100000 100000\n")
    assert machine.processors(quota) == 1
    quota.write_text("50000 100000\n")
    assert machine.processors(quota) == 1


def test_what_the_user_has_set_stays(monkeypatch):
    for own in ({"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "5", "OMP_NUM_THREADS": "7"}):
        given = dict(own)
        machine.prepare(given)
        assert (
            own.items() <= given.items()
            and len(set(given) & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}) == 1
        )
    monkeypatch.setattr(machine, "processors", lambda: 3)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    given = {}
    machine.prepare(given)
    assert given == {"GOMP_SPINCOUNT": machine.SPIN, "OMP_NUM_THREADS": "3"}


def test_it_is_set_before_torch_is_imported():
    code = "import skinsynth, sys, os; assert 'torch' not in sys.modules; print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": ""}, cwd=ROOT
    )
    assert done.stdout.strip() == machine.SPIN, done.stderr
