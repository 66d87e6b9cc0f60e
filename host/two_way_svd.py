"""Stable Video Diffusion sampled from both ends: what `motion.two_way` says, as a wrapper of the host's calls of the net."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import comfy.conds
import comfy.model_base
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ..motion.two_way import FUSIONS, fuse, reverse
from .frame_rows import frame_window
from .motion_svd import END_LATENT

NODE = "Fabula_TwoWaySVD"
KEY = "fabula_two_way"


def two_way_svd(model: ModelPatcher, fusion: str) -> ModelPatcher:
    """A clone of `model` that predicts each step's film from both ends, under any sampler: two calls of the net a step in the place of one.

    Wraps CALC_COND_BATCH, the one place where frames are in order, positive and negative apart, and other patches can stand before and behind. Given
    twice, the last counts.

    Raises: ValueError for another model.
    """
    if not isinstance(model.model, comfy.model_base.SVD_img2vid):
        raise ValueError(
            f"{NODE}: input 'model' is a {type(model.model).__name__}, but must be Stable Video Diffusion. Load its checkpoint with ImageOnlyCheckpointLoader."
        )
    if fusion not in FUSIONS:
        raise ValueError(f"{NODE}: input 'fusion' is {fusion!r}. Choose one of: {', '.join(FUSIONS)}.")
    patched = model.clone()
    patched.remove_wrappers_with_key(WrappersMP.CALC_COND_BATCH, KEY)
    patched.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, _wrapper(fusion))
    return patched


def _wrapper(fusion: str) -> Callable:
    def calc_cond_batch(executor, model, conds, x_in, timestep, model_options):
        """`conds` is a list of positive, negative or whatever a guider has; any of them may be None."""
        if frame_window(model_options.get("transformer_options", {})) is not None:
            raise ValueError(
                f"{NODE}: something cuts the film into context windows, each of which would end at the film's end picture. Take them out, and give each transition as "
                "many frames as SVD knows, 14 or 25."
            )
        reversed_conds = [None if cond is None else [_reversed(entry, x_in) for entry in cond] for cond in conds]
        forward = executor(model, conds, x_in, timestep, model_options)
        backward = executor(model, reversed_conds, x_in.flip(0), timestep, model_options)
        return [fuse(*each, fusion) for each in zip(forward, backward)]

    return calc_cond_batch


def _reversed(entry: dict, x_in: torch.Tensor) -> dict:
    """One entry of a conditioning, as the sampler holds it, for the film reversed in time: the end picture in the start picture's place, and the
    frames' rows in the other order.

    Raises: ValueError where it has no end picture.
    """
    if END_LATENT not in entry:
        raise ValueError(
            f"{NODE}: the sampler's 'positive' or 'negative' has no end picture, which this node's output 'model' needs. Connect both with Fabula_MotionToSVD, or "
            "give the sampler the model without this node."
        )
    frames, end = len(x_in), entry[END_LATENT]
    if end.shape[1:] != x_in.shape[1:]:  # as the host does with the start picture
        end = comfy.utils.common_upscale(end, x_in.shape[-1], x_in.shape[-2], "bilinear", "center")
    rows = {name: _reversed_rows(cond, frames) for name, cond in entry["model_conds"].items()}
    turned = {**entry, "model_conds": {**rows, "c_concat": comfy.conds.CONDNoiseShape(comfy.utils.resize_to_batch_size(end, frames))}}
    if "mask" in entry:
        turned["mask"] = reverse(entry["mask"], frames)
    if "uuid" in entry:  # caches of other patches tell conditionings apart by it
        turned["uuid"] = uuid.uuid5(entry["uuid"], KEY)
    return turned


def _reversed_rows(cond: comfy.conds.CONDRegular, frames: int) -> comfy.conds.CONDRegular:
    if isinstance(cond.cond, torch.Tensor) and cond.cond.ndim > 1:
        return type(cond)(reverse(cond.cond, frames))
    return cond
