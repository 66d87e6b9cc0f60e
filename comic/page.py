"""A comic page: a plain grid of panels, each with its caption in a light strip under the picture.

All measures are pixels. The page's height follows from its width, the pictures' shape and the captions.
"""

import statistics
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from .lettering import balance_text, describe_missing, line_height, missing_glyphs

PAPER = (255, 255, 255)
INK = (28, 26, 24)
CAPTION_PAPER = (251, 247, 236)
MOST_COLUMNS = 4  # with more, captions become too narrow to read; the page grows downwards instead
FINE = 4  # captions are set this many times larger and scaled down: small sizes keep even letter spacing
LEAST_PICTURE = 16  # a picture narrower than this shows nothing
TALLEST_PAGE = 65_500  # what common picture formats still hold


def layout_grid(count: int, columns: int | None = None) -> tuple[int, int]:
    """(rows, columns) for `count` panels: near-square, few empty cells, at most MOST_COLUMNS wide; 6 are 2 rows of 3.

    `columns` overrides the choice. Raises ValueError where either is below 1.
    """
    if count < 1:
        raise ValueError("images: there is no picture to lay out. Give at least one.")
    if columns is not None:
        if columns < 1:
            raise ValueError(f"columns: {columns} is too few. Give at least 1.")
        return -(-count // columns), columns
    shapes = [(-(-count // wide), wide) for wide in range(1, min(count, MOST_COLUMNS) + 1)]

    def cost(shape: tuple[int, int]) -> tuple[int, int, int]:
        rows, wide = shape
        empty = rows * wide - count
        return 2 * empty + abs(wide - rows), empty, -wide

    return min(shapes, key=cost)


@dataclass(frozen=True)
class _Measures:
    gutter: int
    border: int
    margin: int
    picture: tuple[int, int]
    pad_x: int
    pad_y: int
    leading: int


def draw_page(
    images: list[Image.Image],
    captions: list[str],
    page_width: int,
    font: ImageFont.FreeTypeFont,
    gutter: int | None = None,
    border: int | None = None,
    columns: int | None = None,
) -> Image.Image:
    """Draw the panels row by row onto one RGB page, `page_width` wide and as high as it has to be.

    All pictures get one shape, the median of theirs; one of another shape is cut to it around its centre, never
    squeezed. Strips of a row are as high as its longest caption needs; a panel without a caption has none.
    `gutter` (between panels) and `border` (of a panel) follow the page's width where None.
    Raises ValueError, naming what to change, where the numbers of pictures and captions differ, the page is too narrow
    or too tall, or the font lacks a character.
    """
    if len(images) != len(captions):
        raise ValueError(
            f"images: there are {len(images)} pictures and {len(captions)} captions. "
            "Give one caption a picture; an empty one is allowed."
        )
    rows, columns = layout_grid(len(images), columns)
    _check_glyphs(captions, font)
    measures = _measure(images, page_width, columns, font, gutter, border)
    large = font.font_variant(size=font.size * FINE)
    text_width = (measures.picture[0] - 2 * measures.pad_x) * FINE
    lines = [balance_text(caption, large, text_width) for caption in captions]

    starts = range(0, len(images), columns)
    strips = [_strip_height(max(len(text) for text in lines[at:at + columns]), measures) for at in starts]
    height = 2 * measures.margin + (rows - 1) * measures.gutter + rows * (measures.picture[1] + 2 * measures.border)
    height += sum(strips)
    if height > TALLEST_PAGE:
        raise ValueError(
            f"images: the page would be {height} pixels tall, more than {TALLEST_PAGE}. "
            "Use fewer panels, shorter captions or a smaller page_width."
        )

    page = Image.new("RGB", (page_width, height), PAPER)
    step = measures.picture[0] + 2 * measures.border + measures.gutter
    left = (page_width - columns * step + measures.gutter) // 2  # what rounding leaves over goes to both sides
    top = measures.margin
    for start, strip in zip(starts, strips):
        for place, index in enumerate(range(start, min(start + columns, len(images)))):
            _draw_panel(page, (left + place * step, top), strip, images[index], lines[index], large, measures)
        top += measures.picture[1] + 2 * measures.border + strip + measures.gutter
    return page


def _check_glyphs(captions: list[str], font: ImageFont.FreeTypeFont) -> None:
    missing = missing_glyphs(font, "".join(captions))
    if missing:
        first = next(number for number, caption in enumerate(captions, start=1) if missing_glyphs(font, caption))
        raise ValueError(
            f"font: {' '.join(font.getname()[:1])} cannot draw {describe_missing(missing)}, first in the caption of "
            f"panel {first}. Choose a font that has these characters, or change the caption."
        )


def _measure(
    images: list[Image.Image],
    page_width: int,
    columns: int,
    font: ImageFont.FreeTypeFont,
    gutter: int | None,
    border: int | None,
) -> _Measures:
    gutter = max(4, round(page_width * 0.016)) if gutter is None else gutter
    border = max(1, round(page_width / 640)) if border is None else border
    if gutter < 0 or border < 0:
        raise ValueError(f"gutter and border must not be negative (they are {gutter} and {border}).")
    margin = max(gutter * 2, round(page_width * 0.03))
    width = (page_width - 2 * margin - (columns - 1) * gutter) // columns - 2 * border
    pad_x = round(font.size * 0.7)
    if width < max(LEAST_PICTURE, 2 * pad_x + 2 * font.size):
        raise ValueError(
            f"page_width: {page_width} pixels are too narrow for {columns} column(s) with captions "
            f"of {font.size:g} pixels. Use a wider page or a smaller font."
        )
    shape = statistics.median(image.height / image.width for image in images)
    return _Measures(
        gutter, border, margin, (width, max(1, round(width * shape))), pad_x, round(font.size * 0.55), line_height(font)
    )


def _strip_height(lines: int, measures: _Measures) -> int:
    """Height of a caption strip and the line that parts it from the picture; 0 without text."""
    return lines * measures.leading + 2 * measures.pad_y + measures.border if lines else 0


def _draw_panel(
    page: Image.Image,
    corner: tuple[int, int],
    strip: int,
    image: Image.Image,
    lines: list[str],
    font: ImageFont.FreeTypeFont,
    measures: _Measures,
) -> None:
    """Draw one panel with its top left corner at `corner`: frame, picture and its caption.

    `font` is FINE times as large as it will look. Without a caption the frame ends with the picture: an empty
    strip would look like a word forgotten.
    """
    (x, y), border = corner, measures.border
    strip = strip if lines else 0
    width, height = measures.picture
    draw = ImageDraw.Draw(page)
    draw.rectangle((x, y, x + width + 2 * border - 1, y + height + strip + 2 * border - 1), fill=INK)
    page.paste(_cover(image, measures.picture), (x + border, y + border))
    if not strip:
        return
    top = y + border + height + border
    inner = strip - border
    draw.rectangle((x + border, top, x + border + width - 1, top + inner - 1), fill=CAPTION_PAPER)
    letters = _set_lines(lines, font, (width, inner), measures.leading)
    page.paste(INK, (x + border, top), letters)


def _set_lines(lines: list[str], font: ImageFont.FreeTypeFont, size: tuple[int, int], leading: int) -> Image.Image:
    """The lines centred in a mask (mode L) of `size` (width, height) pixels; `font` is FINE times as large."""
    mask = Image.new("L", (size[0] * FINE, size[1] * FINE))
    draw = ImageDraw.Draw(mask)
    # Centred between cap height and baseline, as the eye does it; the font's own box has room for accents.
    capital = -font.getbbox("H", anchor="ls")[1]
    first = (mask.height - (len(lines) - 1) * leading * FINE + capital) / 2
    baseline = round(first / FINE) * FINE  # on a whole pixel of the page, where letters stand sharp
    for number, line in enumerate(lines):
        draw.text((mask.width / 2, baseline + number * leading * FINE), line, fill=255, font=font, anchor="ms")
    return mask.resize(size, Image.Resampling.BOX)


def _cover(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture scaled to fill `size` (width, height), its centre kept the rest cut off; alpha shows paper."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*PAPER, 255)), image)
    image = image.convert("RGB")
    scale = max(size[0] / image.width, size[1] / image.height)
    wide, high = min(image.width, size[0] / scale), min(image.height, size[1] / scale)
    left, top = (image.width - wide) / 2, (image.height - high) / 2
    return image.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + wide, top + high))
