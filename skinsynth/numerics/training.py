"""One loop for every network: order by (seed, step), EMA, bitwise resume."""

import csv
import json
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm.auto import tqdm

from ..core import machine
from ..core.errors import UserError
from ..core.store import atomic


def seeded(*numbers):
    """A CPU generator that depends on the given integers only."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def indices(n, batch, seed, step, weights=None):
    """Indices of one step, a function of (seed, step): epochs of shuffles, or weighted draws."""
    if weights is not None:
        rng = np.random.default_rng([seed, step])
        return torch.from_numpy(rng.choice(n, batch, p=weights / weights.sum()))
    place = np.arange(step * batch, (step + 1) * batch)
    epochs = {e: np.random.default_rng([seed, e]).permutation(n) for e in set(place // n)}
    return torch.tensor([epochs[p // n][p % n] for p in place])


@torch.no_grad()
def blend(average, current, decay):
    """Exponential moving average of weights, in place: decay * average + (1 - decay) * current."""
    get_ema_multi_avg_fn(decay)(average, current, None)


@contextmanager
def averaged(trained, average):
    """The averaged weights in the place of the trained ones while the block lasts."""
    own = {k: trained[k].detach().clone() for k in average}
    with torch.no_grad():
        for k, v in average.items():
            trained[k].copy_(v)
        yield
        for k, v in own.items():
            trained[k].copy_(v)


def _save(folder, model, average, optimizer, scaler, step):
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    state |= {f"ema.{k}": v for k, v in average.items()}
    for i, slots in optimizer.state_dict()["state"].items():
        state |= {f"opt.{i}.{k}": v for k, v in slots.items()}
    folder.mkdir(exist_ok=True)
    with atomic(folder / "state.safetensors") as part:
        state = {k: v.detach().cpu().contiguous().clone() for k, v in state.items()}
        save_file(
            state,
            part,
            metadata={"step": json.dumps(step), "scaler": json.dumps(scaler.state_dict())},
        )


def _load(folder, model, average, optimizer, scaler):
    """Restore a checkpoint into the four; returns the number of steps done."""
    path = folder / "state.safetensors"
    if not path.exists():
        return 0
    state = load_file(path)
    take = lambda p: {k[len(p) :]: v for k, v in state.items() if k.startswith(p)}  # noqa: E731
    model.load_state_dict(take("model."))
    for k, v in take("ema.").items():
        average[k].copy_(v)
    slots = {}
    for k, v in take("opt.").items():
        i, name = k.split(".", 1)
        slots.setdefault(int(i), {})[name] = v
    for i, p in enumerate(
        optimizer.param_groups[0]["params"]
    ):  # in the weights' own layout, see the step
        own = slots.get(i, {})
        own |= {k: torch.empty_like(p).copy_(v) for k, v in own.items() if v.shape == p.shape}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict(dict(state=slots, param_groups=groups))
    with safe_open(path, "pt") as handle:
        facts = {k: json.loads(v) for k, v in handle.metadata().items()}
    scaler.load_state_dict(facts["scaler"])
    return facts["step"]


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
    check(model) -> validation loss of the averaged weights, logged ten times; it trains nothing and
    chooses nothing.
    The learning rate warms up over 5 % of the steps and falls to zero as a half cosine.
    A run that is killed resumes from `out`/checkpoint and ends bitwise where it would have ended
    (same machine, same number of threads). Raises UserError when the loss is not finite.
    """
    out = Path(out)
    accelerator = Accelerator()
    where, many = accelerator.device, accelerator.num_processes
    pool = machine.lanes() if divisible else None
    scaler = torch.amp.GradScaler(where.type, enabled=machine.precision(where) == "float16")
    model = model.to(where).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=lr, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
    )
    trained = {k: v for k, v in model.named_parameters() if v.requires_grad} if ema else {}
    average = {k: v.detach().clone() for k, v in trained.items()}
    first = _load(out / "checkpoint", model, average, optimizer, scaler)
    rows, start = [], time.perf_counter()

    def gradient(step, k, part, share):
        """(loss, gradients) of part k of a step's batch, times its share of the batch."""
        rng = seeded(seed, step, k)
        inside = int(torch.randint(2**31, (1,), generator=rng))
        if pool is None:  # threads share the generator that layers draw from
            torch.manual_seed(inside)
        with machine.mixed(where, classifier):
            own = loss(model, part, rng) * share
        if not torch.isfinite(own):
            raise UserError(
                f"loss is {own.item()} at step {step} of {out.name}; items {part.tolist()}"
            )
        found = torch.autograd.grad(scaler.scale(own), parameters, materialize_grads=True)
        return own.detach(), found

    divided = max(accumulate, many * (torch.get_num_threads() if pool else 1))
    if batch < divided:
        raise UserError(
            f"{out.name}: a batch of {batch} cannot be shared by {divided}; raise batch, or take fewer processes"
        )
    for step in tqdm(range(first, steps), desc=desc or out.name, initial=first, total=steps):
        rate = lr * min(1, (step + 1) / max(1, steps // 20))
        rate *= 0.5 * (1 + np.cos(np.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        index = indices(n, batch, seed, step, weights)
        parts = list(enumerate(index.tensor_split(divided)))
        work = [
            (step, k, part, len(part) / batch)
            for k, part in parts[accelerator.process_index :: many]
        ]
        value, total = None, None
        for own, found in (pool.map if pool else map)(gradient, *zip(*work, strict=True)):
            value = own if value is None else value + own
            total = list(found) if total is None else torch._foreach_add(total, found)
        if many > 1:
            value, total = accelerator.reduce(value, "sum"), accelerator.reduce(total, "sum")
        for p, g in zip(
            parameters, total, strict=True
        ):  # the fused optimiser takes equal layouts for granted
            p.grad = g if g.stride() == p.stride() else torch.empty_like(p).copy_(g)
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        scaler.step(optimizer)
        scaler.update()
        decay = min(ema, (step + 1) / (step + 10))
        if average:
            blend(list(average.values()), list(trained.values()), decay)
        if (step + 1) % max(1, steps // 50) == 0 or step + 1 == steps:
            speed = (step + 1 - first) * batch / (time.perf_counter() - start)
            rows.append([step + 1, value.item(), rate, speed, ""])
        if check and ((step + 1) % max(1, steps // 10) == 0 or step + 1 == steps):
            with averaged(trained, average):
                rows.append([step + 1, "", rate, "", check(model.eval())])
            model.train()
        if (step + 1) % save_every == 0 and step + 1 < steps and accelerator.is_main_process:
            _save(out / "checkpoint", model, average, optimizer, scaler, step + 1)
            _log(out / "log.csv", rows)
    _log(out / "log.csv", rows)
    with torch.no_grad():
        for k, v in average.items():
            trained[k].copy_(v)
    return model.eval()


def _log(path, rows):
    """Append rows to the log and forget them."""
    new = not path.exists()
    with open(path, "a", newline="") as handle:
        writer = csv.writer(handle)
        if new:
            writer.writerow(["step", "loss", "learning_rate", "images_per_second", "validation"])
        writer.writerows(rows)
    rows.clear()
