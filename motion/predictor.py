"""The semantic motion predictor: keyframe features to those of the frames between them.

Source: Zhou et al., *StoryDiffusion*, arXiv 2405.01434, section 3.2 and appendix B: a transformer of 8 layers and width 1024 over the linearly
interpolated features, P = B(K). Two deviations. The paper's 12 heads do not divide 1024: here there are 16. And what the transformer says is
added to the interpolation, P = K + strength * m(tau) * head(B(K)), with a head that starts at zero and m(0) = m(1) = 0: without training this is
exact linear interpolation, where the literal form is noise, and the keyframes come out as they went in whatever the weights are.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .interpolation import frame_times, interpolate

SPACES = ("pooled", "penultimate", "projected")
_FREQUENCIES = 16  # of the time's Fourier features


@dataclass(frozen=True)
class Sizes:
    """space: one of SPACES, which of CLIP's features these are. tokens, channels: of one picture. width, layers, heads: of the transformer."""

    space: str
    tokens: int
    channels: int
    width: int = 1024
    layers: int = 8
    heads: int = 16

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(f"there is no feature space {self.space!r}. Choose one of: {', '.join(SPACES)}.")
        if min(self.tokens, self.channels, self.width, self.layers, self.heads) < 1:
            raise ValueError(f"all sizes must be at least 1: {asdict(self)}.")
        if self.width % self.heads:
            raise ValueError(f"a width of {self.width} cannot be divided among {self.heads} heads. Choose heads that divide it, such as {math.gcd(self.width, 16)}.")


class MotionPredictor(nn.Module):
    """Features are (batch, tokens, channels) as CLIP gives them; standardised inside by `mean` and `std`, (channels,), of the training set."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.width
        self.register_buffer("mean", torch.zeros(sizes.channels))
        self.register_buffer("std", torch.ones(sizes.channels))
        self.read = nn.Linear(sizes.channels, width)
        self.time = nn.Linear(2 * _FREQUENCIES, width)
        self.places = nn.Parameter(torch.randn(sizes.tokens, width) * 0.02)
        self.blocks = nn.ModuleDict({"layers": nn.ModuleList(_Block(width, sizes.heads) for _ in range(sizes.layers))})
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, sizes.channels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, start: Tensor, end: Tensor, frames: int, strength: float = 1.0) -> Tensor:
        """(batch, tokens, channels) twice to (batch, frames, tokens, channels); the first and the last frame are `start` and `end`, bit for bit.

        strength: 0 is linear interpolation, 1 what was learned.

        Raises: ValueError for features of another shape, and for fewer than two frames.
        """
        wanted = (self.sizes.tokens, self.sizes.channels)
        for name, features in (("start", start), ("end", end)):
            if features.ndim != 3 or features.shape[1:] != wanted:
                raise ValueError(f"{name} is of shape {tuple(features.shape)}, but the predictor reads (batch, {wanted[0]}, {wanted[1]}), CLIP's {self.sizes.space} features.")
        between = interpolate(start, end, frames)
        tau = frame_times(frames, start.device)
        weight = (4 * tau * (1 - tau))[:, None, None]
        standard = (between - self.mean) / self.std
        hidden = self.read(standard.to(self.read.weight.dtype)) + self.time(fourier(tau).to(self.read.weight.dtype))[:, None] + self.places
        hidden = hidden.flatten(1, 2)
        for block in self.blocks["layers"]:
            hidden = block(hidden)
        hidden = hidden.unflatten(1, (frames, -1))
        learned = self.head(self.norm(hidden)).to(between.dtype) * self.std
        # `where`: a keyframe stays itself also where something that is not finite was learned.
        return torch.where(weight > 0, between + strength * weight * learned, between).to(start.dtype)


class _Block(nn.Module):
    """Torch's TransformerEncoderLayer, normalising first, with its names. Not that one itself: without gradients, on the CPU, it keeps the whole
    table of attention, which for 81 frames of 257 tokens is of gigabytes."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, places, width)."""
        attention = self.self_attn
        q, k, v = F.linear(self.norm1(x), attention.in_proj_weight, attention.in_proj_bias).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + attention.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


def fourier(tau: Tensor) -> Tensor:
    """(frames,) times to (frames, 32) sines and cosines of 1/2 to 64 half turns over a transition: any number of frames has its places."""
    # On the CPU: not all devices have float64.
    angles = tau.cpu()[:, None].double() * math.pi * 2.0 ** torch.linspace(-1, 6, _FREQUENCIES, dtype=torch.float64)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).float().to(tau.device)
