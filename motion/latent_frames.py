"""Features of frames for video models whose latents hold several frames each."""

from __future__ import annotations

import torch
from torch import Tensor


def pool_frames(features: Tensor, stride: int = 4) -> Tensor:
    """(frames, tokens, channels) to (latent frames, tokens, channels): the first frame alone, then the mean of every `stride`: {0}, {1..4}, {5..8}, ...

    Raises: ValueError where the last is not full.
    """
    frames = len(features)
    if frames <= stride or frames % stride != 1:
        nearest = stride * max(round((frames - 1) / stride), 1) + 1
        raise ValueError(f"{frames} frames do not fill latent frames of {stride} after the first: {stride}n + 1 do, such as {nearest}.")
    return torch.cat([features[:1], features[1:].unflatten(0, (-1, stride)).mean(1)])
