"""AnimateDiff's motion modules in the host's UNets: there while the net runs, and gone when it has run or failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten
from types import SimpleNamespace

import comfy.model_management
import comfy.ops
import comfy.utils
import folder_paths
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, ResBlock, UNetModel, Upsample
from comfy.model_patcher import ModelPatcher
from comfy.model_sampling import ModelSamplingDiscrete
from comfy.patcher_extension import WrappersMP
from safetensors import safe_open

from ..motion.motion_module import MotionModule, Place, TemporalTransformer, clean, layout
from ..motion.windows import Window, windows
from .folders import MOTION_MODULES
from .frame_rows import refuse_other_rows, rows_a_cond
from .image_unet import image_unet

NODE = "Fabula_LoadMotionModule"
KEY = "fabula_motion_module"
SCHEDULES = {"auto": None, "unchanged": None, "sqrt_linear (AnimateDiff)": ("sqrt_linear", 0.012), "linear (AnimateDiff-SDXL)": ("linear", 0.020)}
"""Noise schedules by their name: the host's name, and the last beta. The first is 0.00085 in all."""
_V1_POSITIONS = 24  # only v1, which has no middle module either, has so few


@dataclass(frozen=True)
class Spot:
    """Where a motion module stands in the UNet: behind layer `after` of `blocks`. channels: of what comes out there."""

    blocks: torch.nn.Sequential
    after: int
    channels: int


def spots(net: UNetModel) -> dict[Place, Spot]:
    """Behind each residual block and its attention, by AnimateDiff's names."""
    found: dict[Place, Spot] = {}
    level = number = 0
    for blocks in net.input_blocks:
        if any(isinstance(layer, Downsample) for layer in blocks):
            level, number = level + 1, 0
        elif any(isinstance(layer, ResBlock) for layer in blocks):
            found["down", level, number] = _spot(blocks)
            number += 1
    if net.middle_block is not None:  # the smallest of SDXL's kin have none
        found["mid", 0, 0] = _spot(net.middle_block)
    level = number = 0
    for blocks in net.output_blocks:
        found["up", level, number] = _spot(blocks)
        number += 1
        if any(isinstance(layer, Upsample) for layer in blocks):
            level, number = level + 1, 0
    return found


def _spot(blocks: torch.nn.Sequential) -> Spot:
    layers = list(blocks)
    first = next(layer for layer in layers if isinstance(layer, ResBlock))
    attention = [place for place, layer in enumerate(layers) if isinstance(layer, SpatialTransformer)]
    return Spot(blocks, attention[-1] if attention else layers.index(first), first.out_channels)


class _Timed(torch.nn.Module):
    """A temporal transformer as a layer that the host calls with pixels alone."""

    def __init__(self, transformer: TemporalTransformer, frames: int, cut: list[Window] | None) -> None:
        super().__init__()
        self.transformer, self._frames, self._cut = transformer, frames, cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.transformer(x, self._frames, self._cut)


@contextmanager
def inserted(net: UNetModel, module: MotionModule, frames: int, cut: list[Window] | None = None, across_frames: bool = False) -> Iterator[None]:
    """`module` in `net`, for as long as the context lasts.

    across_frames: the residual blocks normalise a clip's frames together, as AnimateDiff v1 was trained; later ones each frame by itself.
    """
    at = spots(net)
    kept = {id(spot.blocks): (spot.blocks, dict(spot.blocks._modules)) for spot in at.values()}
    norms = _norms(net) if across_frames else []
    others = [(norm, norm.__dict__["forward"]) for norm in norms if "forward" in norm.__dict__]  # another pack's
    try:
        for place in module.channels:
            at[place].blocks.insert(at[place].after + 1, _Timed(module.at(place), frames, cut))
        for norm in norms:
            norm.forward = _across(norm, frames)
        yield
    finally:
        for norm in norms:
            norm.__dict__.pop("forward", None)
        for norm, forward in others:
            norm.forward = forward
        for blocks, layers in kept.values():
            blocks._modules.clear()
            blocks._modules.update(layers)


def _norms(net: UNetModel) -> list[torch.nn.GroupNorm]:
    inside = [layer for part in net.modules() if isinstance(part, ResBlock) for layer in part.modules()]
    return [layer for layer in (*inside, *net.out) if isinstance(layer, torch.nn.GroupNorm)]


def _across(norm: torch.nn.GroupNorm, frames: int):
    own = norm.forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        clips = x.unflatten(0, (-1, frames)).transpose(1, 2)  # (clips, channels, frames, height, width)
        return own(clips).transpose(1, 2).flatten(0, 1)

    return forward


def names() -> list[str]:
    return folder_paths.get_filename_list(MOTION_MODULES)


