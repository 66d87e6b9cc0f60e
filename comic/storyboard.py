"""The layout storyboard: a table of each panel's number, picture, prompt and caption, to work with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .frame import Measures, draw_picture, new_page
from .panel import CAPTION_PAPER, INK, ComicPanel, PageStyle
from .text_block import LEADING, TextBlock, draw_block, fit_text, margin

PAGE_SHAPE = 2**0.5  # height / width where the style has no height: A4
HEADS = ("No.", "Picture", "Prompt", "Caption")
_COLUMNS = (0.07, 0.29, 0.32, 0.32)  # of the table's width
_TALLEST = 0.5  # of the table's height that one row takes at most


@dataclass(frozen=True)
class _Line:
    """A row of the table; `blocks`: number, prompt, caption."""

    panel: int
    height: int
    blocks: tuple[TextBlock | None, ...]


def draw_storyboard(panels: Sequence[ComicPanel], style: PageStyle) -> list[Image.Image]:
    """The table, on as many pages as it takes, each with the heads of its columns."""
    measures = Measures.of(style)
    height = style.height or round(style.width * PAGE_SHAPE)
    size = style.lettering.size
    head = round(size * LEADING + 2 * measures.pad_y)
    room = height - 2 * measures.margin - head
    widths = [round(share * (style.width - 2 * measures.margin)) for share in _COLUMNS]
    if min(widths) < 2 * size or room < 4 * size:
        raise ValueError(
            f"page_width: a page of {style.width} x {height} pixels is too small for a storyboard with letters of {size:g} and a gutter of "
            f"{measures.gutter} pixels. Use a larger page, or a smaller font_size or gutter."
        )
    pages: list[list[_Line]] = [[]]
    for at, panel in enumerate(panels):
        line = _measure(at, panel, style, measures, widths, round(room * _TALLEST))
        if pages[-1] and sum(each.height for each in pages[-1]) + line.height > room:
            pages.append([])
        pages[-1].append(line)
    return [_draw_page(panels, lines, style, measures, widths, height, head) for lines in pages]


def _measure(at: int, panel: ComicPanel, style: PageStyle, measures: Measures, widths: Sequence[int], tallest: int) -> _Line:
    said = (f"{balloon.name}: \u201c{balloon.text}\u201d" if balloon.name else balloon.text for balloon in panel.balloons)
    texts = (str(at + 1), panel.prompt, "\n".join([panel.caption, *said]))
    blocks = []
    for text, width in zip(texts, (widths[0], *widths[2:])):
        space = (width - 2 * measures.pad_x, tallest - 2 * measures.pad_y)
        block = fit_text(text, style.lettering.face, style.lettering.size, lambda _, space=space: space) if text.strip() else None
        if block is None and text.strip():
            raise ValueError(f"panel {at + 1}: its text does not fit into a storyboard. Use a larger page, or shorten it.")
        blocks.append(block)
    picture = min(tallest, round((widths[1] - 2 * measures.pad_y) / panel.own_shape) + 2 * measures.pad_y)
    text_height = max(block.height for block in blocks if block) + 2 * measures.pad_y
    return _Line(at, max(picture, round(text_height)), tuple(blocks))


def _draw_page(panels: Sequence[ComicPanel], lines: Sequence[_Line], style: PageStyle, measures: Measures, widths: Sequence[int], height: int,
               head: int) -> Image.Image:
    page = new_page(style.width, height)
    draw = ImageDraw.Draw(page)
    left, top, rule = measures.margin, measures.margin, max(1, measures.border // 2)
    lefts = [left + sum(widths[:at]) for at in range(len(widths) + 1)]
    right, bottom = lefts[-1], top + head + sum(line.height for line in lines)
    draw.rectangle((left, top, right, top + head), fill=CAPTION_PAPER)
    for text, x, width in zip(HEADS, lefts, widths):
        block = fit_text(text, style.lettering.face, style.lettering.size, lambda _, width=width: (width - 2 * measures.pad_x, head))
        if block:
            _paste(page, block, x + measures.pad_x, top + (head - block.height) // 2, style)
    y = top + head
    for line in lines:
        number, prompt, caption = line.blocks
        panel = panels[line.panel]
        wide = widths[1] - 2 * measures.pad_y
        size = (wide, max(1, min(line.height - 2 * measures.pad_y, round(wide / panel.own_shape))))
        page.paste(draw_picture(ComicPanel(panel.picture, keep_free=panel.keep_free), size, line.panel + 1, "none", style),
                   (lefts[1] + measures.pad_y, y + measures.pad_y))
        for block, x in ((number, lefts[0]), (prompt, lefts[2]), (caption, lefts[3])):
            if block:
                _paste(page, block, x + measures.pad_x, y + measures.pad_y, style)
        draw.rectangle((left, y, right, y + rule - 1), fill=INK)
        y += line.height
    for x in lefts:
        draw.rectangle((x, top, x + rule - 1, bottom), fill=INK)
    for edge in (top, bottom):
        draw.rectangle((left, edge, right, edge + rule - 1), fill=INK)
    return page


def _paste(page: Image.Image, block: TextBlock, left: int, top: int, style: PageStyle) -> None:
    edge = margin(block)
    page.paste(INK, (left - edge, top - edge), draw_block(block, style.lettering.face, centred=False))
