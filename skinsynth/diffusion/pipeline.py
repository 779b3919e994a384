"""Sampling: a diffusers pipeline from classes and seeds to images, and sample folders on disk."""

import copy

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler
from PIL import Image
from tqdm.auto import tqdm

from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.machine import device, side_by_side
from ..core.store import atomic, read_json, stage, write_csv, write_json
from ..data.splits import manifest_hash
from ..numerics.arrays import Rows, load_array, records_of, save_array, stream_array, to_uint8
from . import clip
from .denoiser import NONE, load_denoiser, trained_on
from .vae import LatentFormat, load_vae

SOLVERS = dict(
    dpm=lambda config: DPMSolverMultistepScheduler.from_config(config, timestep_spacing="trailing"),
    ddim=lambda config: DDIMScheduler.from_config(config, clip_sample=False),
)


def noise_of(seeds, shape):
    """Start noise: image k's depends on its seed only. float32, drawn on the CPU."""
    return torch.stack(
        [torch.randn(shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds]
    )


def _check_call(labels, seeds, reference):
    """Raise UserError on an unknown class, or another number of seeds or references than of labels."""
    if wrong := set(labels) - {*CLASSES, "none"}:
        raise UserError(
            f"unknown class {sorted(wrong)[0]!r}; choose from: {', '.join(CLASSES)}, none"
        )
    for name, given in (("seeds", seeds), ("references", reference)):
        if given is not None and len(given) != len(labels):
            raise UserError(f"{len(given)} {name} for {len(labels)} images; give one for each")


class SkinPipeline(DiffusionPipeline):
    """Class names and seeds -> images. Guidance has one scale for the class, one for the reference.

    `latent_mean`, `latent_std`: the LatentFormat, kept in the pipeline's own configuration.
    """

    def __init__(self, vae, denoiser, scheduler, latent_mean=None, latent_std=None):
        super().__init__()
        self.register_modules(vae=vae, denoiser=denoiser, scheduler=scheduler)
        self.register_to_config(latent_mean=list(latent_mean), latent_std=list(latent_std))
        self.latent_format = LatentFormat(tuple(latent_mean), tuple(latent_std))

    @torch.no_grad()
    def __call__(
        self,
        labels,
        seeds=None,
        *,
        num_images=1,
        guidance_scale=3.0,
        steps=16,
        reference=None,
        reference_scale=1.0,
        adapter_strength=1.0,
        without_levels=(),
        eta=0.0,
        start=None,
        keep=None,
    ):
        """`num_images` images of each label: uint8 (N,H,W,3), N = labels * num_images.

        labels: class names, or "none"; seeds: N ints, by default 0, 1, ... for each label;
        reference: float16 tokens (N,L,T,D) of reference images (clip.image_tokens), or None;
        guidance_scale, reference_scale: of the class and of the reference, 1 is no guidance;
        adapter_strength: 1 as trained, 0 off; without_levels: numbers of CLIP levels (0 the shallowest)
        that the adapters do not read; start: latents (N,C,h,w) to use instead of noise; keep:
        (latents (N,C,h,w), cells (N,1,h,w) bool) of images that are to stay as they are in these cells
        and are painted anew in the others (as RePaint, Lugmayr et al. 2022, without going back and forth).
        Raises UserError on an unknown class or another number of seeds or references than of images.
        """
        seeds = list(range(num_images)) * len(labels) if seeds is None else seeds
        labels = [c for c in labels for _ in range(num_images)]
        _check_call(labels, seeds, reference)
        side = self.denoiser.unet.config.sample_size
        shape = (self.denoiser.unet.config.in_channels, side, side)
        where = self._execution_device
        z = (noise_of(seeds, shape) if start is None else start).to(where)
        numbers = [NONE if c == "none" else CLASSES.index(c) for c in labels]
        label, kept = torch.tensor(numbers, device=where), {}
        if reference is not None:
            kept = dict(tokens=torch.from_numpy(np.asarray(reference)).to(where))
        self.denoiser.set_adapters(adapter_strength, without_levels)

        def velocity(z, t):
            return self._guided(z, t.expand(len(z)), label, kept, guidance_scale, reference_scale)

        z = self._denoised(z, velocity, seeds, steps, eta, keep)
        # in small parts: in large ones an image costs a CPU twice the time
        return np.concatenate(
            [to_uint8(self.latent_format.decode(self.vae, part)) for part in z.split(16)]
        )

    def _denoised(self, z, velocity, seeds, steps, eta, keep):
        """Latents from noise z by the solver; velocity(z, t): what the network says, guided."""
        scheduler = copy.deepcopy(self.scheduler)  # it counts steps: each call its own
        scheduler.set_timesteps(steps, device=z.device)
        extra, first = {}, z
        if eta:
            noise = [torch.Generator().manual_seed(int(s) + 2**40) for s in seeds]
            extra = dict(eta=eta, generator=noise)
        for i, t in enumerate(scheduler.timesteps):
            z = scheduler.step(velocity(z, t), t, z, **extra).prev_sample
            if keep is not None:
                later = scheduler.timesteps[i + 1 : i + 2]
                own = keep[0].to(z.device)
                own = scheduler.add_noise(own, first, later.expand(len(z))) if len(later) else own
                z = torch.where(keep[1].to(z.device), own, z)
        return z

    def _guided(self, z, t, label, kept, scale, reference_scale=1.0):
        """Classifier-free guidance on all channels, from no condition over the reference to both:
        v0 + reference_scale * (v_ref - v0) + scale * (v_both - v_ref). What weighs nothing is not computed."""
        none, r, g = torch.full_like(label, NONE), reference_scale, scale
        terms = (
            [(1 - r, none, 0), (r - g, none, 1), (g, label, 1)]
            if kept
            else [(1 - g, none, 0), (g, label, 0)]
        )
        if (label == NONE).all():  # nothing to be guided by but the reference
            terms = [(1 - r, none, 0), (r, none, 1)] if kept else [(1, none, 0)]
        weights, labels, keep = zip(*(term for term in terms if term[0]), strict=True)
        n, extra = len(weights), {}
        if kept:
            keep = torch.tensor(keep, dtype=z.dtype, device=z.device).repeat_interleave(len(z))
            extra = dict(tokens=torch.cat([kept["tokens"]] * n), keep=keep)
        guesses = self.denoiser(
            torch.cat([z] * n), torch.cat([t] * n), torch.cat(labels), **extra
        ).chunk(n)
        return sum(w * guess for w, guess in zip(weights, guesses, strict=True))


def load_pipeline(model, vae, solver="dpm"):
    """Pipeline from a denoiser stage and the VAE stage it was trained with."""
    facts = trained_on(model)
    if facts["vae"] != vae.key:
        raise UserError(f"{model.path.name} was trained with another VAE than {vae.path.name}")
    autoencoder, latent_format = load_vae(vae)
    latent_format = latent_format if facts["whiten"] else latent_format.plain()
    net, scheduler = load_denoiser(model)
    made = SkinPipeline(
        autoencoder, net, SOLVERS[solver](scheduler.config), latent_format.mean, latent_format.std
    )
    made.set_progress_bar_config(disable=True)
    return made.to(device())


def references(mode, labels, seeds, tokens, records, seed):
    """Reference tokens of each wanted sample: (tokens or None, reference image ids).

    mode: "none"; "train": an image of the train split of the wanted class, drawn by (seed, index);
    "class-mean": the mean tokens of that class's train images.
    """
    if mode == "none" or tokens is None:
        return None, [""] * len(labels)
    table, cached = records_of(records), load_array(tokens / "tokens.npy")
    if mode == "class-mean":
        train = (table.split == "train").to_numpy()
        known = sorted(set(labels))
        means = [
            cached[np.flatnonzero(train & (table.dx == c))].mean(0, dtype=np.float32) for c in known
        ]
        return Rows((np.stack(means).astype(np.float16), [known.index(c) for c in labels])), [
            ""
        ] * len(labels)
    rows = clip.reference_rows(table, labels, seed, seeds)
    return Rows((cached, rows)), table.image_id.iloc[rows].tolist()


@stage("samples")
def sample(
    out,
    *,
    model,
    vae,
    labels,
    seeds,
    guidance,
    steps,
    mode="none",
    tokens=None,
    records=None,
    seed=0,
    reference_labels=None,
    reference_scale=1.0,
    batch=48,
    solver="dpm",
    eta=0.0,
    pass_class=True,
    stretch=False,
    strength=1.0,
    without=(),
):
    """A folder of samples: <class>/<seed>.png, metadata.csv (ImageFolder, HF datasets), images.npy.

    labels, seeds: lists of equal length; image k depends on (labels[k], seeds[k]) only.
    reference_labels: classes of the reference images where they are not the labels (Fig 10).
    pass_class=False: the labels name folders only, the network is not told; stretch: each image to
    its own minimum and maximum (both: the released code). strength, without: of the adapters, see SkinPipeline.
    Resumes at the first batch that is missing.
    """
    pipe = load_pipeline(model, vae, solver)
    given, ids = references(mode, reference_labels or labels, seeds, tokens, records, seed)
    starts = range(0, len(labels), batch)
    parts = [out / "checkpoint" / f"{i}.npy" for i in starts]
    state = PartialState()
    mine = list(zip(starts, parts, strict=True))[state.process_index :: state.num_processes]
    bar = tqdm(total=len(mine), desc="samples", unit="batch")

    def draw(i, part):
        if not part.exists():
            made = pipe(
                labels[i : i + batch] if pass_class else ["none"] * len(labels[i : i + batch]),
                seeds[i : i + batch],
                guidance_scale=guidance,
                steps=steps,
                eta=eta,
                reference_scale=reference_scale,
                adapter_strength=strength,
                without_levels=without,
                reference=None if given is None else given[i : i + batch],
            )
            save_array(part, stretched(made) if stretch else made)
        bar.update()

    if mine:
        side_by_side(draw, *zip(*mine, strict=True))
    bar.close()
    state.wait_for_everyone()
    names = [
        f"{dx}/{k:05d}_{s:07d}.png" for k, (dx, s) in enumerate(zip(labels, seeds, strict=True))
    ]
    facts = dict(guidance=guidance, model=model.key, reference=ids, alpha="")
    meta = pd.DataFrame({"file_name": names, "class": labels, "seed": seeds} | facts)
    write_folder(out, len(labels), (load_array(part) for part in parts), meta, trained_on(model))


def write_folder(out, n, parts, meta, provenance):
    """A folder of n samples on disk; metadata.csv comes last: a folder without it is unfinished.

    parts: arrays of images, one after the other; memory holds one.
    """
    for image, name in zip(stream_array(out / "images.npy", n, parts), meta.file_name, strict=True):
        with atomic(out / name) as part:
            Image.fromarray(np.asarray(image)).save(part, compress_level=1)
    write_json(out / "provenance.json", provenance)
    write_csv(out / "metadata.csv", meta)


def stretched(images):
    """Each image stretched to its own minimum and maximum, as the released code saves it."""
    low, high = (f(images, axis=(1, 2, 3), keepdims=True).astype(float) for f in (np.min, np.max))
    return ((images - low) / np.maximum(high - low, 1) * 255).round().astype(np.uint8)


def plan(n, classes=CLASSES, first_seed=0):
    """(labels, seeds) of n images of each class; the same seeds serve every class."""
    labels = [c for c in classes for _ in range(n)]
    return labels, [first_seed + i for _ in classes for i in range(n)]


def provenance_check(samples, records):
    """Refuse samples whose generator was trained under another split than `records`' manifest."""
    facts = read_json(samples / "provenance.json")
    if facts.get("manifest") != manifest_hash(records):
        raise UserError(
            f"{samples.path.name}: its generator was trained under another split than this test set; "
            "it may have seen test lesions. Sample again from a model of this split"
        )
