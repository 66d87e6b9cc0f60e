"""What a panel's line says of this panel alone: `seed=7 crop=16:9 style="Line art" negative="crowd" prompt_2="..."`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping

from .model import PanelOptions

LARGEST_SEED = 2**64 - 1  # the host's
LONGEST_SIDE = 8  # of a crop, times the other: a picture that is longer shows nothing
EXAMPLES = {
    "seed": "seed=7", "style": 'style="Line art"', "negative": 'negative="crowd, rain"', "prompt_2": 'prompt_2="soft light"',
    "crop": "crop=16:9",
}
_QUOTES = '"\u201c\u201d'
_QUOTED = r'"[^"]*"|\u201c[^\u201c\u201d]*\u201d'
_AHEAD = "(?<![^\\s\\]\u3011\uff3d#])"  # white space, a tag, or the # itself
_WORD = "[A-Za-z_][A-Za-z_0-9]*"
OPTION_START = re.compile(rf"{_AHEAD}({_WORD})=")
OPTION = re.compile(rf"{_AHEAD}({_WORD})( ?)=({_QUOTED}|\S*)")
QUOTED_OPTION = re.compile(rf"{_AHEAD}(?:{'|'.join(EXAMPLES)}|alias)=(?:{_QUOTED})")
_ALIAS = re.compile(rf"{_AHEAD}alias=({_QUOTED}|\S*)")
_SPACED_VALUE = re.compile(" [^#]")
_SET = re.compile(rf"({_WORD})\s*=[=\s]*")
_SETS = re.compile(rf"{_AHEAD}(?:{_WORD}\s*=[=\s]*)+")
_COMMAS = ",;\uff0c\uff1b\u3001"
_CLOSE = 0.75  # how like an option another word before a "=" is, to be a misspelt one
_NEAREST = 0.5  # the same where there is no other reason for the "="
_ALIASES = {"alias": 'alias="Mimi, the girl"'}  # the option of a character's line


def find_options(line: str, caption_start: int, styles: Collection[str], wrong: Callable[[str, str], None]) -> tuple[str, PanelOptions]:
    """The line without its options, and the options; what is wrong with them is told to `wrong`, with what to do.

    `x = 3` is text, and in a caption `x=3` as well, where the word is not like an option.
    """
    found: dict[str, str] = {}
    kept, end = [], 0
    for match in OPTION.finditer(line):
        name, in_caption = match[1], 0 <= caption_start < match.start()
        if name not in EXAMPLES or match[2]:
            if not (in_caption and match[2]):
                _check_word(match, EXAMPLES, in_caption, wrong)
            continue
        kept.append(line[end:match.start()])
        end = match.end()
        value = match[3].strip(_QUOTES).strip()
        example = f"Write it once, ahead of the #: {EXAMPLES[name]}."
        if in_caption:
            wrong(f"{name}= stands in the caption", example)
        elif name in found:
            wrong(f"the panel has more than one {name}=", example)
        elif not match[3] and _SPACED_VALUE.match(line, end):
            _check_word(match, EXAMPLES, in_caption, wrong)
        elif not value:
            wrong(f"{name}= has no value", example)
        elif match[3].endswith(tuple(_COMMAS)) or line.startswith(tuple(_COMMAS), end):
            text = match[3].rstrip(_COMMAS)
            quoted = "" if name in ("seed", "crop") or text[-1:] in _QUOTES else f', or write all of it in quotes: {EXAMPLES[name]}'
            wrong(f"{name}={text} has a comma behind it", f"Delete the comma{quoted}.")
            value = value.rstrip(_COMMAS)
        found.setdefault(name, value)
    kept.append(line[end:])
    return " ".join(kept), PanelOptions(
        _seed(found.get("seed", ""), wrong), _style(found.get("style", ""), styles, wrong), found.get("negative", ""), found.get("prompt_2", ""),
        _crop(found.get("crop", ""), wrong),
    )


def find_aliases(description: str, wrong: Callable[[str, str], None]) -> tuple[str, tuple[str, ...]]:
    """A character's description without `alias="Mimi, the girl"`, and what else it is called."""
    names: dict[str, None] = {}
    for match in _ALIAS.finditer(description):
        own = [name.strip() for name in match[1].strip(_QUOTES).replace("\uff0c", ",").replace("\u3001", ",").split(",")]
        if not all(own) or any("[" in name or "]" in name for name in own):
            wrong("alias= is no list of names", 'Write what else the story calls it: alias="Mimi, the girl".')
        names.update(dict.fromkeys(name for name in own if name))
    text = " ".join(_ALIAS.sub(" ", description).split())
    for match in OPTION.finditer(text):
        _check_word(match, _ALIASES, False, wrong)
    return text if names else description.strip(), tuple(names)


