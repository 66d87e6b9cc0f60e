"""Prose that may stand in a script: nothing in it is taken for a tag, a caption's start, an option or a speaker."""

from __future__ import annotations

import re

from .cast import Cast
from .options import OPTION_START, without_options
from .speech import MANNER, OPENING_MARKS, QUOTE_MARKS, any_name
from .text import TAG, WIDE_TAG

_NUMBER = re.compile(r"#\s*(?=\d)")
# No other sign stands for a # that is neither: the built-in font has none, so that a page would fail on what nobody has typed.
_SHARP = re.compile(r"\b([A-G])#(?!\w)")
_BETWEEN_WORDS = re.compile(r"(?<=\w)#+(?=\w)")
_NUMBER_SIGN = re.compile(r"(?<!\S)#+ |#+")
_SYNTAX = re.compile(rf"[{QUOTE_MARKS}`{{}}\\]")  # quotes, and the host's signs for weights
_SINGLE_QUOTE = re.compile(r"(?:\u2018|(?<![\w\]])['\u2019]|['\u2019](?![\w\[]))(?![^\[]*\])")  # no apostrophe, and not within a tag
_CURLY_APOSTROPHE = re.compile(r"\u2019(?![^\[]*\])")
_SAYS = re.compile(rf"({MANNER}) ?[:\uff1a](?= ?[{OPENING_MARKS}])")
_ROUND = str.maketrans("[]\u3010\u3011\uff3b\uff3d", "()\uff08\uff09\uff08\uff09")
_BREAK = re.compile(r"\bBREAK\b")
_PART = re.compile(r"(\[[^\[\]]*\])")
_ASIDE = re.compile(r"\s*[()]\s*")  # more than a pair of commas to the host
_STOPS = re.compile(r"(?:\s*,)*\s*(?=[,.;:!?])")
_EDGES = " ,;:.!?\u2026'\u2013\u2014/*~_-\u3002\uff0c\u3001\uff1b\uff1a\uff01\uff1f\u30fb"
_EMBEDDING = re.compile(r"\bembedding:", re.I)


def escape(text: str, cast: Cast) -> str:
    """Brackets become round ones, those around a known name go; a # becomes a word or goes: "No. 2", "C sharp", "cats"."""
    for pattern in (TAG, WIDE_TAG):
        text = pattern.sub(lambda match: match[1] if cast.find(match[1].strip()) else match[0].translate(_ROUND), text)
    text = _NUMBER.sub("No. ", text.translate(_ROUND))
    return _NUMBER_SIGN.sub("", _BETWEEN_WORDS.sub(" ", _SHARP.sub(r"\1 sharp", text)))


def escape_caption(text: str, cast: Cast) -> str:
    """A text of `escape` that is no option and no speech: `seed =7`, `Mia, "Look!"`."""
    text = re.sub(rf"({any_name(cast.names)}{MANNER}) ?[:\uff1a](?= ?[{OPENING_MARKS}]|\Z)", r"\1,", text)
    text = _SAYS.sub(lambda match: f"{match[1]}," if cast.nearly(match.string[:match.start()]) else match[0], text)
    return OPTION_START.sub(r"\1 =", text)


def escape_prompt(script: str) -> str:
    """A text of `escape`, with tags in it, as a prompt: without quotes, without the host's syntax, and nothing in it an option."""
    script = _CURLY_APOSTROPHE.sub("'", _SINGLE_QUOTE.sub(" ", script))  # ahead of the split: a tag may have one behind it
    parts = _PART.split(script)  # every other one is a tag
    parts[::2] = (_EMBEDDING.sub("embedding ", _BREAK.sub("break", _ASIDE.sub(", ", _SYNTAX.sub(" ", part)))) for part in parts[::2])
    parts = _PART.split(_STOPS.sub("", " ".join("".join(parts).split())).strip(_EDGES))
    parts[::2] = (without_options(part) for part in parts[::2])
    return "".join(parts)
