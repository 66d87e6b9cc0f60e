"""Lettering: fonts, the glyphs that they lack, and breaking text into lines.

Widths are pixels. Line breaking is the plain kind: at white space, and between the characters of scripts that write
none (Chinese, Japanese), where no line begins with closing or ends with opening punctuation (kinsoku shori,
JIS X 4051).
"""

import unicodedata

from PIL import ImageFont

BUILT_IN = "(built-in)"  # Pillow's own font: Latin

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
_NOT_A_CHARACTER = "\uffff"  # in no font, so it draws as the font's "missing" box
_BALANCED_UP_TO = 300  # characters; longer text is a paragraph, where ragged ends do not matter


def load_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font at `size` pixels: BUILT_IN, or the path of a font file that the caller has found.

    Raises ValueError where the size is not positive or the file cannot be read as a font.
    """
    if size < 1:
        raise ValueError(f"font_size: {size} is too small. Choose at least 1 pixel.")
    if name == BUILT_IN:
        font = ImageFont.load_default(size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise ValueError("font: this Pillow is built without FreeType. Install Pillow from PyPI.")
        return font
    try:
        return ImageFont.truetype(name, size)
    except OSError as error:
        raise ValueError(
            f'font: "{name}" cannot be read as a font ({error}). Choose a whole .ttf or .otf file, or "{BUILT_IN}".'
        ) from error


def missing_glyphs(font: ImageFont.FreeTypeFont, text: str) -> list[str]:
    """The characters of `text` that `font` cannot draw, each once, in order; [] where it has them all.

    Pillow does not show a font's character map, so each character's picture is compared with that of the font's
    "missing" box.
    """
    box = _picture(font, _NOT_A_CHARACTER)
    visible = [c for c in dict.fromkeys(unicodedata.normalize("NFC", text)) if not _is_invisible(c)]
    return [c for c in visible if _picture(font, c) == box]


def describe_missing(characters: list[str]) -> str:
    """Missing characters for an error message, such as `"小" (U+5C0F)`; the first eight of them."""
    shown = ", ".join(f'"{c}" (U+{ord(c):04X})' for c in characters[:8])
    return shown + (f" and {len(characters) - 8} more" if len(characters) > 8 else "")


def wrap_text(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Break `text` into lines no wider than `width`; each line takes all that fits. [] for blank text.

    A line break in `text` is kept. A word wider than a line is broken; only a single character may stick out.
    """
    lines: list[str] = []
    for paragraph in unicodedata.normalize("NFC", text).splitlines():
        lines += _wrap_paragraph(paragraph, font, width)
    return lines


def balance_text(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Like `wrap_text`, in as many lines, but of like length: no single word is left on the last line."""
    best = wrap_text(text, font, width)
    if len(best) < 2 or len(text) > _BALANCED_UP_TO:
        return best
    # Narrower than its widest word, a column would cut words that the full width leaves whole.
    lengths = (font.getlength(piece) for piece, _ in _pieces(unicodedata.normalize("NFC", text)))
    low, high = max((length for length in lengths if length <= width), default=width), width
    while high - low > max(1.0, width / 200):
        middle = (low + high) / 2
        lines = wrap_text(text, font, middle)
        if len(lines) > len(best):
            low = middle
        else:
            high, best = middle, lines
    return best


def line_height(font: ImageFont.FreeTypeFont) -> int:
    """Pixels from one baseline to the next."""
    return round(font.size * 1.32)


def _wrap_paragraph(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines: list[str] = []
    line = ""
    for piece, spaced in _pieces(text):
        longer = f"{line} {piece}" if line and spaced else line + piece
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _cut_to_width(piece, font, width)
        lines += whole
    return lines + [line] if line else lines


def _pieces(text: str) -> list[tuple[str, bool]]:
    """What a line may not be broken within, each with whether white space stands ahead of it."""
    pieces: list[tuple[str, bool]] = []
    for word in text.split():
        start = 0
        for at in range(1, len(word) + 1):
            if at == len(word) or _may_break(word[at - 1], word[at]):
                pieces.append((word[start:at], start == 0))
                start = at
    return pieces


def _may_break(before: str, after: str) -> bool:
    """Whether a line may end between two characters of a word."""
    if before in _OPENING or after in _CLOSING or _sticks(before, after):
        return False
    return _is_unspaced(before) or _is_unspaced(after)


def _cut_to_width(piece: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Cut a piece that no line can hold; [piece] where it fits after all."""
    parts, start = [], 0
    for at in range(1, len(piece)):
        if font.getlength(piece[start:at + 1]) > width and not _sticks(piece[at - 1], piece[at]):
            parts.append(piece[start:at])
            start = at
    return [*parts, piece[start:]]


def _sticks(before: str, after: str) -> bool:
    """Whether `after` belongs onto the character before it: accents, variation selectors, joined emoji."""
    return unicodedata.category(after) in ("Mn", "Mc", "Me", "Cf") or before == "\u200d"


def _is_unspaced(character: str) -> bool:
    code = ord(character)
    return any(first <= code <= last for first, last in _UNSPACED)


def _is_invisible(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "Z" or category in ("Cc", "Cf") or 0xFE00 <= ord(character) <= 0xFE0F


def _picture(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], float, bytes]:
    mask = font.getmask(character, mode="L")
    return mask.size, font.getlength(character), bytes(mask)
