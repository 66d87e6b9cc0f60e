"""Motion predictors as files: safetensors, their sizes and statistics inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .files import written
from .predictor import MotionPredictor, Sizes

FORMAT, VERSION = "fabula_motion_predictor", "1"


def save(predictor: MotionPredictor, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Writes beside the file first: a full disk leaves no half a predictor behind. notes: of the training, texts of any name.

    Raises: OSError where it cannot be written.
    """
    metadata = {**(notes or {}), "format": FORMAT, "version": VERSION, "sizes": json.dumps(asdict(predictor.sizes))}
    with written(path) as part:
        save_file({name: tensor.contiguous().cpu() for name, tensor in predictor.state_dict().items()}, part, metadata=metadata)


def load(path: Path) -> MotionPredictor:
    """As `load_with_notes`, without the notes."""
    return load_with_notes(path)[0]


def load_with_notes(path: Path) -> tuple[MotionPredictor, dict[str, str]]:
    """The predictor, and what else its file says.

    Raises: ValueError, saying what is wrong, for a file that is cut short, of another kind, or of a newer version."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read ({error}). It is cut short, or no safetensors file.") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path.name} is no motion predictor. Choose a file that Fabula_TrainMotionPredictor has written.")
    if metadata.get("version") != VERSION:
        raise ValueError(f"{path.name} is of version {metadata.get('version')}, newer than this Fabula reads. Update Fabula.")
    try:
        predictor = MotionPredictor(Sizes(**json.loads(metadata["sizes"])))
        predictor.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    return predictor.eval(), metadata
