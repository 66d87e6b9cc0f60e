"""One panel on a page: its frame, its picture with what is said in it, and its caption in a strip underneath."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from .balloons import letter_picture
from .cropping import PAPER, crop_box, flatten
from .panel import CAPTION_PAPER, INK, ComicPanel, PageStyle
from .text_block import LONGEST, TextBlock, draw_block, margin, set_lines

LEAST_PICTURE = 16  # a picture narrower than this shows nothing
TALLEST_PAGE = 65_500  # what common picture formats still hold
_MASK_SIDE = 192  # pixels of a mask's longer side that is enough to keep clear of what it shows


@dataclass(frozen=True)
class Frame:
    """A panel's place on a page, in pixels: its picture with its border, and the strip under it, `strip` pixels high (0: none)."""

    left: int
    top: int
    width: int
    height: int
    strip: int = 0


@dataclass(frozen=True)
class Measures:
    """What a page's width and its letters' size say of the rest, in pixels. `pad_x`, `pad_y`: beside and above a caption in its strip."""

    gutter: int
    border: int
    margin: int
    pad_x: int
    pad_y: int

    @classmethod
    def of(cls, style: PageStyle) -> Measures:
        gutter = max(4, round(style.width * 0.016)) if style.gutter is None else style.gutter
        border = max(1, round(style.width / 640)) if style.border is None else style.border
        size = style.lettering.size
        return cls(gutter, border, max(gutter * 2, round(style.width * 0.03)), round(size * 0.7), round(size * 0.6))

    def check_width(self, width: int, style: PageStyle, strip: bool, what: str) -> None:
        """Raises: ValueError where a frame of `width` shows no picture, or its strip has no room for words; `what` says of what that is the width."""
        words = 2 * (self.pad_x + style.lettering.size) if strip else 0
        if width - 2 * self.border < max(LEAST_PICTURE, words):
            raise ValueError(
                f"page_width: {style.width} pixels are too narrow for {what} with a gutter of {self.gutter}, a border of {self.border}"
                f"{f' and letters of {style.lettering.size:g}' if strip else ''} pixels. Use a larger page_width, or a smaller gutter, border or "
                "font_size."
            )

    def strip_height(self, caption: str, style: PageStyle, width: int) -> int:
        """Of the strip for a caption under a frame of `width`, with the line that parts it from the picture; 0 without text."""
        if len(caption) > LONGEST:
            raise ValueError(f"story: a caption of {len(caption)} characters is too long for a page; {LONGEST} is the most. Shorten it.")
        block = self._set_caption(caption, style, width)
        return block.height + 2 * self.pad_y + self.border if block.lines else 0

    def draw_caption(self, page: Image.Image, caption: str, style: PageStyle, box: tuple[int, int, int, int]) -> None:
        """Letters in the middle of a box (left, top, width, height) of the page."""
        left, top, width, height = box
        block = self._set_caption(caption, style, width + 2 * self.border)
        edge = margin(block)
        corner = (left + (width - block.width) // 2 - edge, top + (height - block.height) // 2 - edge)
        page.paste(INK, corner, draw_block(block, style.lettering.face))

    def _set_caption(self, caption: str, style: PageStyle, width: int) -> TextBlock:
        return set_lines(caption, style.lettering.face, style.lettering.size, width - 2 * self.border - 2 * self.pad_x)


def new_page(width: int, height: int) -> Image.Image:
    """Raises: ValueError for a page that no picture format holds."""
    if height > TALLEST_PAGE:
        raise ValueError(
            f"images: the page would be {height} pixels tall, more than {TALLEST_PAGE}. Use fewer panels, shorter captions or a smaller page_width."
        )
    return Image.new("RGB", (width, height), PAPER)


def draw_panel(page: Image.Image, frame: Frame, number: int, panel: ComicPanel, captions: str, style: PageStyle, measures: Measures) -> None:
    """Draws a panel into its frame. `captions`: "strip", "box", "outlined" or "none". A strip without a caption is not drawn: it would look
    like a word forgotten.

    Raises: ValueError, with the panel's number, where its text has no room.
    """
    border = measures.border
    strip = frame.strip if captions == "strip" and panel.caption else 0
    corner, width, height = (frame.left + border, frame.top + border), frame.width - 2 * border, frame.height - 2 * border
    draw = ImageDraw.Draw(page)
    if border or strip:
        draw.rectangle((frame.left, frame.top, frame.left + frame.width - 1, frame.top + frame.height + strip - 1), fill=INK)
    picture = draw_picture(panel, (width, height), number, captions, style)
    page.paste(picture, corner)
    if strip:
        box = (corner[0], frame.top + frame.height, width, strip - border)
        draw.rectangle((box[0], box[1], box[0] + box[2] - 1, box[1] + box[3] - 1), fill=CAPTION_PAPER)
        measures.draw_caption(page, panel.caption, style, box)


def draw_picture(panel: ComicPanel, size: tuple[int, int], number: int, captions: str, style: PageStyle) -> Image.Image:
    """A panel's picture cut to a size, with its balloons and, where it is to stand on the picture, its caption."""
    picture = flatten(panel.picture)
    box = crop_box(picture, *size, panel.keep_free)
    seen = tuple(edge / side for edge, side in zip(box, (*picture.size, *picture.size)))
    balloons = [replace(balloon, speaker=_cut_mask(balloon.speaker, seen)) for balloon in panel.balloons]
    picture = picture.resize(size, Image.Resampling.LANCZOS, box=box)
    try:
        letter_picture(
            picture, panel.caption if captions in ("box", "outlined") else "", captions == "box", balloons, _cut_mask(panel.keep_free, seen),
            style.lettering,
        )
    except ValueError as error:
        raise ValueError(f"panel {number}: {error}") from error
    return picture


def _cut_mask(mask: Image.Image | None, seen: tuple[float, ...]) -> Image.Image | None:
    """What a mask says of the part of its picture (left, top, right, bottom, as shares) that is seen."""
    if mask is None:
        return None
    box = tuple(share * side for share, side in zip(seen, (*mask.size, *mask.size)))
    scale = min(1.0, _MASK_SIDE / max(mask.size))
    size = tuple(max(1, round((box[at + 2] - box[at]) * scale)) for at in (0, 1))
    return mask.resize(size, Image.Resampling.BOX, box=box)
