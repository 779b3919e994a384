"""Training and sampling of the proposed model against the usual ways, on the models of the micro run."""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from timing import interleaved, rows
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from train import BATCH

from skinsynth import recipe
from skinsynth.core import machine, store
from skinsynth.core.config import CLASSES, configure
from skinsynth.core.versions import RECOMMENDED
from skinsynth.diffusion import clip, denoiser, pipeline, vae
from skinsynth.evaluation import metrics, panel
from skinsynth.numerics import arrays
from skinsynth.numerics.training import seeded

STEPS = 12  # of a training loop that is timed


def _micro():
    cfg = configure("micro")
    return store.Run(cfg.run), cfg


@torch.no_grad()
def _loop(pipe, labels, seeds, tokens, *, scale, steps, batch):
    """Sampling as tutorials write it: two calls of the network a step, for the guess without and with the class."""
    made, side = [], pipe.denoiser.unet.config.sample_size
    for i in range(0, len(labels), batch):
        part = slice(i, i + batch)
        z = pipeline.noise_of(seeds[part], (pipe.denoiser.unet.config.in_channels, side, side)).to(
            machine.device()
        )
        label = torch.tensor([CLASSES.index(c) for c in labels[part]], device=z.device)
        given = torch.from_numpy(tokens[part]).to(z.device)
        pipe.scheduler.set_timesteps(steps)
        noise = seeded(int(seeds[i]), 1)  # not that of the start
        for t in pipe.scheduler.timesteps:
            at = t.expand(len(z)).to(z.device)
            plain = pipe.denoiser(z, at, torch.full_like(label, denoiser.NONE), given)
            guess = plain + scale * (pipe.denoiser(z, at, label, given) - plain)
            z = pipe.scheduler.step(guess, t, z, generator=noise).prev_sample
        made.append(arrays.to_uint8(pipe.latent_format.decode(pipe.vae, z)))
    return np.concatenate(made)


def sampling():
    """Our sampler against the released solver (DDIM, 750 steps, eta 1), and against a loop over single images.

    Same model, seeds, classes, references and guidance; distances to the phantom's test images.
    """
    run, cfg = _micro()
    labels, seeds = pipeline.plan(cfg.samples, CLASSES, cfg.seed * 100_000)
    order = np.random.default_rng(0).permutation(len(labels))
    labels, seeds = [labels[i] for i in order], [seeds[i] for i in order]
    model, own = recipe.model(run, cfg, "8ch+ML"), recipe.autoencoder(run, cfg, "8ch")
    ours, ddpm = (pipeline.load_pipeline(model, own, solver) for solver in ("dpm", "ddpm"))
    tokens = np.asarray(
        pipeline.references(
            "train", labels, seeds, recipe.tokens(run, cfg), recipe.records(run, cfg), cfg.seed
        )[0]
    )

    def draw(n):
        parts = [slice(i, min(i + 64, n)) for i in range(0, n, 64)]
        return np.concatenate(
            [
                ours(
                    labels[p],
                    seeds[p],
                    guidance_scale=cfg.guidance,
                    steps=cfg.sampling_steps,
                    reference=tokens[p],
                )
                for p in parts
            ]
        )

    few, given = 64, dict(scale=cfg.guidance, steps=cfg.sampling_steps)
    ways = {
        "skinsynth": lambda: draw(few),
        "one image at a time, two calls a step": lambda: _loop(
            ours, labels[:few], seeds[:few], tokens[:few], batch=1, **given
        ),
    }
    found = rows(f"sampling, {cfg.sampling_steps} steps of DPM-Solver++", interleaved(ways, 3), few)
    seconds, images = {}, {}

    def released():
        return _loop(ddpm, labels, seeds, tokens, batch=64, scale=cfg.guidance, steps=750)  # noqa: E731

    for way, work in (
        ("skinsynth", lambda: draw(len(labels))),
        ("the released solver: DDIM 750, eta 1", released),
    ):
        start = time.perf_counter()
        images[way] = work()
        seconds[way] = time.perf_counter() - start
    distance = _distances(run, cfg, images, np.array(labels), np.array(seeds))
    note = f"evaluations of the network for an image: {2 * cfg.sampling_steps} against 1500, {750 / cfg.sampling_steps:.1f} times fewer (750 in the released code itself, whose guidance has nothing to guide by); {distance}"
    return found + rows(
        "sampling by our model with the released solver", seconds, len(labels), note=note
    )


