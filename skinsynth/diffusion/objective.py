"""What stage 2 minimises: the error of the undone noise, in training and on images that it never learns from."""

import numpy as np
import torch
from torch.nn import functional as F

from ..core.config import CLASSES
from ..core.machine import mixed, moved, side_by_side
from ..numerics.arrays import blocks
from ..numerics.training import seeded

NONE = len(CLASSES)  # the label that means "no class"


def drawn_times(n, last, which, rng):
    """Times (n,) below `last` at which a step of training adds noise, by a CPU generator.

    which: "all" alike, or "middle": logit-normal (Esser et al. 2024, section 3.1), since next to no noise and
    next to nothing but noise teach little. Chosen on the validation split of HAM10000.
    """
    if which == "middle":
        return (torch.randn(n, generator=rng).sigmoid() * last).long()
    return torch.randint(last, (n,), generator=rng)


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
    times="all",
):
    """Loss of stage 2 over cached arrays: noise prediction or v, weighted by the lesion mask.

    latents (N,C,h,w); labels (N,) or (N,K) int64, replaced by `none` where dropped; masks (N,h,w)
    share of lesion in each latent cell, or None; tokens (N,L,T,D) or None. The class and the image
    tokens are dropped independently, each with probability `share`, for each image on its own
    (drop="batch": for all of a batch at once). target="epsilon": the error is that of the noise, whatever the network predicts.
    times: of `drawn_times`. Source: paper, stage 2; versions.py.
    """
    kind = scheduler.config.prediction_type
    of_noise = kind == "epsilon" or target == "epsilon"
    error_of = dict(l2=F.mse_loss, l1=F.l1_loss)[norm]

    def loss(model, index, rng):
        rows = index.numpy()
        z = torch.from_numpy(latents[rows])
        noise = torch.randn(z.shape, generator=rng)
        t = drawn_times(len(z), scheduler.config.num_train_timesteps, times, rng)
        draws = torch.rand(2, dict(image=len(z), batch=1)[drop], generator=rng)
        no_class, no_image = draws.expand(2, len(z)) < share
        label = torch.from_numpy(labels[rows].reshape(len(z), -1)).where(~no_class[:, None], none)
        noisy = scheduler.add_noise(z, noise, t)
        given = {}
        if tokens is not None:
            given["tokens"] = moved(torch.from_numpy(tokens[rows]))
            given["keep"] = moved(~no_image)
        noisy = moved(noisy)
        guess = model(noisy, moved(t), moved(label), **given).float()
        if of_noise and kind == "v_prediction":
            # the noise that a velocity means, by the formula for noisy images
            guess = scheduler.add_noise(guess, noisy, t)
        wanted = noise if of_noise else scheduler.get_velocity(z, noise, t)
        error = error_of(guess, moved(wanted), reduction="none")
        if masks is not None:  # the lesion counts twice, the skin once
            weight = 1 + moved(torch.from_numpy(masks[rows]))[:, None]
            error = error * weight / weight.mean()
        return error.mean()

    return loss


def fixed_check(loss, n, seed):
    """check(model) for `training.fit`: a loss over the same n items, each with the same noise and time, every time.

    loss: of `diffusion_loss` with share=0, so that no condition is dropped. All draws come from
    generators of their own: training's stay what they were, whatever the number of threads.
    """
    chunks = torch.arange(n).chunk(2)

    @torch.no_grad()
    def check(model):
        def one(k):
            with mixed():  # as training computes
                return loss(model, chunks[k], seeded(seed, k)).item() * len(chunks[k]) / n

        return sum(side_by_side(one, range(len(chunks))))

    return check


def cell_masks(masks, side):
    """Lesion masks (N,S,S) -> share of lesion in each latent cell, float32 (N,side,side)."""
    n, size, _ = masks.shape
    f = size // side
    cells = (masks[part].reshape(-1, side, f, side, f) for part in blocks(n))
    return np.concatenate([x.mean((2, 4)).astype(np.float32) for x in cells])
