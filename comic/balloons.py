"""Lettering inside a picture: speech balloons with tails, boxes of captions, and letters straight on the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .panel import CAPTION_PAPER, INK, Balloon, Lettering
from .placing import Box, Room, Wanted, centroid, head_of
from .text_block import FINE, LONGEST, SMALLEST, TextBlock, draw_block, fit_text, margin
from .typeface import Typeface

WHITE = (255, 255, 255)
_ROUNDNESS = 2.8  # exponent of a balloon's outline: 2 is an ellipse, and much more a rectangle
_AROUND = 2 ** (1 / _ROUNDNESS)  # a balloon's width by that of the largest rectangle in it
# What lettering may look like: length of its lines by their thickness, and the share of a picture's width and height that it takes at most. The
# first is what it looks like unless there is no room for it.
_BALLOONS = ((2.2, (0.58, 0.42)), (0.7, (0.42, 0.85)), (8.0, (0.96, 0.3)))
_VERTICAL = ((4.0, (0.45, 0.7)), (1.0, (0.8, 0.4)), (12.0, (0.25, 0.95)))
_CAPTIONS = ((7.0, (0.86, 0.4)), (2.0, (0.6, 0.5)), (0.6, (0.4, 0.9)))
_SMALLER = 0.82  # from one try to the next, where the lettering finds no room


@dataclass(frozen=True)
class _Item:
    block: TextBlock
    box: Box
    balloon: Balloon | None  # None: a caption


def letter_picture(picture: Image.Image, caption: str, boxed: bool, balloons: Sequence[Balloon], keep_free: Image.Image | None,
                   how: Lettering) -> list[Box]:
    """Draws a caption and balloons into an RGB picture.

    Args:
        boxed: the caption stands in a box; otherwise its letters stand straight on the picture, with an outline.
        keep_free: mode L, of any size: nothing is put where it is white, if there is any other place.

    Returns: where the caption (if there is one) and the balloons are.

    Raises: ValueError where the text is too long for the picture at any size.
    """
    texts = [*([(caption, None)] if caption else []), *((balloon.text, balloon) for balloon in balloons)]
    if not texts:
        return []
    room = Room(picture, keep_free, how.right_to_left)
    items = _place_all(picture, room, texts, how)
    for item in items:
        if item.balloon is None:
            _draw_caption(picture, item, boxed, how)
        else:
            _draw_balloon(picture, item, _target(picture, item, room.detail), how)
    return [item.box for item in items]


def _place_all(picture: Image.Image, room: Room, texts: Sequence[tuple[str, Balloon | None]], how: Lettering) -> list[_Item]:
    """At the largest size at which all have room, are read in order, and cover nothing that shall stay free; if no size does, at the smallest."""
    for text, _ in texts:
        if len(text) > LONGEST:
            raise ValueError(f"a text of {len(text)} characters is too long for a picture; {LONGEST} is the most. Shorten it.")
    size, placed = float(how.size), None
    while True:
        for shape in range(len(_BALLOONS)):
            blocks = [_set(picture, text, balloon, size, shape, how) for text, balloon in texts]
            boxes = room.place([_wanted(block, balloon) for block, (_, balloon) in zip(blocks, texts)]) if all(blocks) else None
            if boxes is not None:
                placed = [_Item(block, box, balloon) for block, box, (_, balloon) in zip(blocks, boxes, texts)]
                if room.is_in_order(boxes) and not any(room.covers(box) for box in boxes):
                    return placed
        if size <= SMALLEST:
            break
        size = max(SMALLEST, size * _SMALLER)
    if placed is None:
        words = " / ".join(text for text, _ in texts)
        raise ValueError(
            f'the lettering "{words[:60]}{"…" if len(words) > 60 else ""}" has no room in a picture of {picture.width} x {picture.height} pixels, at no '
            "size that can be read. Shorten it, or make the page larger."
        )
    return placed


def _set(picture: Image.Image, text: str, balloon: Balloon | None, size: float, shape: int, how: Lettering) -> TextBlock | None:
    """The text as large as its part of the picture lets it be; None where it has no room there."""
    vertical = how.vertical and balloon is not None
    aspect, shares = (_CAPTIONS if balloon is None else _VERTICAL if vertical else _BALLOONS)[shape]
    wide, high = picture.width * shares[0], picture.height * shares[1]
    scale = 1.0 if balloon is None else _AROUND

    def space(size: float) -> tuple[float, float]:
        x, y = _padding(size, balloon is None)
        return wide / scale - 2 * x, high / scale - 2 * y

    return fit_text(text, how.face, size, space, vertical, aspect)


def _wanted(block: TextBlock, balloon: Balloon | None) -> Wanted:
    x, y = _padding(block.size, balloon is None)
    scale, edge = (1.0, 0.0) if balloon is None else (_AROUND, max(2.0, 0.15 * block.size))
    return Wanted((block.width + 2 * x) * scale, (block.height + 2 * y) * scale, edge, gap=0.3 * block.size, at_edge=balloon is None)


def _padding(size: float, caption: bool) -> tuple[float, float]:
    """Beside and above the letters."""
    return (0.6 * size, 0.5 * size) if caption else (0.35 * size, 0.3 * size)


def _draw_caption(picture: Image.Image, item: _Item, boxed: bool, how: Lettering) -> None:
    box, line = item.box, _line_width(item.block.size)
    corners = (round(box.left), round(box.top), round(box.left + box.width) - 1, round(box.top + box.height) - 1)
    if boxed:
        if how.shadow:
            mask = Image.new("L", picture.size)
            ImageDraw.Draw(mask).rectangle(corners, fill=255)
            _cast_shadow(picture, mask, (0, 0), item.block.size)
        ImageDraw.Draw(picture).rectangle(corners, fill=CAPTION_PAPER, outline=INK, width=line)
        _paste_letters(picture, item, how.face, INK)
        return
    stroke = max(1.0, item.block.size * 0.09)
    outlined, corner = draw_block(item.block, how.face, stroke), _corner(item, stroke)
    if how.shadow:
        _cast_shadow(picture, outlined, corner, item.block.size)
    picture.paste(INK, corner, outlined)
    _paste_letters(picture, item, how.face, WHITE)


def _draw_balloon(picture: Image.Image, item: _Item, target: tuple[float, float] | None, how: Lettering) -> None:
    box, line = item.box, _line_width(item.block.size)
    outline = _outline(box)
    shapes = [outline]
    if target is not None:
        shapes.append(_tail(box, target, item.block.size))
    points = [point for shape in shapes for point in shape]
    pad = line + 2
    left, top = (math.floor(min(point[at] for point in points)) - pad for at in (0, 1))
    right, bottom = (math.ceil(max(point[at] for point in points)) + pad for at in (0, 1))
    size = ((right - left) * FINE, (bottom - top) * FINE)
    moved = [[((x - left) * FINE, (y - top) * FINE) for x, y in shape] for shape in shapes]
    ink, paper = Image.new("L", size), Image.new("L", size)
    for shape in moved:
        ImageDraw.Draw(ink).polygon(shape, fill=255)
        ImageDraw.Draw(ink).line([*shape, *shape[:2]], fill=255, width=2 * line * FINE, joint="curve")
        ImageDraw.Draw(paper).polygon(shape, fill=255)
    ink, paper = (mask.resize((right - left, bottom - top), Image.Resampling.BOX) for mask in (ink, paper))
    if how.shadow:
        _cast_shadow(picture, ink, (left, top), item.block.size)
    picture.paste(INK, (left, top), ink)
    picture.paste(WHITE, (left, top), paper)
    _paste_letters(picture, item, how.face, INK)


def _outline(box: Box) -> list[tuple[float, float]]:
    (x, y), steps = box.centre, 96

    def along(angle: float) -> tuple[float, float]:
        across, down = math.cos(angle), math.sin(angle)
        return (
            x + box.width / 2 * math.copysign(abs(across) ** (2 / _ROUNDNESS), across),
            y + box.height / 2 * math.copysign(abs(down) ** (2 / _ROUNDNESS), down),
        )

    return [along(2 * math.pi * step / steps) for step in range(steps)]


def _tail(box: Box, target: tuple[float, float], size: float) -> list[tuple[float, float]]:
    """A triangle from inside the balloon towards who speaks; it ends ahead of them, so that it covers nobody."""
    x, y = box.centre
    across, down = target[0] - x, target[1] - y
    distance = math.hypot(across, down)
    across, down = across / distance, down / distance
    # Where the way to the speaker leaves the balloon.
    edge = (abs(across / (box.width / 2)) ** _ROUNDNESS + abs(down / (box.height / 2)) ** _ROUNDNESS) ** (-1 / _ROUNDNESS)
    reach = min(max(edge + 0.9 * size, edge + 0.6 * (distance - edge)), edge + 3.2 * size)
    half = min(0.42 * size, 0.2 * min(box.width, box.height))
    root = max(0.0, edge - 0.6 * size)
    base = x + root * across, y + root * down
    return [(base[0] - half * down, base[1] + half * across), (x + reach * across, y + reach * down), (base[0] + half * down, base[1] - half * across)]


def _target(picture: Image.Image, item: _Item, picture_detail: np.ndarray) -> tuple[float, float] | None:
    """Where a balloon's tail points: at who speaks, at the nearest side for somebody who is not in the picture, and where nobody knows
    more at the largest detail. None where that lies in the balloon itself."""
    balloon, box = item.balloon, item.box
    if balloon.outside:
        x, y = box.centre
        return (-picture.width if x < picture.width / 2 else 2 * picture.width), y + 0.4 * picture.height
    target = None
    if balloon.speaker is not None:
        target = head_of(np.asarray(balloon.speaker, dtype=np.float32), picture.size)
    if target is None:
        down, across = (np.hanning(side + 2)[1:-1] for side in picture_detail.shape)
        target = centroid(picture_detail * down[:, None] * across[None, :], picture.size)
    if target is None:
        return None
    inside = abs(target[0] - box.centre[0]) < box.width / 2 and abs(target[1] - box.centre[1]) < box.height / 2
    return None if inside else target


def _corner(item: _Item, stroke: float) -> tuple[int, int]:
    """Of the mask of the letters, with a stroke around them, in the picture."""
    (x, y), edge = item.box.centre, margin(item.block, stroke)
    return round(x - item.block.width / 2) - edge, round(y - item.block.height / 2) - edge


def _paste_letters(picture: Image.Image, item: _Item, face: Typeface, colour: tuple[int, int, int]) -> None:
    picture.paste(colour, _corner(item, 0), draw_block(item.block, face))


def _cast_shadow(picture: Image.Image, mask: Image.Image, corner: tuple[int, int], size: float) -> None:
    """A soft dark copy of what will stand there, a little down and to the right."""
    blur, shift = max(1.0, 0.12 * size), max(1, round(0.14 * size))
    edge = math.ceil(3 * blur)
    wide = Image.new("L", (mask.width + 2 * edge, mask.height + 2 * edge))
    wide.paste(mask, (edge, edge))
    soft = wide.filter(ImageFilter.GaussianBlur(blur)).point(lambda value: value * 0.5)
    picture.paste((0, 0, 0), (corner[0] - edge + shift, corner[1] - edge + shift), soft)


def _line_width(size: float) -> int:
    return max(1, round(size * 0.07))
