"""Latents of the transitions between keyframes, whose ends are held."""

from __future__ import annotations

import torch

from .motion_predictor import check_transitions


def transition_latents(node: str, vae, keyframes: torch.Tensor, frames: int) -> list[dict]:
    """A LATENT for each transition, (frames, channels, height / 8, width / 8): both ends are the encoded keyframes, held by a noise mask; the frames between go
    from one to the other, and are free.

    Raises: ValueError for fewer than two keyframes or frames, and for sizes that latents cannot have.
    """
    check_transitions(node, keyframes, frames)
    height, width = keyframes.shape[1:3]
    if height % 8 or width % 8:  # the VAE would cut them, and the film would not be of the keyframes' size
        raise ValueError(
            f"{node}: input 'keyframes' has pictures of {width} x {height} pixels, but both must be multiples of 8; {width // 8 * 8} x {height // 8 * 8} is near. Scale or crop them ahead of "
            "all nodes that take the keyframes."
        )
    encoded = torch.cat([vae.encode(keyframe[None, ..., :3]) for keyframe in keyframes])
    if encoded.ndim != 4:
        raise ValueError(f"{node}: input 'vae' makes latents of shape {tuple(encoded.shape)}, those of a video model. Use the VAE of an SD1.5 or SDXL checkpoint.")
    tau = torch.linspace(0, 1, frames, device=encoded.device)[:, None, None, None]
    mask = ((tau > 0) & (tau < 1)).float().expand(frames, 1, *encoded.shape[2:]).clone()
    return [{"samples": torch.lerp(start, end, tau), "noise_mask": mask.clone()} for start, end in zip(encoded, encoded[1:])]
