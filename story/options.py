"""What a panel's line says of this panel alone: `seed=7 style="Line art" negative="crowd" prompt_2="..."`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection

from .model import PanelOptions

LARGEST_SEED = 2**64 - 1  # the host's
EXAMPLES = {
    "seed": "seed=7", "style": 'style="Line art"', "negative": 'negative="crowd, rain"', "prompt_2": 'prompt_2="soft light"',
}
_QUOTED = r'"[^"]*"|\u201c[^\u201c\u201d]*\u201d'
OPTION = re.compile(rf"(?<!\S)([A-Za-z_][A-Za-z_0-9]*)=({_QUOTED}|\S*)")
QUOTED_OPTION = re.compile(rf"(?<!\S)(?:{'|'.join(EXAMPLES)})=(?:{_QUOTED})")
_CLOSE = 0.75  # how like an option another word before a "=" is, to be a misspelt one


def find_options(line: str, caption_start: int, styles: Collection[str], wrong: Callable[[str, str], None]) -> tuple[str, PanelOptions]:
    """The line without its options, and the options; what is wrong with them is told to `wrong`, with what to do.

    A `word=` that is no option and not like one is text.
    """
    found: dict[str, str] = {}
    kept, end = [], 0
    for match in OPTION.finditer(line):
        name, value = match[1], match[2].strip('"\u201c\u201d').strip()
        if name not in EXAMPLES:
            close = difflib.get_close_matches(name.casefold(), EXAMPLES, n=1, cutoff=_CLOSE)
            if close and len(name) < 20:
                wrong(f"there is no {name}=", f"Did you mean {EXAMPLES[close[0]]}?")
            continue
        kept.append(line[end:match.start()])
        end = match.end()
        example = f"Write it once, ahead of the #: {EXAMPLES[name]}."
        if 0 <= caption_start < match.start():
            wrong(f"{name}= stands in the caption", example)
        elif name in found:
            wrong(f"the panel has more than one {name}=", example)
        elif not value:
            wrong(f"{name}= has no value", example)
        found.setdefault(name, value)
    kept.append(line[end:])
    return " ".join(kept), PanelOptions(
        _seed(found.get("seed", ""), wrong), _style(found.get("style", ""), styles, wrong), found.get("negative", ""), found.get("prompt_2", ""),
    )


def print_options(options: PanelOptions) -> list[str]:
    """As they are written in a line."""
    texts = {"style": options.style, "negative": options.negative, "prompt_2": options.prompt_2}
    quoted = [f'{name}="{text}"' if '"' not in text else f"{name}=\u201c{text}\u201d" for name, text in texts.items() if text]
    return [*([] if options.seed is None else [f"seed={options.seed}"]), *quoted]


def _seed(text: str, wrong: Callable[[str, str], None]) -> int | None:
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,20}", text) or int(text) > LARGEST_SEED:
        wrong(f"seed={text} is not a number from 0 to {LARGEST_SEED}", "Write one whole number, for example seed=7.")
        return None
    return int(text)


def _style(name: str, styles: Collection[str], wrong: Callable[[str, str], None]) -> str:
    if not name or name in styles:
        return name
    same = [style for style in styles if style.casefold() == name.casefold()]
    if same:
        return same[0]
    wrong(f'there is no style called "{name}"', "Choose one of: " + ", ".join(f'"{style}"' for style in styles) + ".")
    return ""
