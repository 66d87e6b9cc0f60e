"""Predicted motion for Wan 2.1's image-to-video models: each latent frame attends to the image tokens of its own frames.

The net gives all latent frames the same tokens, those of the start picture (and of the end picture). Here its cross-attention runs on one latent
frame a row, each with its own tokens before the text's: the net's own layers do the work, and so does what another patch has put in their place.
"""

from __future__ import annotations

import torch
from comfy.ldm.wan.model import WanI2VCrossAttention, WanModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ..motion.latent_frames import pool_frames
from .frame_rows import frame_window, told_frames
from .motion_predictor import Transition

NODE = "Fabula_ApplyMotionToWan"
KEY = "fabula_motion_wan"
TOKENS, CHANNELS = 257, 1280  # of a picture, as CLIP ViT-H sees it: its penultimate features


def apply_motion_to_wan(model: ModelPatcher, motion: Transition) -> ModelPatcher:
    """A clone of `model` for one transition. Given twice, the last counts.

    Raises: ValueError for another model, features of another kind, and a number of frames that the model cannot have.
    """
    net = model.get_model_object("diffusion_model")
    if type(net) is not WanModel or net.img_emb is None or not all(isinstance(block.cross_attn, WanI2VCrossAttention) for block in net.blocks):
        raise ValueError(
            f"{NODE}: input 'model' is a {type(model.model).__name__} that reads no image tokens. Load an image-to-video model of Wan 2.1 (I2V, FLF2V, Fun-InP): "
            "Wan 2.2 and text-to-video models have no place for them."
        )
    if motion.space != "penultimate" or motion.nothing.shape != (TOKENS, CHANNELS):
        raise ValueError(
            f"{NODE}: input 'motion' has {motion.space} features, {tuple(motion.nothing.shape)} a frame, but Wan reads {TOKENS} rows of {CHANNELS}. Set "
            "Fabula_PredictMotion's 'space' to penultimate, with the CLIP vision of Wan (clip_vision_h)."
        )
    try:
        features = pool_frames(motion.features)
    except ValueError as error:
        raise ValueError(f"{NODE}: input 'motion': {error} Set Fabula_PredictMotion's 'frames' to it, or take them from Fabula_PlanTransitions.") from error
    patched = model.clone()
    for number in range(len(net.blocks)):
        name = f"diffusion_model.blocks.{number}.cross_attn.forward"
        before = patched.get_model_object(name)
        patched.add_object_patch(name, before if isinstance(before, _PerFrame) else _PerFrame(before))
    patched.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, KEY)
    patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, _wrapper(features, motion.frames))
    return patched


def _wrapper(features: torch.Tensor, frames: int):
    def diffusion_model(executor, x, timestep, context, clip_fea=None, time_dim_concat=None, transformer_options={}, **kwargs):
        """Puts the image tokens of each latent frame of `x`, (rows, channels, latent frames, height, width), into the options of one call of the net."""
        net = executor.class_obj
        if time_dim_concat is not None or (net.ref_conv is not None and "reference_latent" in kwargs):
            raise ValueError(
                f"{NODE}: the sampler's 'positive' adds frames of its own to the film, a reference. Take it out, or give the sampler the model without this node."
            )
        window, film = frame_window(transformer_options), x.shape[2]
        if window is not None:  # older hosts do not tell how long the film is: it may be as long as the motion
            film = told_frames(transformer_options) or max(len(features), max(window) + 1)
        if film != len(features):
            raise ValueError(
                f"{NODE}: input 'motion' has {frames} frames, which are {len(features)} latent frames, but the sampler's latent has {film}. Set the "
                f"latent's length to {frames}, or Fabula_PredictMotion's 'frames' to {4 * (film - 1) + 1}."
            )
        now = _fill(net, (features if window is None else features[window]).to(x))
        tokens = net.img_emb(now)
        # The net's own tokens for all frames are not read. In their place stand some of the right number, also where the conditioning has none.
        clip_fea = now[:1].expand(len(x), -1, -1)
        return executor(x, timestep, context, clip_fea, time_dim_concat, {**transformer_options, KEY: tokens}, **kwargs)

    return diffusion_model


def _fill(net: WanModel, features: torch.Tensor) -> torch.Tensor:
    """(latent frames, tokens, channels), once for each picture that the net has a place for: first-last-frame models know two, told apart by a table of
    positions. A frame takes both."""
    places = getattr(net.img_emb, "emb_pos", None)
    return features if places is None else features.repeat(1, max(places.shape[1] // features.shape[1], 1), 1)


class _PerFrame:
    """In the place of a cross-attention's forward."""

    def __init__(self, forward) -> None:
        self._forward = forward

    def __deepcopy__(self, memo) -> _PerFrame:
        return self

    def __call__(self, x, context, context_img_len=None, transformer_options={}, **kwargs):
        """x: (rows, latent frames * places, channels). context: (rows, image tokens + text tokens, channels)."""
        tokens = transformer_options.get(KEY)
        if tokens is None:
            return self._forward(x, context, context_img_len=context_img_len, transformer_options=transformer_options, **kwargs)
        rows, frames = len(x), len(tokens)
        text = context[:, context_img_len:].repeat_interleave(frames, 0)
        each = torch.cat([tokens.repeat(rows, 1, 1), text], 1)
        done = {**transformer_options, KEY: None}  # another patch may have put one of these below
        out = self._forward(x.reshape(rows * frames, -1, x.shape[-1]), each, context_img_len=tokens.shape[1], transformer_options=done, **kwargs)
        return out.reshape(x.shape)
