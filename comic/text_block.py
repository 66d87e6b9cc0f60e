"""Text set in lines of a size that fits: horizontally, or vertically from right to left as in manga."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .line_breaking import break_text, cut_to_width, is_unspaced
from .typeface import Typeface

LEADING = 1.28  # ems from one line to the next
SMALLEST = 8  # pixels an em; smaller letters cannot be read
LONGEST = 5000  # characters of one caption or balloon
FINE = 4  # letters are drawn this many times larger and scaled down: small sizes keep even letter spacing
_SLACK = 1.01  # a line is measured piece by piece, without the kerning between them

_ROTATED = frozenset("ー〜～…‥—–-―＝=（）()「」『』【】〔〕［］[]｛｝{}〈〉《》＜＞<>“”\"：:；;→←")
_CORNER = frozenset("、。，．,.")  # in vertical text they stand at the top right
_SMALL = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ")
_UPRIGHT = re.compile(r"[0-9A-Za-z!?！？]{1,2}")  # so short a run stands upright in one place of vertical text
_LATIN_RUN = re.compile(r"[\x21-\x7e\u00a1-\u024f]+")


@dataclass(frozen=True)
class TextBlock:
    """Lines of text at a size. `width` and `height` are pixels, of the lines from the first capital to the last baseline."""

    lines: tuple[str, ...]
    size: float
    width: int
    height: int
    vertical: bool = False


def fit_text(text: str, face: Typeface, largest: float, room: Callable[[float], tuple[float, float]], vertical: bool = False,
             aspect: float = math.inf) -> TextBlock | None:
    """The text at the largest size, up to `largest`, at which it fits and no word is cut; None where even SMALLEST is too large, with the
    words cut that are longer than a line.

    Args:
        room: (width, height) in pixels that a block of a size may have.
        aspect: length of the lines by the block's thickness that is aimed at; inf: as long as there is room.
    """
    pieces = [break_text(line) for line in text.splitlines() if line.strip()]
    low, high = float(min(SMALLEST, largest)), float(largest)
    best = _set(pieces, face, low, room(low), vertical, aspect, may_cut=True)
    if best is None:
        return None
    block = _set(pieces, face, high, room(high), vertical, aspect)
    if block is not None:
        return block
    while high - low > max(0.5, low / 50):
        middle = (low + high) / 2
        block = _set(pieces, face, middle, room(middle), vertical, aspect)
        if block is None:
            high = middle
        else:
            low, best = middle, block
    return best


def set_lines(text: str, face: Typeface, size: float, width: float) -> TextBlock:
    """The text at one size in lines no wider than `width` pixels, of like length, as many as it takes; only a single character may
    stick out."""
    pieces = [break_text(line) for line in text.splitlines() if line.strip()]
    block = _set(pieces, face, size, (width, math.inf), may_cut=True)
    return block or TextBlock((), size, 0, 0)


def wrap(pieces: Sequence[tuple[str, bool]], width: Callable[[str], float], most: float) -> list[str]:
    """Pieces of `break_text` in lines no wider than `most`; each line takes all that fits. A piece wider than a line is cut."""
    lines: list[str] = []
    line, length, space = "", 0.0, width(" ")
    for piece, spaced in pieces:
        gap = space if line and spaced else 0.0
        own = width(piece)
        if line and length + gap + own > most:
            lines.append(line)
            line, length, gap = "", 0.0, 0.0
        if not line and own > most:
            *whole, piece = cut_to_width(piece, width, most)
            lines += whole
            own = width(piece)
        line, length = line + (" " if gap else "") + piece, length + gap + own
    return lines + [line] if line else lines


def draw_block(block: TextBlock, face: Typeface, stroke: float = 0, centred: bool = True) -> Image.Image:
    """The letters as a mask (mode L) of the block's size and a margin of `margin(block, stroke)` pixels around it, for what
    hangs over: descenders, accents, a stroke of `stroke` pixels around each letter. Lines stand in the middle, or to the left."""
    edge = margin(block, stroke)
    mask = Image.new("L", ((block.width + 2 * edge) * FINE, (block.height + 2 * edge) * FINE))
    draw = ImageDraw.Draw(mask)
    size, how = block.size * FINE, {"fill": 255, "stroke_width": round(stroke * FINE)}
    for number, line in enumerate(block.lines):
        step = number * block.size * LEADING
        if block.vertical:
            centre = (edge + block.width - step - block.size / 2) * FINE
            _draw_column(mask, face, line, centre, edge * FINE, size, how)
        else:
            left = (edge + (block.width - face.width(line) * block.size) / 2 * centred) * FINE
            baseline = round(edge + step + face.capital * block.size) * FINE  # on a whole pixel, where letters stand sharp
            face.draw(draw, left, baseline, line, size, **how)
    return mask.resize((mask.width // FINE, mask.height // FINE), Image.Resampling.BOX)


def margin(block: TextBlock, stroke: float = 0) -> int:
    return math.ceil(block.size * 0.5 + stroke)


def is_written_vertically(text: str) -> bool:
    """Whether most letters are of a script that is also written from top to bottom."""
    letters = [c for c in text if c.isalpha()]
    return bool(letters) and sum(map(is_unspaced, letters)) * 2 > len(letters)


def _set(pieces: Sequence[Sequence[tuple[str, bool]]], face: Typeface, size: float, room: tuple[float, float], vertical: bool = False,
         aspect: float = math.inf, may_cut: bool = False) -> TextBlock | None:
    """The text at one size, or None where it does not fit."""
    along, across = (room[1], room[0]) if vertical else room
    measure = _column_width(face) if vertical else face.width
    most = along / (size * _SLACK)

    def lines_within(most: float) -> list[str]:
        return [line for paragraph in pieces for line in wrap(paragraph, measure, most)]

    def thickness(lines: int) -> float:
        return ((lines - 1) * LEADING + (1 if vertical else face.capital)) * size

    lengths = [measure(piece) for paragraph in pieces for piece, _ in paragraph]
    if not lengths or most <= 0 or (max(lengths) > most and not may_cut):
        return None
    lines = lines_within(most)
    if thickness(len(lines)) > across or max(map(measure, lines)) * size > max(along, size):
        return None
    longest = max((length for length in lengths if length <= most), default=most)
    if math.isfinite(aspect):
        tried = lines_within(min(most, max(longest, math.sqrt(aspect * LEADING * sum(lengths)))))
        lines = tried if thickness(len(tried)) <= across else lines
    lines = _balance(lines, lines_within, longest, max(map(measure, lines)))
    length = max(map(measure, lines)) * size
    thick = thickness(len(lines))
    width, height = (thick, length) if vertical else (length, thick)
    return TextBlock(tuple(lines), size, math.ceil(width), math.ceil(height), vertical)


def _balance(lines: list[str], lines_within: Callable[[float], list[str]], low: float, high: float) -> list[str]:
    """As many lines, but of like length: no single word is left on the last one."""
    if len(lines) < 2 or sum(map(len, lines)) > 300:  # longer text is a paragraph, where ragged ends do not matter
        return lines
    while high - low > max(0.05, high / 100):
        middle = (low + high) / 2
        narrower = lines_within(middle)
        if len(narrower) > len(lines):
            low = middle
        else:
            high, lines = middle, narrower
    return lines


def _column_width(face: Typeface) -> Callable[[str], float]:
    """The length of vertical text in ems: one a character, but for runs of Latin, which lie on their side."""

    def length(text: str) -> float:
        return sum(1.0 if upright else face.width(part) for part, upright in _column_parts(text))

    return length


def _column_parts(text: str) -> list[tuple[str, bool]]:
    """Vertical text in what takes a place of its own, each with whether it stands upright."""
    parts: list[tuple[str, bool]] = []
    at = 0
    while at < len(text):
        run = _LATIN_RUN.match(text, at)
        part = run[0] if run else text[at]
        parts.append((part, not run or bool(_UPRIGHT.fullmatch(part)) or part in _ROTATED or part in _CORNER))
        at += len(part)
    return parts


def _draw_column(mask: Image.Image, face: Typeface, text: str, centre: float, top: float, size: float, how: dict) -> None:
    """One column of vertical text around the line x = `centre`, down from `top`."""
    for part, upright in _column_parts(text):
        if not part.isspace():
            length = size if upright else face.width(part) * size
            turned = not upright or part in _ROTATED
            picture = _part(face, part, size, length, turned, how)
            x, y = centre - picture.width / 2, top + (length - picture.height) / 2
            mask.paste(255, (round(x), round(y)), picture)
        top += size if upright else face.width(part) * size


def _part(face: Typeface, part: str, size: float, length: float, turned: bool, how: dict) -> Image.Image:
    """One place of a column: a mask twice as large, so that nothing is cut, with the part in its middle."""
    wide, high = 2 * round(max(size, length)), 2 * round(size)
    picture = Image.new("L", (wide, high))
    width = face.width(part) * size
    scale = min(1.0, size / width) if not turned and len(part) > 1 else 1.0  # two letters share the place of one
    # The middle of an em box lies about 0.38 em above the baseline, in all CJK fonts.
    x, baseline = (wide - width * scale) / 2, high / 2 + 0.38 * size
    if not turned and part in _CORNER | _SMALL:
        shift = 0.55 if part in _CORNER else 0.12
        x, baseline = x + shift * size, baseline - shift * size
    face.draw(ImageDraw.Draw(picture), x, baseline, part, size * scale, **how)
    return picture.rotate(-90, expand=True) if turned else picture
