"""AnimateDiff's motion modules: attention along time, one small transformer behind each resolution's layers of an image UNet.

Source: Guo et al., *AnimateDiff*, arXiv 2307.04725, section 4.2, and the layouts of the published weights (v1, v2, v3, SDXL beta). Names are those of the files;
layers are made by `operations` (torch.nn, or what a host offers in its place).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .windows import Window

HEADS = 8  # of all published modules
_GROUPS = 32
_ROWS = 1 << 12  # pixels whose frames are attended at once: kernels have limits, and memory too
_KEY = re.compile(r"(down_blocks|up_blocks|mid_block)(?:\.(\d+))?\.motion_modules\.(\d+)\.")

Place = tuple[str, int, int]
"""Where a module belongs: "down", "up" or "mid", which level (0 for mid), and which of the level's residual blocks it stands behind."""


class MotionModule(nn.Module):
    """All modules of a file. channels: of the module at each place. positions: the most frames that it can tell apart."""

    def __init__(self, channels: Mapping[Place, int], positions: int, operations: ModuleType | type = nn, **factory: Any) -> None:
        super().__init__()
        self.channels, self.positions = dict(channels), positions
        for name in ("down", "up"):
            levels = 1 + max((level for part, level, _ in channels if part == name), default=-1)
            setattr(self, f"{name}_blocks", nn.ModuleList(self._block(name, level, operations, factory) for level in range(levels)))
        if ("mid", 0, 0) in channels:
            self.mid_block = self._block("mid", 0, operations, factory)

    def _block(self, name: str, level: int, operations, factory) -> nn.Module:
        block = nn.Module()
        widths = [self.channels[place] for place in sorted(self.channels) if place[:2] == (name, level)]
        block.motion_modules = nn.ModuleList(_Motion(width, self.positions, operations, **factory) for width in widths)
        return block

    def at(self, place: Place) -> TemporalTransformer:
        name, level, number = place
        block = self.mid_block if name == "mid" else getattr(self, f"{name}_blocks")[level]
        return block.motion_modules[number].temporal_transformer


def layout(weights: Mapping[str, Tensor]) -> tuple[dict[Place, int], int]:
    """The channels at each place, and the number of positions, of a file's weights. Raises: ValueError for weights of another kind."""
    channels: dict[Place, int] = {}
    positions = None
    for key, tensor in weights.items():
        found = _KEY.match(key)
        if not found:
            raise ValueError(f"{key!r} belongs to no motion module")
        place = (found[1].split("_")[0], int(found[2] or 0), int(found[3]))
        if key.endswith("temporal_transformer.norm.weight"):
            channels[place] = len(tensor)
        if key.endswith("pos_encoder.pe"):
            positions = tensor.shape[1]
    if not channels or positions is None:
        raise ValueError("there are no temporal transformers in it")
    return channels, positions


def clean(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's weights by the names of `MotionModule`: without the prefixes of trainers and other packs, and what is not of the motion module."""
    found = {}
    for key, tensor in weights.items():
        at = _KEY.search(key)
        if at:
            found[key[at.start():]] = tensor
    return found


class _Motion(nn.Module):
    def __init__(self, channels: int, positions: int, operations, **factory) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels, positions, operations, **factory)


class TemporalTransformer(nn.Module):
    def __init__(self, channels: int, positions: int, operations: ModuleType | type = nn, **factory: Any) -> None:
        super().__init__()
        self.norm = operations.GroupNorm(_GROUPS, channels, eps=1e-6, **factory)
        self.proj_in = operations.Linear(channels, channels, **factory)
        self.transformer_blocks = nn.ModuleList([_Block(channels, positions, operations, **factory)])
        self.proj_out = operations.Linear(channels, channels, **factory)

    def forward(self, x: Tensor, frames: int, windows: list[Window] | None = None) -> Tensor:
        """x (clips x frames, channels, height, width), to the same shape. windows: of frames that see each other; None: all do."""
        rows, channels, height, width = x.shape
        hidden = self.norm(x).permute(0, 2, 3, 1).reshape(rows, height * width, channels)
        hidden = self.proj_in(hidden)
        # Time goes where attention looks: (clips x pixels, frames, channels).
        hidden = hidden.unflatten(0, (-1, frames)).transpose(1, 2).flatten(0, 1)
        for block in self.transformer_blocks:
            hidden = torch.cat([block(part, windows) for part in hidden.split(_ROWS)])
        hidden = hidden.unflatten(0, (-1, height * width)).transpose(1, 2).flatten(0, 1)
        return x + self.proj_out(hidden).view(rows, height, width, channels).permute(0, 3, 1, 2)


class _Block(nn.Module):
    def __init__(self, channels: int, positions: int, operations, **factory) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList(_TemporalAttention(channels, positions, operations, **factory) for _ in range(2))
        self.norms = nn.ModuleList(operations.LayerNorm(channels, **factory) for _ in range(2))
        self.ff = _FeedForward(channels, operations, **factory)
        self.ff_norm = operations.LayerNorm(channels, **factory)

    def forward(self, x: Tensor, windows: list[Window] | None) -> Tensor:
        for block, norm in zip(self.attention_blocks, self.norms):
            x = x + block(norm(x), windows)
        return x + self.ff(self.ff_norm(x))


class _TemporalAttention(nn.Module):
    def __init__(self, channels: int, positions: int, operations, **factory) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (operations.Linear(channels, channels, bias=False, **factory) for _ in range(3))
        self.to_out = nn.ModuleList([operations.Linear(channels, channels, **factory)])
        self.pos_encoder = _Positions(channels, positions, **factory)

    def forward(self, x: Tensor, windows: list[Window] | None) -> Tensor:
        if windows is None:
            return self._attend(x)
        # As in FreeNoise (arXiv 2310.15169, section 4.2): each window attends within itself, and where windows overlap their results are blended.
        out, total = torch.zeros_like(x), x.new_zeros(x.shape[1])
        for window in windows:
            weights = torch.tensor(window.weights, dtype=x.dtype, device=x.device)
            out[:, window.start:window.stop] += self._attend(x[:, window.start:window.stop]) * weights[:, None]
            total[window.start:window.stop] += weights
        return out / total[:, None]

    def _attend(self, x: Tensor) -> Tensor:
        x = self.pos_encoder(x)
        q, k, v = (each(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in (self.to_q, self.to_k, self.to_v))
        if torch.is_grad_enabled() and x.device.type == "cpu":
            # In training two plain products are several times as fast there as the fused kernel's backward pass.
            out = ((q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)).softmax(-1).to(v.dtype) @ v
        else:
            # Torch's own: a few frames are no work for the kernels that are made for pictures.
            out = F.scaled_dot_product_attention(q, k, v)
        return self.to_out[0](out.transpose(1, 2).flatten(2))


class _Positions(nn.Module):
    def __init__(self, channels: int, positions: int, **factory) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoids(positions, channels).to(**factory))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, :x.shape[1]].to(x)


class _FeedForward(nn.Module):
    def __init__(self, channels: int, operations, **factory) -> None:
        super().__init__()
        gate = nn.Module()
        gate.proj = operations.Linear(channels, 8 * channels, **factory)
        # The middle one is the files' dropout, which has no weights.
        self.net = nn.ModuleList([gate, nn.Identity(), operations.Linear(4 * channels, channels, **factory)])

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.net[0].proj(x).chunk(2, dim=-1)
        return self.net[2](x * F.gelu(gate))


def sinusoids(positions: int, channels: int) -> Tensor:
    """(1, positions, channels): the usual sines and cosines of a place in a sequence."""
    angles = torch.arange(positions)[:, None] * torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None]
