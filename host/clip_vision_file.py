"""A CLIP vision model by its name in models/clip_vision, its file, or a folder such as `image_encoder`, which may hold one of any size."""

from __future__ import annotations

from pathlib import Path

import comfy.clip_vision
import comfy.utils
import folder_paths

FOLDER = "clip_vision"


def load_clip_vision(name: str) -> comfy.clip_vision.ClipVisionModel:
    """name: of models/clip_vision, or a path: of a file, or of a folder with config.json and model.safetensors.

    Raises: ValueError where there is none, or it is no CLIP vision model that the host knows.
    """
    path = Path(name) if Path(name).exists() else Path(folder_paths.get_full_path(FOLDER, name) or "")
    if not path.name:
        there = ", ".join(folder_paths.get_filename_list(FOLDER)) or "nothing"
        raise ValueError(f"{name} is no file, and not in models/{FOLDER}. There is: {there}.")
    try:
        found = _from_folder(path) if path.is_dir() else comfy.clip_vision.load(str(path))
    except Exception as error:  # safetensors, torch and the host raise many classes for a file that is damaged
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error}). Load the file anew, or name another.") from error
    if found is None:
        raise ValueError(f"{path} is no CLIP vision model that ComfyUI knows. Take one that CLIPVisionLoader loads.")
    return found


def _from_folder(path: Path) -> comfy.clip_vision.ClipVisionModel:
    made = comfy.clip_vision.ClipVisionModel(path / "config.json")
    missing, _ = made.load_sd(comfy.utils.load_torch_file(str(path / "model.safetensors"), safe_load=True))
    if missing:
        raise ValueError(f"model.safetensors lacks {missing[0]} and {len(missing) - 1} more of what config.json names")
    return made
