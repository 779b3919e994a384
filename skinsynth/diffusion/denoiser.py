"""The denoiser: a UNet with class tokens and, where wished, multi-level adapters; its training."""

from contextlib import nullcontext

import numpy as np
import torch
from diffusers import ConfigMixin, DDPMScheduler, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..core.config import CLASSES
from ..core.machine import device
from ..core.store import read_json, stage, write_json
from ..data.splits import manifest_hash
from ..numerics.arrays import Rows, blocks, labels_of, load_array, records_of
from ..numerics.training import fit
from . import adapters
from .vae import widened

NONE = len(CLASSES)  # the label that means "no class"


def micro_unet_config(width, channels, side):
    """A small UNet of Stable Diffusion's shape on side x side latents; about 6 M parameters at 32."""
    return dict(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(2 * width, 4 * width, 4 * width),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=4 * width,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def load_unet(start):
    """The UNet of a folder in diffusers' layout: a stage, the bundled micro one, or a hub's."""
    return UNet2DConditionModel.from_pretrained(
        str(start.path), subfolder="unet", use_safetensors=True, torch_dtype=torch.float32
    )


def micro_scheduler():
    """Training noise: 1000 steps, cosine schedule, v-prediction."""
    return DDPMScheduler(
        num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"
    )


@torch.no_grad()
def expand_unet(unet, channels=8):
    """Widen a UNet's latent; its first channels' output is unchanged (max difference below 1e-5).

    New input columns and new output rows are zero. Source: paper, stage 2.
    """
    old = unet.config.in_channels
    wide = widened(unet, in_channels=channels, out_channels=channels)
    wide.conv_in.weight.zero_()
    wide.conv_in.weight[:, :old] = unet.conv_in.weight
    for new, source in (
        (wide.conv_out.weight, unet.conv_out.weight),
        (wide.conv_out.bias, unet.conv_out.bias),
    ):
        new.zero_()
        new[:old] = source
    return wide


class Denoiser(ModelMixin, ConfigMixin):
    """UNet + class tokens (+ level adapters). Knows no diffusion.

    forward(z (N,C,h,w), t (N,), label (N,) below `labels` (that number itself: none given) or
    (N,K), whose tokens are added up, tokens (N,L,T,D) or None, keep (N,) 0/1 or None)
    -> prediction (N,C,h,w).
    """

    @register_to_config
    def __init__(
        self,
        unet_config: dict,
        levels: int = 0,
        tokens: int = 0,
        clip_width: int = 0,
        labels: int = NONE,
        reach: tuple = None,
        scale: float = 1.0,
    ):
        super().__init__()
        self.unet = UNet2DConditionModel.from_config(dict(unet_config))
        width = self.unet.config.cross_attention_dim
        self.classes = nn.Embedding(labels + 1, width)
        self.adapters = None
        if levels:
            self.adapters = adapters.LevelAdapters(levels, tokens, clip_width, width)
            adapters.attach(self.unet, levels, tokens, reach, scale)

    @classmethod
    def build(cls, unet, levels=0, tokens=0, clip_width=0, **choices):
        """From a UNet with its weights."""
        config = {k: v for k, v in unet.config.items() if not k.startswith("_")}
        model = cls(
            unet_config=config, levels=levels, tokens=tokens, clip_width=clip_width, **choices
        )
        missing, extra = model.unet.load_state_dict(unet.state_dict(), strict=False)
        assert not extra and all(".processor." in k for k in missing)
        return model

    def set_adapters(self, strength=1.0, without=()):
        """How the adapters act while sampling. strength: 1 as trained, 0 off; without: levels (0 shallowest) left out."""
        for m in self.unet.modules():
            if isinstance(m, adapters.LevelAttention):
                m.strength, m.without = strength, tuple(without)

    def forward(self, z, t, label, tokens=None, keep=None):
        context = self.classes(label.view(len(label), -1)).sum(1, keepdim=True)
        if self.adapters is not None and tokens is not None:
            keep = torch.ones(len(z), device=z.device) if keep is None else keep
            context = torch.cat([context, self.adapters(tokens, keep).to(context.dtype)], 1)
        return self.unet(z, t, encoder_hidden_states=context).sample


def fit_unet(*given, **training):
    """training.fit; on a CPU with attention by plain products, for the fused one's backward takes three times as long."""
    with (
        sdpa_kernel(SDPBackend.MATH) if device().type == "cpu" else nullcontext()
    ):  # holds for all threads
        return fit(*given, **dict(divisible=True) | training)


def diffusion_loss(
    latents,
    scheduler,
    labels,
    *,
    none=NONE,
    masks=None,
    tokens=None,
    share=0.1,
    drop="image",
    target="own",
    norm="l2",
):
    """Loss of stage 2 over cached arrays: noise prediction or v, weighted by the lesion mask.

    latents (N,C,h,w); labels (N,) or (N,K) int64, replaced by `none` where dropped; masks (N,h,w)
    share of lesion in each latent cell, or None; tokens (N,L,T,D) or None. The class and the image
    tokens are dropped independently, each with probability `share`, for each image on its own
    (drop="batch": for all of a batch at once). target="epsilon": the error is that of the noise, whatever the network predicts.
    Source: paper, stage 2; DESIGN section 2.
    """
    kind = scheduler.config.prediction_type
    target_of = dict(epsilon=lambda z, e, t: e, v_prediction=scheduler.get_velocity)[kind]
    error_of = dict(l2=F.mse_loss, l1=F.l1_loss)[norm]

    def loss(model, index, rng):
        rows = index.numpy()
        z = torch.from_numpy(latents[rows])
        noise = torch.randn(z.shape, generator=rng)
        t = torch.randint(scheduler.config.num_train_timesteps, (len(z),), generator=rng)
        dropped = (
            torch.rand(2, dict(image=len(z), batch=1)[drop], generator=rng).expand(2, len(z))
            < share
        )
        label = torch.from_numpy(labels[rows].reshape(len(rows), -1)).where(
            ~dropped[0][:, None], none
        )
        noisy, wanted = scheduler.add_noise(z, noise, t), target_of(z, noise, t)
        extra = {}
        if tokens is not None:
            extra = dict(
                tokens=torch.from_numpy(tokens[rows]).to(device()), keep=(~dropped[1]).to(device())
            )
        guess = model(noisy.to(device()), t.to(device()), label.to(device()), **extra)
        guess = guess.float()
        if target == "epsilon" and kind == "v_prediction":
            kept = scheduler.alphas_cumprod[t].view(-1, 1, 1, 1).to(device())
            guess, wanted = kept.sqrt() * guess + (1 - kept).sqrt() * noisy.to(device()), noise
        error = error_of(guess, wanted.to(device()), reduction="none")
        if masks is not None:
            weight = 1 + torch.from_numpy(masks[rows]).to(device())[:, None]
            error = error * weight / weight.mean()
        return error.mean()

    return loss


def cell_masks(masks, side):
    """Lesion masks (N,S,S) -> share of lesion in each latent cell, float32 (N,side,side)."""
    n, size, _ = masks.shape
    f = size // side
    parts = (masks[part].reshape(-1, side, f, side, f).mean((2, 4)) for part in blocks(n))
    return np.concatenate([part.astype(np.float32) for part in parts])


@stage("unet-pretrained")
def pretrain_unet(out, *, latents, generic, width, steps, batch, seed):
    """A UNet that knows the attributes of generic skin and no diagnosis, as Stable Diffusion knows
    pictures. latents: a latents stage of the pre-trained VAE. The UNet alone is kept."""
    z, scheduler = Rows((load_array(latents / "latents.npy"), slice(None))), micro_scheduler()
    facts = read_json(generic / "attributes.json")
    names = facts["vocabulary"]
    values = np.array([[names[k].index(row[k]) for k in names] for row in facts["rows"]])
    sizes = [len(v) for v in names.values()]
    labels = values + np.cumsum([0, *sizes[:-1]])  # one vocabulary of all attributes
    torch.manual_seed(seed)
    model = Denoiser(
        unet_config=micro_unet_config(width, z.shape[1], z.shape[2]), labels=sum(sizes)
    )
    nn.init.normal_(model.classes.weight, std=0.3)  # an image's tokens are added up
    fit_unet(
        model,
        diffusion_loss(z, scheduler, labels, none=sum(sizes)),
        len(z),
        out=out,
        steps=steps,
        batch=batch,
        lr=1e-3,
        seed=seed,
        ema=0.999,
        desc="pre-train UNet",
    )
    model.unet.save_pretrained(out / "unet")
    scheduler.save_pretrained(out / "scheduler")


@stage("denoiser")
def train_denoiser(
    out, *, start, vae, latents, records, tokens, how, steps, lr, batch, accumulate, seed
):
    """Fine-tune a denoiser with class conditioning on the train split, drawn by class.

    how: Method.training of versions.py; start: where unet/ and scheduler/ lie (see load_unet); vae:
    the VAE stage that made `latents`; tokens: a tokens stage, or None for no adapters. The 4-channel UNet is expanded where the latents have more channels.
    """
    table = records_of(records)
    rows = np.flatnonzero(table.split == "train")
    z = Rows((load_array(latents / "latents.npy"), rows))
    labels = labels_of(table.iloc[rows], CLASSES)
    masks = None
    if how["lesion_weight"] and (records / "masks.npy").exists():
        masks = cell_masks(Rows((load_array(records / "masks.npy"), rows)), z.shape[-1])
    unet = load_unet(start)
    if z.shape[1] != unet.config.in_channels:
        unet = expand_unet(unet, z.shape[1])
    torch.manual_seed(seed)
    unet.register_to_config(sample_size=z.shape[-1])
    given = {}
    if tokens is not None:
        cached = Rows((load_array(tokens / "tokens.npy"), rows))
        given = dict(levels=cached.shape[1], tokens=cached.shape[2], clip_width=cached.shape[3])
        given |= dict(reach=how["levels"], scale=how["adapter_weight"])
    model = Denoiser.build(unet, **given)
    if given and not how["train_projections"]:
        model.adapters.requires_grad_(False)
    scheduler = DDPMScheduler.from_pretrained(str(start.path), subfolder="scheduler")
    counts = np.bincount(labels, minlength=len(CLASSES))
    fit_unet(
        model,
        diffusion_loss(
            z,
            scheduler,
            labels,
            masks=masks,
            tokens=None if tokens is None else cached,
            drop=how["drop"],
            target=how["target"],
            norm=how["norm"],
        ),
        len(z),
        out=out,
        steps=steps,
        batch=batch,
        lr=lr,
        seed=seed,
        ema=how["ema"],
        accumulate=accumulate,
        weights=(1.0 / counts[labels]),
        desc=f"denoiser {z.shape[1]}ch{'+ML' if given else ''}",
    )
    model.eval().save_pretrained(out / "denoiser")
    scheduler.save_pretrained(out / "scheduler")
    facts = dict(vae=vae.key, vae_path=f"{vae.path.parent.parent.name}/stages/{vae.path.name}")
    facts |= dict(whiten=how["whiten"], manifest=manifest_hash(records), ids=len(rows))
    write_json(out / "trained_on.json", facts)


def load_denoiser(made):
    """(Denoiser on the device, its training DDPMScheduler) of a finished stage."""
    model = Denoiser.from_pretrained(made / "denoiser", use_safetensors=True, local_files_only=True)
    scheduler = DDPMScheduler.from_pretrained(made / "scheduler", local_files_only=True)
    return model.to(device()).eval(), scheduler


def trained_on(made):
    return read_json(made / "trained_on.json")
