"""The story script: what a user types into the `characters` and `panels` fields, read into a `Story`.

Characters, one a line:      [Bob] a man with a grey beard, blue coat   # a note, not sent to the model
Panels, one a line:          [Bob] feeds the ducks in a park # Every morning Bob feeds the ducks.
                             [NC] an empty bench in the rain
                             [Bob] sleeps seed=7 # The picture's own noise: draw this panel anew without the others.

Blank lines and lines that begin with `//` are skipped in both. The grammar is that of StoryDiffusion's
demo, with one difference: what it drops in silence is a mistake here.
All mistakes are collected first and raised together, so that a user corrects a story in one go.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

NO_CHARACTER = "NC"
COMMENT = "//"
TAG = re.compile(r"\[([^\[\]]*)\]")
SEED = re.compile(r"(?<!\S)seed=(\S*)")
LARGEST_SEED = 2**64 - 1  # the host's

_SHOWN_MISTAKES = 100  # in the text of the error; `StoryError.mistakes` has them all
_SHOWN_LINE = 80  # characters of a line quoted in an error
_SUGGEST_UP_TO = 60  # difflib is quadratic: a tag longer than this is no misspelt name


@dataclass(frozen=True)
class Character:
    """A character of the story: `tag` is its name in square brackets, `description` what the model reads."""

    tag: str
    description: str


@dataclass(frozen=True)
class Mention:
    """Where a panel's prompt holds a character's description: `prompt[start:end]`, in characters."""

    tag: str
    start: int
    end: int


@dataclass(frozen=True)
class Panel:
    """One picture of the story.

    number: counts panels from 1. line: its line in the `panels` text, from 1.
    prompt: the text for the model, each tag replaced by its character's description; no style yet.
    caption: the text for the page; empty where the line ends in a bare `#`.
    characters: the tags that it names, each once, in order of appearance.
    alone: the line says [NC]: nobody is in the picture.
    seed: of the panel's own noise, where the line says `seed=`.
    """

    number: int
    prompt: str
    caption: str
    characters: tuple[str, ...]
    line: int
    mentions: tuple[Mention, ...] = ()
    alone: bool = False
    seed: int | None = None


@dataclass(frozen=True)
class Story:
    """A whole story. `style` is a name in `styles.STYLES`; `negative` the user's own negative prompt."""

    characters: tuple[Character, ...]
    panels: tuple[Panel, ...]
    style: str
    negative: str

    @property
    def captions(self) -> list[str]:
        """The captions, one a panel."""
        return [panel.caption for panel in self.panels]


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in a script. `line` counts from 1; 0 means the input as a whole."""

    input_name: str
    line: int
    text: str
    message: str
    remedy: str

    def __str__(self) -> str:
        if not self.line:
            return f"{self.input_name}: {self.message}. {self.remedy}"
        quoted = self.text if len(self.text) <= _SHOWN_LINE else self.text[: _SHOWN_LINE - 1] + "…"
        return f'{self.input_name}, line {self.line}, "{quoted}": {self.message}. {self.remedy}'


class StoryError(ValueError):
    """A script with mistakes. Its text lists them one a line; `mistakes` holds every one."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        lines = [str(mistake) for mistake in self.mistakes[:_SHOWN_MISTAKES]]
        if len(self.mistakes) > _SHOWN_MISTAKES:
            lines.append(f"... and {len(self.mistakes) - _SHOWN_MISTAKES} more mistakes.")
        super().__init__("\n".join(lines))


def parse_story(characters: str, panels: str, style: str, negative: str) -> Story:
    """Read both texts into a Story; raises StoryError with all mistakes of both. The style's name is kept as it is."""
    mistakes: list[Mistake] = []
    cast = _Cast(_parse_characters(characters, mistakes))
    parsed = _parse_panels(panels, cast, mistakes)
    if mistakes:
        raise StoryError(mistakes)
    return Story(cast.characters, parsed, style.strip(), _clean(negative))


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


def _parse_panels(text: str, cast: _Cast, mistakes: list[Mistake]) -> tuple[Panel, ...]:
    panels: list[Panel] = []
    for line_number, line in _lines(text):
        panels.append(_parse_panel(len(panels) + 1, line_number, line, cast, mistakes))
    if not panels:
        remedy = "Write one panel a line, for example: [Bob] feeds the ducks in a park # Morning."
        mistakes.append(Mistake("panels", 0, "", "the story has no panels", remedy))
    return tuple(panels)


def _parse_panel(number: int, line_number: int, line: str, cast: _Cast, mistakes: list[Mistake]) -> Panel:

    def wrong(message: str, remedy: str) -> None:
        mistakes.append(Mistake("panels", line_number, line, message, remedy))

    script, caption = _split_caption(line)
    script, seed = _take_seed(script, wrong)
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
    return Panel(number, prompt, caption, tuple(names), line_number, tuple(mentions), alone, seed)


def _take_seed(script: str, wrong: Callable[[str, str], None]) -> tuple[str, int | None]:
    """The line without its `seed=`, and the seed."""
    found = SEED.findall(script)
    if not found:
        return script, None
    remedy = "Write one whole number, for example seed=7."
    if len(found) > 1:
        wrong("the panel has more than one seed", remedy)
    elif not re.fullmatch("[0-9]{1,20}", found[0]) or int(found[0]) > LARGEST_SEED:
        wrong(f"seed={found[0]} is not a number from 0 to {LARGEST_SEED}", remedy)
    else:
        return _clean(SEED.sub(" ", script)), int(found[0])
    return _clean(SEED.sub(" ", script)), None


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
    """Text before and after the last `#`; a `#` inside a tag, such as [Guard #2], belongs to the name."""
    tags = list(TAG.finditer(line))
    at = line.rfind("#")
    while tags and at >= 0:
        tag = tags.pop()
        if tag.start() < at < tag.end():
            at = line.rfind("#", 0, tag.start())
    return (line, None) if at < 0 else (line[:at], line[at + 1:].strip())


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
