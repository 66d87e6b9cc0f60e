"""Training a motion predictor on a folder of videos: what the node and the command line `tools/train_motion.py` share, and the node's own part."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from PIL import Image

from ..motion.checkpoint import save
from ..motion.clips import find_videos
from ..motion.files import claimed
from ..motion.plot import plot_losses
from ..motion.predictor import SPACES, MotionPredictor, Sizes
from ..motion.training import Log, Settings, check_settings, train
from ..motion.workers import ALONE, Workers
from . import motion_features
from .errors import errors_of
from .folders import MOTION, save_path
from .motion_features import Features, read_features
from .motion_predictor import Predictor, patcher_of
from .sight import Sight

NODE = "Fabula_TrainMotionPredictor"
KEPT = "fabula_motion"  # in the host's user folder: features, and unfinished trainings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """clips: a folder of videos. frames, fps: of the windows that are cut from them. width, layers, heads: of the predictor."""

    clips: Path
    frames: int
    fps: float
    width: int
    layers: int
    heads: int
    settings: Settings


@dataclass(frozen=True)
class Caller:
    """Who trains, for errors: its name, and what it calls the folder of videos."""

    name: str
    clips: str


class Watch(motion_features.Watch, Protocol):
    def read(self, features: Features) -> None:
        """All features are there."""

    def trained(self, step: int, total: int, loss: float) -> None:
        """Steps done; in each of the processes that train together. Raises what ends the run, in all of them alike."""


@dataclass
class Trained:
    """told: what the main process says of it. kept: the state it was trained from. seen: the name of the Sight whose features it
    predicts."""

    model: MotionPredictor
    run: Run
    features: Features
    told: Log
    kept: Path
    seen: str

    @property
    def title(self) -> str:
        errors = self.told.errors
        verdict = "too few to judge" if self.told.too_few else "better than linear" if self.told.beats_linear else "NOT better than linear"
        return f"held out: predictor {errors['predictor']:.4f}, linear {errors['linear']:.4f}, slerp {errors['slerp']:.4f}: {verdict}"

    def plot(self) -> Image.Image:
        return plot_losses(self.told.losses, self.title)

    def save(self, path: Path) -> None:
        """The predictor as a file; what the training was kept in goes."""
        run, last = self.run, self.told.losses[-100:]
        notes = {
            "steps": run.settings.steps, "loss": f"{sum(last) / max(1, len(last)):.6g}", "windows": len(self.features.windows), "errors": self.told.errors, "fps": run.fps,
            "frames": run.frames, "seen": self.seen,
        }
        save(self.model, path, {name: str(value) for name, value in notes.items()})
        self.kept.unlink(missing_ok=True)


def train_on_videos(sight: Callable[[], Sight], run: Run, kept_in: Path, watch: Watch, caller: Caller, workers: Workers = ALONE) -> Trained:
    """A predictor of what the Sight that `sight` makes sees, trained by all `workers`; only the main one needs videos, CLIP and files.

    Args: kept_in: the folder for features and for the state of an interrupted training, both of which the next run goes on from.

    Raises: ValueError for a folder without usable videos, settings that do not fit; OSError where a file cannot be written; what `watch` raises.
    """
    with errors_of(caller.name):
        device = comfy.model_management.get_torch_device()
        Sizes(SPACES[0], 1, 1, run.width, run.layers, run.heads)  # raises now, not when all videos are encoded
        check_settings(run.settings, run.frames, device, workers)
        features, space, seen = workers.from_main(lambda: _features(sight(), run, kept_in, watch, caller))
        sizes = Sizes(space, *features.windows.shape[2:], run.width, run.layers, run.heads)
        kept = kept_in / f"{motion_features.key(features.key, repr(sizes), repr(run.settings))}.training"
        comfy.model_management.unload_all_models()  # the card is the training's: CLIP has seen all, and the host does not know what torch takes here
        comfy.model_management.soft_empty_cache()
        with torch.inference_mode(False), torch.enable_grad():  # the host runs nodes without gradients
            model, told = train(
                features.windows, features.clips, sizes, run.settings, kept, lambda step, loss: watch.trained(step, run.settings.steps, loss),
                device, workers,
            )
    return Trained(model, run, features, told, kept, seen)


def _features(sight: Sight, run: Run, kept_in: Path, watch: Watch, caller: Caller) -> tuple[Features, str, str]:
    """The features, their space, and the name of the sight."""
    try:
        videos = find_videos(run.clips)
        features = read_features(sight, videos, run.frames, run.fps, kept_in, watch)
    except ValueError as error:
        raise ValueError(f"{caller.clips}: {error}") from error
    watch.read(features)
    return features, sight.space, sight.name


def user_folder() -> Path:
    """Where features and unfinished trainings are kept unless one says otherwise."""
    return Path(folder_paths.get_user_directory(), KEPT)


class _HostsWatch:
    """The host's progress bar and its interrupt."""

    def __init__(self) -> None:
        self.bar = None

    def check(self) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()

    def encoded(self, done: int, total: int) -> None:
        self._show(done, total)

    def read(self, features: Features) -> None:
        log.info("%s: %s", NODE, features)
        self.bar = None

    def trained(self, step: int, total: int, loss: float) -> None:
        self._show(step, total)
        self.check()

    def _show(self, done: int, total: int) -> None:
        self.bar = self.bar or comfy.utils.ProgressBar(total)
        self.bar.update_absolute(done, total)


def videos_now(clips_folder: str) -> list[str]:
    """The videos of the node's folder as they are, by which the host sees that there are others; empty where there are none, of which the training tells."""
    try:
        found = find_videos(Path(folder_paths.get_input_directory(), clips_folder.strip()))
        return [f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}" for path in found]
    except (ValueError, OSError):
        return []


def train_predictor(clip_vision, space: str, image_prompt: str, clips_folder: str, run: Callable[[Path], Run], filename_prefix: str) -> tuple[Predictor, Image.Image, str]:
    """The node: a trained predictor, its loss as a picture, and what to say of it. The file is in models/fabula_motion. run: made of the folder of videos.

    Raises: as `train_on_videos`, and what the host raises for an interrupt.
    """
    with errors_of(NODE):
        sight = Sight(clip_vision, space, image_prompt)
    if not clips_folder.strip():
        raise ValueError(f"{NODE}: input 'clips_folder' is empty. Write the folder that holds the videos, in ComfyUI's input folder or with its whole path.")
    caller = Caller(NODE, "input 'clips_folder'")
    folder = folder_paths.get_folder_paths(MOTION)[0]
    with errors_of(caller.name):
        os.makedirs(folder, exist_ok=True)
    save_path(NODE, filename_prefix, folder)  # raises now, not when hours are over
    trained = train_on_videos(lambda: sight, run(Path(folder_paths.get_input_directory(), clips_folder.strip())), user_folder(), _HostsWatch(), caller)
    into, stem, counter, subfolder = save_path(NODE, filename_prefix, folder)
    with errors_of(caller.name), claimed(Path(into, f"{stem}_{number:05}_.safetensors") for number in count(counter)) as path:
        trained.save(path)
    text = f"{os.path.join(subfolder, path.name)}\n{trained.features}\n{trained.told}"
    return Predictor(path.name, patcher_of(trained.model), trained.seen), trained.plot(), text
