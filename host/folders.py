"""Fabula's entries in the host's model folders."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import folder_paths

from ..comic.typeface import BUILT_IN, Typeface
from ..story import style_files
from ..story.styles import STYLES, Style

FONTS = "fabula_fonts"
CHARACTERS = "fabula_characters"
STYLE_FILES = "fabula_styles"
MOTION = "fabula_motion"
MOTION_MODULES, IMAGE_PROMPTS = "animatediff_models", "ipadapter"  # as the packs that use such files call them
FONT_SUFFIXES = {".ttf", ".otf", ".ttc"}
WEIGHT_SUFFIXES = {".safetensors", ".ckpt", ".pt", ".pth", ".bin"}
DEMO = Path(__file__).resolve().parents[1] / "demo" / "weights"

log = logging.getLogger(__name__)


def register() -> None:
    """Adds models/fabula_fonts, fabula_characters, fabula_styles, fabula_motion, animatediff_models and ipadapter, and the demo's own files to the last three; folders that
    the user's extra_model_paths.yaml or another pack has named stay."""
    own = ((FONTS, FONT_SUFFIXES), (CHARACTERS, {".safetensors"}), (STYLE_FILES, style_files.SUFFIXES), (MOTION, {".safetensors"}),
           (MOTION_MODULES, WEIGHT_SUFFIXES), (IMAGE_PROMPTS, WEIGHT_SUFFIXES))
    for name, more in own:
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
        if name in (MOTION, MOTION_MODULES, IMAGE_PROMPTS):
            folder_paths.add_model_folder_path(name, str(DEMO / name))
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


def styles() -> dict[str, Style]:
    """The built-in styles, and those in the files of models/fabula_styles; one of the same name replaces a built-in one. A
    file that cannot be read is left out with a warning."""
    found = dict(STYLES)
    for name in folder_paths.get_filename_list(STYLE_FILES):
        path = folder_paths.get_full_path(STYLE_FILES, name)
        try:
            found.update(style_files.read_styles(Path(path)) if path else {})
        except ValueError as error:
            log.warning("models/%s: %s", STYLE_FILES, error)
    return found


def typeface(name: str) -> Typeface:
    """A font of `font_names`, with all others behind it for characters that it has not. Raises: ValueError for a font that is not there, or
    cannot be read."""
    names = font_names()
    if name not in names:
        raise ValueError(f"input 'font' is {name!r}, which is not in models/{FONTS}. There are: {', '.join(names)}.")
    others = [other for other in names if other not in (name, BUILT_IN)]
    return Typeface(_font_path(name), [_font_path(other) for other in others])


def _font_path(name: str) -> str:
    return name if name == BUILT_IN else folder_paths.get_full_path(FONTS, name) or name


def save_path(node: str, filename_prefix: str, folder: str, width: int = 0, height: int = 0) -> tuple[str, str, int, str]:
    """Where a new file of a prefix goes: folder, name without number, number, folder within `folder`. The host's placeholders, such as %year%, are
    filled in.

    Raises: ValueError for a prefix that leads out of the folder.
    """
    try:
        into, stem, counter, subfolder, _ = folder_paths.get_save_image_path(filename_prefix, folder, width, height)
    except Exception as error:  # the host raises no class of its own
        raise ValueError(
            f"{node}: input 'filename_prefix' is {filename_prefix!r}, which leads out of the folder {os.path.basename(folder)}. Write a name, with folders "
            "ahead of it if you like: my_story/page."
        ) from error
    return into, stem, counter, subfolder
