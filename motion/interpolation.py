"""Features between two keyframes without any weights: what a predictor starts from, and what it has to beat.

Features are (..., tokens, channels); time tau goes from 0 at the first keyframe to 1 at the second.
"""

from __future__ import annotations

import torch
from torch import Tensor

MODES = ("linear", "slerp", "eased")
_PARALLEL = 1e-4  # sine of the angle below which two directions are one


def frame_times(frames: int, device: torch.device | None = None) -> Tensor:
    """(frames,) times from 0 to 1, both included. Raises: ValueError for fewer than two frames."""
    if frames < 2:
        raise ValueError(f"{frames} frames are too few: a transition has at least its two keyframes.")
    return torch.linspace(0, 1, frames, device=device)


def interpolate(start: Tensor, end: Tensor, frames: int, mode: str = "linear") -> Tensor:
    """(..., tokens, channels) twice to (..., frames, tokens, channels); the first and the last frame are the keyframes, bit for bit.

    linear: K_i = K_s + (i - 1) / (L - 1) (K_e - K_s), as in the paper (section 3.2). slerp: along the great circle of each token, its length
    linear. eased: linear, slow at both ends.
    """
    tau = frame_times(frames, start.device)[:, None, None].to(start.dtype)
    start, end = start.unsqueeze(-3), end.unsqueeze(-3)
    if mode == "linear":
        return torch.lerp(start, end, tau)
    if mode == "eased":
        return torch.lerp(start, end, tau * tau * (3 - 2 * tau))
    if mode == "slerp":
        return _slerp(start, end, tau)
    raise ValueError(f"there is no interpolation {mode!r}. Choose one of: {', '.join(MODES)}.")


def _slerp(start: Tensor, end: Tensor, tau: Tensor) -> Tensor:
    """(..., 1, tokens, channels) twice and (frames, 1, 1). Where a token has no direction, or both the same or opposite ones, linear."""
    lengths = [each.norm(dim=-1, keepdim=True) for each in (start, end)]
    directions = [each / length.clamp_min(torch.finfo(each.dtype).tiny) for each, length in zip((start, end), lengths)]
    angle = torch.acos((directions[0] * directions[1]).sum(-1, keepdim=True).clamp(-1, 1))
    sine = angle.sin()
    turned = (((1 - tau) * angle).sin() * directions[0] + (tau * angle).sin() * directions[1]) / sine.clamp_min(_PARALLEL)
    straight = torch.lerp(start, end, tau)
    curved = turned * torch.lerp(*lengths, tau)
    no_plane = (sine < _PARALLEL) | (lengths[0] * lengths[1] == 0)
    is_end = (tau == 0) | (tau == 1)  # there rounding would move the keyframes
    return torch.where(no_plane | is_end, straight, curved)
