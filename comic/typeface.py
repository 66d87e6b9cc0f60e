"""Fonts: one that the user has chosen, others that step in for characters that it has not, and what none of them can draw.

All measures are of text set in one line: in ems where a function says so, otherwise in pixels.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from PIL import ImageDraw, ImageFont

BUILT_IN = "(built-in)"  # Comic Neue: the Latin alphabet
_SHIPPED = Path(__file__).with_name("fonts") / "ComicNeue-Bold.otf"
_MEASURED_AT = 100  # pixels an em; at this size hinting moves a letter by less than 1 %
_NOT_A_CHARACTER = "\uffff"  # in no font, so it draws as the font's "missing" box

log = logging.getLogger(__name__)


class Typeface:
    """A font of any size, with others behind it. A character is drawn with the first of them that has it.

    Args:
        font: BUILT_IN, or the path of a font file.
        others: paths, in the order in which they step in; one that cannot be read is left out with a warning, when it is needed.

    Raises: ValueError where `font` cannot be read as a font.
    """

    def __init__(self, font: str = BUILT_IN, others: Sequence[str] = ()) -> None:
        self._fonts = [_Font(_open(font))]
        # The shipped font stands behind every other one: a CJK font may have no accents.
        self._unread = [*others, *([BUILT_IN] if font != BUILT_IN else [])]
        self._widths: dict[str, float] = {}
        self._choice: dict[str, int | None] = {}

    @property
    def name(self) -> str:
        return " ".join(part for part in self._fonts[0].sized(_MEASURED_AT).getname() if part)

    def missing(self, text: str) -> list[str]:
        """The characters of `text` that no font has, each once, in order."""
        return [c for c in dict.fromkeys(unicodedata.normalize("NFC", text)) if self._choose(c) is None]

    def check(self, text: str, where: str = "") -> None:
        """Raises: ValueError for characters that no font has; `where` says where they stand."""
        missing = self.missing(text)
        if missing:
            raise ValueError(
                f"font: {self.name} and the fonts behind it cannot draw {describe_missing(missing)}{where}. "
                "Put a font that has them into models/fabula_fonts, choose it, or change the text."
            )

    def width(self, text: str) -> float:
        """Of `text` in one line, in ems."""
        if text not in self._widths:
            self._widths[text] = sum(self._fonts[at].sized(_MEASURED_AT).getlength(run) for run, at in self._runs(text)) / _MEASURED_AT
        return self._widths[text]

    @cached_property
    def capital(self) -> float:
        """The height of a capital letter, in ems: what the eye takes for the height of a line."""
        return -self._fonts[self._choose("H") or 0].sized(_MEASURED_AT).getbbox("H", anchor="ls")[1] / _MEASURED_AT

    def draw(self, draw: ImageDraw.ImageDraw, x: float, baseline: float, text: str, size: float, **how) -> None:
        """`text` from `x` to the right on its baseline, `size` pixels an em; `how` goes to Pillow (fill, stroke_width, ...)."""
        for run, at in self._runs(text):
            font = self._fonts[at].sized(size)
            draw.text((x, baseline), run, font=font, anchor="ls", **how)
            x += font.getlength(run)

    def _runs(self, text: str) -> list[tuple[str, int]]:
        """The text in parts of one font each; in one part wherever one font has all of it, so that scripts whose letters join,
        or run to the left, keep together."""
        chosen = [self._choose(c) or 0 for c in text]
        for at in dict.fromkeys(chosen):
            if all(self._has(at, c) for c in text):
                return [(text, at)]
        runs: list[tuple[str, int]] = []
        for character, at in zip(text, chosen):
            at = runs[-1][1] if runs and (_is_invisible(character) or _is_mark(character)) else at
            if runs and runs[-1][1] == at:
                runs[-1] = (runs[-1][0] + character, at)
            else:
                runs.append((character, at))
        return runs

    def _choose(self, character: str) -> int | None:
        """Which of the fonts draws a character; None where none has it."""
        if character not in self._choice:
            at = 0
            while not self._has(at, character):
                at += 1
                if at == len(self._fonts) and not self._read_another():
                    at = -1
                    break
            self._choice[character] = None if at < 0 else at
        return self._choice[character]

    def _has(self, at: int, character: str) -> bool:
        return _is_invisible(character) or self._fonts[at].has(character)

    def _read_another(self) -> bool:
        while self._unread:
            name = self._unread.pop(0)
            try:
                self._fonts.append(_Font(_open(name)))
                return True
            except ValueError as error:
                log.warning("Fabula: %s It is passed over.", error)
        return False


class _Font:
    def __init__(self, font: ImageFont.FreeTypeFont) -> None:
        self._sizes = {_MEASURED_AT: font}
        self._known: dict[str, bool] = {}

    @cached_property
    def _box(self) -> tuple:
        return _picture(self.sized(_MEASURED_AT), _NOT_A_CHARACTER)

    def sized(self, size: float) -> ImageFont.FreeTypeFont:
        if size not in self._sizes:
            self._sizes[size] = self._sizes[_MEASURED_AT].font_variant(size=size)
        return self._sizes[size]

    def has(self, character: str) -> bool:
        """Pillow does not show a font's character map, so a character's picture is compared with that of the "missing" box."""
        if character not in self._known:
            half = unicodedata.category(character) == "Cs"  # half a character, which broken text may hold
            try:
                picture = None if half else _picture(self.sized(_MEASURED_AT), character)
                self._known[character] = picture is not None and any(picture[2]) and picture != self._box
            except OSError:  # a damaged file
                self._known[character] = False
        return self._known[character]


def describe_missing(characters: Sequence[str]) -> str:
    """Missing characters for an error message, such as `"小" (U+5C0F)`; the first eight of them."""
    shown = ", ".join(f'"{c}" (U+{ord(c):04X})' if c.isprintable() else f"U+{ord(c):04X}" for c in characters[:8])
    return shown + (f" and {len(characters) - 8} more" if len(characters) > 8 else "")


def _open(name: str) -> ImageFont.FreeTypeFont:
    path = str(_SHIPPED) if name == BUILT_IN else name
    try:
        font = ImageFont.truetype(path, _MEASURED_AT)
        # A file that is cut short may still be opened, and say how wide an A is, but have none.
        letter, none = (_picture(font, character) for character in ("A", _NOT_A_CHARACTER))
        if not any(letter[2]) and letter[1] != none[1]:
            raise ValueError("it is cut short")
        return font
    except (OSError, ValueError) as error:
        raise ValueError(f'font: "{path}" cannot be read as a font ({error}). Choose a whole .ttf or .otf file, or "{BUILT_IN}".') from error


def _is_invisible(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "Z" or category in ("Cc", "Cf") or 0xFE00 <= ord(character) <= 0xFE0F


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _picture(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], float, bytes]:
    mask = font.getmask(character, mode="L")
    return mask.size, font.getlength(character), bytes(mask)
