"""A script out of an idea: what a language model is asked, and what is made of its answer.

The answer is one JSON object (`SHAPE`). It is checked in full before anything is made of it: a small model's answer is right,
mended where only its form is damaged, or refused with every mistake, so that the model can be asked again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .cast import Cast, is_no_character
from .loose_json import find_object
from .model import Character, Speech, Story
from .options import without_options
from .printing import print_story
from .script import SCENE
from .speech import OPENING_MARKS, print_speech
from .text import TAG, clean, is_wide, says_something

SHAPE = """{
  "characters": [{"name": "a short name", "look": "what the character looks like"}],
  "panels": [
    {
      "characters": ["the names of all who are in the picture"],
      "place": "where and when it is",
      "picture": "what is seen",
      "caption": "what the story tells here",
      "speech": [{"who": "a name", "text": "what the character says"}]
    }
  ]
}"""
RULES = """- "look" is for a painter who knows nothing else: age, hair, clothes and their colours, in 5 to 15 words. No names, no moods.
- "picture" is one moment that can be seen, in one sentence that begins with a name: who does what, with which face, seen from where.
- A character is alone in a panel before it meets others, where the text allows it.
- A character is called by exactly the same name everywhere. The "characters" of a panel may be empty.
- "place" has the same words for as long as the story stays in a place.
- "caption" is one short sentence for the reader. "speech" may be empty, and is short.
- "look", "place" and "picture" are in English."""
_LISTED = 20  # mistakes named to the model or the user: more of them say nothing new
_QUOTED = 40  # characters of a text quoted in a mistake
_THOUGHTS_END, _THOUGHTS_START = "</think>", "<think>"
_SPEECH_COLON = re.compile(f" ?[:\uff1a] ?(?=[{OPENING_MARKS}])")
_SIGNS = re.compile("[\\[\\]\u3010\u3011\uff3b\uff3d#]")
_NUMBER_SIGN = re.compile("# ?(?=[0-9])")
_KINDS = {str: "a text", list: "a list"}

Kind = TypeVar("Kind", str, list)


class AnswerError(ValueError):
    """An answer that gives no script. Its text lists the mistakes one a line; `mistakes` holds every one."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        lines = [f"- {mistake}" for mistake in self.mistakes[:_LISTED]]
        if len(self.mistakes) > _LISTED:
            lines.append(f"- and {len(self.mistakes) - _LISTED} more mistakes")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Script:
    """The two texts that `parse_story` reads. `cut`: the answer ended too early, and its unfinished last panel is left out."""

    characters: str
    panels: str
    cut: bool = False


def ask(text: str, max_panels: int, given: Sequence[Character] = (), language: str = "") -> str:
    """What a model is told to make a script of `text`, an idea or prose. `language`: of captions and speech; empty: the text's."""
    cast = "\n".join(f"- {each.tag}: {each.description}" for each in given)
    people = f"\nThese characters are given. Use all of them, under these names:\n{cast}\n" if given else ""
    return f"""Make a picture story of at most {max_panels} panels out of the text below.
Answer with one JSON object of this shape, and with nothing else:
{SHAPE}
Rules:
{RULES}
- "caption" and "text" are in {language or "the language of the text"}.
{people}
The text:
{text}"""


def ask_again(error: AnswerError) -> str:
    """What a model is told after an answer that was refused."""
    return f"Your answer cannot be used:\n{error}\nWrite the whole JSON object once more, without these mistakes, and nothing else."


def is_finished(answer: str) -> bool:
    """Whether an answer that is still being written has its whole object: what follows is of no use."""
    try:
        return not _find_answer(answer)[1]
    except ValueError:
        return False


def read_answer(answer: str, max_panels: int, given: Sequence[Character] = ()) -> Script:
    """The script of a model's answer. Characters that are `given` keep the description that they have.

    Raises: AnswerError with all mistakes.
    """
    try:
        found, cut = _find_answer(answer)
    except ValueError as error:
        raise AnswerError([str(error)]) from error
    mistakes: list[str] = []
    cast = Cast(_read_characters(found, given, mistakes))
    panels = _items(found, "panels", "the answer", mistakes)
    lines = _read_panels(panels, cast, mistakes)
    if not panels:
        mistakes.append("the answer ends before its first panel is finished" if cut else '"panels" is empty')
    if len(panels) > max_panels:
        mistakes.append(f'"panels" has {len(panels)} panels, but at most {max_panels} are allowed')
    shown = {tag for line in lines for tag in TAG.findall(line)}
    if not cut:
        mistakes += [f"{_quote(each.tag)} is a given character, but in none of the panels" for each in given if each.tag not in shown]
    if mistakes:
        raise AnswerError(mistakes)
    return Script(print_story(Story(cast.characters, (), "", ""))[0], "\n".join(lines), cut)


def _find_answer(answer: str) -> tuple[dict[str, Any], bool]:
    """The answer's object behind the model's thoughts, and whether it is cut off."""
    said = answer.rpartition(_THOUGHTS_END)[2].partition(_THOUGHTS_START)[0]
    return find_object(said, "panels")


def _read_characters(found: dict[str, Any], given: Sequence[Character], mistakes: list[str]) -> list[Character]:
    known, named = Cast(list(given)), set()
    new: list[Character] = []
    for number, item in enumerate(_items(found, "characters", "the answer", mistakes), start=1):
        where = f"character {number}"
        written = _member(item, "name", str, where, mistakes)
        name, look = _name(written), without_options(_plain(_member(item, "look", str, where, mistakes)))
        if not says_something(name):
            mistakes.append(f'{where}: "name" is missing')
        elif is_no_character(name):
            mistakes.append(f"{where}: {_quote(name)} is no name, it means nobody")
        elif name.casefold() in named:
            mistakes.append(f"{where}: there is another character with the name {_quote(name)}")
        elif _known(written, known) is None:
            new.append(Character(name, look))
            if not says_something(look):
                mistakes.append(f'{where}, {_quote(name)}: "look" is missing')
        named.add(name.casefold())
    return [*given, *new]


