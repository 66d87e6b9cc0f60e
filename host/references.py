"""Photos of a story's characters: what the socket FABULA_REFERENCES carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from PIL import Image

from .images import to_images

NODE = "Fabula_CharacterReference"


@dataclass(frozen=True)
class Reference:
    """photos: of one character. faces: (photos, width) embeddings of the faces in them, or None. strength: from the words alone, 0, to the person as
    the encoder has it, 1."""

    photos: tuple[Image.Image, ...]
    faces: torch.Tensor | None = None
    strength: float = 1.0


References = Mapping[str, Reference]
"""By character."""


def add_reference(references: References | None, character: str, images: torch.Tensor, faces, strength: float) -> dict[str, Reference]:
    """The references with one more; photos of a character that is there already come behind its others.

    Raises: ValueError for a nameless character, images without pixels, or faces that are not one for each photo.
    """
    name = character.strip().strip("[]").strip()
    if not name:
        raise ValueError(f"{NODE}: input 'character' is empty. Write the name that stands in square brackets in the story.")
    if images is None or images.ndim != 4 or not images.numel():
        raise ValueError(f"{NODE}: input 'images' holds no picture. Connect one or more photos of [{name}].")
    photos = tuple(to_images(images))
    faces = None if faces is None else face_rows(faces, len(photos), name)
    before = (references or {}).get(name)
    if before is not None:
        if (before.faces is None) != (faces is None):
            raise ValueError(f"{NODE}: [{name}] has photos with face_embeds and photos without. Give them to all or to none.")
        photos, faces = before.photos + photos, None if faces is None else torch.cat([before.faces, faces])
    return {**(references or {}), name: Reference(photos, faces, strength)}


def face_rows(faces, photos: int, name: str) -> torch.Tensor:
    """(photos, width) of what a socket for face embeddings may carry: a tensor (width,), (photos, width) or (1, photos, width), or a list of rows, or
    of faces of insightface (each with an `embedding`).

    Raises: ValueError for anything else, or another number of faces.
    """
    if isinstance(faces, (list, tuple)):
        faces = torch.stack([torch.as_tensor(getattr(face, "embedding", face)).float().flatten() for face in faces]) if faces else torch.zeros(0)
    if not isinstance(faces, torch.Tensor):
        raise ValueError(f"{NODE}: input 'face_embeds' is a {type(faces).__name__}. Connect a tensor (photos, 512), as Fabula_FaceEmbeds gives it.")
    rows = faces.float().reshape(-1, faces.shape[-1]) if faces.ndim else faces.reshape(0, 1)
    if len(rows) != photos or not torch.isfinite(rows).all():
        raise ValueError(f"{NODE}: input 'face_embeds' has {len(rows)} faces for {photos} photos of [{name}]. Give one finite row a photo.")
    return rows
