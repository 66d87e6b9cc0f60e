"""Pages as one file: a PDF, or a CBZ (a zip of pictures, which comic readers open)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image


def write_pdf(pages: Sequence[Image.Image], path: Path, dpi: int, title: str) -> None:
    """One page a picture, of its own size at `dpi` pixels an inch; the pictures as JPEG of high quality."""
    first, *others = (page.convert("RGB") for page in pages)
    first.save(path, "PDF", save_all=True, append_images=others, resolution=dpi, quality=95, title=title)


def write_cbz(pages: Sequence[Image.Image], path: Path) -> None:
    """The pages as PNG, named so that every reader has them in their order."""
    digits = max(3, len(str(len(pages))))
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as book:  # PNG is compressed already
        for number, page in enumerate(pages, start=1):
            file = io.BytesIO()
            page.convert("RGB").save(file, "PNG")
            book.writestr(f"page_{number:0{digits}}.png", file.getvalue())
