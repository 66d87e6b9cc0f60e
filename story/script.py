"""The story script: what a user types into the `characters` and `panels` fields, read into a `Story`.

Characters, one a line:      [Bob] a man with a grey beard, blue coat   # a note, not sent to the model
Panels, one a line:          [Bob] feeds the ducks in a park # Every morning Bob feeds the ducks.
                             [NC] an empty bench in the rain
                             ## a harbour at dusk
                             [Bob] looks at the boats seed=7 negative="people, crowd" # Evening came.

A line of `##` is a scene: its text ends the prompts of all panels under it, up to the next; a bare `##` ends it. What a panel
has of its own (`options.py`) stands ahead of the `#`. Blank lines and lines that begin with `//` are skipped in both. The grammar is that of StoryDiffusion's
demo, with one difference: what it drops in silence is a mistake here.
All mistakes are collected first and raised together, so that a user corrects a story in one go.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping

from .model import Character, Mention, Mistake, Panel, Story, StoryError
from .options import QUOTED_OPTION, find_options
from .styles import STYLES, Style

NO_CHARACTER = "NC"
COMMENT = "//"
SCENE = "##"
TAG = re.compile(r"\[([^\[\]]*)\]")

_SUGGEST_UP_TO = 60  # difflib is quadratic: a tag longer than this is no misspelt name


def parse_story(characters: str, panels: str, style: str, negative: str, styles: Mapping[str, Style] = STYLES) -> Story:
    """Read both texts into a Story; raises StoryError with all mistakes of both. The story's own style is kept as it is; those
    of single panels must be in `styles`."""
    mistakes: list[Mistake] = []
    cast = _Cast(_parse_characters(characters, mistakes))
    parsed = _parse_panels(panels, cast, styles, mistakes)
    if mistakes:
        raise StoryError(mistakes)
    return Story(cast.characters, parsed, style.strip(), _clean(negative), styles)


class _Cast:
    """The characters by tag."""

    def __init__(self, characters: list[Character]) -> None:
        self.characters = tuple(characters)
        self._exact = {character.tag: character for character in characters}
        self._folded: dict[str, list[Character]] = {}
        for character in characters:
            self._folded.setdefault(character.tag.casefold(), []).append(character)
        self._hints: dict[str, str] = {}

    def find(self, tag: str) -> Character | None:
        """The character that a tag means: exactly this name, else the only one that differs in case alone."""
        if tag in self._exact:
            return self._exact[tag]
        candidates = self._folded.get(tag.casefold(), [])
        return candidates[0] if len(candidates) == 1 else None

    def hint(self, tag: str) -> str:
        """What to do about a tag that means no character."""
        if tag not in self._hints:
            self._hints[tag] = self._make_hint(tag)
        return self._hints[tag]

    def _make_hint(self, tag: str) -> str:
        define = f'add "[{tag}] what it looks like" to characters'
        if not self.characters:
            return f"No characters are defined: {define}."
        same = self._folded.get(tag.casefold())  # two or more here: `find` takes a single one
        close = [character.tag for character in same] if same else self._closest(tag)
        known = ", ".join(f"[{character.tag}]" for character in self.characters[:20])
        known += ", ..." if len(self.characters) > 20 else ""
        meant = f"Did you mean {' or '.join(f'[{name}]' for name in close)}? " if close else ""
        return f"{meant}Known: {known}; or {define}."

    def _closest(self, tag: str) -> list[str]:
        if len(tag) > _SUGGEST_UP_TO:
            return []
        return [self._folded[name][0].tag for name in difflib.get_close_matches(tag.casefold(), self._folded, n=1)]


def _parse_characters(text: str, mistakes: list[Mistake]) -> list[Character]:
    """Read character lines. A tag with a poor description is kept, so that panels do not call it unknown as well."""
    found: dict[str, int] = {}
    characters: list[Character] = []
    for number, line in _lines(text):

        def wrong(message: str, remedy: str, number: int = number, line: str = line) -> None:
            mistakes.append(Mistake("characters", number, line, message, remedy))

        match = TAG.match(line)
        if not match:
            wrong("a character begins with its name in square brackets", "Write: [Name] what it looks like.")
            continue
        tag, description = match[1].strip(), _split_caption(line[match.end():])[0].strip()
        if not tag:
            wrong("the brackets are empty", "Write the character's name between them: [Name] what it looks like.")
        elif _is_no_character(tag):
            wrong("[NC] means that a panel has no character", "Give the character another name.")
        elif tag in found:
            wrong(f"[{tag}] is already defined on line {found[tag]}", "Rename it or delete one of the two lines.")
        else:
            found[tag] = number
            characters.append(Character(tag, description))
            if not _says_something(description):
                wrong(f"[{tag}] has no description", f'Write what it looks like: "[{tag}] a woman in a red coat".')
            elif TAG.match(description):
                wrong("a line has room for one character only", "Give every character a line of its own.")
    return characters


def _parse_panels(text: str, cast: _Cast, styles: Collection[str], mistakes: list[Mistake]) -> tuple[Panel, ...]:
    panels: list[Panel] = []
    scene = ""
    for line_number, line in _lines(text):
        if line.startswith(SCENE):
            scene = line.lstrip("#").strip()
            if "[" in scene or "]" in scene:
                remedy = "Write where and when it is, ## a harbour at dusk, and the characters in the panels under it."
                mistakes.append(Mistake("panels", line_number, line, "a scene has no tags", remedy))
        else:
            panels.append(_parse_panel(len(panels) + 1, line_number, line, scene, cast, styles, mistakes))
    if not panels:
        remedy = "Write one panel a line, for example: [Bob] feeds the ducks in a park # Morning."
        mistakes.append(Mistake("panels", 0, "", "the story has no panels", remedy))
    return tuple(panels)


def _parse_panel(number: int, line_number: int, line: str, scene: str, cast: _Cast, styles: Collection[str],
                 mistakes: list[Mistake]) -> Panel:

    def wrong(message: str, remedy: str) -> None:
        mistakes.append(Mistake("panels", line_number, line, message, remedy))

    bare, options = find_options(line, _caption_start(line), styles, wrong)
    script, caption = _split_caption(_clean(bare))
    alone, reported = False, set()
    names: dict[str, None] = {}  # a set that keeps its order
    mentions: list[Mention] = []
    prompt, end = "", 0
    for match in TAG.finditer(script):
        prompt, end = _join(prompt, script[end:match.start()]), match.end()
        tag = match[1].strip()
        character = cast.find(tag)
        if not tag:
            wrong("the brackets are empty", "Write a character's name between them, or delete them.")
        elif _is_no_character(tag):
            alone = True
        elif character is None:
            if tag not in reported:
                wrong(f"no character is called [{tag}]", cast.hint(tag))
            reported.add(tag)
        else:
            names[character.tag] = None
            prompt = _join(prompt, character.description)
            mentions.append(Mention(character.tag, len(prompt) - len(character.description), len(prompt)))
    # Spaces are taken off the end only: the text began with none, and the mentions count from its start.
    prompt = _join(prompt, script[end:]).rstrip()

    left = TAG.sub(" ", script)
    if "[" in left or "]" in left:
        wrong("a square bracket has no partner", "Write a tag as [Name].")
    if alone and (names or reported):
        wrong("[NC] stands beside a character's tag", "Delete [NC], or the character's tag.")
    if not _says_something(left):
        wrong("the panel has no text for the picture", "Describe what happens, before the # if there is one.")
    caption = _plain_caption(script if caption is None else caption, cast)
    prompt = ", ".join(part for part in (prompt, scene) if part)
    return Panel(number, prompt, caption, tuple(names), line_number, tuple(mentions), alone, scene, options)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, cleaned, with their numbers as a text editor counts them."""
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        line = _clean(line)
        if line and not line.startswith(COMMENT):
            yield number, line


