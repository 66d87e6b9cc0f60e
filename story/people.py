"""Who is meant in a narrative: characters by name, by alias, by what they are, and by pronoun."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from .cast import Cast
from .escaping import escape
from .model import Character
from .text import is_wide, says_something, whole_word
from .words import (
    ADJECTIVES, AHEAD_OF_ADDRESSED, APPOSED, BEHIND_ADDRESSED, BEHIND_APPOSED, BEHIND_OBJECT, BEING_WIDE, CALLED, CLAUSE_MARKS, FEMALE,
    FEMALE_WIDE, MALE, MALE_WIDE, NO_BEING, OWNED_PERSON, OWNING, PRONOUN,
)

_CLAUSE = re.compile(rf"[{CLAUSE_MARKS}.(\u3002]|\s(?:with|in|who|wearing|holding|of|and|that|from|at|on)\s")
CLAUSE_END = re.compile(f"[{CLAUSE_MARKS}.\u3002]")
_ARTICLE = re.compile(r"(?:a|an|the|one)\s", re.I)
# Japanese with an object, a goal or "... to itta", and without the particles of a subject.
_NO_SUBJECT = re.compile("(?=\\s*(?:\u3068|\u3063\u3066)|.*[\u3092\u306b\u3078])[^\u306f\u304c\u3082]*", re.S)
_NARRATOR = frozenset(("I", "\u6211", "\u79c1", "\u50d5", "\u4ffa"))  # as an alias: who says it is never "she" or "he"
_NEXT_WORD = re.compile(r" ([a-z]+)")


@dataclass(frozen=True)
class Reference:
    """`text[start:end]` of a narration means the characters `tags`; `owns`: as "his" does, and not "Mia's", whose "'s" stands behind it.
    An empty one is a subject that goes without saying."""

    start: int
    end: int
    tags: tuple[str, ...]
    owns: bool = False


@dataclass(frozen=True)
class Narration:
    """Text outside of quotations, and whom it means."""

    text: str
    references: tuple[Reference, ...] = ()

    def cut(self, start: int, end: int | None = None) -> Narration:
        """The part from `start` to `end`, with the references that are whole in it."""
        end = len(self.text) if end is None else end
        inside = (each for each in self.references if start <= each.start and each.end <= end)
        return Narration(self.text[start:end], tuple(replace(each, start=each.start - start, end=each.end - start) for each in inside))

    def stripped(self, left: str = " ", right: str = " ") -> Narration:
        """Without these characters at its ends."""
        text = self.text.rstrip(right) if right else self.text
        return self.cut(len(text) - len(text.lstrip(left)) if left else 0, len(text))

    @staticmethod
    def of(parts: Sequence[Narration], between: str = " ") -> Narration:
        """The parts in a row."""
        references: list[Reference] = []
        start = 0
        for part in parts:
            references += (replace(each, start=each.start + start, end=each.end + start) for each in part.references)
            start += len(part.text) + len(between)
        return Narration(between.join(part.text for part in parts), tuple(references))

    def __add__(self, other: Narration) -> Narration:
        return Narration.of((self, other), between="")

    def of_first(self, number: int) -> Narration:
        """The same with the first `number` characters alone: the others are there, but are no references."""
        first = self.tags[:number]
        fewer = (replace(each, tags=tuple(tag for tag in each.tags if tag in first)) for each in self.references)
        return Narration(self.text, tuple(each for each in fewer if each.tags))

    @property
    def tags(self) -> tuple[str, ...]:
        """The characters, each once, in order of appearance."""
        return tuple(dict.fromkeys(tag for each in self.references for tag in each.tags))

    @property
    def subjects(self) -> tuple[Reference, ...]:
        """Who may be the subject of a verb: in "Tom's mother said" and "his dog said" it is somebody else."""
        return tuple(each for each in self.references if self._owned(each) is None)

    @property
    def actors(self) -> tuple[Reference, ...]:
        """Who does what the sentence tells, he or something of his: "His eyes widened", but not "His mother came in"."""
        owned = ((each, self._owned(each)) for each in self.references)
        return tuple(each for each, start in owned if start is None or not OWNED_PERSON.match(self.text, start))

    def _owned(self, each: Reference) -> int | None:
        """Where that begins what the reference owns; None where it owns nothing."""
        mark = OWNING.match(self.text, each.end)
        return mark.end() if mark else each.end if each.owns else None


class People:
    """Reads sentences in their order, and remembers who was there.

    A pronoun means the character last spoken of whose gender fits, the first of a sentence before the others of it; a gender that
    the description does not tell fits any. "They" are the last two or more who were spoken of together. A Japanese sentence without
    a subject goes on with the last one. "A girl" means a girl of the cast who has not been spoken of yet, "the girl" any.

    Args:
        cast: of the whole story, in whose script the text is escaped. characters: those of it that are looked for.
    """

    def __init__(self, cast: Cast, characters: Sequence[Character]) -> None:
        self._genders = {character.tag: guess_gender(character.description) for character in characters}
        self._tags: dict[str, str] = {}
        for character in characters:
            for name in filter(says_something, (character.tag, *character.aliases)):
                for spelling in _spellings(escape(name, cast).strip()):
                    self._tags.setdefault(spelling, character.tag)
            if not _NARRATOR.isdisjoint(character.aliases):
                self._genders[character.tag] = "I"
        self._beings = _beings(characters)
        self._pattern = _pattern(self._tags, self._beings) if characters else None
        self._recent: tuple[str, ...] = ()  # the most likely meaning of a pronoun first
        self._last: deque[Sequence[str]] = deque(maxlen=2)  # sentences that mean anyone
        self._group: tuple[str, ...] = ()
        self._group_is_here = False  # and not in a scene before

    @property
    def group(self) -> tuple[str, ...]:
        """Who "they" are."""
        return self._group

    def read(self, texts: Sequence[str], new_scene: bool = False) -> list[Narration]:
        """The narrative parts of the next sentence, with whom they mean."""
        self._group_is_here &= not new_scene
        current: list[str] = []
        found = []
        for text in texts:
            references = []
            matches = list(self._pattern.finditer(text)) if self._pattern else []
            end = 0
            for number, match in enumerate(matches):
                if match.start() < end:
                    continue  # in "the girl Mia" she is called twice
                tags, owns = self._meaning(match, matches[number + 1:number + 3], current)
                end = self._end_of_name(match, matches[number + 1:number + 2], tags)
                if tags:
                    references.append(Reference(match.start(), end, tags, owns))
                    current += [tag for tag in tags if tag not in current]
            found.append(Narration(text, tuple(references)))
        if not current and self._recent and _NO_SUBJECT.fullmatch("".join(texts)):
            current.append(self._recent[0])
            at = next(number for number, text in enumerate(texts) if text.strip())
            found[at] = Narration(texts[at], (Reference(0, 0, (current[0],)),))
        self._remember(current)
        return found

    def _end_of_name(self, match: re.Match[str], following: Sequence[re.Match[str]], tags: tuple[str, ...]) -> int:
        """Where a mention ends: of "the girl called Mia" behind the name."""
        if not (match["being"] or match["wide_being"]) or not following or tags != (self._tags.get(following[0][0]),):
            return match.end()
        name = following[0]
        called = CALLED.fullmatch(match.string, match.end(), name.start())
        apposed = APPOSED.fullmatch(match.string, match.end(), name.start()) and BEHIND_APPOSED.match(match.string, name.end())
        return name.end() if called or apposed else match.end()

    def addressed(self, speech: str) -> frozenset[str]:
        """Whom what is said calls by name, as "Tom, look!" does; "Tom." alone may well answer who speaks."""
        found = set()
        for match in self._pattern.finditer(speech) if self._pattern else ():
            before = speech[max(match.start() - 8, 0):match.start()]
            behind = BEHIND_ADDRESSED.match(speech, match.end())
            if match["name"] and behind and (before.strip() or not behind["stop"]) and AHEAD_OF_ADDRESSED.search(before):
                found.add(self._tags[match["name"]])
        return frozenset(found)

    def _remember(self, current: Sequence[str]) -> None:
        if len(current) > 1:
            self._group, self._group_is_here = tuple(current), True
        elif current and current[0] not in self._group:
            self._group = _once((*(self._group if self._group_is_here else self._recent[:1]), *current))
            self._group_is_here = True
        self._recent = _once([*current, *self._recent])
        self._last.extend([current] if current else [])

    def _meaning(self, match: re.Match[str], following: Sequence[re.Match[str]], current: list[str]) -> tuple[tuple[str, ...], bool]:
        if match["name"]:
            return (self._tags[match["name"]],), False
        if match["being"] or match["wide_being"]:
            tag = self._beings[match["being"] or match["wide_being"]]
            is_new = tag not in self._recent and tag not in current
            return ((tag,) if is_new or not (match["a"] or match["wide_a"]) else ()), False
        word = match[0].casefold()
        after = _NEXT_WORD.match(match.string, match.end())
        owns = word in ("his", "their") or word == "her" and bool(after) and after[1] not in BEHIND_OBJECT and not after[1].endswith("ly")
        if match["they"]:
            group = tuple(current) if len(current) > 1 else self._group
            if re.search("three|三", word) and len(self._recent) > 2:
                group = self._recent[:3]
            return (group if len(group) > 1 else ()), owns
        gender = "f" if match["she"] else "m"
        order = _once([*current, *self._recent])
        if current and not owns and word in ("him", "her"):  # "Bob saw him": rather someone else
            order = (*(tag for tag in order if tag != current[-1]), current[-1])
        if not owns:  # "She looks at Nora" is somebody else, "When she left, Nora wept" is not
            named = {self._tags.get(each[0]) for each in following if not CLAUSE_END.search(match.string, match.end(), each.start())}
            order = tuple(tag for tag in order if tag not in named)
        meant = self._fitting(order, gender, near={*current, *chain(*self._last)})
        if meant:
            self._genders[meant] = gender
        return ((meant,) if meant else ()), owns

    def _fitting(self, order: Sequence[str], gender: str, near: set[str]) -> str | None:
        """The first of that gender, or of none that is known, among those of this sentence and the last two; else among those before;
        else the only one of that gender in the story."""
        for there in ([tag for tag in order if tag in near], [tag for tag in order if tag not in near]):
            for known in (gender, ""):
                fitting = [tag for tag in there if self._genders[tag] == known]
                if fitting:
                    return fitting[0]
        only = [tag for tag, known in self._genders.items() if known == gender]
        return only[0] if len(only) == 1 else None


def guess_gender(description: str) -> str:
    """ "f", "m", or "" where the description tells neither or both; what it begins with counts more than the rest."""
    for text in (_CLAUSE.split(description, maxsplit=1)[0], description):
        words = set(re.findall(r"[a-z]+", text.casefold()))
        female, male = bool(words & FEMALE or FEMALE_WIDE.search(text)), bool(words & MALE or MALE_WIDE.search(text))
        if female != male:
            return "f" if female else "m"
    return ""


def _spellings(name: str) -> Iterable[str]:
    """As it is, and as it stands at a sentence's start or is shouted."""
    return name, name[:1].upper() + name[1:], name.upper()


