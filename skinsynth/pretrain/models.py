"""Autoencoder, denoiser and segmenter that know generic skin, as Stable Diffusion knows pictures."""

import numpy as np
import torch
from torch import nn

from ..core.store import read_json, stage
from ..diffusion.denoiser import Denoiser, fit_unet, micro_scheduler, micro_unet_config
from ..diffusion.objective import diffusion_loss
from ..diffusion.vae import load_vae, new_vae, save_vae
from ..diffusion.vae_loss import FIRST, Judged, vae_loss
from ..interpolation.segment import Segmenter, fit_segmenter
from ..numerics.arrays import Rows, load_array
from ..numerics.training import fit


@stage("vae-scratch")
def pretrain_vae(out, *, generic, width, steps, batch, seed):
    """A 4-channel VAE of generic skin, from nothing and without a critic: its copies are blurred."""
    images = load_array(generic / "images.npy")
    torch.manual_seed(seed)
    model = Judged(new_vae(width), FIRST)
    training = dict(steps=steps, batch=batch, lr=1e-3, seed=seed, ema=0.99, divisible=True)
    fit(model, vae_loss(images, FIRST), len(images), out=out, desc="pre-train VAE", **training)
    save_vae(out, model.vae, images)


@stage("vae-sharpened")
def sharpen_vae(out, *, start, generic, steps, batch, seed):
    """A VAE whose decoder has learned fine detail against a critic. The encoder stays what it is, and with it
    all that was trained on its latents (as the published decoders "ft-MSE" of Stable Diffusion were made)."""
    torch.manual_seed(seed)
    images, model = load_array(generic / "images.npy"), Judged(load_vae(start)[0])
    for part in (model.vae.encoder, model.vae.quant_conv):
        part.requires_grad_(False)
    model = model.to(memory_format=torch.channels_last)
    training = dict(steps=steps, batch=batch, lr=3e-4, seed=seed, ema=0.999, divisible=True)
    fit(model, vae_loss(images), len(images), out=out, desc="sharpen VAE", **training)
    save_vae(out, model.vae, images)


@stage("unet-pretrained")
def pretrain_unet(out, *, latents, generic, width, steps, batch, seed):
    """A UNet that knows the attributes of generic skin and no diagnosis. The UNet alone is kept.

    latents: a latents stage of the pre-trained VAE.
    """
    z, scheduler = Rows((load_array(latents / "latents.npy"), slice(None))), micro_scheduler()
    facts = read_json(generic / "attributes.json")
    names = facts["vocabulary"]
    values = np.array([[names[k].index(row[k]) for k in names] for row in facts["rows"]])
    sizes = [len(v) for v in names.values()]
    labels = values + np.cumsum([0, *sizes[:-1]])  # one vocabulary of all attributes
    torch.manual_seed(seed)
    model = Denoiser(micro_unet_config(width, z.shape[1], z.shape[2]), labels=sum(sizes))
    nn.init.normal_(model.classes.weight, std=0.3)  # an image's tokens are added up
    loss = diffusion_loss(z, scheduler, labels, none=sum(sizes))
    training = dict(steps=steps, batch=batch, lr=1e-3, seed=seed, ema=0.999)
    fit_unet(model, loss, len(z), out=out, desc="pre-train UNet", **training)
    model.unet.save_pretrained(out / "unet")
    scheduler.save_pretrained(out / "scheduler")


@stage("segmenter-pretrained")
def pretrain_segmenter(out, *, generic, width, steps, batch, seed):
    """A segmenter that knows the spots of generic skin."""
    torch.manual_seed(seed)
    pixels, masks = load_array(generic / "images.npy"), load_array(generic / "masks.npy")
    fit_segmenter(out, Segmenter(width), pixels, masks, width, steps, batch, seed)
