"""The lines of a script: cleaning, tags, and what stands behind a `#`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from .model import Mistake
from .options import QUOTED_OPTION
from .words import LETTER

COMMENT = "//"
NO_CHARACTER = "NC"
LONGEST_LINE = 20_000  # characters; what is longer is a book without line breaks, not a panel
TAG = re.compile(r"\[([^\[\]]*)\]")
# The brackets that Chinese and Japanese input methods type in place of the square ones.
WIDE_TAG = re.compile("[\u3010\uff3b]([^\\[\\]\u3010\u3011\uff3b\uff3d]*)[\u3011\uff3d]")
BRACKETS = "[]\u3010\u3011\uff3b\uff3d"
_ANY_TAG = re.compile(f"{QUOTED_OPTION.pattern}|{TAG.pattern}|{WIDE_TAG.pattern}")


def lines(text: str, input_name: str, mistakes: list[Mistake]) -> Iterator[tuple[int, str]]:
    """The lines that say something, cleaned, with their numbers as a text editor counts them. One that is too long is a mistake."""
    for number, line in enumerate(split_lines(text), start=1):
        if len(line) > LONGEST_LINE:
            message = f"the line has {len(line)} characters, more than {LONGEST_LINE}"
            mistakes.append(Mistake(input_name, number, line, message, "Give every panel and every character a line of its own."))
            continue
        line = clean(line)
        if line and not line.startswith(COMMENT):
            yield number, line


def split_lines(text: str) -> list[str]:
    """As a text editor shows them: a line may end as on any system, but with no other character."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def is_no_character(tag: str) -> bool:
    """Whether a tag says that nobody is there."""
    return tag.casefold() == NO_CHARACTER.casefold()


def clean(text: str) -> str:
    """NFC (so that one name has one spelling), control characters and runs of white space as single spaces."""
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in unicodedata.normalize("NFC", text))
    return " ".join(text.replace("\ufeff", "").split())


def split_caption(line: str) -> tuple[str, str | None]:
    """Text before and after the last `#`."""
    at = caption_start(line)
    return (line, None) if at < 0 else (line[:at], line[at + 1:].strip())


def caption_start(line: str) -> int:
    """Where the last `#` is, or -1; one inside a tag, such as [Guard #2], belongs to the name, one in quotes to an option."""
    spans = sorted(match.span() for pattern in (TAG, WIDE_TAG, QUOTED_OPTION) for match in pattern.finditer(line))
    at = line.rfind("#")
    while spans and at >= 0:
        first, last = spans.pop()
        if first < at < last:
            at = line.rfind("#", 0, first)
    return at


def plain_tags(line: str) -> str:
    """The line with square brackets in place of the wide ones of its tags, ahead of the caption; there they are the author's own."""
    at = caption_start(line)
    end = len(line) if at < 0 else at
    return _ANY_TAG.sub(lambda match: match[0] if match[2] is None else f"[{match[2]}]", line[:end]) + line[end:]


def join(left: str, right: str, read: bool = False) -> str:
    """Both in a row, with a space where words would grow together, and never two.

    A tag may touch its neighbours ("[小明]在公园"). A model needs the space after an inserted description in any script;
    a reader (`read`) wants none where the script itself has none.
    """
    if not left or left[-1] == " ":
        return left + right.lstrip(" ")
    if right and left[-1].isalnum() and right[0].isalnum():
        return left + ("" if read and (is_wide(left[-1]) or is_wide(right[0])) else " ") + right
    return left + right


def is_wide(character: str) -> bool:
    """Whether it is of Chinese, Japanese or Korean, signs of theirs included, which touch their neighbours without a space."""
    return unicodedata.east_asian_width(character) in "WF"


def whole_word(name: str) -> str:
    """A pattern for the name as a whole word; in scripts without spaces, wherever it stands."""
    left = "" if is_wide(name[0]) else f"(?<!{LETTER})"
    right = "" if is_wide(name[-1]) else f"(?!{LETTER})"
    return left + re.escape(name) + right


def says_something(text: str) -> bool:
    """Whether a text has a letter, a digit or a pictograph; punctuation alone describes nothing."""
    return any(unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "So" for c in text)
