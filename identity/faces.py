"""Which face of a photo a face recogniser's embedding is taken of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CHOICES = ("highest score", "largest", "index")


def choose_face(faces: Sequence[Any], choice: str, index: int = 0) -> Any:
    """One of the faces that insightface found, each with a `bbox` (left, top, right, bottom) and a `det_score`; None where there is none.

    "highest score" is what the official PhotoMaker V2 takes; "index" counts from 0, the faces in order from left to right.
    """
    if not faces:
        return None
    if choice == "largest":
        return max(faces, key=lambda face: (face.bbox[2] - face.bbox[0]) * (face.bbox[3] - face.bbox[1]))
    if choice == "index":
        ordered = sorted(faces, key=lambda face: float(face.bbox[0]))
        return ordered[index] if index < len(ordered) else None
    return max(faces, key=lambda face: float(face.det_score))