def _beings(characters: Sequence[Character]) -> dict[str, str]:
    """What a single character is, such as "girl", to its tag."""
    found: dict[str, list[str]] = {}
    for character in characters:
        first = _CLAUSE.split(character.description, maxsplit=1)[0].strip()
        wide = re.findall(BEING_WIDE, first)
        words = re.findall(r"[^\W\d_]+", first.casefold())
        if wide:
            found.setdefault(wide[-1], []).append(character.tag)
        elif _ARTICLE.match(first) and words[1:] and len(words[-1]) > 2 and words[-1] not in NO_BEING:
            found.setdefault(words[-1], []).append(character.tag)
    return {being: tags[0] for being, tags in found.items() if len(tags) == 1}


def _pattern(names: Iterable[str], beings: Iterable[str]) -> re.Pattern[str]:
    known = "|".join(map(whole_word, sorted(names, key=len, reverse=True)))
    wide = "|".join(re.escape(being) for being in beings if is_wide(being[0])) or "(?!)"
    other = "|".join(re.escape(being) for being in beings if not is_wide(being[0])) or "(?!)"
    being = rf"\b(?:[Tt](?:he|his|hat)|(?P<a>[Aa]n?)) (?:(?:{ADJECTIVES}) )?(?P<being>{other})(?!\w)"
    wide_being = rf"(?:[那这這][个個位]|[こそ]の|(?P<wide_a>一[个個名位只隻]))?(?P<wide_being>{wide})"
    return re.compile(f"(?P<name>{known})|{being}|{wide_being}|{PRONOUN}")


def _once(tags: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tags))