def _distances(run, cfg, images, classes, seeds):
    """Frechet distance of the first set of samples minus that of the second, to the test images, in words."""
    made = recipe.records(run, cfg)
    table, originals = arrays.records_of(made), arrays.load_array(made / "images.npy")
    test = np.flatnonzero(table.split == "test")
    same, take = panel.matched(table.dx.iloc[test], classes, cfg.seed)
    judge = panel.Judge(run)
    real = judge(originals[test[same]], table.dx.iloc[test[same]], table.lesion_id.iloc[test[same]])
    ours, theirs = (judge(x[take], classes[take], seeds[take]) for x in images.values())
    each = [
        metrics.with_interval(
            metrics.frechet_distance, real.features, f.features, real.groups, f.groups
        )
        for f in (ours, theirs)
    ]
    gap = panel.fd_difference(real, ours, theirs)
    return f"{judge.names[0]} {each[0]} against {each[1]}; difference {gap}"


def training():
    """Images a second of the denoiser's training from cached arrays, against a loop that encodes in every step.

    The loop is what diffusers' own examples do: photographs through the VAE and the CLIP encoder in each
    step, single precision, AdamW, averaged weights.
    """
    run, cfg = _micro()
    records = recipe.records(run, cfg)
    table = arrays.records_of(records)
    rows_ = np.flatnonzero(table.split == "train")
    pixels = arrays.load_array(recipe.training_images(run, cfg) / "images.npy")
    own = recipe.autoencoder(run, cfg, "8ch")
    latents = arrays.Rows(
        (
            arrays.load_array(
                vae.cache_latents(
                    run, vae=own, images=recipe.training_images(run, cfg), whiten=True
                )
                / "latents.npy"
            ),
            rows_,
        )
    )
    tokens = arrays.Rows((arrays.load_array(recipe.tokens(run, cfg) / "tokens.npy"), rows_))
    labels = arrays.labels_of(table.iloc[rows_], CLASSES)
    masks = denoiser.cell_masks(
        arrays.Rows((arrays.load_array(records / "masks.npy"), rows_)), latents.shape[-1]
    )
    net, scheduler = denoiser.load_denoiser(recipe.model(run, cfg, "8ch+ML"))
    autoencoder, latent_format = vae.load_vae(own)
    encoder, where = recipe.load_clip(cfg), machine.device()
    levels = clip.levels_of(len(encoder.visual.transformer.resblocks))
    parts = dict(VAE=0.0, CLIP=0.0, UNet=0.0)
    wait = torch.cuda.synchronize if where.type == "cuda" else lambda: None

    def ours():
        loss = denoiser.diffusion_loss(latents, scheduler, labels, masks=masks, tokens=tokens)
        with tempfile.TemporaryDirectory() as out:
            denoiser.fit_unet(
                net,
                loss,
                len(labels),
                out=Path(out),
                steps=STEPS,
                batch=cfg.batch,
                lr=1e-5,
                seed=0,
                ema=RECOMMENDED.ema,
            )

    def plain(half=False):
        net.train()
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-5)
        average = {k: v.detach().clone() for k, v in net.named_parameters()}
        rng = np.random.default_rng(0)
        for _ in range(STEPS):
            index = rng.choice(len(labels), cfg.batch)
            start = time.perf_counter()
            x = arrays.to_tensor(pixels[rows_[index]]).to(where)
            mixed = machine.mixed if half else nullcontext
            with torch.no_grad(), mixed():
                z = latent_format.encode(autoencoder, x).float()
                wait()
                middle = time.perf_counter()
                given = clip.select_tokens(clip.hidden_states(encoder, x, levels), cfg.patches)
            wait()
            last = time.perf_counter()
            noise = torch.randn_like(z)
            t = torch.randint(scheduler.config.num_train_timesteps, (len(z),), device=where)
            keep = torch.rand(2, len(z), device=where) > 0.1
            label = torch.from_numpy(labels[index]).to(where).where(keep[0], denoiser.NONE)
            with mixed():
                guess = net(
                    scheduler.add_noise(z, noise, t), t, label, given.float(), keep[1].float()
                )
            loss = F.mse_loss(guess.float(), scheduler.get_velocity(z, noise, t))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            for k, v in net.named_parameters():
                average[k].mul_(RECOMMENDED.ema).add_(v.detach(), alpha=1 - RECOMMENDED.ema)
            wait()
            for name, taken in (
                ()
                if half
                else zip(
                    parts, (middle - start, last - middle, time.perf_counter() - last), strict=True
                )
            ):
                parts[name] += taken

    chosen, every = machine.precision(), "VAE and CLIP in every step"
    ways = {f"skinsynth, cached, {chosen}": ours, f"{every}, float32": plain}
    seconds = interleaved(
        ways | ({} if chosen == "float32" else {f"{every}, {chosen}": lambda: plain(True)}), 5
    )
    whole = sum(parts.values())
    note = "shares of the plain step in float32: " + ", ".join(
        f"{k} {v / whole:.0%}" for k, v in parts.items()
    )
    note += f"; were encoding free, the step would be {whole / parts['UNet']:.1f} times as fast, the rest is arithmetic of the UNet"
    return rows(
        f"training of the denoiser with adapters, batches of {cfg.batch}",
        seconds,
        STEPS * cfg.batch,
        note=note,
    )


