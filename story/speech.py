"""Speech in a panel's line: `# Mia found a map. Mia: "Look!" Bob: "Where?"`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from .model import Character, Speech
from .options import QUOTED_OPTION
from .text import TAG, WIDE_TAG, is_no_character, join

# Opening and closing; the first pair in which a text can be read again is that in which it is printed.
_PAIRS = (
    ('"', '"'), ("\u201c", "\u201d"), ("\u300c", "\u300d"), ("\u300e", "\u300f"), ("\u00ab", "\u00bb"), ("\u201e", "\u201c"),
    ("\u201e", "\u201d"), ("\u00bb", "\u00ab"), ("\u201d", "\u201d"), ("\u2018", "\u2019"), ("'", "'"),
)
OPENING_MARKS = "".join(dict.fromkeys(first for first, _ in _PAIRS))
QUOTE_MARKS = "".join(dict.fromkeys("".join(first + last for first, last in _PAIRS[:-2])))  # without those that are apostrophes, too
# Quotations by their marks. What opens the second kind closes one in other languages; in the others an apostrophe closes none.
DOUBLE_QUOTED = (
    "\"[^\"]*\"|\u201c[^\u201c\u201d]*\u201d|\u300c[^\u300c\u300d]*\u300d|\u300e[^\u300e\u300f]*\u300f|\u00ab[^\u00ab\u00bb]*\u00bb|"
    "\u201e[^\u201c-\u201e]*[\u201c\u201d]"
)
TURNED_QUOTED = "\u00bb[^\u00ab\u00bb]*\u00ab|\u201d[^\u201d]*\u201d"
CURLY_QUOTED = "\u2018[^\u2018\u2019]*(?:\u2019\\w[^\u2018\u2019]*)*\u2019(?!\\w)"
_STRAIGHT_QUOTED = r"'[^']*(?:(?<=\w)'\w[^']*)*'(?!\w)"
_QUOTED = f"{DOUBLE_QUOTED}|{TURNED_QUOTED}|{CURLY_QUOTED}|{_STRAIGHT_QUOTED}"

MANNER = r"(?: ?[(（][^()（）]{0,60}[)）])?"  # Mia (laughing): "Hi!"
_COLON = rf"{MANNER} ?[:：] ?"
_SAID_BY = re.compile(rf"{QUOTED_OPTION.pattern}|(?P<colon>{_COLON})(?={_QUOTED})")


def spoken(names: Collection[str]) -> re.Pattern[str]:
    """What `take_speech` looks for: a name of `names`, or any in brackets of either kind, a colon, and a text in quotes."""
    who = f"(?P<tag>{TAG.pattern}|{WIDE_TAG.pattern})|(?P<name>{any_name(names)})"
    return re.compile(rf"{QUOTED_OPTION.pattern}|(?:{who}){_COLON}(?P<text>{_QUOTED})")


def any_name(names: Collection[str]) -> str:
    """A pattern for the longest of `names` that stands at a place in any case, not within a word; without any it matches nowhere."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return rf"(?<!\w)(?i:{known})" if known else "(?!)"


def take_speech(line: str, pattern: re.Pattern[str], find: Callable[[str], Character | None], hint: Callable[[str], str],
                wrong: Callable[[str, str], None]) -> tuple[str, tuple[Speech, ...]]:
    """The line without what is said in it, and what is said; what is wrong with it is told to `wrong`, with what to do.

    Args:
        pattern: of `spoken`.
        find: the character of a name, or None; hint: what to do about such a name.
    """
    speech, kept, end = [], "", 0
    for match in pattern.finditer(line):
        if match["text"] is None:  # an option: what stands in its quotes is its own
            continue
        kept, end = _close_gap(kept, line[end:match.start()]), match.end()
        name, text = (match["name"] or match["tag"][1:-1]).strip(), match["text"][1:-1].strip()
        speaker = find(name)
        if is_no_character(name):
            wrong("[NC] means nobody, and says nothing", "Write the text without a name: it is a caption then.")
        elif speaker is None:
            wrong(f"no character is called [{name}]", hint(name))
        elif not text:
            wrong(f"{name} says nothing", f'Write it between the quotes, {name}: "...", or delete it.')
        else:
            speech.append(Speech(speaker.tag, text))
    kept = _close_gap(kept, line[end:])
    if speech and any(match["text"] for match in pattern.finditer(kept)):
        wrong("speech stands within speech", 'Write one after the other: Mia: "Look!" Bob: "Where?"')
    return kept.strip(), tuple(speech)


def misspelt_speakers(line: str, nearly: Callable[[str], tuple[str, str] | None]) -> Iterator[tuple[str, str]]:
    """Who seems to speak in a line of `take_speech`: (the word, the name that it is nearly). `nearly`: of the text ahead of a colon."""
    for match in _SAID_BY.finditer(line):
        found = nearly(line[:match.start()]) if match["colon"] else None
        if found:
            yield found


def print_speech(speech: Speech) -> str:
    """As it is written in a line. The quotes are such as the text has none of."""
    quoted = [f"{first}{speech.text}{last}" for first, last in _PAIRS]
    return f"[{speech.speaker}]: {next((each for each in quoted if re.fullmatch(_QUOTED, each)), quoted[0])}"


def _close_gap(left: str, right: str) -> str:
    """Both sides of what was taken out, with one space where there was any."""
    if left.endswith(" ") or right.startswith(" "):
        return f"{left.rstrip(' ')} {right.lstrip(' ')}".lstrip(" ")
    return join(left, right, read=True)
