"""Comic pages: panels in one of the layouts, with their captions and balloons.

All measures are pixels. Unless a page has a height of its own, that follows from its width, the pictures' shapes and the captions.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from . import layouts
from .frame import LEAST_PICTURE, Frame, Measures, draw_panel, new_page
from .layouts import Cell, Plan, Row
from .panel import ComicPanel, PageStyle
from .storyboard import draw_storyboard
from .webtoon import draw_webtoon

MANGA_PAGE = 182 / 257  # width / height: B5
LONE_SHAPE = 1.6  # of a panel that has a row of a free layout to itself: as high as it is wide, it would be a page of its own


def draw_pages(panels: Sequence[ComicPanel], style: PageStyle) -> list[Image.Image]:
    """The pages of a comic, RGB.

    Raises: ValueError, naming what to change, where a page is too narrow or too tall, a text has no room, or no font has one of its characters.
    """
    if not panels:
        raise ValueError("images: there is no picture to lay out. Give at least one.")
    if style.lettering.size < 1:
        raise ValueError(f"font_size: {style.lettering.size:g} is too small. Choose at least 1 pixel.")
    for name in ("gutter", "border"):
        if (getattr(style, name) or 0) < 0:
            raise ValueError(f"{name}: {getattr(style, name)} is negative. Give 0 or more.")
    _check_glyphs(panels, style)
    if style.layout == "storyboard":
        return draw_storyboard(panels, style)
    if style.layout == "webtoon":
        return draw_webtoon(panels, style)
    return [_draw_page(panels, style, rows) for rows in _set_pages(panels, style, _plan(len(panels), style))]


def _plan(count: int, style: PageStyle) -> Plan:
    if style.layout == "classic":
        return layouts.plan_classic(count, style.seed)
    if style.layout == "four panel":
        return layouts.plan_four_panel(count)
    if style.layout == "manga":
        return layouts.plan_manga(count, style.seed, style.width / style.height if style.height else MANGA_PAGE)
    if style.layout == "free":
        return layouts.plan_free(count, style.rows)
    if style.layout == "grid":
        return layouts.plan_grid(count)
    raise ValueError(f'layout: there is no layout "{style.layout}". Choose one of: {", ".join(layouts.LAYOUTS)}.')


def _check_glyphs(panels: Sequence[ComicPanel], style: PageStyle) -> None:
    for number, panel in enumerate(panels, start=1):
        texts = [panel.caption, *(balloon.text for balloon in panel.balloons)]
        if style.layout == "storyboard":
            texts.append(panel.prompt)
        style.lettering.face.check("".join(texts), f", first in panel {number}")


def _shapes(panels: Sequence[ComicPanel], style: PageStyle, plan: Plan) -> list[float]:
    """width / height of each panel's picture: what it wants itself, what the layout has for it, or that of the story's pictures."""
    usual = statistics.median(panel.picture.width / panel.picture.height for panel in panels)
    shapes = [panel.shape or plan.shapes.get(at, usual) for at, panel in enumerate(panels)]
    if style.layout == "free":
        for (column,) in (row for page in plan.pages for row in page if len(row) == 1):
            shapes[column[0]] = panels[column[0]].shape or max(usual, LONE_SHAPE)
    return shapes


def _set_pages(panels: Sequence[ComicPanel], style: PageStyle, plan: Plan) -> Iterator[list[_PlacedRow]]:
    """Each page's rows. Those that a page of a given height cannot hold go to the next one."""
    measures = Measures.of(style)
    shapes = _shapes(panels, style, plan)
    for page in plan.pages:
        rows = [_set_row(panels, style, measures, row, shapes, plan.columns) for row in page]
        if style.height is None:
            yield rows
            continue
        room = style.height - 2 * measures.margin
        for part in _parts(rows, room, measures.gutter):
            yield _fill_height(part, room, measures)


def _set_row(panels: Sequence[ComicPanel], style: PageStyle, measures: Measures, row: Row, shapes: Sequence[float], columns: int) -> _PlacedRow:
    captions = style.captions
    if captions == "auto":
        captions = "strip" if style.layout in ("grid", "free") else "box"
    if captions == "strip" and any(len(column) > 1 for column in row):
        captions = "box"  # panels that stand one under the other have no room between them
    cells = layouts.place_row(row, shapes, style.width - 2 * measures.margin, measures.gutter, measures.border, columns)
    measures.check_width(min(cell.width for cell in cells), style, captions == "strip", f"{max(len(row), columns)} panels in a row")
    if min(cell.height for cell in cells) <= 2 * measures.border:
        raise ValueError(
            f"border: {measures.border} pixels leave nothing of the pictures. Use a narrower border, a larger page_width or fewer panels in a row."
        )
    strip = max(measures.strip_height(panels[cell.panel].caption, style, cell.width) for cell in cells) if captions == "strip" else 0
    # What rounding leaves over goes to both sides; a row that is not full stays where reading begins.
    right = max(cell.left + cell.width for cell in cells)
    inset = (style.width - 2 * measures.margin - right) // 2 if len(row) >= columns else 0
    return _PlacedRow([replace(cell, left=measures.margin + inset + cell.left) for cell in cells], captions, strip)


def _parts(rows: Sequence[_PlacedRow], room: int, gutter: int) -> Iterator[list[_PlacedRow]]:
    """The rows in pages that hold them, where each may become somewhat lower for it."""
    part: list[_PlacedRow] = []
    used = 0.0
    for row in rows:
        least = row.height / layouts.STRETCH + row.strip + gutter
        if part and used + least > room + gutter:
            yield part
            part, used = [], 0.0
        part.append(row)
        used += least
    yield part


def _fill_height(rows: Sequence[_PlacedRow], room: int, measures: Measures) -> list[_PlacedRow]:
    gutter = measures.gutter
    left = room - sum(row.strip for row in rows) - gutter * (len(rows) - 1)
    factor = min(left / sum(row.height for row in rows), layouts.STRETCH)
    filled = [replace(row, cells=layouts.stretch_row(row.cells, factor, gutter)) for row in rows]
    if any(cell.height - 2 * measures.border < LEAST_PICTURE for row in filled for cell in row.cells):
        raise ValueError(
            f"page_height: the page leaves no room for its pictures, with a gutter of {measures.gutter} and a border of {measures.border} pixels. "
            "Use a larger page_height, a smaller gutter, border or font_size, or shorter captions."
        )
    return filled


def _draw_page(panels: Sequence[ComicPanel], style: PageStyle, rows: Sequence[_PlacedRow]) -> Image.Image:
    measures = Measures.of(style)
    height = style.height or 2 * measures.margin + sum(row.height + row.strip for row in rows) + measures.gutter * (len(rows) - 1)
    page = new_page(style.width, height)
    top = measures.margin
    for row in rows:
        for cell in row.cells:
            left = style.width - cell.left - cell.width if style.lettering.right_to_left else cell.left
            frame = Frame(left, top + cell.top, cell.width, cell.height, row.strip)
            draw_panel(page, frame, cell.panel + 1, panels[cell.panel], row.captions, style, measures)
        top += row.height + row.strip + measures.gutter
    return page


@dataclass(frozen=True)
class _PlacedRow:
    """Cells of one row, how their captions are set, and how high the strips of captions under them are; `height` is without these."""

    cells: list[Cell]
    captions: str
    strip: int

    @property
    def height(self) -> int:
        return max(cell.top + cell.height for cell in self.cells)
