"""The layout webtoon: panels one under the other in a tall strip for a phone, cut into files of a height that is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PIL import Image

from .cropping import PAPER
from .frame import Frame, Measures, draw_panel, new_page
from .panel import ComicPanel, PageStyle

LEGAL_SHAPE = 1.6  # height / width of a file at most, where the style has no height: 800 x 1280, which the large publishers take
_GAP = 0.1  # of the strip's width, between panels: scrolling tells the time that passes


def draw_webtoon(panels: Sequence[ComicPanel], style: PageStyle) -> list[Image.Image]:
    """The strip in parts, each as high as is allowed at most, cut between panels wherever one fits whole."""
    most = style.height or round(style.width * LEGAL_SHAPE)
    parts: list[Image.Image] = []
    together: list[Image.Image] = []
    for item in _items(panels, style):
        if together and sum(part.height for part in together) + item.height > most:
            parts.append(_join(together))
            together = []
        if item.height > most:
            count = -(-item.height // most)
            edges = [round(item.height * at / count) for at in range(count + 1)]
            parts += [item.crop((0, top, item.width, bottom)) for top, bottom in zip(edges, edges[1:])]
        else:
            together.append(item)
    return [*parts, _join(together)] if together else parts


def _items(panels: Sequence[ComicPanel], style: PageStyle) -> Iterator[Image.Image]:
    """Each panel across the strip, its caption on the paper under it, half a gap above and below."""
    measures = Measures.of(style)
    border = 2 * measures.border
    captions = "strip" if style.captions == "auto" else style.captions
    margin = round(style.width * 0.03) if style.gutter is None else style.gutter
    half = round(style.width * _GAP / 2) if style.gutter is None else style.gutter
    width = style.width - 2 * margin
    measures.check_width(width, style, captions == "strip" and any(panel.caption for panel in panels), "a strip")
    for number, panel in enumerate(panels, start=1):
        height = max(1, round((width - border) / panel.own_shape)) + border
        strip = measures.strip_height(panel.caption, style, width) if captions == "strip" else 0
        item = new_page(style.width, height + strip + 2 * half)
        draw_panel(item, Frame(margin, half, width, height), number, panel, "none" if strip else captions, style, measures)
        if strip:
            measures.draw_caption(item, panel.caption, style, (margin, half + height, width, strip))
        yield item


def _join(items: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (items[0].width, sum(item.height for item in items)), PAPER)
    top = 0
    for item in items:
        whole.paste(item, (0, top))
        top += item.height
    return whole