def _read_panels(panels: list[dict[str, Any]], cast: Cast, mistakes: list[str]) -> list[str]:
    """The lines of the script: the panels, with a heading where the place changes."""
    lines, place = [], ""
    names = _names_in_text(cast)
    for number, panel in enumerate(panels, start=1):
        line = _read_panel(f"panel {number}", panel, cast, names, mistakes)
        new = _plain(_member(panel, "place", str, f"panel {number}", mistakes))
        if says_something(new) and new != place:
            place = new
            lines.append(f"{SCENE} {place}")
        lines.append(line)
    return lines


def _read_panel(where: str, panel: dict[str, Any], cast: Cast, names: re.Pattern[str], mistakes: list[str]) -> str:
    shown: list[Character] = []
    for name in _member(panel, "characters", list, where, mistakes):
        shown += _find(name, "characters", cast, where, mistakes)
    picture = _tag(without_options(_plain(_member(panel, "picture", str, where, mistakes))), shown, cast, names)
    if not says_something(TAG.sub(" ", picture)):
        mistakes.append(f'{where}: "picture" is missing or says no more than a name')
    caption = _plain(_member(panel, "caption", str, where, mistakes))
    speech = []
    for each in _items(panel, "speech", where, mistakes):
        text = clean(_member(each, "text", str, where, mistakes)).replace('"', "'")
        for who in _find(each.get("who"), "who", cast, where, mistakes) if text else ():
            speech.append(print_speech(Speech(who.tag, text)))
    return " ".join(part for part in (picture, "#", caption, *speech) if part)


def _find(name: object, key: str, cast: Cast, where: str, mistakes: list[str]) -> list[Character]:
    """The character of a name; none, and a mistake, where it is unknown."""
    if not isinstance(name, str):
        mistakes.append(f'{where}: in "{key}" stands something that is no name')
        return []
    character = _known(name, cast)
    if character is None:
        mistakes.append(f'{where}: in "{key}" stands {_quote(name)}, who is not in the answer\'s "characters"')
    return [character] if character else []


def _known(name: str, cast: Cast) -> Character | None:
    return cast.find(clean(name)) or cast.find(_name(name))


def _names_in_text(cast: Cast) -> re.Pattern[str]:
    """Where a text names a character; of two names that begin alike the longer one."""
    names = sorted((name for each in cast.characters for name in (each.tag, *each.aliases)), key=len, reverse=True)
    # Chinese, Japanese and Korean put no space around a name.
    whole = (re.escape(name) if is_wide(name[0]) else rf"(?<!\w){re.escape(name)}(?!\w)" for name in names)
    return re.compile("|".join(whole) or r"(?!)", re.IGNORECASE)


def _tag(picture: str, shown: Sequence[Character], cast: Cast, names: re.Pattern[str]) -> str:
    """A picture's text with the tag of each character once: where it is named first, else ahead. Who is named in the text in
    exactly this spelling is in the picture, too; nobody at all is [NC]. Another spelling is a name only where there is no exact
    one: in "The man will help Will" the first is none."""
    named = [(match, who) for match in names.finditer(picture) if (who := cast.find(match[0]))]
    exact = {who.tag for match, who in named if match[0] in (who.tag, *who.aliases)}
    tagged: set[str] = set()
    text, end = "", 0
    for match, who in named:
        is_name = match[0] in (who.tag, *who.aliases) if who.tag in exact else who in shown
        if is_name and who.tag not in tagged:
            tagged.add(who.tag)
            text += f"{picture[end:match.start()]}[{who.tag}]"
            end = match.end()
    picture = text + picture[end:]
    ahead = " and ".join(dict.fromkeys(f"[{each.tag}]" for each in shown if each.tag not in tagged))
    if ahead and tagged:
        ahead += ","
    return " ".join(part for part in (ahead if ahead or tagged else "[NC]", picture) if part)


def _items(owner: dict[str, Any], key: str, where: str, mistakes: list[str]) -> list[dict[str, Any]]:
    """The objects of a list; what else stands in it is a mistake."""
    items = _member(owner, key, list, where, mistakes)
    if not all(isinstance(item, dict) for item in items):
        mistakes.append(f'{where}: "{key}" holds something that is no object')
    return [item for item in items if isinstance(item, dict)]


def _member(owner: dict[str, Any], key: str, kind: type[Kind], where: str, mistakes: list[str]) -> Kind:
    """What stands under a key; empty where it is missing or, which is a mistake, of another kind."""
    value = owner.get(key)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        mistakes.append(f'{where}: "{key}" is not {_KINDS[kind]}')
        return kind()
    return value


def _plain(text: str) -> str:
    """A text in which the script's grammar sees nothing of its own: no tag, option, caption, scene, comment or speech."""
    text = _SIGNS.sub("", _NUMBER_SIGN.sub("no. ", clean(text))).replace("=", " = ")
    return _SPEECH_COLON.sub(", ", clean(text)).strip("/ ")


def _name(text: str) -> str:
    return without_options(_plain(text)).strip()


def _quote(text: str) -> str:
    text = clean(text)
    return f'"{text}"' if len(text) <= _QUOTED else f'"{text[:_QUOTED - 1]}…"'
