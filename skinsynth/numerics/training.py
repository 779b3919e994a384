"""One loop for every network: order by (seed, step), EMA, bitwise resume."""

import json
import math
import time
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from safetensors import safe_open
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm.auto import tqdm

from ..core import machine
from ..core.errors import UserError
from .arrays import load_weights, save_weights


def seeded(*numbers):
    """A CPU generator that depends on the given integers only."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def eighths(steps):
    """Steps after which averaged weights are looked at: at each eighth of a training."""
    return sorted({-(-steps * k // 8) for k in range(1, 9)})


def indices(n, batch, seed, step, weights=None):
    """Indices of one step, a function of (seed, step): epochs of shuffles, or weighted draws."""
    if weights is not None:
        rng = np.random.default_rng([seed, step])
        return torch.from_numpy(rng.choice(n, batch, p=weights / weights.sum()))
    place = np.arange(step * batch, (step + 1) * batch)
    epochs = {e: np.random.default_rng([seed, e]).permutation(n) for e in set(place // n)}
    return torch.tensor([epochs[p // n][p % n] for p in place])


class _State:
    """What a checkpoint holds: weights, their moving average, and the state of optimiser and scaler."""

    def __init__(self, model, lr, ema, where):
        self.model, enabled = machine.placed(model, where), machine.precision(where) == "float16"
        self.model.train().zero_grad()
        self.scaler = torch.amp.GradScaler(where.type, enabled=enabled)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        how = dict(lr=lr, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
        self.optimizer = torch.optim.AdamW(self.parameters, **how)
        named = model.named_parameters() if ema else ()
        self.trained = {k: v for k, v in named if v.requires_grad}
        self.average = {k: v.detach().clone() for k, v in self.trained.items()}

    def save(self, path, step):
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"ema.{k}": v for k, v in self.average.items()}
        for i, slots in self.optimizer.state_dict()["state"].items():
            state |= {f"opt.{i}.{k}": v for k, v in slots.items()}
        facts = dict(step=json.dumps(step), scaler=json.dumps(self.scaler.state_dict()))
        save_weights(path, state, facts)

    def load(self, path):
        """Restore a checkpoint where there is one; returns the number of steps done."""
        if not path.exists():
            return 0
        parts = {"model": {}, "ema": {}, "opt": {}}
        for k, v in load_weights(path).items():
            kind, name = k.split(".", 1)
            parts[kind][name] = v
        self.model.load_state_dict(parts["model"])
        for k, v in parts["ema"].items():
            self.average[k].copy_(v)
        slots = {}
        for k, v in parts["opt"].items():
            i, name = k.split(".", 1)
            slots.setdefault(int(i), {})[name] = v
        for i, p in enumerate(self.parameters):  # in the weights' own layout, see `update`
            own = slots.get(i, {})
            own |= {k: torch.empty_like(p).copy_(v) for k, v in own.items() if v.shape == p.shape}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict(dict(state=slots, param_groups=groups))
        with safe_open(path, "pt") as handle:
            facts = {k: json.loads(v) for k, v in handle.metadata().items()}
        self.scaler.load_state_dict(facts["scaler"])
        return facts["step"]

    def update(self, gradients, rate, decay):
        """One step of the optimiser at learning rate `rate`; decay: of the average."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for p, g in zip(self.parameters, gradients, strict=True):
            # the fused optimiser takes equal layouts for granted
            p.grad = g if g.stride() == p.stride() else torch.empty_like(p).copy_(g)
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            pair = list(self.average.values()), list(self.trained.values())
            with torch.no_grad():
                get_ema_multi_avg_fn(decay)(*pair, None)
        for p in self.parameters:  # the next step needs the memory
            p.grad = None

    def gradients(self):
        """Those that the parts of a step left with their weights, one after the other; zeros where none did."""
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]

    @torch.no_grad()
    def take(self, weights):
        """Put `weights` in the place of the trained ones; returns a copy of those."""
        own = {k: self.trained[k].detach().clone() for k in weights}
        for k, v in weights.items():
            self.trained[k].copy_(v)
        return own

    def keep(self, path):
        """Write the averaged weights alone, in float16, and the others of the network."""
        state = {**dict(self.model.named_parameters()), **self.average}
        save_weights(path, {k: v.detach().half() for k, v in state.items()}, {})

    def validated(self, check):
        """check(model) of the averaged weights; training goes on with its own."""
        own = self.take(self.average)
        with torch.no_grad():
            found = check(self.model.eval())
        self.take(own)
        self.model.train()
        return found


def _examine(losses, name):
    """Raise UserError on the first of [(step, items, loss)] that is not finite; empties the list.

    The one place where training waits for an accelerator, which otherwise works off what it was given.
    """
    values = torch.stack([value for *_, value in losses]).tolist()
    for (step, items, _), value in zip(losses, values, strict=True):
        if not math.isfinite(value):
            raise UserError(f"loss is {value} at step {step} of {name}; items {items.tolist()}")
    losses.clear()


