"""Films in which nothing moves as it should, made of the two keyframes alone: whatever judges films must fail them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BOIL = 0.06  # standard deviation, of 1: plain to see, and about what the demo's decoder does to its outlines
BOIL_BLOCK = 4  # pixels, both ways


def fakes(true: Tensor, seed: int) -> dict[str, Tensor]:
    """By name, from the clip (frames, 3, height, width) in 0..1; the boiling ones leave the keyframes as they are, so that only what is between is at fault."""
    tau = torch.linspace(0, 1, len(true))[:, None, None, None]
    still, fade, cut = true[:1].expand_as(true), torch.lerp(true[:1], true[-1:], tau), torch.where(tau < 0.5, true[:1], true[-1:])
    held = torch.where(tau < 1, still, true[-1:])
    return {
        "still picture": still, "cross-fade": fade, "hard cut": cut,
        "still picture, boiling": boiling(held, seed), "cross-fade, boiling": boiling(fade, seed), "hard cut, boiling": boiling(cut, seed),
    }


def boiling(film: Tensor, seed: int, amount: float = BOIL, block: int = BOIL_BLOCK) -> Tensor:
    """With other noise in each frame between the ends."""
    frames, channels, height, width = film.shape
    noise = torch.randn(frames - 2, channels, height // block, width // block, generator=torch.Generator().manual_seed(seed)) * amount
    return torch.cat([film[:1], (film[1:-1] + F.interpolate(noise, size=(height, width))).clamp(0, 1), film[-1:]])
