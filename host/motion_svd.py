"""Predicted motion as the conditioning of Stable Video Diffusion: one context row a frame."""

from __future__ import annotations

import comfy.utils
import torch

from .motion_predictor import Transition

NODE = "Fabula_MotionToSVD"
CHANNELS = 1024  # of SVD's context: the pooled features of CLIP ViT-H
END_LATENT = "fabula_end_latent"  # key of CONDITIONING: the end picture as the start picture's concat_latent_image, for Fabula_TwoWaySVD


def motion_to_svd(motion: Transition, vae, keyframes: torch.Tensor, width: int, height: int, fps: int, motion_bucket_id: int,
                  augmentation_level: float) -> tuple[list, list, dict]:
    """positive, negative and an empty latent for one transition.

    The net's temporal layers read the first row of the context alone. They get what is true of the whole clip, both keyframes' rows, in `time_conditioning`,
    so that the first frame's row does not stand for all. The end picture lies beside the start picture in `END_LATENT`; SVD itself does not read it.

    Raises: ValueError for features of another kind, and a transition that the keyframes do not have.
    """
    if motion.space != "pooled" or motion.nothing.shape != (1, CHANNELS):
        raise ValueError(
            f"{NODE}: input 'motion' has {motion.space} features, {tuple(motion.nothing.shape)} a frame, but SVD reads 1 pooled row of {CHANNELS}. Set "
            "Fabula_PredictMotion's 'space' to pooled, with the CLIP vision of the SVD checkpoint (ViT-H)."
        )
    if motion.index + 1 >= len(keyframes):
        raise ValueError(f"{NODE}: input 'keyframes' has {len(keyframes)} pictures, too few for transition {motion.index + 1}. Connect those of Fabula_PredictMotion.")
    for name, size in (("width", width), ("height", height)):
        if size % 8:
            raise ValueError(f"{NODE}: input '{name}' is {size}, but must be a multiple of 8; {size // 8 * 8} is near.")
    still, end = (_encode(vae, keyframes, number, width, height, augmentation_level) for number in (motion.index, motion.index + 1))
    shared = {"motion_bucket_id": motion_bucket_id, "fps": fps, "augmentation_level": augmentation_level}
    features = motion.features
    whole = features[[0, -1]].transpose(0, 1)  # (1, 2, channels)
    positive = [[features.clone(), {**shared, "concat_latent_image": still, END_LATENT: end, "time_conditioning": whole}]]
    # As many rows as the positive: the host would repeat one of them otherwise, which is the same, but says so with no shape.
    nothing = {"concat_latent_image": torch.zeros_like(still), END_LATENT: torch.zeros_like(end), "time_conditioning": torch.zeros_like(whole)}
    negative = [[torch.zeros_like(features), {**shared, **nothing}]]
    return positive, negative, {"samples": torch.zeros(motion.frames, 4, height // 8, width // 8)}


def _encode(vae, keyframes: torch.Tensor, number: int, width: int, height: int, augmentation_level: float) -> torch.Tensor:
    """(1, 4, height / 8, width / 8) of one keyframe. Its noise is its own: the same where it ends one transition and where it begins the next."""
    pixels = comfy.utils.common_upscale(keyframes[number:number + 1, ..., :3].movedim(-1, 1), width, height, "bilinear", "center").movedim(1, -1)
    if augmentation_level > 0:
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(number))
        pixels = pixels + noise.to(pixels) * augmentation_level
    return vae.encode(pixels)
