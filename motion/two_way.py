"""Two-way sampling: a video model that was trained on start frames alone honours an end frame too.

After Time Reversal Fusion (arXiv 2403.14611); ViBiDSampler (arXiv 2410.05651) does the same one pass after the other. In each step the film is predicted
twice: forwards from its start frame, and reversed in time from its end frame. The second prediction is turned round, and both are fused, each frame
by its place in time. Time Reversal Fusion's injections of noise, which cost more passes, are left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

FUSIONS = ("linear", "smooth")


def forward_weights(frames: int, fusion: str, device: torch.device | None = None) -> Tensor:
    """(frames,) shares of the forward prediction, from 1 at the first frame to 0 at the last; those of a frame and of its mirror image add to 1.

    linear: 1 - tau. smooth: 1 - (3 tau^2 - 2 tau^3), nearer to the end frames' own predictions. A single frame is the first one.

    Raises: ValueError for a fusion that there is not.
    """
    if fusion not in FUSIONS:
        raise ValueError(f"there is no fusion {fusion!r}. Choose one of: {', '.join(FUSIONS)}.")
    tau = torch.linspace(0, 1, frames, device=device)
    return 1 - (tau if fusion == "linear" else tau * tau * (3 - 2 * tau))


def fuse(forward: Tensor, backward: Tensor, fusion: str) -> Tensor:
    """Two predictions of a film, (frames, ...), into one; `backward` is still reversed in time. The first frame is the forward prediction's, the last the
    backward one's, bit for bit."""
    weights = forward_weights(len(forward), fusion, forward.device).to(forward.dtype)
    return torch.lerp(backward.flip(0), forward, weights.reshape(-1, *[1] * (forward.ndim - 1)))


def reverse(rows: Tensor, frames: int) -> Tensor:
    """What stands by frames, (rows, ...), for the film reversed in time. One row for all frames stays; another number than `frames` is repeated from
    the first on, or cut, as the host does with it."""
    if len(rows) == 1:
        return rows
    return rows[torch.arange(frames, device=rows.device).flip(0) % len(rows)]
