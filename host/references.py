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
        if faces is not None and faces.shape[1] != before.faces.shape[1]:
            raise ValueError(f"{NODE}: the face_embeds of [{name}] have {before.faces.shape[1]} numbers in one node and {faces.shape[1]} in another. Make all with one model.")
        if strength != before.strength:
            raise ValueError(f"{NODE}: [{name}] has strength {before.strength:g} in one node and {strength:g} in another. Give all nodes of a character the same.")
        photos, faces = before.photos + photos, None if faces is None else torch.cat([before.faces, faces])
    return {**(references or {}), name: Reference(photos, faces, strength)}


def face_rows(faces, photos: int, name: str) -> torch.Tensor:
    """(photos, width) of what a socket for face embeddings may carry: a tensor (width,), (photos, width) or (1, photos, width), or a list of rows, or
    of faces of insightface (each with an `embedding`).

    Raises: ValueError for anything else, or another number of faces.
    """
    try:
        rows = [torch.as_tensor(getattr(face, "embedding", face)).float().cpu() for face in (faces if isinstance(faces, (list, tuple)) else [faces])]
        table = torch.cat([row.reshape(-1, row.shape[-1]) for row in rows])
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ValueError(
            f"{NODE}: input 'face_embeds' of [{name}] is no table of numbers ({type(faces).__name__}: {error}). Connect a tensor (photos, 512), as Fabula_FaceEmbeds "
            "gives it."
        ) from error
    if len(table) != photos or not table.shape[1] or not torch.isfinite(table).all():
        raise ValueError(f"{NODE}: input 'face_embeds' has {len(table)} faces for {photos} photos of [{name}]. Give one finite row a photo.")
    return table
