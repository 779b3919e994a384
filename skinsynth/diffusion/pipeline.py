"""Sampling: a diffusers pipeline from classes and seeds to images, and sample folders on disk."""

import copy

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from diffusers import DDPMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler
from PIL import Image
from tqdm.auto import tqdm

from ..core.config import CLASSES
from ..core.errors import UserError
from ..core.machine import device, side_by_side
from ..core.store import atomic, read_json, stage, write_csv, write_json
from ..data.splits import manifest_hash
from ..numerics.arrays import Rows, load_array, records_of, save_array, stream_array
from ..numerics.training import seeded
from .denoiser import NONE, load_denoiser
from .vae import LatentFormat, decode, load_vae, weights_digest

BATCH = 48  # images that are drawn at a time, and kept when a run is killed
ANCESTRAL = dict(clip_sample=False, variance_type="fixed_small", timestep_spacing="linspace")
SOLVERS = dict(
    dpm=lambda config: DPMSolverMultistepScheduler.from_config(config, timestep_spacing="trailing"),
    # DDIM with eta 1 is DDPM's own sampler; diffusers' DDIM leaves out the noisiest times where the steps do not divide them
    ddpm=lambda config: DDPMScheduler.from_config(config, **ANCESTRAL),
)


def noise_of(seeds, shape):
    """Start noise: image k's depends on its seed only. float32, drawn on the CPU."""
    own = (torch.Generator().manual_seed(int(s)) for s in seeds)
    return torch.stack([torch.randn(shape, generator=g) for g in own])


def _check_call(labels, seeds, reference):
    """Raise UserError on an unknown class, or another number of seeds or references than of labels."""
    if wrong := set(labels) - {*CLASSES, "none"}:
        raise UserError(f"unknown class {min(wrong)!r}; choose from: {', '.join(CLASSES)}, none")
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
        seeds,
        *,
        guidance_scale=3.0,
        steps=16,
        reference=None,
        reference_scale=1.0,
        adapter_strength=1.0,
        without_levels=(),
        keep=None,
    ):
        """An image of each label: uint8 (N,H,W,3).

        labels: N class names, or "none"; seeds: N ints; reference: float16 tokens (N,L,T,D) of reference
        images (clip.image_tokens), or None; guidance_scale, reference_scale: of the class and of the
        reference, 1 is no guidance; adapter_strength: 1 as trained, 0 off; without_levels: numbers of
        CLIP levels (0 the shallowest) that the adapters do not read; keep: (latents (N,C,h,w), cells
        (N,1,h,w) bool) of images that are to stay as they are in these cells and are painted anew in the
        others (as RePaint, Lugmayr et al. 2022, without going back and forth).
        Raises UserError on an unknown class or another number of seeds or references than of images.
        """
        _check_call(labels, seeds, reference)
        unet, where = self.denoiser.unet.config, self._execution_device
        first = noise_of(seeds, (unet.in_channels, unet.sample_size, unet.sample_size)).to(where)
        numbers = [NONE if c == "none" else CLASSES.index(c) for c in labels]
        label, tokens = torch.tensor(numbers, device=where), None
        if reference is not None:
            tokens = torch.from_numpy(np.asarray(reference)).to(where)
        self.denoiser.set_adapters(adapter_strength, without_levels)
        scheduler = copy.deepcopy(self.scheduler)  # it counts steps: each call its own
        scheduler.set_timesteps(steps, device=where)
        z, times = first, scheduler.timesteps
        noise = [seeded(int(s), 1) for s in seeds]  # of solvers that add some at each step
        for t, later in zip(times, [*times[1:], None], strict=True):
            at = t.expand(len(z))
            velocity = self._guided(z, at, label, tokens, guidance_scale, reference_scale)
            z = scheduler.step(velocity, t, z, generator=noise).prev_sample
            if keep is not None:
                own, cells = (x.to(where) for x in keep)
                if later is not None:
                    own = scheduler.add_noise(own, first, later.expand(len(z)))
                z = torch.where(cells, own, z)
        return decode(self.vae, self.latent_format, z)

    def _guided(self, z, t, label, tokens, scale, reference_scale=1.0):
        """Classifier-free guidance on all channels, from no condition over the reference to both:
        v0 + reference_scale * (v_ref - v0) + scale * (v_both - v_ref). What weighs nothing is not computed."""
        none, r = torch.full_like(label, NONE), reference_scale
        g = 0 if (label == NONE).all() else scale  # 0: nothing to be guided by but the reference
        terms = [(1 - r, none, 0), (r - g, none, 1), (g, label, 1)]
        if tokens is None:
            terms = [(1 - g, none, 0), (g, label, 0)]
        weights, labels, keep = zip(*(term for term in terms if term[0]), strict=True)
        n, extra = len(weights), {}
        if tokens is not None:
            keep = torch.tensor(keep, dtype=z.dtype, device=z.device).repeat_interleave(len(z))
            extra = dict(tokens=torch.cat([tokens] * n), keep=keep)
        z, t, label = torch.cat([z] * n), torch.cat([t] * n), torch.cat(labels)
        guesses = self.denoiser(z, t, label, **extra).chunk(n)
        return sum(w * guess for w, guess in zip(weights, guesses, strict=True))


