"""Training a motion predictor inside the host: a folder of videos through a CLIP vision model, and on to a file in models/fabula_motion."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ..motion.checkpoint import save
from ..motion.clips import Report, find_videos, read_windows
from ..motion.plot import plot_losses
from ..motion.predictor import Sizes
from ..motion.training import Settings, train
from .folders import MOTION, save_path
from .images import to_pixels
from .motion_predictor import Predictor, encode_pictures, patcher_of

NODE = "Fabula_TrainMotionPredictor"
CACHE = "fabula_motion"  # in the host's user folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """frames, fps: of the windows that are cut from the videos. space: of CLIP's features. width, layers, heads: of the predictor."""

    clips_folder: str
    frames: int
    fps: float
    space: str
    width: int
    layers: int
    heads: int
    settings: Settings


def train_predictor(clip_vision, run: Run, filename_prefix: str) -> tuple[Predictor, Image.Image, str]:
    """A trained predictor, its loss as a picture, and what to say of it. The file is in models/fabula_motion.

    Raises: ValueError for a folder without usable videos; what the host raises for an interrupt, after which the next run goes on where this one was.
    """
    if clip_vision is None:
        raise ValueError(f"{NODE}: input 'clip_vision' is empty: the checkpoint has none in it. Load one with CLIPVisionLoader.")
    folder = folder_paths.get_folder_paths(MOTION)[0]
    os.makedirs(folder, exist_ok=True)
    into, stem, counter, subfolder = save_path(NODE, filename_prefix, folder)
    videos = _videos(run)
    cached = _cache_file(clip_vision, run, videos)
    features, clips, report = _features(clip_vision, run, videos, cached)
    log.info("%s: %s", NODE, report)
    try:
        sizes = Sizes(run.space, features.shape[2], features.shape[3], run.width, run.layers, run.heads)
        kept = cached.parent / f"{_key(str(cached), repr(sizes), repr(run.settings))}.training"
        progress = comfy.utils.ProgressBar(run.settings.steps)

        def on_step(step: int, _: float) -> None:
            progress.update_absolute(step)
            comfy.model_management.throw_exception_if_processing_interrupted()

        with torch.inference_mode(False), torch.enable_grad():  # the host runs nodes without gradients
            model, told = train(features.clone(), clips.clone(), sizes, run.settings, kept, on_step, comfy.model_management.get_torch_device())
    except ValueError as error:
        raise ValueError(f"{NODE}: {error}") from error
    name = f"{stem}_{counter:05}_.safetensors"
    save(model, Path(into, name), {"steps": str(run.settings.steps), "windows": str(len(features)), "errors": repr(told.errors), "fps": str(run.fps), "frames": str(run.frames)})
    kept.unlink(missing_ok=True)
    text = f"{os.path.join(subfolder, name)}\n{report}\n{told}"
    errors = told.errors
    title = f"held out: predictor {errors['predictor']:.4f}, linear {errors['linear']:.4f}, slerp {errors['slerp']:.4f}: {'better' if told.beats_linear else 'NOT better'} than linear"
    return Predictor(name, patcher_of(model)), plot_losses(told.losses, title), text


def _features(clip_vision, run: Run, videos: Sequence[Path], file: Path) -> tuple[torch.Tensor, torch.Tensor, str]:
    """Features (windows, frames, tokens, channels) and the number of each window's video, encoded once and then read from the cache `file`; and the report of the folder."""
    if file.exists():
        found = load_file(file)
        return found["features"].float(), found["clips"], f"{len(found['features'])} windows encoded before"
    report = Report()
    progress = comfy.utils.ProgressBar(len(videos))
    rows: list[torch.Tensor] = []
    clips: list[int] = []
    for number, path in enumerate(videos):
        for window in read_windows([path], run.frames, run.fps, report):
            comfy.model_management.throw_exception_if_processing_interrupted()
            rows.append(encode_pictures(clip_vision, to_pixels(window.frames), run.space).half().cpu())
            clips.append(number)
        progress.update(1)
    if not rows:
        raise ValueError(f"{NODE}: input 'clips_folder': no window of {run.frames} frames at {run.fps:g} a second can be used. {report}")
    features, of_clip = torch.stack(rows), torch.tensor(clips)
    part = file.with_name(file.name + ".part")
    save_file({"features": features.contiguous(), "clips": of_clip}, part)
    os.replace(part, file)
    return features.float(), of_clip, str(report)


def _videos(run: Run) -> Sequence[Path]:
    """Raises: ValueError where there is no such folder, or no videos in it."""
    folder = Path(run.clips_folder.strip())
    if not run.clips_folder.strip():
        raise ValueError(f"{NODE}: input 'clips_folder' is empty. Write the folder that holds the videos, in ComfyUI's input folder or with its whole path.")
    try:
        return find_videos(folder if folder.is_absolute() else Path(folder_paths.get_input_directory(), folder))
    except ValueError as error:
        raise ValueError(f"{NODE}: input 'clips_folder': {error}") from error


def _cache_file(clip_vision, run: Run, videos: Sequence[Path]) -> Path:
    """Of these videos, as they are now, seen by this CLIP."""
    folder = Path(folder_paths.get_user_directory(), CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    files = [f"{path} {path.stat().st_mtime_ns} {path.stat().st_size}" for path in videos]
    weights = next(iter(clip_vision.get_sd().values())).flatten()[:64].float().tolist()  # which CLIP it is
    return folder / f"{_key(*files, repr(weights), repr((run.frames, run.fps, run.space)))}.features"


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
