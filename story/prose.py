"""From a narrative to a script of panels: sentences, who is in them, who speaks, where to cut, what to draw."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

from .cast import Cast, parse_characters
from .dialogue import Told, tell
from .escaping import escape, escape_caption
from .model import Character, Mistake, Speech, StoryError
from .moments import Prompts, estimate_tokens
from .options import OPTION
from .people import People
from .scenes import changes, cut, opens_scene
from .sentences import read_sentences
from .speech import print_speech
from .text import LONGEST_LINE, says_something

_CAPTION = " # "

log = logging.getLogger(__name__)


def split_story(text: str, max_panels: int, characters: str = "", count_tokens: Callable[[str], int] = estimate_tokens) -> str:
    """A script's `panels` of a narrative, which `parse_story` reads together with the same `characters`.

    Args:
        text: a narrative in English, Chinese or Japanese; in other languages with speech only where a name and a colon precede it.
        max_panels: no more than these, 1 or more; fewer where there are fewer sentences.
        characters: as for `parse_story`; they are found in the text and become tags. Without any there are no tags.
        count_tokens: of a prompt; prompts have fewer than 75 of these with their tags replaced by descriptions.

    Raises: ValueError for a text that says nothing, StoryError for mistakes in `characters`.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")  # no halves of characters
    if not says_something(text):
        raise ValueError("input 'text' has no words. Write or connect the story that shall be cut into panels.")
    if max_panels < 1:
        raise ValueError(f"input 'max_panels' is {max_panels}, but must be 1 or more.")
    mistakes: list[Mistake] = []
    cast = Cast(parse_characters(characters, mistakes))
    if mistakes:
        raise StoryError(mistakes)
    found, language = read_sentences(text)
    sentences = [replace(sentence, text=escape(sentence.text, cast)) for sentence in found]
    told = tell(sentences, People(cast, _with_usable_tags(cast)), [opens_scene(sentence) for sentence in sentences])
    prompts = Prompts(cast, language, count_tokens)
    lines = []
    for number, part in enumerate(cut([len(sentence.text) for sentence in sentences], changes(told), max_panels), start=1):
        panel = told[part.start:part.stop]
        goes_on = part.start and panel[0].sentence.opens < 2
        prompt = prompts.of(panel, number, told[part.start - 1].people if goes_on else ())
        caption, whole = _caption(panel, cast, "" if language in ("zh", "ja") else " ", LONGEST_LINE - len(prompt) - len(_CAPTION))
        if not whole:
            log.warning(
                "Fabula_SplitStory: panel %d: its text is longer than a script's line may be, and was cut to %d characters. Raise "
                "input 'max_panels', or split a shorter text.", number, len(caption),
            )
        lines.append(f"{prompt}{_CAPTION}{caption}")
    return "\n".join(lines)


def _with_usable_tags(cast: Cast) -> list[Character]:
    """All but those that no panel can name, since their tags hold what a script reads as an option or as speech."""
    usable = [each for each in cast.characters if not OPTION.search(each.tag) and not cast.speech.search(each.tag)]
    for each in cast.characters:
        if each not in usable:
            log.warning("Fabula_SplitStory: [%s] reads as an option or as speech, and is left out. Give it a plainer name.", each.tag)
    return usable


def _caption(panel: Sequence[Told], cast: Cast, space: str, room: int) -> tuple[str, bool]:
    """The panel's text, and whether it is whole: it has at most `room` characters."""
    parts = (part for told in panel for part in told.caption)
    printed: list[str] = []
    for speaker, run in groupby(parts, key=lambda part: part.speaker if isinstance(part, Speech) else ""):
        text = space.join(part.text if isinstance(part, Speech) else part.strip() for part in run)
        text = text if speaker else escape_caption(text, cast)
        left = room - len(print_speech(Speech(speaker, ""))) if speaker else room
        cut_off = len(text) > left
        if cut_off:
            text = text[:left - 1] + "\u2026" if left > 1 else ""
        if text:
            printed.append(print_speech(Speech(speaker, text)) if speaker else text)
        if cut_off:
            return space.join(printed), False
        room -= len(printed[-1]) + len(space)
    return space.join(printed), True
