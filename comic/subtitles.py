"""Words in the lower part of a film's picture, white on a dark box that lets the picture through: legible on whatever it shows.

All measures are pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .panel import INK
from .text_block import FINE, LONGEST, TextBlock, draw_block, fit_text, margin
from .typeface import Typeface

_LETTERS = 1 / 17  # of the picture's shorter side: the height of an em
_LEAST_LETTERS = 12  # unless asked for
_WIDTH = 0.92  # of the picture's that the box has at most
_EDGE = 0.04  # of the picture's height that stays free under the box
_HEIGHTS = (0.34, 0.6, 0.92)  # of the picture's that the box may have: more only where the letters would become much smaller
_MUCH_SMALLER = 0.55
_DARKNESS = 180  # of the box, of 255
_STROKE = 0.05  # ems around each letter: on a bright picture the box alone is grey


@dataclass(frozen=True)
class Subtitle:
    """What is laid over a picture, RGBA, with its upper left corner."""

    left: int
    top: int
    picture: Image.Image


def letter_subtitle(text: str, face: Typeface, width: int, height: int, size: int = 0) -> Subtitle:
    """Lines of text for pictures of width x height, in letters of `size` (0: by the picture), or smaller ones where they have no room.

    Raises: ValueError where there is none at any size that can be read, and for characters that no font has.
    """
    face.check(text)
    wanted = float(size or max(_LEAST_LETTERS, round(min(width, height) * _LETTERS)))
    block = _fit(text, face, width, height, wanted) if len(text) <= LONGEST else None
    if block is None:
        raise ValueError(
            f'the text "{text[:60]}{"…" if len(text) > 60 else ""}" has no room in a film of {width} x {height} pixels, at no size that can be read. '
            "Shorten it, or choose mode 'subtitles'."
        )
    across, down = _padding(block.size)
    box = Image.new("L", ((block.width + 2 * across) * FINE, (block.height + 2 * down) * FINE))
    ImageDraw.Draw(box).rounded_rectangle((0, 0, box.width - 1, box.height - 1), radius=0.4 * block.size * FINE, fill=_DARKNESS)
    box = box.resize((box.width // FINE, box.height // FINE), Image.Resampling.BOX)
    picture = Image.new("RGBA", box.size, (*INK, 0))
    picture.putalpha(box)
    for colour, stroke in ((INK, block.size * _STROKE), ((255, 255, 255), 0.0)):
        letters = Image.new("RGBA", box.size, (*colour, 0))
        mask, edge = Image.new("L", box.size), margin(block, stroke)
        mask.paste(draw_block(block, face, stroke), (across - edge, down - edge))
        letters.putalpha(mask)
        picture.alpha_composite(letters)
    return Subtitle((width - picture.width) // 2, max(0, height - picture.height - round(_EDGE * height)), picture)


def _fit(text: str, face: Typeface, width: int, height: int, wanted: float) -> TextBlock | None:
    block = None
    for share in _HEIGHTS:

        def room(size: float) -> tuple[float, float]:
            across, down = _padding(size)
            return math.floor(_WIDTH * width) - 2 * across, math.floor(share * height) - 2 * down

        block = fit_text(text, face, wanted, room)
        if block is not None and block.width + 2 * _padding(block.size)[0] > width:
            block = None  # a single letter may be wider than a line
        if block is not None and block.size >= _MUCH_SMALLER * wanted:
            break
    return block


def _padding(size: float) -> tuple[int, int]:
    """Beside and above the letters; no less than `margin`, so that nothing that hangs over is cut."""
    down = math.ceil(size * (0.5 + _STROKE))
    return max(down, math.ceil(0.7 * size)), down
