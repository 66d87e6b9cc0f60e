"""Keyframes into CLIP's features, and those of the frames between them, by a predictor or by an interpolation that needs no weights."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import comfy.model_management
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher

from ..motion.checkpoint import load_with_notes
from ..motion.interpolation import MODES, interpolate
from ..motion.predictor import MotionPredictor
from .errors import errors_of
from .folders import MOTION
from .sight import PROJECTED, Sight

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transition:
    """What the socket FABULA_MOTION carries, one a transition.

    index: from 0. space: of the features, "projected" being the tokens of the image prompt `image_prompt`. frames: how many. predict: what makes the features; they are made when they are
    asked for, so that those of one transition are there at a time, however many keyframes a film has. nothing: what stands for no picture, (tokens, channels).
    """

    index: int
    space: str
    frames: int
    predict: Callable[[], torch.Tensor]
    nothing: torch.Tensor
    image_prompt: str = ""

    @classmethod
    def of(cls, features: torch.Tensor, space: str, nothing: torch.Tensor) -> Transition:
        """The first, whose features are there."""
        return cls(0, space, len(features), lambda: features, nothing)

    @property
    def features(self) -> torch.Tensor:
        """(frames, tokens, channels), the keyframes' own first and last. Made anew each time."""
        return self.predict()


class Predictor:
    """What the socket FABULA_PREDICTOR carries: a mode of `interpolate`, or a trained MotionPredictor in a ModelPatcher, which the host loads and frees. seen: the name of the Sight
    whose features it was trained on, where its file says so."""

    def __init__(self, name: str, patcher: ModelPatcher | None = None, seen: str = "") -> None:
        self.name, self.patcher, self.seen = name, patcher, seen

    @property
    def space(self) -> str | None:
        """The features that it reads; None: any."""
        return None if self.patcher is None else self.patcher.model.sizes.space

    @torch.inference_mode()
    def predict(self, start: torch.Tensor, end: torch.Tensor, frames: int, strength: float) -> torch.Tensor:
        """(tokens, channels) twice to (frames, tokens, channels), on the CPU or wherever `start` is."""
        if self.patcher is None:
            straight = interpolate(start, end, frames)
            return straight if self.name == "linear" else torch.lerp(straight, interpolate(start, end, frames, self.name), strength)
        comfy.model_management.load_model_gpu(self.patcher)
        device = self.patcher.load_device
        found = self.patcher.model(start[None].to(device), end[None].to(device), frames, strength)[0]
        return found.to(start.device)


def names() -> list[str]:
    return [*MODES, *folder_paths.get_filename_list(MOTION)]


def changed(name: str) -> float:
    """When the file of a predictor was written; what a node's result depends on beside its name."""
    path = None if name in MODES else folder_paths.get_full_path(MOTION, name)
    return Path(path).stat().st_mtime if path else 0.0


def load_predictor(node: str, name: str) -> Predictor:
    """Raises: ValueError for a file that is not there or cannot be read."""
    if name in MODES:
        return Predictor(name)
    path = folder_paths.get_full_path(MOTION, name)
    if path is None:
        raise ValueError(f"{node}: input 'predictor_name' is {name!r}, which is not in models/{MOTION}. There are: {', '.join(names())}.")
    try:
        model, notes = load_with_notes(Path(path))
    except ValueError as error:
        raise ValueError(f"{node}: input 'predictor_name': {error}") from error
    return Predictor(name, patcher_of(model), notes.get("seen", ""))


def patcher_of(model: MotionPredictor) -> ModelPatcher:
    """In the host's care: loaded, counted and freed as any model."""
    device, offload = comfy.model_management.text_encoder_device(), comfy.model_management.text_encoder_offload_device()
    return ModelPatcher(model.to(offload), load_device=device, offload_device=offload)


def predict_motion(node: str, predictor: Predictor, clip_vision, keyframes: torch.Tensor, frames: int, strength: float, space: str,
                   image_prompt: str = "") -> list[Transition]:
    """One transition between each two neighbours of `keyframes`, (N, height, width, channels) in 0..1.

    image_prompt: the file whose tokens are predicted, for the space projected.

    Raises: ValueError for fewer than two keyframes, fewer than two frames, or a CLIP_VISION that the predictor or the image prompt does not fit.
    """
    check_transitions(node, keyframes, frames)
    if predictor.space not in (None, space):
        raise ValueError(f"{node}: input 'predictor' ({predictor.name}) reads CLIP's {predictor.space} features. Set input 'space' to {predictor.space}.")
    with errors_of(node):
        sight = Sight(clip_vision, space, image_prompt)
        features, nothing = sight.see(keyframes), sight.nothing()
    if space == PROJECTED and predictor.seen not in ("", sight.name):  # the same image prompt may have got another name
        log.warning("%s: %s was trained on the features '%s', and gets '%s'. If these are not the same image prompt, what it says means nothing.", node, predictor.name, predictor.seen, sight.name)
    if predictor.patcher is not None and features.shape[1:] != (predictor.patcher.model.sizes.tokens, predictor.patcher.model.sizes.channels):
        sizes = predictor.patcher.model.sizes
        raise ValueError(
            f"{node}: inputs 'clip_vision' and 'space' give {features.shape[1]} tokens of {features.shape[2]} channels, but input 'predictor' ({predictor.name}) reads "
            f"{sizes.tokens} of {sizes.channels}. Load the CLIP vision model that it was trained with."
        )
    return [
        Transition(index, space, frames, partial(predictor.predict, start, end, frames, strength), nothing, image_prompt if space == PROJECTED else "")
        for index, (start, end) in enumerate(zip(features, features[1:]))
    ]


def check_transitions(node: str, keyframes: torch.Tensor, frames: int) -> None:
    """Raises: ValueError for fewer than two keyframes, or frames a transition."""
    if len(keyframes) < 2:
        raise ValueError(
            f"{node}: input 'keyframes' has {len(keyframes)} picture. A film goes from one to another: give at least two, "
            "in one batch. Pictures of several sizes come one by one: scale them to one size, and join them with Batch Images."
        )
    if frames < 2:
        raise ValueError(f"{node}: input 'frames' is {frames}. The two keyframes are two of a transition's frames: give at least 2.")