def load_motion_module(model: ModelPatcher, name: str, context_length: int, context_overlap: int, schedule: str) -> ModelPatcher:
    """A clone of `model` whose batches are clips: the rows of a latent are its frames.

    context_length, context_overlap: of windows over clips that are longer, at most what the module can tell apart; 0: none, all frames see each other.

    Raises: ValueError for a file that is not there, cannot be read, or is of another family than the model.
    """
    net = image_unet(NODE, model, "motion modules")
    module, told = _read(name)
    wanted = {place: spot.channels for place, spot in spots(net).items()}
    if any(wanted.get(place) != channels for place, channels in module.channels.items()):
        raise ValueError(
            f"{NODE}: input 'motion_module_name': {name} is of another family than input 'model'. It has {_told(module.channels)}, the model {_told(wanted)}. "
            "SD1.5 takes mm_sd_v14, v15, v15_v2 and v3; SDXL mm_sdxl."
        )
    length = min(context_length, module.positions)
    if length and not 0 <= context_overlap < length:
        raise ValueError(f"{NODE}: input 'context_overlap' is {context_overlap}, but must be smaller than the windows, which are of {length} frames.")
    device, offload = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
    patcher = ModelPatcher(module, load_device=device, offload_device=offload)
    clone = model.clone()
    clone.set_additional_models(KEY, [patcher])
    clone.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, KEY)  # a second module takes the place of the first
    clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, _Animation(module, name, length, context_overlap))
    _set_schedule(clone, schedule, told)
    return clone


class _Animation:
    """The host's wrapper of one run of the UNet."""

    def __init__(self, module: MotionModule, name: str, length: int, overlap: int) -> None:
        self._module, self._name, self._length, self._overlap = module, name, length, overlap
        self._across = module.positions <= _V1_POSITIONS and ("mid", 0, 0) not in module.channels

    def __deepcopy__(self, memo) -> _Animation:
        return self  # hosts copy the options that carry it

    def __call__(self, executor, x, timesteps=None, context=None, y=None, control=None, transformer_options={}, **kwargs):
        refuse_other_rows(NODE, transformer_options)
        frames = rows_a_cond(x, transformer_options)
        cut = windows(frames, self._length, self._overlap) if self._length and frames > self._length else None
        if cut is None and frames > self._module.positions:
            raise ValueError(
                f"{NODE}: the latent has {frames} frames, but {self._name} tells only {self._module.positions} apart. Make it shorter, or set 'context_length' to cut it into windows."
            )
        with inserted(executor.class_obj, self._module, frames, cut, self._across):
            return executor(x, timesteps, context, y, control, transformer_options, **kwargs)


def _read(name: str) -> tuple[MotionModule, dict[str, str]]:
    """The module of a file, and the file's notes."""
    path = folder_paths.get_full_path(MOTION_MODULES, name)
    if path is None:
        raise ValueError(f"{NODE}: input 'motion_module_name' is {name!r}, which is not in models/{MOTION_MODULES}. There are: {', '.join(names()) or 'none'}.")
    notes = {}
    try:
        weights = clean(comfy.utils.load_torch_file(path, safe_load=True))
        if path.endswith(".safetensors"):
            with safe_open(path, "pt") as file:
                notes = file.metadata() or {}
        channels, positions = layout(weights)
        first = next(iter(weights.values()))
        module = MotionModule(channels, positions, comfy.ops.manual_cast, dtype=first.dtype, device=comfy.model_management.unet_offload_device())
        module.load_state_dict(weights)
    except Exception as error:  # whatever a file that is cut short or of another kind makes the readers raise
        raise ValueError(f"{NODE}: input 'motion_module_name': {name} is no motion module of AnimateDiff's, or damaged ({shorten(str(error), 200)}). Load it anew, or choose another: mm_sd_v15_v2, v3_sd15_mm, mm_sdxl.") from error
    return module.eval(), notes


def _set_schedule(model: ModelPatcher, schedule: str, notes: dict[str, str]) -> None:
    """AnimateDiff was trained with other noise than the checkpoints; a file may say in its notes that it was not."""
    if schedule == "auto":
        is_sdxl = model.model.diffusion_model.num_classes is not None
        schedule = notes.get("noise_schedule") or ("linear (AnimateDiff-SDXL)" if is_sdxl else "sqrt_linear (AnimateDiff)")
    wanted = SCHEDULES.get(schedule)
    if wanted is None:
        return
    sampling = model.get_model_object("model_sampling")
    if not isinstance(sampling, ModelSamplingDiscrete):
        raise ValueError(f"{NODE}: input 'model' has no noise schedule of SD's. Set input 'beta_schedule' to unchanged, or load another checkpoint.")
    settings = {"beta_schedule": wanted[0], "linear_start": 0.00085, "linear_end": wanted[1]}
    # Made anew and not changed: distilled ones (LCM) keep only some of the steps.
    model.add_object_patch("model_sampling", type(sampling)(SimpleNamespace(sampling_settings=settings), zsnr=sampling.zsnr))


def _told(channels: dict[Place, int]) -> str:
    return "/".join(str(channels[place]) for place in sorted(channels) if place[0] == "down" and place[2] == 0) + " channels"