def load_pipeline(model, vae, solver="dpm", step=None):
    """Pipeline from a denoiser stage, as it was at a step of its training, and the VAE stage it was trained with."""
    facts = read_json(model / "trained_on.json")
    if facts["vae"] != weights_digest(vae):
        raise UserError(f"{model.path.name} was trained with another VAE than {vae.path.name}")
    autoencoder, latents = load_vae(vae, facts["whiten"])
    net, scheduler = load_denoiser(model, step)
    scheduler = SOLVERS[solver](scheduler.config)
    return SkinPipeline(autoencoder, net, scheduler, latents.mean, latents.std).to(device())


def references(mode, labels, seeds, tokens=None, records=None, seed=0):
    """Reference tokens of each wanted sample: (tokens or None, reference image ids).

    mode: "none"; "train": an image of the train split of the wanted class, drawn by (seed, index);
    "class-mean": the mean tokens of that class's train images.
    """
    nameless = [""] * len(labels)
    if mode == "none" or tokens is None:
        return None, nameless
    table, cached = records_of(records), load_array(tokens / "tokens.npy")
    train, known = table.split == "train", sorted(set(labels))
    pools = {c: np.flatnonzero(train & (table.dx == c)) for c in known}
    if mode == "class-mean":
        means = np.stack([cached[pool].mean(0, dtype=np.float32) for pool in pools.values()])
        return Rows((means.astype(np.float16), [known.index(c) for c in labels])), nameless
    draws = (np.random.default_rng([seed, int(i)]) for i in seeds)
    rows = [int(rng.choice(pools[c])) for c, rng in zip(labels, draws, strict=True)]
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
    how,
    reference,
    strength=1.0,
    without=(),
    at=None,
):
    """A folder of samples: <class>/<seed>.png, metadata.csv (ImageFolder, HF datasets), images.npy.

    labels, seeds: lists of equal length; image k depends on (labels[k], seeds[k]) only.
    how: Method.sampling of versions.py. pass_class=False: the labels name folders only, the network is not
    told; stretch: each image to its own minimum and maximum (both: the released code).
    reference: mode, labels (Fig 10: not those above), tokens, records and seed of `references`.
    strength, without: of the adapters, see SkinPipeline; at: a step of the model's training. Resumes at the first batch that is missing.
    """
    pipe = load_pipeline(model, vae, how["solver"], at)
    given, ids = references(seeds=seeds, **reference)
    told = labels if how["pass_class"] else ["none"] * len(labels)
    choices = dict(guidance_scale=guidance, reference_scale=how["reference_scale"], steps=steps)
    choices |= dict(adapter_strength=strength, without_levels=without)
    parts = {i: out / "checkpoint" / f"{i}.npy" for i in range(0, len(labels), BATCH)}
    state = PartialState()
    mine = list(parts)[state.process_index :: state.num_processes]

    def draw(i):
        own = slice(i, i + BATCH)
        if not parts[i].exists():
            tokens = None if given is None else given[own]
            made = pipe(told[own], seeds[own], reference=tokens, **choices)
            save_array(parts[i], stretched(made) if how["stretch"] else made)
        bar.update()

    with tqdm(total=len(mine), desc="samples", unit="batch") as bar:
        side_by_side(draw, mine)
    state.wait_for_everyone()
    names = [f"{c}/{k:05d}_{s:07d}.png" for k, (c, s) in enumerate(zip(labels, seeds, strict=True))]
    facts = dict(guidance=guidance, model=model.key, reference=ids, alpha="")
    meta = pd.DataFrame({"file_name": names, "class": labels, "seed": seeds} | facts)
    provenance = read_json(model / "trained_on.json")
    write_folder(out, len(labels), map(load_array, parts.values()), meta, provenance)


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
    return [c for c in classes for _ in range(n)], [*range(first_seed, first_seed + n)] * len(
        classes
    )


def provenance_check(samples, records):
    """Refuse samples whose generator was trained under another split than `records`' manifest."""
    facts = read_json(samples / "provenance.json")
    if facts.get("manifest") != manifest_hash(records):
        raise UserError(
            f"{samples.path.name}: its generator was trained under another split than this test set; "
            "it may have seen test lesions. Sample again from a model of this split"
        )