def _clean(text: str) -> str:
    """NFC (so that one name has one spelling), control characters and runs of white space as single spaces."""
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in unicodedata.normalize("NFC", text))
    return " ".join(text.replace("\ufeff", "").split())


def _split_caption(line: str) -> tuple[str, str | None]:
    """Text before and after the last `#`."""
    at = _caption_start(line)
    return (line, None) if at < 0 else (line[:at], line[at + 1:].strip())


def _caption_start(line: str) -> int:
    """Where the last `#` is, or -1; one inside a tag, such as [Guard #2], belongs to the name, one in quotes to an option."""
    spans = sorted(match.span() for pattern in (TAG, QUOTED_OPTION) for match in pattern.finditer(line))
    at = line.rfind("#")
    while spans and at >= 0:
        first, last = spans.pop()
        if first < at < last:
            at = line.rfind("#", 0, first)
    return at


def _plain_caption(text: str, cast: _Cast) -> str:
    """A caption as it is read: characters by name without brackets, no [NC]; other brackets are the author's own."""
    caption, end = "", 0
    for match in TAG.finditer(text):
        tag = match[1].strip()
        shown = "" if _is_no_character(tag) else tag if cast.find(tag) else match[0]
        caption = _join(_join(caption, text[end:match.start()], read=True), shown, read=True)
        end = match.end()
    return _join(caption, text[end:], read=True).strip()


def _join(left: str, right: str, read: bool = False) -> str:
    """Both in a row, with a space where words would grow together, and never two.

    A tag may touch its neighbours ("[小明]在公园"). A model needs the space after an inserted description in any script;
    a reader (`read`) wants none where the script itself has none.
    """
    if not left or left[-1] == " ":
        return left + right.lstrip(" ")
    if right and left[-1].isalnum() and right[0].isalnum():
        unspaced = read and "W" in (unicodedata.east_asian_width(left[-1]), unicodedata.east_asian_width(right[0]))
        return left + ("" if unspaced else " ") + right
    return left + right


def _is_no_character(tag: str) -> bool:
    return tag.casefold() == NO_CHARACTER.casefold()


def _says_something(text: str) -> bool:
    """Whether a text has a letter, a digit or a pictograph; punctuation alone describes nothing."""
    return any(unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "So" for c in text)
