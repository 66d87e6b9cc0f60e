"""Fabula's entries in the host's model folders."""

from __future__ import annotations

import os

import folder_paths

from ..comic.lettering import BUILT_IN

FONTS = "fonts"
CHARACTERS = "fabula_characters"
FONT_SUFFIXES = {".ttf", ".otf", ".ttc"}


def register() -> None:
    """Adds models/fonts and models/fabula_characters; folders that the user's extra_model_paths.yaml has named stay."""
    for name, more in ((FONTS, FONT_SUFFIXES), (CHARACTERS, {".safetensors"})):
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
        paths, suffixes = folder_paths.folder_names_and_paths[name]
        folder_paths.folder_names_and_paths[name] = (paths, set(suffixes) | more)


def font_names() -> list[str]:
    return [BUILT_IN, *folder_paths.get_filename_list(FONTS)]


def character_names() -> list[str]:
    return folder_paths.get_filename_list(CHARACTERS)


def character_changed(name: str) -> float:
    """When the file of a character was written; what a node's result depends on beside its name."""
    path = folder_paths.get_full_path(CHARACTERS, name)
    return os.path.getmtime(path) if path else 0.0


def font_path(name: str) -> str:
    """What `load_font` takes for a name of `font_names`. Raises: ValueError for a font that is not there."""
    path = name if name == BUILT_IN else folder_paths.get_full_path(FONTS, name)
    if path is None:
        raise ValueError(f"input 'font' is {name!r}, which is not in models/fonts. There are: {', '.join(font_names())}.")
    return path
