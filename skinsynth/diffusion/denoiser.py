"""The denoiser: a UNet with class tokens and, where wished, multi-level adapters; its training."""

from contextlib import nullcontext

import numpy as np
import torch
from diffusers import ConfigMixin, DDPMScheduler, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..core.config import CLASSES
from ..core.machine import device
from ..core.store import stage, write_json
from ..data.splits import manifest_hash
from ..networks.classifiers import balanced_weights
from ..numerics.arrays import Rows, labels_of, load_array, load_weights, records_of, turned
from ..numerics.training import fit
from . import adapters
from .expansion import configuration, expand_unet, pretrained
from .objective import NONE, cell_masks, diffusion_loss, fixed_check
from .vae import weights_digest

HELD_OUT = 4  # validation images of each class whose loss is logged while a denoiser is trained


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


def unet_for(start, channels, side):
    """The UNet of a folder in diffusers' layout (a stage, the bundled micro one, or a hub's) for latents
    (N, channels, side, side), expanded where it has fewer channels."""
    unet = pretrained(UNet2DConditionModel, start, "unet")
    if channels != unet.config.in_channels:
        unet = expand_unet(unet, channels)
    unet.register_to_config(sample_size=side)
    return unet


def micro_scheduler():
    """Training noise: 1000 steps, cosine schedule, v-prediction."""
    return DDPMScheduler(
        num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction"
    )


class Denoiser(ModelMixin, ConfigMixin):
    """UNet + class tokens (+ level adapters). Knows no diffusion.

    forward(z (N,C,h,w), t (N,), label (N,) below `labels` (that number itself: none given) or
    (N,K), whose tokens are added up, tokens (N,L,T,D) or None, keep (N,) 0/1 or None)
    -> prediction (N,C,h,w).
    """

    @register_to_config
    def __init__(
        self, unet_config, levels=0, tokens=0, clip_width=0, labels=NONE, reach=None, scale=1.0
    ):
        super().__init__()
        self.unet = UNet2DConditionModel.from_config(dict(unet_config))
        width = self.unet.config.cross_attention_dim
        self.classes = nn.Embedding(labels + 1, width)
        self.adapters = None
        if levels:
            self.adapters = adapters.LevelAdapters(levels, clip_width, width)
            adapters.attach(self.unet, levels, tokens, reach, scale)

    @classmethod
    def build(cls, unet, levels=0, tokens=0, clip_width=0, **choices):
        """From a UNet with its weights."""
        # by name: of what is given by position from_config takes the defaults
        sizes = dict(levels=levels, tokens=tokens, clip_width=clip_width)
        model = cls(unet_config=configuration(unet), **sizes, **choices)
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
    plain = sdpa_kernel(SDPBackend.MATH) if device().type == "cpu" else nullcontext()
    with plain:  # holds for all threads
        return fit(*given, **dict(divisible=True) | training)


def _cached(rows, table, latents, records, tokens, how, symmetries=1):
    """What `diffusion_loss` takes of some rows of a set: latents, labels, lesion masks, tokens.

    symmetries: as in `cache_latents`. Latents and masks are turned alike; the tokens are those of the
    image as it is: what a reference shows does not depend on how the camera was held.
    """
    own = [(latents, rows + k * len(table)) for k in range(symmetries)]
    masks = None
    if how["lesion_weight"] and (records / "masks.npy").exists():
        masks = cell_masks(Rows((load_array(records / "masks.npy"), rows)), latents.shape[-1])
        masks = np.concatenate([turned(masks, k) for k in range(symmetries)])
    levels = None
    if tokens is not None:
        levels = Rows((load_array(tokens / "tokens.npy"), np.tile(rows, symmetries)))
    labels = np.tile(labels_of(table.iloc[rows], CLASSES), symmetries)
    return dict(latents=Rows(*own), labels=labels, masks=masks, tokens=levels)


def _started(start, latents, tokens, how, seed):
    """The network that is to be trained: the pre-trained UNet, as wide as the latents, with adapters for the tokens."""
    unet = unet_for(start, latents.shape[1], latents.shape[-1])
    torch.manual_seed(seed)
    if tokens is None:
        return Denoiser.build(unet)
    reach = dict(reach=how["levels"], scale=how["adapter_weight"])
    model = Denoiser.build(unet, *tokens.shape[1:], **reach)
    if not how["train_projections"]:
        model.adapters.requires_grad_(False)
    return model


@stage("denoiser")
def train_denoiser(
    out, *, start, vae, latents, records, tokens, how, steps, lr, batch, accumulate, seed, course
):
    """Fine-tune a denoiser with class conditioning on the train split, drawn by class.

    how: Method.training of versions.py; start: where unet/ and scheduler/ lie (see unet_for); vae:
    the VAE stage that made `latents`, whose symmetries are learned too; tokens: a tokens stage, or None for
    no adapters; course: whether to keep the weights of each eighth. The 4-channel UNet is expanded where the
    latents have more channels.
    log.csv holds the loss of training, and at each eighth that of HELD_OUT validation images of each class.
    """
    table = records_of(records)
    rows = np.flatnonzero(table.split == "train")
    unseen = table[table.split == "val"].groupby("dx").head(HELD_OUT).index.to_numpy()
    cached = load_array(latents / "latents.npy")
    given = (table, cached, records, tokens, how)
    seen = _cached(rows, *given, symmetries=len(cached) // len(table))
    held = _cached(unseen, *given)
    model = _started(start, seen["latents"], seen["tokens"], how, seed)
    scheduler = DDPMScheduler.from_pretrained(str(start.path), subfolder="scheduler")
    kind = dict(scheduler=scheduler) | {k: how[k] for k in ("target", "norm", "times")}
    loss = diffusion_loss(**seen, **kind, drop=how["drop"])
    check = fixed_check(diffusion_loss(**held, **kind, share=0), len(unseen), seed)
    name = f"denoiser {seen['latents'].shape[1]}ch{'+ML' if tokens is not None else ''}"
    training = dict(steps=steps, batch=batch, lr=lr, seed=seed, accumulate=accumulate)
    # steps; the same share of a short training and a long one
    averaged = max(1.0, how["ema"] * steps)
    training |= dict(ema=1 - 1 / averaged, weights=balanced_weights(seen["labels"]), check=check)
    training |= dict(course=out / "course" if course else None)
    fit_unet(model, loss, len(seen["labels"]), out=out, desc=name, **training)
    model.eval().save_pretrained(out / "denoiser")
    scheduler.save_pretrained(out / "scheduler")
    facts = dict(vae=weights_digest(vae))
    facts |= dict(whiten=how["whiten"], manifest=manifest_hash(records), ids=len(rows))
    write_json(out / "trained_on.json", facts)


@torch.no_grad()
def load_denoiser(made, step=None):
    """(Denoiser on the device, its training DDPMScheduler) of a finished stage; step: as it was then, see training.eighths."""
    model = pretrained(Denoiser, made, "denoiser")
    if step:
        own = load_weights(made / "course" / f"{step}.safetensors")
        for name, p in model.named_parameters():
            p.copy_(own[name])
    scheduler = DDPMScheduler.from_pretrained(made / "scheduler", local_files_only=True)
    return model.to(device()).eval(), scheduler
