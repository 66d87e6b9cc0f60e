"""Who is in a story: the lines of `characters`, and which of them a name means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from .model import Character, Mistake
from .options import find_aliases
from .speech import spoken
from .text import TAG, WIDE_TAG, is_no_character, lines, says_something, split_caption, whole_word

_CLOSE = 0.75
_SUGGEST_UP_TO = 60  # difflib is quadratic: a tag longer than this is no misspelt name


class Cast:
    """The characters by tag and alias.

    names: all tags and aliases. speech: what their speech looks like in a line, for `take_speech`. written: one of them in exactly its
    spelling, as a whole word.
    """

    def __init__(self, characters: list[Character]) -> None:
        self.characters = tuple(characters)
        self._exact = {name: character for character in characters for name in (character.tag, *character.aliases)}
        self._folded: dict[str, list[Character]] = {}
        for name, character in self._exact.items():
            self._folded.setdefault(name.casefold(), []).append(character)
        self._hints: dict[str, str] = {}
        self._nearly: dict[str, tuple[str, str] | None] = {}
        self.names = tuple(self._exact)
        self.speech = spoken(self.names)
        self.written = re.compile("|".join(map(whole_word, sorted(self.names, key=len, reverse=True))) or "(?!)")

    def find(self, tag: str) -> Character | None:
        """The character that a tag means: exactly this name or alias, else the only one of which it differs in case alone."""
        if tag in self._exact:
            return self._exact[tag]
        candidates = self._folded.get(tag.casefold(), [])
        return candidates[0] if len({character.tag for character in candidates}) == 1 else None

    def hint(self, tag: str) -> str:
        """What to do about a tag that means no character."""
        if tag not in self._hints:
            self._hints[tag] = self._make_hint(tag)
        return self._hints[tag]

    def nearly(self, text: str) -> tuple[str, str] | None:
        """What a text ends with that is no name and nearly one, and this name."""
        ahead = text[-_SUGGEST_UP_TO:]
        if ahead not in self._nearly:
            self._nearly[ahead] = self._find_nearly(ahead.split(" "))
        return self._nearly[ahead]

    def _find_nearly(self, words: list[str]) -> tuple[str, str] | None:
        close = None
        for name in self.names:
            called = re.sub(r"\A\W+", "", " ".join(words[-name.count(" ") - 1:]))
            if self.find(called):
                return None
            pairs = list(zip(called.casefold().split(" "), name.casefold().split(" ")))
            if not close and called.count(" ") == name.count(" ") and all(a == b or _is_typo(a, b) for a, b in pairs):
                close = called, name
        return close

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


def _is_typo(word: str, other: str) -> bool:
    """Whether two words that are not the same may be one: two neighbouring letters swapped, or about one letter too many or another."""
    if min(len(word), len(other)) < 3 or abs(len(word) - len(other)) > 1:
        return False
    swapped = (f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2:]}" for at in range(len(word) - 1))
    return other in swapped or difflib.SequenceMatcher(None, word, other).ratio() >= _CLOSE


def parse_characters(text: str, mistakes: list[Mistake]) -> list[Character]:
    """Read character lines. A tag with a poor description is kept, so that panels do not call it unknown as well."""
    found: dict[str, int] = {}
    characters: list[Character] = []
    for number, line in lines(text, "characters", mistakes):

        def wrong(message: str, remedy: str, number: int = number, line: str = line) -> None:
            mistakes.append(Mistake("characters", number, line, message, remedy))

        match = TAG.match(line) or WIDE_TAG.match(line)
        if not match:
            wrong("a character begins with its name in square brackets", "Write: [Name] what it looks like.")
            continue
        tag, (description, aliases) = match[1].strip(), find_aliases(split_caption(line[match.end():])[0], wrong)
        if not tag:
            wrong("the brackets are empty", "Write the character's name between them: [Name] what it looks like.")
        elif is_no_character(tag):
            wrong("[NC] means that a panel has no character", "Give the character another name.")
        elif tag in found:
            wrong(f"[{tag}] is already defined on line {found[tag]}", "Rename it or delete one of the two lines.")
        else:
            found[tag] = number
            characters.append(Character(tag, description, aliases))
            if not says_something(description):
                wrong(f"[{tag}] has no description", f'Write what it looks like: "[{tag}] a woman in a red coat".')
            elif TAG.match(description) or WIDE_TAG.match(description):
                wrong("a line has room for one character only", "Give every character a line of its own.")
    _check_aliases(characters, found, mistakes)
    return characters


def _check_aliases(characters: list[Character], lines_of: Mapping[str, int], mistakes: list[Mistake]) -> None:
    """No name means two characters."""
    taken = {character.tag: character.tag for character in characters}
    for character in characters:
        for alias in character.aliases:
            if taken.setdefault(alias, character.tag) != character.tag:
                message = f'[{character.tag}] has the alias "{alias}", which [{taken[alias]}] is called already'
                mistakes.append(Mistake("characters", lines_of[character.tag], alias, message, "Delete it in one of the two lines."))
