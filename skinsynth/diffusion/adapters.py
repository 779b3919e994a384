"""Multi-level adapters: CLIP levels enter the UNet beside the class, adding nothing at the start."""

import torch
from torch import nn
from torch.nn import functional as F


def level_map(names, levels, reach=None):
    """Which levels each cross-attention block reads: {block name: tuple of level numbers}.

    names: in the UNet's order; reach: the levels that reach the UNet at all; None is all of them.
    Shallow levels go to high resolution, deep levels to the middle, the way up mirrors the way down.
    With fewer scales than levels several levels share a block. Source: paper, stage 2 (five CLIP
    levels into the UNet).
    """
    blocks = dict.fromkeys(n.split(".attentions")[0] for n in names)
    down = [b for b in blocks if b.startswith("down_blocks")]
    up = [b for b in blocks if b.startswith("up_blocks")]
    scales = len(down) + 1  # the middle is the deepest scale
    depth = {b: i for way in (down, up[::-1]) for i, b in enumerate(way)} | {
        "mid_block": scales - 1
    }
    allowed = range(levels) if reach is None else reach
    share = {s: tuple(k for k in allowed if k * scales // levels == s) for s in range(scales)}
    return {n: share[depth[n.split(".attentions")[0]]] for n in names}


def _attend(attn, query, key, value):
    """Scaled dot-product attention over heads: (N, Q, D), (N, K, D), (N, K, D) -> (N, Q, D)."""
    heads = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)


class LevelAttention(nn.Module):
    """Decoupled cross-attention: the block's own queries ask the class token, and beside it the tokens of its levels.

    encoder_hidden_states: (N, 1 + levels * tokens, D): the class token first, then each level's.
    The second branch has no biases and a zero output: it starts as the identity, and tokens that
    are zero (a dropped reference) add exactly nothing.
    """

    def __init__(self, width, inner, levels, tokens, scale=1.0):
        super().__init__()
        self.levels, self.tokens, self.scale = levels, tokens, scale
        self.strength, self.without = 1.0, ()  # as trained; see Denoiser.set_adapters
        self.to_out = nn.Linear(inner, inner, bias=False)
        nn.init.zeros_(self.to_out.weight)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)

    def forward(self, attn, hidden_states, encoder_hidden_states, attention_mask=None):
        query = attn.to_q(hidden_states)
        label, rest = encoder_hidden_states[:, :1], encoder_hidden_states[:, 1:]
        out = attn.to_out[0](_attend(attn, query, attn.to_k(label), attn.to_v(label)))
        read_here = [k for k in self.levels if k not in self.without]
        if rest.shape[1] == 0 or not read_here or self.strength == 0:
            return out
        levels = rest.split(self.tokens, 1)
        own = torch.cat([levels[k] for k in read_here], 1)
        read = _attend(attn, query, self.to_k(own), self.to_v(own))
        return out + self.scale * self.strength * self.to_out(read)


class LevelAdapters(nn.Module):
    """Project each level's tokens to the UNet's cross-attention width: (N,L,T,D) -> (N, L*T, W)."""

    def __init__(self, levels, clip_width, width):
        super().__init__()
        self.project = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(clip_width), nn.Linear(clip_width, width))
            for _ in range(levels)
        )

    def forward(self, tokens, keep):
        """keep: (N,) 1 to use an image's tokens, 0 to drop them."""
        parts = [p(tokens[:, k].to(p[1].weight.dtype)) for k, p in enumerate(self.project)]
        return torch.cat(parts, 1) * keep.view(-1, 1, 1).to(parts[0].dtype)


def attach(unet, levels, tokens, reach=None, scale=1.0):
    """Give every cross-attention of a UNet2DConditionModel its second branch."""
    processors, width = unet.attn_processors, unet.config.cross_attention_dim
    names = [n for n in processors if n.endswith("attn2.processor")]
    for name, own in level_map(names, levels, reach).items():
        inner = unet.get_submodule(name.removesuffix(".processor")).inner_dim
        processors[name] = LevelAttention(width, inner, own, tokens, scale)
    unet.set_attn_processor(processors)
