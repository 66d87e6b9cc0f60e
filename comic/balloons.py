"""Lettering inside a picture: speech balloons with tails, boxes of captions, and letters straight on the picture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .ink import Item, draw_items
from .outline import AROUND, SHORT, tail
from .panel import Balloon, Lettering
from .placing import Box, Room, Wanted
from .speaker import Speaker, centroid
from .text_block import LONGEST, SMALLEST, TextBlock, fit_text

# What lettering may look like: length of its lines by their thickness, and the share of a picture's width and height that it takes at most. The
# first is what it looks like unless there is no room for it.
_BALLOONS = ((2.2, (0.58, 0.42)), (8.0, (0.96, 0.3)), (0.7, (0.42, 0.85)))
_VERTICAL = ((4.0, (0.45, 0.7)), (1.0, (0.8, 0.4)), (12.0, (0.25, 0.95)))
_CAPTIONS = ((7.0, (0.86, 0.4)), (2.0, (0.6, 0.5)), (0.6, (0.4, 0.9)))
_NEARLY = 0.75  # of the size that another shape allows: a likelier shape is worth so much
_SMALLER = 0.82  # from one try to the next, where the lettering finds no room
_FLOOR = 0.5  # of the size that is asked for: to keep something clear, letters become no smaller
_SMALL = 0.8  # what letters of no size at all would cost, beside the faults of `Room.fault`


@dataclass(frozen=True)
class _Text:
    """balloon: None for a caption. speaker: None where nobody knows."""

    text: str
    balloon: Balloon | None = None
    speaker: Speaker | None = None


def letter_picture(picture: Image.Image, caption: str, boxed: bool, balloons: Sequence[Balloon], keep_free: Image.Image | None,
                   how: Lettering) -> list[Box]:
    """Draws a caption and balloons into an RGB picture.

    Args:
        boxed: the caption stands in a box; otherwise its letters stand straight on the picture, with an outline.
        keep_free: mode L, of any size: nothing is put where it is white, if there is any other place.

    Returns: where the caption (if there is one) and the balloons are.

    Raises: ValueError where the text is too long for the picture at any size.
    """
    if not caption and not balloons:
        return []
    room = Room(picture, keep_free, how.right_to_left)
    texts = [*([_Text(caption)] if caption else []), *(_Text(balloon.text, balloon, room.find_speaker(balloon.speaker)) for balloon in balloons)]
    items = []
    for text, (block, box) in zip(texts, _place_all(picture, room, texts, how)):
        target = _target(picture, box, text, room.detail) if text.balloon is not None else None
        items.append(Item(block, box, tail(box, target, block.size, room.is_kept) if target else [], caption=text.balloon is None))
    draw_items(picture, items, boxed, how)
    return [item.box for item in items]


def _place_all(picture: Image.Image, room: Room, texts: Sequence[_Text], how: Lettering) -> list[tuple[TextBlock, Box]]:
    """At the largest size at which all have room, are read in order, cover nothing that shall stay free, and tails cross nothing; where none
    down to a legible one does, as what weighs least of size and faults; smaller still only for want of room."""
    for each in texts:
        if len(each.text) > LONGEST:
            raise ValueError(f"a text of {len(each.text)} characters is too long for a picture; {LONGEST} is the most. Shorten it.")
    size, floor, placed, least = float(how.size), max(SMALLEST, _FLOOR * how.size), None, math.inf
    tried: set[tuple[TextBlock, ...]] = set()  # long text may be as small at several sizes
    while True:
        for blocks in _settings([_blocks(picture, text, size, how) for text in texts]):
            if blocks in tried:
                continue
            tried.add(blocks)
            wanted = [_wanted(block, text) for block, text in zip(blocks, texts)]
            boxes = room.place(wanted)
            if boxes is None:
                continue
            fault = room.fault(wanted, boxes)
            if not fault:
                return list(zip(blocks, boxes))
            fault += _SMALL * (1 - min(block.size for block in blocks) / how.size)
            if fault < least:
                placed, least = list(zip(blocks, boxes)), fault
        if size <= (SMALLEST if placed is None else floor):
            break
        size = max(floor if size > floor else SMALLEST, size * _SMALLER)
    if placed is None:
        words = " / ".join(each.text for each in texts)
        raise ValueError(
            f'the lettering "{words[:60]}{"…" if len(words) > 60 else ""}" has no room in a picture of {picture.width} x {picture.height} pixels, at no '
            "size that can be read. Shorten it, or make the page larger."
        )
    return placed


def _settings(options: Sequence[Sequence[TextBlock]]) -> list[tuple[TextBlock, ...]]:
    """Ways to set all texts, in one of its blocks each, the likeliest first: the first text, a caption if there is one, goes through its blocks,
    and so do the others together. None where a text has no block."""
    if not all(options):
        return []
    ranks = sorted(itertools.product(range(len(_BALLOONS)), repeat=2), key=sum)
    choices = ([min(len(each) - 1, first if at == 0 else other) for at, each in enumerate(options)] for first, other in ranks)
    return list(dict.fromkeys(tuple(each[at] for each, at in zip(options, choice)) for choice in choices))


def _blocks(picture: Image.Image, text: _Text, size: float, how: Lettering) -> list[TextBlock]:
    """The text in each of its shapes, the likeliest first; a shape that makes it smaller than another does is left out."""
    blocks = [block for shape in range(len(_BALLOONS)) if (block := _set(picture, text, size, shape, how)) is not None]
    largest = max((block.size for block in blocks), default=0)
    return [block for block in blocks if block.size >= _NEARLY * largest]


def _set(picture: Image.Image, text: _Text, size: float, shape: int, how: Lettering) -> TextBlock | None:
    """The text as large as its part of the picture lets it be; None where it has no room there."""
    caption = text.balloon is None
    vertical = how.vertical and not caption
    aspect, shares = (_CAPTIONS if caption else _VERTICAL if vertical else _BALLOONS)[shape]
    wide, high = picture.width * shares[0], picture.height * shares[1]
    scale = 1.0 if caption else AROUND

    def space(size: float) -> tuple[float, float]:
        x, y = _padding(size, caption)
        return wide / scale - 2 * x, high / scale - 2 * y

    return fit_text(text.text, how.face, size, space, vertical, aspect)


def _wanted(block: TextBlock, text: _Text) -> Wanted:
    caption = text.balloon is None
    x, y = _padding(block.size, caption)
    scale, edge = (1.0, 0.0) if caption else (AROUND, max(2.0, 0.15 * block.size))
    return Wanted((block.width + 2 * x) * scale, (block.height + 2 * y) * scale, edge, 0.3 * block.size, caption, text.speaker, tail=SHORT * block.size)


def _padding(size: float, caption: bool) -> tuple[float, float]:
    """Beside and above the letters."""
    return (0.6 * size, 0.5 * size) if caption else (0.35 * size, 0.3 * size)


def _target(picture: Image.Image, box: Box, text: _Text, picture_detail: np.ndarray) -> tuple[float, float] | None:
    """Where a balloon's tail points: at who speaks, at the nearest side for somebody who is not in the picture, and where nobody knows
    more at the largest detail. None where that lies in the balloon itself."""
    if text.balloon.outside or (text.balloon.speaker is not None and text.speaker is None):  # the cell may show nothing of who speaks
        x, y = box.centre
        return (-picture.width if x < picture.width / 2 else 2 * picture.width), y + 0.4 * picture.height
    if text.speaker is not None:
        target = text.speaker.point
    else:
        down, across = (np.hanning(side + 2)[1:-1] for side in picture_detail.shape)
        target = centroid(picture_detail * down[:, None] * across[None, :], picture.size)
    if target is None:
        return None
    inside = abs(target[0] - box.centre[0]) < box.width / 2 and abs(target[1] - box.centre[1]) < box.height / 2
    return None if inside else target
