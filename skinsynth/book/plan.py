"""What a run will cost before it begins: its stages, finished or not, with their time, memory and disk."""

import functools
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from .. import phantom, recipe
from ..core import machine, store
from ..core.config import CLASSES, configure
from ..core.versions import VERSIONS, ladder
from ..data import hair, layouts
from ..diffusion import denoiser, pipeline, vae
from ..downstream import classify
from ..networks import bundled, classifiers
from ..numerics import arrays
from ..project import chapters

SD_VAE = dict(
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    block_out_channels=(128, 256, 512, 512),
    layers_per_block=2,
    latent_channels=8,
)
SD_UNET = dict(in_channels=8, out_channels=8, cross_attention_dim=768, attention_head_dim=8)
VIT_H = 2 * 632e6 * 257  # operations of an image through ViT-H/14: two for each weight and token
BACKWARD = 3  # a step of training costs as much as three passes forward


def _walks(made, cfg, finished):
    """Rows of the sets whose paths notebook 05 draws: (samples, phantom's test images or None)."""
    few = max(2, cfg.samples // 4)
    own = [c * cfg.samples + i for c in range(len(CLASSES)) for i in range(few)]
    if cfg.real:
        return own, None
    if not finished:
        return own, list(
            range(0, len(CLASSES) * cfg.n_test, max(1, len(CLASSES) * cfg.n_test // 100))
        )
    test = np.flatnonzero(arrays.records_of(made).split == "test")
    return own, test[:: max(1, len(test) // 100)].tolist()


def _data(run, cfg):
    recipe.records(run, cfg)
    recipe.probe(run, cfg)


def _vae(run, cfg):
    for kind in ("pretrained", "4ch", "8ch"):
        recipe.autoencoder(run, cfg, kind)
    recipe.judged(run, cfg)


def _clip(run, cfg):
    recipe.base(run, cfg)


def _synthesis(run, cfg):
    how = VERSIONS[cfg.version]
    for name in recipe.MODELS:
        recipe.samples(run, cfg, name)
    recipe.training_images(run, cfg)
    recipe.segmenter(run, cfg)
    recipe.clinical(run, cfg)
    for mode in ("none", "class-mean") if cfg.extras else ("none",):
        recipe.samples(run, cfg, "8ch+ML", mode=mode)
    few = max(2, cfg.samples // 3)
    for row in (
        dict(no_class=True, mode="none", guidance=1),
        dict(no_class=True, guidance=3),
        *(dict(guidance=g) for g in (1, 3, 5)),
    ):
        recipe.samples(run, cfg, "8ch+ML", n=few, **row)
    if cfg.extras:
        recipe.samples(run, cfg, "8ch+ML", how=replace(how, reference_scale=cfg.guidance))
        for g in (1, 1.5, 2, 3, 5, 7):
            recipe.classifier(run, cfg, "S", 0, recipe.samples(run, cfg, "8ch+ML", guidance=g))
        recipe.samples(run, cfg, "8ch", how=replace(how, dehair=False))
        short = replace(cfg, unet_steps=cfg.rung_steps or cfg.unet_steps)
        for _, rung in ladder():
            if rung.steps <= cfg.longest:
                recipe.samples(run, short, "8ch+ML", how=rung)


def _interpolation(run, cfg):
    made, folder = recipe.records(run, cfg), recipe.samples(run, cfg, "8ch+ML")
    own, truth = _walks(made, cfg, (made / "stage.json").exists())
    recipe.model(run, cfg, "8ch")
    for spherical in (False, True):
        recipe.interpolation(run, cfg, folder, own, spherical=spherical)
        if truth:
            recipe.interpolation(run, cfg, made, truth, spherical=spherical, name="clean")
    labels = pipeline.plan(cfg.samples)[0]
    whole = recipe.ALPHAS[1:-1]
    choices = [(share, whole) for share in (0.25, 0.5, 0.75)]
    for share, alphas in choices + [
        (0.5, recipe.ALPHAS[a:b]) for a, b in ((1, 4), (4, 7), (7, 10))
    ]:
        recipe.partly_interpolated(run, cfg, folder, share, alphas, labels=labels)


def _downstream(run, cfg):
    arms = [*classify.PAPER_COLUMNS, "R1", "R3"]
    arms += (["R2", "R4", "RSA", "RSI"] + ([] if cfg.real else ["O"])) if cfg.extras else []
    for k, network in enumerate(cfg.backbones):
        for arm in classify.PAPER_COLUMNS if k else arms:
            for seed in range(cfg.classifier_seeds):
                recipe.classifier(run, cfg, arm, seed, recipe.synthetic(run, cfg, arm), network)
    for arm in classify.PAPER_COLUMNS:
        recipe.linear_probe(run, cfg, arm, recipe.synthetic(run, cfg, arm))
    for dose in (0.25, 0.5, 1, 2, 5) if cfg.extras else ():
        for arm in ("R3", "RS"):
            for seed in range(cfg.classifier_seeds):
                recipe.classifier(run, cfg, arm, seed, recipe.synthetic(run, cfg, dose=dose))


NOTEBOOKS = dict(
    zip(
        chapters.NOTEBOOKS,
        (_data, _vae, _clip, _synthesis, _interpolation, _downstream, recipe.judged),
        strict=True,
    )
)


def stages(run, cfg, notebooks=chapters.NOTEBOOKS):
    """Every stage that the notebooks of a run ask for, in their order: {folder: facts}, see store.planning;
    facts["notebook"] is the first one that asks."""
    with store.planning() as found:
        for name in notebooks:
            NOTEBOOKS[name](run, cfg)
            for facts in found.values():
                facts.setdefault("notebook", name)
    return found


def _on_meta(kind, config):
    with torch.device("meta"):
        return kind.from_config({k: v for k, v in dict(config).items() if not k.startswith("_")})


def _cost(net, forward):
    """(operations of a pass forward, bytes that a step keeps for the way back, weights): counted on shapes alone."""
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x)
    with FlopCounterMode(display=False) as counter, hooks:
        forward()
    own = {id(p) for p in net.parameters()}
    bytes_kept = sum(
        {id(x): x.numel() * x.element_size() for x in kept if id(x) not in own}.values()
    )
    return counter.get_total_flops(), bytes_kept, sum(p.numel() for p in net.parameters())


def _models(cfg, where):
    """{kind: (network, function of a batch's size -> its output)} at a configuration's sizes, on a device."""
    side, size = cfg.size // 8, cfg.size
    if cfg.base == "micro":
        folder = bundled.bundled("diffusion").path
        wide = AutoencoderKL.load_config(folder, subfolder="vae") | dict(latent_channels=8)
        deep = UNet2DConditionModel.load_config(folder, subfolder="unet") | dict(
            in_channels=8, out_channels=8
        )
    elif cfg.base == "scratch":
        wide, deep = (
            vae.new_vae(cfg.width, 8).config,
            denoiser.micro_unet_config(cfg.width, 8, side),
        )
    else:
        wide, deep = SD_VAE, SD_UNET
    with torch.device(where):
        autoencoder, unet = (
            kind.from_config({k: v for k, v in config.items() if not k.startswith("_")})
            for kind, config in ((AutoencoderKL, wide), (UNet2DConditionModel, deep))
        )
        network = classifiers.Classifier(cfg.backbones[0], len(CLASSES))
    new = lambda *shape: torch.zeros(shape, device=where)  # noqa: E731
    levels = lambda n: new(n, 1 + 5 * (1 + cfg.patches), unet.config.cross_attention_dim)  # noqa: E731
    return {
        "encode": (
            autoencoder,
            lambda n: autoencoder.encode(new(n, 3, size, size)).latent_dist.mode(),
        ),
        "decode": (autoencoder, lambda n: autoencoder.decode(new(n, 8, side, side)).sample),
        "unet": (
            unet,
            lambda n: unet(new(n, 8, side, side), new(n), encoder_hidden_states=levels(n)).sample,
        ),
        "classifier": (network, lambda n: network(new(n, 3, size, size))),
    }


@functools.cache
def networks(cfg):
    """Cost of one image in each network of a configuration: {kind: (operations, bytes kept, weights)}."""
    found = {}
    for kind, (net, call) in _models(cfg, "meta").items():
        operations, kept, weights = _cost(
            net, lambda call=call: call(2)
        )  # batch normalisation wants two
        found[kind] = operations / 2, kept / 2, weights
    found["clip"] = (VIT_H, 0, 632e6) if cfg.clip != "micro" else (found["classifier"][0], 0, 3e6)
    return found


@functools.cache
def speeds():
    """What this machine does in a second, measured in a few with the networks of `micro`:
    {("train" or "infer", kind): operations}, and images drawn ("draw") and rid of hair ("hair") at 64 pixels."""
    cfg, batch, found = configure("micro"), 16, {}
    for kind, (_, call) in _models(cfg, machine.device()).items():

        def step(call=call):
            with machine.mixed():
                call(batch).float().square().mean().backward()

        found["train", kind] = BACKWARD * batch * networks(cfg)[kind][0] / _seconds(step)
        with torch.no_grad():
            found["infer", kind] = (
                batch
                * networks(cfg)[kind][0]
                / _seconds(lambda call=call: call(batch).float().sum().item())
            )
    found["draw"] = machine.processors() / _seconds(lambda: phantom.dermatoscopy(1, 0, "nv", 64))
    skin = phantom.dermatoscopy(1, 0, "nv", 64).image
    found["hair"] = 1 / _seconds(lambda: hair.dullrazor(skin))
    return found


def _seconds(call, times=2):
    """Median seconds of a call, after one that warms up."""
    call()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def images_of(cfg):
    """Number of dermatoscopic images of a configuration; for the phantom about that."""
    if not cfg.real:
        return cfg.n_train + len(CLASSES) * cfg.n_test
    found = len(layouts.load(Path(cfg.data), seed=cfg.seed)["ham"])
    return min(found, 3 * cfg.limit) if cfg.limit else found


def cost(facts, cfg, n):
    """(seconds, GiB of memory, GiB of disk) of a stage; n: images of the set. Estimates, not promises."""
    name, i, net, speed = facts["stage"], facts["inputs"], networks(cfg), speeds()
    pixels, area = cfg.size**2, (cfg.size / 64) ** 2
    steps, batch = i.get("steps", 0), i.get("batch", 0)
    many = len(i.get("labels") or i.get("rows") or ()) or i.get("n") or n

    def train(*kinds, part=1.0):
        return sum(steps * batch * part * BACKWARD * net[k][0] / speed["train", k] for k in kinds)

    def infer(kind, count, like=None):
        return count * net[kind][0] / speed["infer", like or kind]

    seconds = {
        "phantom": lambda: (n + i["n_pad"]) * area / speed["draw"],
        "images": lambda: n * area / 600,
        "training-images": lambda: n * area / speed["hair"] if i["dehair"] else 1,
        "generic": lambda: many * area / speed["draw"],
        "fresh-phantom": lambda: len(CLASSES) * many * area / speed["draw"],
        "vae": lambda: train("encode", "decode", part=0.25),  # crops of half the side
        "vae-scratch": lambda: train("encode", "decode", part=0.25),
        "vae-pretrained": lambda: infer("encode", 512),
        "latents": lambda: infer("encode", n),
        "tokens": lambda: infer("clip", n, "classifier"),
        "embeddings": lambda: infer("clip", n, "classifier"),
        "denoiser": lambda: train("unet"),
        "unet-pretrained": lambda: train("unet"),
        "samples": lambda: (
            infer("unet", many * steps * (2 if i["guidance"] != 1 else 1)) + infer("decode", many)
        ),
        "classifier": lambda: train("classifier") + infer("classifier", n),
        "probe": lambda: train("classifier"),
        "segmenter": lambda: train("encode", part=0.25),
        "interpolation": lambda: infer("decode", 11 * many) + infer("encode", 2 * many),
        "partly-interpolated": lambda: infer("decode", many) + infer("encode", 2 * many),
        "features": lambda: infer("classifier", n) * max(1, 128**2 / pixels),
        "judges": lambda: infer("classifier", 60 * len(CLASSES) * i["n"]) * max(1, 128**2 / pixels),
        "linear-probe": lambda: 3,
    }[name]()
    kinds = dict(
        vae=("encode", "decode"),
        denoiser=("unet",),
        classifier=("classifier",),
        probe=("classifier",),
    )
    used = kinds.get(name.removesuffix("-scratch"), ())
    weights = max((net[k][2] for k in used), default=0)
    kept = (
        sum(net[k][1] for k in used)
        * batch
        / i.get("accumulate", 1)
        * (0.25 if "vae" in name else 1)
    )
    kept /= 1 if machine.precision() == "float32" else 2
    sets = dict(
        images=10 * pixels, latents=pixels / 2, samples=5 * pixels, phantom=6 * pixels
    )  # bytes an image
    sets |= {
        "training-images": 3 * pixels,
        "partly-interpolated": 5 * pixels,
        "interpolation": 37 * pixels,
    }
    sets["tokens"] = 5 * (1 + cfg.patches) * (1280 if cfg.clip != "micro" else 128) * 2
    return (
        seconds,
        (1e9 + 6 * 4 * weights + kept) / 2**30,
        (4 * weights + many * sets.get(name, 0)) / 2**30,
    )


def table(run, cfg, notebooks=chapters.NOTEBOOKS):
    """A row for each stage: notebook, stage, finished, path, seconds, memory and disk in GiB."""
    n, rows = images_of(cfg), []
    for facts in stages(run, cfg, notebooks).values():
        seconds, memory, disk = cost(facts, cfg, n)
        known = {k: facts[k] for k in ("notebook", "stage", "finished", "path")}
        rows.append(known | dict(seconds=facts["seconds"] or seconds, memory=memory, disk=disk))
    return pd.DataFrame(rows)


def summary(found):
    """`table` with stages of one kind in one row, and what is left: (DataFrame, seconds)."""
    left = found.seconds.where(~found.finished, 0.0)
    grouped = found.assign(left=left).groupby(["notebook", "stage"], sort=False)
    shown = grouped.agg(
        stages=("stage", "size"),
        finished=("finished", "sum"),
        minutes_left=("left", "sum"),
        memory_GiB=("memory", "max"),
        disk_GiB=("disk", "sum"),
    )
    return shown.assign(minutes_left=shown.minutes_left / 60).reset_index(), float(left.sum())


def words(seconds):
    """A duration as a person says it."""
    for unit, size, most in (("s", 1, 90), ("minutes", 60, 5400), ("hours", 3600, 4 * 86400)):
        if seconds < most:
            return f"{seconds / size:.{int(unit == 'hours')}f} {unit}"
    return f"{seconds / 86400:.0f} days"


@contextmanager
def announced(run, cfg, notebooks, say):
    """Say how long the stages that are left will take; in a terminal show it as a bar while the block lasts.

    Nothing is said where every stage is finished.
    """
    if all(facts["finished"] for facts in stages(run, cfg, notebooks).values()):
        yield
        return
    found = table(run, cfg, notebooks)
    waiting = found[~found.finished]
    say(
        f"{len(waiting)} of {len(found)} stages are left: about {words(waiting.seconds.sum())} on {machine.sentence()}"
    )
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    bar = tqdm(
        total=waiting.seconds.sum(),
        bar_format="{percentage:3.0f}% {bar} {elapsed} gone, {remaining} left",
    )
    watcher = threading.Thread(target=_watch, args=(waiting, bar, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        bar.close()


def _watch(waiting, bar, over):
    """Move a bar by the cost of the stages that are finished, and through the one that is under way by the clock."""
    done, since = 0.0, time.monotonic()
    while not over.wait(2):
        ready = np.array([(path / "stage.json").exists() for path in waiting.path])
        now = waiting.seconds[ready].sum()
        done, since = (now, time.monotonic()) if now > done else (done, since)
        under_way = waiting.seconds[~ready].iloc[:1].sum()
        bar.n = min(bar.total, done + min(time.monotonic() - since, 0.95 * under_way))
        bar.refresh()
