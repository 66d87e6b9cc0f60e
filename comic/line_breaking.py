"""Where a line of text may end.

By the Unicode line breaking algorithm (UAX 14) where the optional package `uniseg` is installed; without it at white space, and
between the characters of scripts that write none (Chinese, Japanese), where no line begins with closing or ends with
opening punctuation (kinsoku shori, JIS X 4051).
"""

from __future__ import annotations

import functools
import logging
import re
import unicodedata
from collections.abc import Callable

log = logging.getLogger(__name__)

_CLOSING = frozenset("、。，．・：；？！ー…‥’”）〕］｝〉》」』】〙〗ゝゞ々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ!?,.:;)]}%»")
_OPENING = frozenset("‘“（〔［｛〈《「『【〘〖([{«")
_UNSPACED = (
    (0x2E80, 0x303F),  # radicals, CJK punctuation
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),  # small katakana
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF00, 0xFFEF),  # full-width forms
    (0x20000, 0x3FFFF),  # Han, further extensions
)
_WHITE_SPACE = re.compile(r"[^\S\u00a0\u2007\u202f]+")  # but for what binds: no-break, figure and narrow no-break space
_BINDING = re.compile("[\u00a0\u2007\u202f]")


def break_text(text: str) -> list[tuple[str, bool]]:
    """What a line may not be broken within, each with whether white space stands ahead of it."""
    pieces: list[tuple[str, bool]] = []
    drawn = "".join(c for c in unicodedata.normalize("NFC", text) if c.isspace() or unicodedata.category(c) != "Cc")
    for word in filter(None, _WHITE_SPACE.split(drawn)):
        parts = [word] if word.isascii() and word.isalnum() else _library()(word)
        # Not every font has the spaces that bind; within a piece a plain one does as well.
        pieces += [(_BINDING.sub(" ", part), at == 0) for at, part in enumerate(parts)]
    return pieces


def cut_to_width(piece: str, width: Callable[[str], float], most: float) -> list[str]:
    """Cuts a piece that no line can hold; [piece] where it fits after all. Only a single character may be wider than `most`."""
    parts, start, end = [], 0, 1
    while end < len(piece):
        # A piece may be a megabyte: lines grow by doubling, and the last step back is by halves.
        step = 1
        while end + step <= len(piece) and width(piece[start:end + step]) <= most:
            end += step
            step *= 2
        while step > 1:
            step //= 2
            if end + step <= len(piece) and width(piece[start:end + step]) <= most:
                end += step
        while end < len(piece) and _sticks(piece[end - 1], piece[end]):
            end += 1
        parts.append(piece[start:end])
        start, end = end, end + 1
    return [*parts, piece[start:]] if start < len(piece) else parts


def is_unspaced(character: str) -> bool:
    """Whether it belongs to a script that writes no white space between words."""
    code = ord(character)
    return any(first <= code <= last for first, last in _UNSPACED)


@functools.cache
def _library() -> Callable[[str], list[str]]:
    try:
        from uniseg.linebreak import line_break_units
    except ImportError:
        log.info("Fabula: the package uniseg is not installed; lines are broken by plain rules, which know Latin, Chinese and Japanese.")
        return _plain_units
    return lambda word: list(line_break_units(word))


def _plain_units(word: str) -> list[str]:
    ends = [at for at in range(1, len(word)) if _may_break(word[at - 1], word[at])]
    return [word[start:end] for start, end in zip([0, *ends], [*ends, len(word)])]


def _may_break(before: str, after: str) -> bool:
    """Whether a line may end between two characters of a word."""
    if before in _OPENING or after in _CLOSING or _sticks(before, after) or _BINDING.match(before) or _BINDING.match(after):
        return False
    return is_unspaced(before) or is_unspaced(after) or (before in "-–—" and after.isalpha())


def _sticks(before: str, after: str) -> bool:
    """Whether `after` belongs onto the character before it: accents, variation selectors, joined emoji."""
    return unicodedata.category(after) in ("Mn", "Mc", "Me", "Cf") or before == "\u200d"
