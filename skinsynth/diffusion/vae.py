"""The autoencoder of stage 1: its latents' one door, its training, images there and back."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL

from ..core.code import digest
from ..core.config import CLASSES
from ..core.machine import device, side_by_side
from ..core.store import read_json, stage, write_json
from ..networks.classifiers import balanced_weights, in_batches
from ..numerics.arrays import (
    Rows,
    blocks,
    content_hash,
    labels_of,
    load_array,
    load_weights,
    records_of,
    spread,
    stream_array,
    to_tensor,
    to_uint8,
    turned,
)
from ..numerics.training import fit
from .expansion import aim_new_channels, expand_vae, pretrained
from .vae_loss import Judged, vae_loss, validation_loss


@dataclass(frozen=True)
class LatentFormat:
    """The one object latents cross: measured mean and standard deviation of each channel."""

    mean: tuple
    std: tuple

    @classmethod
    def measure(cls, latents, floor=0.05):
        """From latents (N,C,h,w); a dead channel's deviation is floored at a share of the largest."""
        mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
        return cls(tuple(mean.tolist()), tuple(std.clamp_min(floor * std.max()).tolist()))

    @classmethod
    def plain(cls, channels):
        """A format that changes nothing."""
        return cls((0.0,) * channels, (1.0,) * channels)

    def _shape(self, values, x):
        return torch.tensor(values, device=x.device, dtype=x.dtype).view(1, -1, 1, 1)

    def whiten(self, z):
        return (z - self._shape(self.mean, z)) / self._shape(self.std, z)

    def restore(self, z):
        return z * self._shape(self.std, z) + self._shape(self.mean, z)

    def encode(self, vae, x):
        """Images (N,3,H,W) in [-1,1] -> whitened latents (N,C,H/8,W/8): the mean, no sampling."""
        return self.whiten(vae.encode(x).latent_dist.mode())

    def decode(self, vae, z):
        return vae.decode(self.restore(z)).sample


@torch.no_grad()
def new_vae(width, channels=4):
    """A small AutoencoderKL of Stable Diffusion's shape: three halvings (f8), KL bottleneck."""
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(width // 2, width, 4 * width, 4 * width),
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=2,
    )
    # start nearly noise-free: at a variance of 1 the noise drowns the code for hundreds of steps
    vae.quant_conv.weight[channels:] *= 0.1
    vae.quant_conv.bias[channels:] = -6.0
    return vae


def load_vae(made, whiten=True):
    """(AutoencoderKL, LatentFormat) of a finished VAE stage; whiten=False: latents as the VAE gives them."""
    vae = pretrained(AutoencoderKL, made, "vae")
    measured = LatentFormat(**read_json(made / "latent_format.json"))
    chosen = measured if whiten else LatentFormat.plain(vae.config.latent_channels)
    return vae.to(device()).eval(), chosen


def weights_digest(made):
    """Hash of a VAE stage's weights in half precision, by which a denoiser knows the VAE of its latents, or its copy."""
    state = load_weights(made / "vae" / "diffusion_pytorch_model.safetensors")
    found = {name: content_hash(x.half().flatten().numpy()) for name, x in state.items()}
    return digest(found)


def save_vae(out, vae, images):
    """Write vae/ in diffusers' layout and the format of its latents, measured on the images."""
    vae = vae.to(device(), memory_format=torch.contiguous_format).eval()
    plain = LatentFormat.plain(vae.config.latent_channels)
    latents = encode(vae, plain, images[spread(len(images), 512)])
    write_json(out / "latent_format.json", asdict(LatentFormat.measure(latents)))
    vae.save_pretrained(out / "vae")


def _of_split(images, records, split):
    """The images of one split, and their rows of the records: (Rows, DataFrame)."""
    table = records_of(records)
    rows = np.flatnonzero(table.split == split)
    return Rows((load_array(images / "images.npy"), rows)), table.iloc[rows]


@stage("vae-pretrained")
def pretrained_vae(out, *, start, images, records):
    """The 4-channel VAE of the paper's start, untouched; its latents measured on the train split.

    start: a folder in diffusers' layout: the bundled micro one, a stage, or a hub's.
    """
    save_vae(out, pretrained(AutoencoderKL, start, "vae"), _of_split(images, records, "train")[0])


@stage("vae")
def train_vae(
    out, *, start, images, records, channels, version, steps, lr, batch, accumulate, seed
):
    """Fine-tune the pre-trained VAE at 4 channels, or expanded to 8, on the train split, drawn by
    class as the denoiser draws: else rare classes lose their structures (phantom, validation split:
    even the mean error over the unbalanced split falls). version: of vae_loss.LOSSES."""
    pixels, table = _of_split(images, records, "train")
    unseen, _ = _of_split(images, records, "val")
    unseen = unseen[spread(len(unseen), 64)]
    vae, _ = load_vae(start)
    old = vae.config.latent_channels
    if channels != old:
        vae = expand_vae(vae.cpu(), channels, seed).to(device())
        aim_new_channels(vae, old, to_tensor(pixels[spread(len(pixels), 256)]))
    torch.manual_seed(seed)  # of the critic
    # images lie so; a tenth faster
    model = Judged(vae, version).to(memory_format=torch.channels_last)
    training = dict(steps=steps, batch=batch, lr=lr, seed=seed, accumulate=accumulate, ema=0.99)
    training |= dict(weights=balanced_weights(labels_of(table, CLASSES)), divisible=True)
    training |= dict(check=validation_loss(unseen, version), desc=f"VAE {channels} channels")
    fit(model, vae_loss(pixels, version), len(pixels), out=out, **training)
    save_vae(out, model.vae, pixels)


def encode(vae, latent_format, images):
    """uint8 (N,H,W,3) -> whitened latents (N,C,h,w) float32 on the CPU."""
    return torch.from_numpy(in_batches(lambda x: latent_format.encode(vae, x), images, 32))


@torch.no_grad()
def decode(vae, latent_format, latents):
    """Whitened latents (N,C,h,w) -> uint8 images (N,H,W,3)."""

    def one(z):
        return to_uint8(latent_format.decode(vae, z.to(device())))

    # in small parts: in large ones an image costs a CPU twice the time
    return np.concatenate(side_by_side(one, latents.split(16)))


def round_trip(made, images):
    """Images through a VAE stage and back, uint8 in and out."""
    vae, latent_format = load_vae(made)
    return decode(vae, latent_format, encode(vae, latent_format, images))


@stage("latents")
def cache_latents(out, *, vae, images, whiten=True, symmetries=1):
    """Latents of all images of a set, in its order; whitened, or as the VAE gives them.

    symmetries: of a square, at most 8: after the images as they are come all of them `turned`, and again.
    """
    (model, form), pixels = load_vae(vae, whiten), load_array(images / "images.npy")
    n = len(pixels)
    parts = (turned(pixels[rows], k) for k in range(symmetries) for rows in blocks(n))
    coded = (encode(model, form, part).numpy() for part in parts)
    stream_array(out / "latents.npy", symmetries * n, coded)
