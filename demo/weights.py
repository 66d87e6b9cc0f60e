"""Where the demo's weights lie, and how they are written and read: safetensors in half precision."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

FOLDER = Path(__file__).parent / "weights"
BASE = {name: FOLDER / "base" / f"fabula_demo_{name}.safetensors" for name in ("unet", "text", "vae")}
PHOTOMAKER = FOLDER / "photomaker" / "fabula_demo_photomaker.safetensors"
VISION = FOLDER / "clip_vision" / "fabula_demo_clip_vision.safetensors"
MOTION_MODULE = FOLDER / "animatediff_models" / "fabula_demo_motion.safetensors"
IMAGE_PROMPT = FOLDER / "ipadapter" / "fabula_demo_image_prompt.safetensors"
PREDICTOR = FOLDER / "fabula_motion" / "fabula_demo_predictor.safetensors"
READER = FOLDER / "reader" / "fabula_demo_reader.safetensors"


def save(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {k: (v.half() if v.is_floating_point() else v).contiguous().cpu() for k, v in tensors.items()}
    save_file(half, path, metadata=metadata)


def load(path: Path) -> dict[str, torch.Tensor]:
    """Raises: FileNotFoundError naming the file and the remedy where the weights are not there."""
    if not path.is_file():
        raise FileNotFoundError(
            f"The demo's weights are not in {path}. Clone the repository again, or train them (demo/README.md)."
        )
    return {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata() or {}
