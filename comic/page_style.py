"""What a user chooses for a page, as its style."""

from __future__ import annotations

from collections.abc import Sequence

from .layouts import read_pattern
from .panel import ComicPanel, Lettering, PageStyle
from .paper import PAPERS, paper_size
from .text_block import is_written_vertically
from .typeface import Typeface

TEXT_DIRECTIONS = ("auto", "horizontal", "vertical")


def page_style(panels: Sequence[ComicPanel], face: Typeface, *, layout: str, page_width: int, font_size: int, seed: int = 0, captions: str = "auto",
               paper: str = PAPERS[0], dpi: int = 150, page_height: int = 0, rows: str = "2,1,3", gutter: int = -1, border: int = -1,
               text_direction: str = TEXT_DIRECTIONS[0], shadow: bool = False) -> PageStyle:
    """How the pages of these panels look.

    Args:
        page_height: 0: as high as it takes. gutter, border: -1: by the page's width.
        paper: one of PAPERS, at `dpi` pixels an inch; but for "none", page_width and page_height say nothing.
        rows: as `read_pattern` reads them, where the layout is "free".
        text_direction: one of TEXT_DIRECTIONS; auto: vertical in manga whose speech is mostly of a script that is also written so.

    Raises: ValueError for rows that cannot be read.
    """
    manga = layout == "manga"
    vertical = text_direction == "vertical"
    if text_direction == "auto":
        vertical = manga and is_written_vertically("".join(balloon.text for panel in panels for balloon in panel.balloons))
    width, height = paper_size(paper, dpi) or (page_width, page_height or None)
    return PageStyle(
        layout, width, Lettering(face, font_size, vertical, right_to_left=manga, shadow=shadow), height, captions, gutter=None if gutter < 0 else gutter,
        border=None if border < 0 else border, rows=read_pattern(rows) if layout == "free" else (), seed=seed,
    )
