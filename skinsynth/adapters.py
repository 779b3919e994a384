"""Multi-level adapters: CLIP levels enter the UNet beside the class, adding nothing at the start."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .errors import UserError


def level_map(names, levels, reach=None):
    """Which levels each cross-attention block reads: {block name: tuple of level numbers}.

    reach: the levels that reach the UNet at all; None is all of them. Shallow levels go to high
    resolution, deep levels to the middle, the way up mirrors the way down. With fewer scales than
    levels several levels share a block. Source: paper, stage 2 (five CLIP levels into the UNet).
    """
    down = sorted({n.split(".")[1] for n in names if n.startswith("down_blocks")}, key=int)
    up = sorted({n.split(".")[1] for n in names if n.startswith("up_blocks")}, key=int)
    scales = len(down) + 1  # the middle is the deepest scale
    allowed = range(levels) if reach is None else reach
    share = {s: tuple(k for k in allowed if k * scales // levels == s) for s in range(scales)}
    depth = {f"down_blocks.{b}": i for i, b in enumerate(down)}
    depth |= {f"up_blocks.{b}": i for i, b in enumerate(reversed(up))}
    depth["mid_block"] = scales - 1
    return {n: share[next(d for p, d in depth.items() if n.startswith(p + "."))] for n in names}


def _attend(attn, query, key, value):
    """Scaled dot-product attention over heads: (N, Q, D), (N, K, D), (N, K, D) -> (N, Q, D)."""
    split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # noqa: E731
    return F.scaled_dot_product_attention(split(query), split(key), split(value)).transpose(1, 2).flatten(2)


class Injection(nn.Module):
    """Attention over the class token, plus what a subclass makes of the levels' tokens.

    encoder_hidden_states: (N, 1 + levels * tokens, D): the class token first, then each level's.
    The second branch has no biases and a zero output: it starts as the identity, and tokens that
    are zero (a dropped reference) add exactly nothing.
    """

    def __init__(self, inner, levels, tokens, scale=1.0):
        super().__init__()
        self.levels, self.tokens = levels, tokens
        self.scale, self.strength = scale, 1.0  # as trained; while sampling, 1 as trained, 0 off
        self.to_out = nn.Linear(inner, inner, bias=False)
        nn.init.zeros_(self.to_out.weight)

    def forward(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        query = attn.to_q(hidden_states)
        label, rest = encoder_hidden_states[:, :1], encoder_hidden_states[:, 1:]
        out = attn.to_out[0](_attend(attn, query, attn.to_k(label), attn.to_v(label)))
        if rest.shape[1] == 0 or not self.levels or self.strength == 0:
            return out
        own = [rest[:, k * self.tokens : (k + 1) * self.tokens] for k in self.levels]
        return out + self.scale * self.strength * self.to_out(self.read(attn, query, own))


class LevelAttention(Injection):
    """Decoupled cross-attention: the block's own queries ask the tokens of its levels."""

    def __init__(self, width, inner, levels, tokens, scale=1.0):
        super().__init__(inner, levels, tokens, scale)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)

    def read(self, attn, query, own):
        own = torch.cat(own, 1)
        return _attend(attn, query, self.to_k(own), self.to_v(own))


class LevelResidual(Injection):
    """Spatial residuals: each level's grid of patches, resized to the block, is added where it lies.

    Needs tokens on a grid (CLS, then side x side patches, row by row: clip.pooled_tokens).
    """

    def __init__(self, width, inner, levels, tokens, scale=1.0):
        super().__init__(inner, levels, tokens, scale)
        self.side = math.isqrt(tokens - 1)
        if self.side**2 != tokens - 1:
            raise UserError(f"injection 'residual' needs patches on a square grid, got {tokens - 1}: set selection = 'grid'")
        self.to_v = nn.Linear(width, inner, bias=False)

    def read(self, attn, query, own):
        wanted = math.isqrt(query.shape[1])
        grid = self.to_v(sum(own)[:, 1:]).transpose(1, 2).unflatten(2, (self.side, self.side))
        return F.interpolate(grid, (wanted, wanted), mode="bilinear").flatten(2).transpose(1, 2)


INJECTIONS = dict(attention=LevelAttention, residual=LevelResidual)


class LevelAdapters(nn.Module):
    """Project each level's tokens to the UNet's cross-attention width: (N,L,T,D) -> (N, L*T, W)."""

    def __init__(self, levels, tokens, clip_width, width):
        super().__init__()
        self.tokens = tokens
        self.project = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(clip_width), nn.Linear(clip_width, width)) for _ in range(levels)
        )

    def forward(self, tokens, keep):
        """keep: (N,) 1 to use an image's tokens, 0 to drop them."""
        parts = [p(tokens[:, k].to(p[1].weight.dtype)) for k, p in enumerate(self.project)]
        return torch.cat(parts, 1) * keep.view(-1, 1, 1).to(parts[0].dtype)


def attach(unet, levels, tokens, reach=None, scale=1.0, injection="attention"):
    """Give every cross-attention of a UNet2DConditionModel its injection; returns the level map.

    injection: a name of INJECTIONS. Raises UserError where the tokens do not suit it.
    """
    names = [n for n in unet.attn_processors if n.endswith("attn2.processor")]
    chosen = level_map(names, levels, reach)
    width = unet.config.cross_attention_dim
    own = {
        n: INJECTIONS[injection](
            width, unet.get_submodule(n.removesuffix(".processor")).inner_dim, chosen[n], tokens, scale
        )
        for n in names
    }
    unet.set_attn_processor({n: own.get(n, p) for n, p in unet.attn_processors.items()})
    return chosen
