"""Fabula's entries in the host's model folders."""

from __future__ import annotations

import os

import folder_paths

from ..comic.lettering import BUILT_IN

FONTS = "fonts"
FONT_SUFFIXES = {".ttf", ".otf", ".ttc"}


def register() -> None:
    """Adds models/fonts; folders that the user's extra_model_paths.yaml has named stay."""
    folder_paths.add_model_folder_path(FONTS, os.path.join(folder_paths.models_dir, FONTS))
    paths, suffixes = folder_paths.folder_names_and_paths[FONTS]
    folder_paths.folder_names_and_paths[FONTS] = (paths, set(suffixes) | FONT_SUFFIXES)


def font_names() -> list[str]:
    return [BUILT_IN, *folder_paths.get_filename_list(FONTS)]


def font_path(name: str) -> str:
    """What `load_font` takes for a name of `font_names`. Raises: ValueError for a font that is not there."""
    path = name if name == BUILT_IN else folder_paths.get_full_path(FONTS, name)
    if path is None:
        raise ValueError(f"input 'font' is {name!r}, which is not in models/fonts. There are: {', '.join(font_names())}.")
    return path
