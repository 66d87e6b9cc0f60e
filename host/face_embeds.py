"""Face embeddings of photos by insightface, where the user has it: what PhotoMaker V2 sees of a face."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch

from ..identity.faces import choose_face
from .images import to_images

NODE = "Fabula_FaceEmbeds"
PACK = "buffalo_l"  # what PhotoMaker V2 was trained with
RECOGNISER = "w600k_r50.onnx"
FILES = ("det_10g.onnx", RECOGNISER)
DETECTION_SIZES = (640, 576, 512, 448, 384, 320, 256)  # pixels; the official order: a face that fills the photo is found in a smaller one

log = logging.getLogger(__name__)


def embed_faces(images: torch.Tensor, choice: str, index: int, skip: bool, analysis: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The embedding of one face of each photo.

    Args:
        images: (photos, height, width, channels) in 0..1.
        skip: photos without a face are left out, with a warning; otherwise they are refused.
        analysis: insightface's FaceAnalysis, as other packs load it; None loads buffalo_l.

    Returns: (photos, 512), not normalised, and the images that they belong to.

    Raises: ValueError for photos without a face, and where insightface or its models are missing.
    """
    if not len(images):
        raise ValueError(f"{NODE}: input 'images' holds no picture. Connect one or more photos.")
    analysis = analysis or load_analysis()
    _check_recogniser(analysis)
    kept, rows, without = [], [], []
    for number, photo in enumerate(to_images(images)):
        face = choose_face(_find_faces(analysis, np.asarray(photo.convert("RGB"))[:, :, ::-1]), choice, index)  # insightface reads BGR
        if face is None:
            without.append(number + 1)
            continue
        kept.append(number)
        rows.append(torch.from_numpy(np.array(face.embedding, dtype=np.float32)))
    if without and not (skip and kept):
        raise ValueError(
            f"{NODE}: input 'images': no {'such ' if choice == 'index' else ''}face is found in photo {', '.join(map(str, without))} of {len(images)}. Use photos in which the "
            "face is seen from the front, or let without_face skip them."
        )
    if without:
        log.warning("%s: no face is found in photo %s of %d; it is left out.", NODE, ", ".join(map(str, without)), len(images))
    return torch.stack(rows), images[kept]


def _find_faces(analysis: Any, pixels: np.ndarray) -> list:
    """All faces of a picture (height, width, 3), BGR, at the first detection size at which there are any."""
    detector = analysis.det_model
    before = detector.input_size
    try:
        for size in DETECTION_SIZES:
            detector.input_size = (size, size)
            faces = analysis.get(np.ascontiguousarray(pixels))
            if faces:
                return faces
        return []
    finally:
        detector.input_size = before


def load_analysis() -> Any:
    """insightface's FaceAnalysis with the models that lie in models/insightface; nothing is downloaded.

    Raises: ValueError, with what to install or where to put what, where something is missing.
    """
    root = Path(folder_paths.models_dir, "insightface")
    folder = root / "models" / PACK
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{NODE} needs {' and '.join(missing)} of insightface's pack {PACK} in {os.path.relpath(folder, folder_paths.base_path)}. Their licence allows non-commercial "
            "research only. PhotoMaker V1 needs no face embeddings."
        )
    try:
        from insightface.app import FaceAnalysis
    except ImportError as error:
        raise ValueError(
            f"{NODE} needs the Python packages insightface and onnxruntime ({error}). Install them into ComfyUI's Python, connect another pack's loader to input "
            "'insightface', or use PhotoMaker V1, which needs no face embeddings."
        ) from error
    import onnxruntime

    analysis = FaceAnalysis(name=PACK, root=str(root), allowed_modules=["detection", "recognition"], providers=onnxruntime.get_available_providers())
    analysis.prepare(ctx_id=0, det_size=(DETECTION_SIZES[0], DETECTION_SIZES[0]))
    return analysis


def _check_recogniser(analysis: Any) -> None:
    recogniser = getattr(analysis, "models", {}).get("recognition")
    if recogniser is None:
        raise ValueError(f"{NODE}: input 'insightface' has no recognition model. Connect a loader of insightface's pack {PACK}.")
    name = os.path.basename(str(getattr(recogniser, "model_file", "")))
    if name and name != RECOGNISER:
        log.warning("%s: the recognition model is %s, but PhotoMaker V2 knows the embeddings of %s (pack %s): the likeness will suffer.", NODE, name, RECOGNISER, PACK)
