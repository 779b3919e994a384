"""What stage 1 minimises: how far a copy is from its image, and whether a critic can tell them apart."""

import torch
from torch import nn
from torch.nn import functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from ..core.machine import device, moved, side_by_side
from ..networks.published import LPIPS
from ..numerics.arrays import to_tensor

THIN = 4  # every fourth image of a step has its perceptual distance taken
KL = 1e-6  # of a sum over the latent, at 64 pixels, beside means over pixels; see `vae_loss`
LOSSES = {  # weights of the other terms in each version of the method
    # as Stable Diffusion's autoencoder was trained (Rombach et al. 2022, appendix G): without a critic,
    # fine detail becomes the mean of all that could be there; the critic's weight is that of `balanced`
    "recommended": dict(l1=1.0, perceptual=1.0, critic=0.3),
    "released": dict(mse=1.0, perceptual=1.0, structure=1.0),  # released code, models/vae.py
}
LOSSES["paper"] = LOSSES["released"]  # the text names no loss
FIRST = "first"  # what a network learns from nothing, before a critic has anything to say
LOSSES[FIRST] = dict(mse=5.0, perceptual=0.5, structure=0.1)


def _unit(weight):
    """A weight over its largest singular value (Miyato et al. 2018), which torch's own estimates from step to
    step. This one keeps no state: a step stays a function of the weights, whoever computes which part."""
    rows = weight.detach().float().flatten(1)
    # autocast multiplies in half precision, of which CUDA takes no eigenvalues
    gram = (rows @ rows.T).float()
    return weight / torch.linalg.eigvalsh(gram)[-1].sqrt().to(weight)


class Critic(nn.Module):
    """Tells images from copies patch by patch (Isola et al. 2017): (N,3,H,W) in [-1,1] -> (N,1,h,w), above 0: an image."""

    def __init__(self, width=64):
        super().__init__()
        sizes = ((3, width, 2), (width, 2 * width, 2), (2 * width, 4 * width, 1), (4 * width, 1, 1))
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, stride, 1) for a, b, stride in sizes)

    def weights(self):
        """[(weight of unit norm, bias)] of the layers."""
        return [(_unit(layer.weight), layer.bias) for layer in self.layers]

    def forward(self, x, weights=None):
        """weights: those of `weights()`, or the same without gradient."""
        for k, (layer, own) in enumerate(zip(self.layers, weights or self.weights(), strict=True)):
            x = F.conv2d(F.leaky_relu(x, 0.2) if k else x, *own, layer.stride, layer.padding)
        return x.float()


class Judged(nn.Module):
    """An autoencoder with its critic, where its loss has one: one optimiser and one checkpoint serve both."""

    def __init__(self, vae, version="recommended"):
        super().__init__()
        self.vae = vae
        self.critic = Critic() if "critic" in LOSSES[version] else None


def contest(critic, x, y):
    """(loss of the autoencoder, loss of the critic) over images x and copies y, both (N,3,H,W).

    The first has no gradient for the critic, the second none for the autoencoder. Source: the hinge
    loss of Lim and Ye 2017.
    """
    weights = critic.weights()
    found_out = -critic(y, [(w.detach(), b.detach()) for w, b in weights]).mean()
    real, copy = critic(torch.cat([x, y.detach()]), weights).chunk(2)
    return found_out, F.relu(1 - real).mean() + F.relu(1 + copy).mean()


def balanced(copy, last, first, second, weight):
    """A loss whose gradient is that of `first`, plus that of `second` at `weight` times the size of the first.

    first, second: losses of `copy` (N,3,H,W); both sizes are measured at `last`, the weights of the decoder's last
    layer, for a critic that has learned much would else outweigh the image, and the autoencoder come apart.
    Source: Esser et al. 2021, equation 7.
    """
    lifted = 2.0**10  # above the smallest numbers of float16; a power of two changes no digit
    pulls = [torch.autograd.grad(lifted * loss, copy)[0] for loss in (first, second)]
    sizes = [torch.autograd.grad(copy, last, pull, retain_graph=True)[0].norm() for pull in pulls]
    share = weight * sizes[0] / sizes[1].clamp_min(1e-12)
    pulled = (copy * (pulls[0] + share * pulls[1])).sum() / lifted
    return first.detach() + pulled - pulled.detach()


def _structure(x, y):
    """1 minus SSIM of the grey values."""
    grey = (v.mean(1, keepdim=True) for v in (y, x))
    with torch.autocast(x.device.type, enabled=False):  # variances need full precision
        return 1 - structural_similarity_index_measure(*grey, data_range=2.0, sigma=1.0)


def unlikeness(version, thin=THIN):
    """Function of images and copies (N,3,H,W) in [-1,1]: the terms of LOSSES[version] that need no critic.

    thin: every so many images have their perceptual distance (LPIPS, VGG16) taken, which alone would
    cost more than the rest.
    """
    net = LPIPS("vgg").to(device(), memory_format=torch.channels_last)
    terms = dict(
        l1=F.l1_loss,
        mse=F.mse_loss,
        perceptual=lambda x, y: net(x[::thin], y[::thin]).mean(),
        structure=_structure,
    )
    weights = {name: w for name, w in LOSSES[version].items() if name in terms}
    return lambda x, y: sum(w * terms[name](x, y) for name, w in weights.items())


def vae_loss(images, version="recommended"):
    """Loss of stage 1 for a `Judged` autoencoder, on images, uint8 (N,H,W,3). version: of LOSSES.

    Crops of half the side would cost a quarter, but normalisation over a crop is not that over an image: an
    autoencoder that knows crops only blurs whole images. So FIRST alone takes crops, whose copies are blurred anyway.
    """
    side, differ = images.shape[1], unlikeness(version)
    crop = max(32, side // 2) if version == FIRST else side

    def loss(model, index, rng):
        x = moved(to_tensor(images[index.numpy()]))
        top, left = (8 * torch.randint((side - crop) // 8 + 1, (2,), generator=rng)).tolist()
        x = x[:, :, top : top + crop, left : left + crop]
        posterior = model.vae.encode(x).latent_dist
        noise = moved(torch.randn(posterior.mean.shape, generator=rng))
        y = model.vae.decode(posterior.mean + posterior.std * noise).sample.float()
        # the sum grows with the area, the means do not: as strong at every size as where it was tried
        total, paired = KL * (64 / side) ** 2 * posterior.kl().float().mean(), differ(x, y)
        if model.critic is None:
            return total + paired
        found_out, mistaken = contest(model.critic, x, y)
        last, weight = model.vae.decoder.conv_out.weight, LOSSES[version]["critic"]
        return total + balanced(y, last, paired, found_out, weight) + mistaken

    return loss


def validation_loss(images, version="recommended"):
    """check(model) for `training.fit`: `unlikeness` of images, uint8 (N,H,W,3), and their copies, without
    sampling and without the critic, whose opinion changes as it learns."""
    differ = unlikeness(version, thin=1)
    parts = to_tensor(images).split(16)

    @torch.no_grad()
    def check(model):
        def one(part):
            x = moved(part)
            y = model.vae.decode(model.vae.encode(x).latent_dist.mode()).sample.float()
            return differ(x, y.clamp(-1, 1)).item() * len(x) / len(images)

        return sum(side_by_side(one, parts))

    return check
