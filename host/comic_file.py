"""A comic's pages into the host's output folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import folder_paths
from PIL import Image

from ..comic.book import write_cbz, write_pdf
from .folders import save_path

NODE = "Fabula_SaveComic"
WRITERS = ("pdf", "cbz")


def check_prefix(filename_prefix: str) -> None:
    """Raises: ValueError for a prefix that leads out of the output folder."""
    save_path(NODE, filename_prefix, folder_paths.get_output_directory())


def save_book(pages: Sequence[Image.Image], filename_prefix: str, kind: str, dpi: int) -> tuple[str, str]:
    """Writes a new file, never over an old one. Returns its name and its folder within the output folder.

    Raises: ValueError for a prefix that leads out of the folder.
    """
    into, stem, counter, subfolder = save_path(NODE, filename_prefix, folder_paths.get_output_directory(), *pages[0].size)
    name = f"{stem}_{counter:05}_.{kind}"
    path = Path(into, name)
    part = path.with_name(name + ".part")  # a full disk leaves no half a book behind
    try:
        if kind == "pdf":
            write_pdf(pages, part, dpi, title=stem)
        else:
            write_cbz(pages, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return name, subfolder