def step():
    """A training step of the profile's UNet: floating point operations a second against a matrix product's."""
    run, cfg = _micro()
    net, scheduler = denoiser.load_denoiser(recipe.model(run, cfg, "8ch"))
    where, n = machine.device(), 4096 if torch.cuda.is_available() else 1024
    a = torch.randn(n, n, device=where, dtype=getattr(torch, machine.precision()))
    wait = torch.cuda.synchronize if where.type == "cuda" else lambda: None
    z = torch.randn(
        cfg.batch, net.unet.config.in_channels, *[net.unet.config.sample_size] * 2, device=where
    )
    t, label = (
        torch.arange(cfg.batch, device=where),
        torch.zeros(cfg.batch, dtype=torch.long, device=where),
    )

    def train():
        with machine.mixed():
            net(z, t, label).float().square().mean().backward()
        wait()

    def product():
        a @ a
        wait()

    with FlopCounterMode(display=False) as counter:
        train()
    taken = interleaved({"training step": train, "matrix product": product}, 15)
    speed = {
        "training step": counter.get_total_flops() / taken["training step"],
        "matrix product": 2 * n**3 / taken["matrix product"],
    }
    peak = (
        f"; peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        if where.type == "cuda"
        else ""
    )
    note = f"the step reaches {speed['training step'] / speed['matrix product']:.1%} of the product's speed, {cfg.batch / taken['training step']:.0f} images per second{peak}"
    return [
        {
            "what": f"UNet of the micro profile, batch {cfg.batch}, {machine.precision()}",
            "way": k,
            "n": cfg.batch,
            "value": v / 1e12,
            "unit": "TFLOP per second",
            "ratio": speed["training step"] / v,
            "note": note if i == 0 else "",
        }
        for i, (k, v) in enumerate(speed.items())
    ]


def processes():
    """Sampling by two processes with one core each, by one with two, and by one with one."""
    run, cfg = _micro()
    recipe.model(run, cfg, "8ch+ML")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    ways = {
        "two processes, one core each": (launch, 1),
        "one process, two cores": ([], 2),
        "one process, one core": ([], 1),
    }
    found, script = {}, str(Path(__file__).with_name("draw.py"))
    for k, (way, (start, cores)) in enumerate(ways.items()):
        with tempfile.TemporaryDirectory() as folder:
            order = [sys.executable, *start, script, str(8_000_000 + 1000 * k), folder]
            subprocess.run(
                order,
                check=True,
                capture_output=True,
                env=os.environ | {"OMP_NUM_THREADS": str(cores)},
            )
            found[way] = float((Path(folder) / "seconds").read_text())
    return rows("sampling by processes", found, 64 * len(CLASSES))


def threads(seconds=12.0):
    """Training of the micro UNet alone, beside a loop that keeps a processor busy, and beside a second training.

    "as before": the threads of each operation, spinning as libgomp does of itself.
    """
    found, script = {}, str(Path(__file__).with_name("train.py"))
    spinning = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"} | {
        "GOMP_SPINCOUNT": "300000"
    }
    ways = {
        "parts of a batch side by side": ("lanes", dict(os.environ)),
        "threads of each operation, as before": ("threads", spinning),
    }
    for way, (kind, variables) in ways.items():
        alone = None
        for beside in ("alone", "beside a busy loop", "beside a second training"):
            with tempfile.TemporaryDirectory() as folder:
                names = ["first", "second"] if "second" in beside else ["first"]
                for name in names:
                    (Path(folder) / name).mkdir()

                def order(name, s):
                    return [sys.executable, script, kind, str(s), str(Path(folder) / name)]  # noqa: E731, B023

                others = (
                    [
                        subprocess.Popen(
                            order("second", 5 * seconds), env=variables, stderr=subprocess.DEVNULL
                        )
                    ]
                    if len(names) > 1
                    else []
                )
                if "loop" in beside:
                    others.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
                while len(names) > 1 and not (Path(folder) / "second" / "ready").exists():
                    time.sleep(0.2)
                subprocess.run(
                    order("first", seconds), check=True, capture_output=True, env=variables
                )
                for other in others:
                    other.kill()
                    other.wait()
                speed = float((Path(folder) / "first" / "speed").read_text())
            alone = alone or speed
            found[
                f"{way}, {beside}" + ("" if beside == "alone" else f": {speed / alone:.0%} of that")
            ] = BATCH / speed
    return rows(
        f"training of the micro UNet beside other programs, {machine.precision()}", found, BATCH
    )