def without_options(text: str) -> str:
    """The text with nothing in it that a panel ahead of its # reads as an option or as a misspelt one: `x = 3`, `seed 7`."""
    def spaced(match: re.Match[str]) -> str:
        return f"{match[1]} " if _like(match[1], (*EXAMPLES, *_ALIASES), _CLOSE) else f"{match[1]} = "

    return _SETS.sub(lambda match: _SET.sub(spaced, match[0]), text)


def _check_word(match: re.Match[str], examples: Mapping[str, str], in_caption: bool, wrong: Callable[[str, str], None]) -> None:
    """Tells what is wrong with a `word=`, a match of OPTION, that is none of `examples`, or one with spaces around its =."""
    name, spaced = match[1], match[2]
    like = _like(name, examples, _CLOSE if spaced or in_caption else _NEAREST)
    other, field = (_ALIASES, "characters") if examples is EXAMPLES else (EXAMPLES, "panels")
    if name in examples:
        wrong(f"{name}= has spaces around its =", f"Write it without them: {examples[name]}.")
    elif name in other and not in_caption:
        wrong(f"{name}= stands in the wrong field", f"Write {other[name]} in the field {field}.")
    elif like:
        wrong(f"there is no {name}=", f"Did you mean {examples[like]}?")
    elif not spaced and not in_caption:
        known = ", ".join(f"{option}=" for option in examples)
        wrong(f"there is no {name}=", f"There is {known}. In a text put spaces around the =.")


def _like(name: str, names: Iterable[str], cutoff: float) -> str:
    """Which of `names` a word is like, or ""."""
    return next(iter(difflib.get_close_matches(name.casefold(), names, n=1, cutoff=cutoff)), "") if len(name) < 20 else ""


def print_options(options: PanelOptions) -> list[str]:
    """As they are written in a line."""
    texts = {"style": options.style, "negative": options.negative, "prompt_2": options.prompt_2}
    quoted = [f'{name}="{text}"' if '"' not in text else f"{name}=\u201c{text}\u201d" for name, text in texts.items() if text]
    seed = [] if options.seed is None else [f"seed={options.seed}"]
    crop = [] if options.crop is None else [f"crop={options.crop[0]}:{options.crop[1]}"]
    return [*seed, *crop, *quoted]


def _seed(text: str, wrong: Callable[[str, str], None]) -> int | None:
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,20}", text) or int(text) > LARGEST_SEED:
        wrong(f"seed={text} is not a number from 0 to {LARGEST_SEED}", "Write one whole number, for example seed=7.")
        return None
    return int(text)


def _crop(text: str, wrong: Callable[[str, str], None]) -> tuple[int, int] | None:
    if not text:
        return None
    match = re.fullmatch("([0-9]{1,5})[:x\u00d7]([0-9]{1,5})", text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 < max(width, height) <= LONGEST_SIDE * min(width, height):
        remedy = f"Write width:height, such as crop=16:9 or crop=2:3; one at most {LONGEST_SIDE} times the other."
        wrong(f"crop={text} is no shape of a picture", remedy)
        return None
    return width, height


def _style(name: str, styles: Collection[str], wrong: Callable[[str, str], None]) -> str:
    if not name or name in styles:
        return name
    same = [style for style in styles if style.casefold() == name.casefold()]
    if same:
        return same[0]
    quoted = next((style for style in styles if style.casefold().startswith(name.casefold() + " ")), None)
    hint = f'A name of several words stands in quotes: style="{quoted}". ' if quoted else ""
    wrong(f'there is no style called "{name}"', hint + "Choose one of: " + ", ".join(f'"{style}"' for style in styles) + ".")
    return ""