def fit(
    model,
    loss,
    n,
    *,
    out,
    steps,
    batch,
    lr,
    seed,
    weights=None,
    ema=0.0,
    check=None,
    course=None,
    accumulate=1,
    divisible=False,
    classifier=False,
    save_every=200,
    desc="",
):
    """Train `model` in place; returns it with averaged weights where `ema` > 0.

    loss(model, index, rng): index LongTensor (batch,), rng a CPU generator -> scalar tensor.
    n: number of training items; weights: (n,) draw probabilities, None for plain epochs.
    accumulate: parts in which each batch passes through the network, for want of memory. Several
    processes share the parts; part k draws from (seed, step, k), whoever computes it.
    divisible: the network neither mixes the items of a batch (batch normalisation) nor draws (dropout):
    then a CPU's threads compute two parts side by side, see machine.lanes.
    classifier: see machine.mixed.
    check(model) -> validation loss of the averaged weights, logged at each eighth; it trains nothing and
    chooses nothing. course: a folder that keeps these weights in float16, as <step>.safetensors, so that one can
    see what becomes of a network while it is trained.
    The learning rate warms up over 5 % of the steps and falls to zero as a half cosine.
    A run that is killed resumes from `out`/checkpoint and ends bitwise where it would have ended
    (same machine, same number of threads). Raises UserError when the loss is not finite.
    """
    out, accelerator = Path(out), Accelerator()
    where, many = accelerator.device, accelerator.num_processes
    pool = machine.lanes() if divisible else None
    divided = max(accumulate, many * (torch.get_num_threads() if pool else 1))
    if batch < divided:
        fault = f"a batch of {batch} cannot be shared by {divided}"
        raise UserError(f"{out.name}: {fault}; raise batch, or take fewer processes")
    state = _State(model, lr, ema, where)
    kept = out / "checkpoint" / "state.safetensors"
    first = state.load(kept)
    rows, losses, start = [], [], time.perf_counter()
    saved, cost = start, 0.0

    def gradient(step, k, part):
        """(loss, gradients) of part k of a step's batch, times its share of the batch.

        Parts one after the other leave their gradients with the weights: memory holds one set.
        """
        rng = seeded(seed, step, k)
        inside = int(torch.randint(2**31, (1,), generator=rng))
        if pool is None:  # threads share the generator that layers draw from
            torch.manual_seed(inside)
        with machine.mixed(where, classifier):
            own = loss(model, part, rng) * (len(part) / batch)
        scaled = state.scaler.scale(own)
        if pool is None:
            scaled.backward()
            return own.detach(), None
        return own.detach(), torch.autograd.grad(scaled, state.parameters, materialize_grads=True)

    looked = eighths(steps) if check or course else ()

    def due(step, times):
        return (step + 1) % max(1, steps // times) == 0 or step + 1 == steps

    for step in tqdm(range(first, steps), desc=desc or out.name, initial=first, total=steps):
        rate = lr * min(1, (step + 1) / max(1, steps // 20))
        rate *= 0.5 * (1 + np.cos(np.pi * step / steps))
        parts = list(enumerate(indices(n, batch, seed, step, weights).tensor_split(divided)))
        work = [(step, k, part) for k, part in parts[accelerator.process_index :: many]]
        found = (pool.map if pool else map)(gradient, *zip(*work, strict=True))
        values, total = zip(*found, strict=True)
        losses += [(step, part, own) for (_, _, part), own in zip(work, values, strict=True)]
        value = reduce(add, values)
        total = reduce(torch._foreach_add, total) if pool else state.gradients()
        if many > 1:
            value, total = accelerator.reduce(value, "sum"), accelerator.reduce(total, "sum")
        state.update(total, rate, min(ema, (step + 1) / (step + 10)))
        del total  # the next step needs the memory
        # seldom, so that a large network's take a twentieth of the time at most
        keep = (step + 1) % save_every == 0 and time.perf_counter() - saved >= 20 * cost
        if where.type == "cpu" or keep or due(step, 50):
            _examine(losses, out.name)
        if due(step, 50):
            speed = (step + 1 - first) * batch / (time.perf_counter() - start)
            rows.append([step + 1, value.item(), rate, speed, ""])
        if check and step + 1 in looked:
            rows.append([step + 1, "", rate, "", state.validated(check)])
        if course and step + 1 in looked and accelerator.is_main_process:
            state.keep(Path(course) / f"{step + 1}.safetensors")
        if keep and step + 1 < steps and accelerator.is_main_process:
            begun = time.perf_counter()
            state.save(kept, step + 1)
            _log(out / "log.csv", rows)
            saved = time.perf_counter()
            cost = saved - begun
    _log(out / "log.csv", rows)
    state.take(state.average)
    return machine.unplaced(model, where).eval()


def _log(path, rows):
    """Append rows to the log and forget them."""
    columns = ["step", "loss", "learning_rate", "images_per_second", "validation"]
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    table.to_csv(path, mode="a", header=not path.exists(), index=False)
    rows.clear()
