"""Balloons, boxes and letters, drawn into a picture where they have found their places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from . import outline
from .panel import CAPTION_PAPER, INK, Lettering
from .placing import Box
from .text_block import FINE, TextBlock, draw_block, margin

WHITE = (255, 255, 255)
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Item:
    """A text with its place. tail: the corners of a balloon's; empty for none. caption: it is no balloon."""

    block: TextBlock
    box: Box
    tail: Points
    caption: bool


@dataclass(frozen=True)
class _Shape:
    """What stands behind an item's letters: masks of like size, from `corner` on.

    ink, paper: what is dark, and what is light in it. tail_ink, tail_paper: of a balloon's tail; None for none.
    """

    corner: tuple[int, int]
    ink: Image.Image
    paper: Image.Image | None
    colour: tuple[int, int, int]
    tail_ink: Image.Image | None = None
    tail_paper: Image.Image | None = None


def draw_items(picture: Image.Image, items: Sequence[Item], boxed: bool, how: Lettering) -> None:
    """All shadows, then all tails, then what letters stand on, then all letters: nothing of one text lies on the letters of another.

    boxed: captions stand in a box; otherwise their letters stand straight on the picture, with an outline.
    """
    shapes = [_balloon(item) if not item.caption else _box(item) if boxed else _outlined(item, how) for item in items]
    if how.shadow:
        for item, shape in zip(items, shapes):
            whole = shape.ink if shape.tail_ink is None else ImageChops.lighter(shape.ink, shape.tail_ink)
            _cast_shadow(picture, whole, shape.corner, item.block.size)
    for shape in shapes:
        if shape.tail_ink is not None:
            picture.paste(INK, shape.corner, shape.tail_ink)
            picture.paste(shape.colour, shape.corner, shape.tail_paper)
    for shape in shapes:
        picture.paste(INK, shape.corner, shape.ink)
        if shape.paper is not None:
            picture.paste(shape.colour, shape.corner, shape.paper)
    for item in items:
        picture.paste(WHITE if item.caption and not boxed else INK, _corner(item, 0), draw_block(item.block, how.face))


def _box(item: Item) -> _Shape:
    box, line = item.box, outline.line_width(item.block.size)
    left, top, right, bottom = round(box.left), round(box.top), round(box.left + box.width), round(box.top + box.height)
    ink = Image.new("L", (right - left, bottom - top), 255)
    paper = Image.new("L", ink.size)
    paper.paste(255, (line, line, ink.width - line, ink.height - line))
    return _Shape((left, top), ink, paper, CAPTION_PAPER)


def _outlined(item: Item, how: Lettering) -> _Shape:
    stroke = max(1.0, item.block.size * 0.09)
    return _Shape(_corner(item, stroke), draw_block(item.block, how.face, stroke), None, WHITE)


def _balloon(item: Item) -> _Shape:
    body, line = outline.body(item.box), outline.line_width(item.block.size)
    pad, points = line + 2, [*body, *item.tail]
    left, top = (math.floor(min(point[at] for point in points)) - pad for at in (0, 1))
    right, bottom = (math.ceil(max(point[at] for point in points)) + pad for at in (0, 1))
    area = (left, top, right, bottom)
    ink, paper = _masks(body, area, line)
    if not item.tail:
        return _Shape((left, top), ink, paper, WHITE)
    tail_ink, tail_paper = _masks(item.tail, area, line)
    # Where the balloon's outline runs across its own tail, the two are one.
    opened = ImageChops.multiply(tail_paper, ink.point(lambda value: 255 if value else 0))
    return _Shape((left, top), ink, ImageChops.lighter(paper, opened), WHITE, tail_ink, tail_paper)


def _masks(shape: Points, area: tuple[int, int, int, int], line: int) -> tuple[Image.Image, Image.Image]:
    """A polygon with its outline, and without, in an area (left, top, right, bottom)."""
    left, top, right, bottom = area
    corners = [((x - left) * FINE, (y - top) * FINE) for x, y in shape]
    size = (right - left, bottom - top)
    ink, paper = (Image.new("L", (size[0] * FINE, size[1] * FINE)) for _ in range(2))
    for mask in (ink, paper):
        ImageDraw.Draw(mask).polygon(corners, fill=255)
    ImageDraw.Draw(ink).line([*corners, *corners[:2]], fill=255, width=2 * line * FINE, joint="curve")
    return ink.resize(size, Image.Resampling.BOX), paper.resize(size, Image.Resampling.BOX)


def _corner(item: Item, stroke: float) -> tuple[int, int]:
    """Of the mask of the letters, with a stroke around them, in the picture."""
    (x, y), edge = item.box.centre, margin(item.block, stroke)
    return round(x - item.block.width / 2) - edge, round(y - item.block.height / 2) - edge


def _cast_shadow(picture: Image.Image, mask: Image.Image, corner: tuple[int, int], size: float) -> None:
    """A soft dark copy of what will stand there, a little down and to the right."""
    blur, shift = max(1.0, 0.12 * size), max(1, round(0.14 * size))
    edge = math.ceil(3 * blur)
    wide = Image.new("L", (mask.width + 2 * edge, mask.height + 2 * edge))
    wide.paste(mask, (edge, edge))
    soft = wide.filter(ImageFilter.GaussianBlur(blur)).point(lambda value: value * 0.5)
    picture.paste((0, 0, 0), (corner[0] - edge + shift, corner[1] - edge + shift), soft)
