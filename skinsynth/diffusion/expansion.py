"""Widening: 4 to 8 latent channels, after which a network still does what it did."""

import torch


def widened(network, **channels):
    """A new network of the same configuration but for its channels; weights of equal shape are kept."""
    # what diffusers notes with underscores would put its own defaults back
    config = {k: v for k, v in network.config.items() if not k.startswith("_")}
    wide = type(network).from_config(config | channels)
    own = wide.state_dict()
    same = {k: v for k, v in network.state_dict().items() if own[k].shape == v.shape}
    wide.load_state_dict(same, strict=False)
    return wide.eval()


def _place(new, old, rows, columns):
    """Copy an old convolution's weight into the given rows and columns of a new one; bias too."""
    new.weight[torch.tensor(rows)[:, None], torch.tensor(columns)[None]] = old.weight
    new.bias[rows] = old.bias


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
    first = list(range(old))
    moments = first + [channels + i for i in first]  # means, then log variances
    hidden = list(range(vae.encoder.conv_out.in_channels))
    _place(wide.encoder.conv_out, vae.encoder.conv_out, moments, hidden)
    wide.encoder.conv_out.bias[channels + old :] = -6.0  # new channels start nearly noise-free
    for name, index in (("quant_conv", moments), ("post_quant_conv", first)):
        if (layer := getattr(wide, name)) is not None:
            n = layer.out_channels
            layer.weight.copy_(torch.eye(n)[:, :, None, None])
            layer.bias.zero_()
            _place(layer, getattr(vae, name), index, index)
    wide.decoder.conv_in.weight.zero_()
    _place(
        wide.decoder.conv_in,
        vae.decoder.conv_in,
        list(range(wide.decoder.conv_in.out_channels)),
        first,
    )
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
    hook = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    parts = [wide.encode(part.to(wide.device)).latent_dist.mode()[:, :old] for part in x.split(16)]
    hook.remove()
    # in double precision and with signs fixed, so that the rows are the same in every run
    features, known = _cells(seen).double(), _cells(parts).double()
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
