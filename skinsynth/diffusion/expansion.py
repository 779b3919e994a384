"""Widening: 4 to 8 latent channels, after which a network still does what it did."""

import torch
from torch import nn

from ..core.errors import UserError


def pretrained(kind, start, part):
    """The network of class `kind` in a part of a folder (or stage) in diffusers' layout, in single precision.

    Raises UserError where an entry is missing, which diffusers would leave empty.
    """
    how = dict(use_safetensors=True, local_files_only=True, torch_dtype=torch.float32)
    network = kind.from_pretrained(start / part, **how)
    if missing := [name for name, value in network.named_parameters() if value.is_meta]:
        fault = f"weights without {missing[0]}"
        raise UserError(f"{start / part}: {fault}; delete the folder and fetch it again")
    network.register_to_config(_name_or_path="")  # else what is saved tells where it lay
    return network


def configuration(network):
    """A network's configuration without what diffusers notes with underscores, which would put its own defaults back."""
    return {k: v for k, v in network.config.items() if not k.startswith("_")}


def widened(network, **channels):
    """A new network of the same configuration but for its channels; weights of equal shape are kept."""
    wide = type(network).from_config(configuration(network) | channels)
    own = wide.state_dict()
    same = {k: v for k, v in network.state_dict().items() if own[k].shape == v.shape}
    wide.load_state_dict(same, strict=False)
    return wide.eval()


def _padded(new, old):
    """Set a new weight to the old one in its first rows and columns, and to zero elsewhere."""
    new.zero_()
    new[tuple(map(slice, old.shape))] = old


@torch.no_grad()
def expand_vae(vae, channels=8, seed=0):
    """Widen the latent of an AutoencoderKL; the function is unchanged (max difference below 1e-5).

    Old channels keep their weights. New encoder rows are random (see `aim_new_channels`), so that
    they carry something to learn from; new decoder columns are zero, so that nothing changes yet.
    Source: paper, stage 1 (4 to 8 latent channels).
    """
    old = vae.config.latent_channels
    torch.manual_seed(seed)
    wide = widened(vae, latent_channels=channels)
    first = torch.arange(old)
    moments = torch.cat([first, channels + first])  # means, then log variances
    last, source = wide.encoder.conv_out, vae.encoder.conv_out
    last.weight[moments], last.bias[moments] = source.weight, source.bias
    last.bias[channels + old :] = -6.0  # new channels start nearly noise-free
    for name, index in (("quant_conv", moments), ("post_quant_conv", first)):
        if (layer := getattr(wide, name)) is not None:
            source = getattr(vae, name)
            nn.init.dirac_(layer.weight)  # new channels pass through
            nn.init.zeros_(layer.bias)
            layer.weight[index[:, None], index], layer.bias[index] = source.weight, source.bias
    _padded(wide.decoder.conv_in.weight, vae.decoder.conv_in.weight)
    return wide


def _cells(parts):
    """Feature maps [(n,C,h,w), ...] as a list of cells: (cells, C)."""
    return torch.cat(parts).transpose(0, 1).flatten(1).T


@torch.no_grad()
def aim_new_channels(wide, old, x):
    """Point the new encoder rows of an expanded VAE at what its old channels leave out, in place.

    The rows become the principal directions, over images x (N,3,H,W), of that part of the encoder's
    last features which the `old` channels do not explain linearly, as strong as the strongest old
    channel. Decoder columns stay zero, so the function stays what it was. Random rows learn too, but
    in the same time they gained a third as much (phantom, validation split).
    """
    seen, layer = [], wide.encoder.conv_out
    with layer.register_forward_pre_hook(lambda _, given: seen.append(given[0])):
        codes = [wide.encode(part.to(wide.device)).latent_dist.mode() for part in x.split(16)]
    # in double precision and with signs fixed, so that the rows are the same in every run
    features, known = _cells(seen).double(), _cells(codes)[:, :old].double()
    mean, strongest = features.mean(0), known.std(0).max()
    features, known = features - mean, known - known.mean(0)
    rest = features - known @ torch.linalg.lstsq(known, features).solution
    new = wide.config.latent_channels - old
    rows = torch.linalg.eigh(rest.T @ rest)[1][:, -new:].T
    rows *= rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
    rows *= strongest / (features @ rows.T).std(0)[:, None]
    at = slice(old, old + new)  # the means; the log variances stay
    layer.weight[at], layer.weight[at, :, 1, 1] = 0, rows.float()
    layer.bias[at] = (-rows @ mean).float()


@torch.no_grad()
def expand_unet(unet, channels=8):
    """Widen a UNet's latent; its first channels' output is unchanged (max difference below 1e-5).

    New input columns and new output rows are zero. Source: paper, stage 2.
    """
    wide = widened(unet, in_channels=channels, out_channels=channels)
    for name in ("conv_in.weight", "conv_out.weight", "conv_out.bias"):
        _padded(wide.get_parameter(name), unet.get_parameter(name))
    return wide
