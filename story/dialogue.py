"""Sentences as a panel tells them: quotations become speech, and words that only say who speaks go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest

from .attribution import GAP, STOPS, Parts, Quotation, Speaker, find_speakers, is_said, quotations
from .model import Speech
from .people import CLAUSE_END, Narration, People
from .sentences import Sentence
from .text import is_wide, says_something
from .words import ATTRIBUTION, BESIDE_SAID, SAID

_SAID_LAST = re.compile(rf"(?:,?\s*\band)?\s*(?:{SAID.pattern})\s*[,:\uff0c\uff1a]?\s*\Z")
_AND_DOES = re.compile(r"(?: \w+ly)?(?:, and (?:he|she|they) |, (?:and )?| and (?:he |she )?)")
_PARTICLE = re.compile("(?:\u3068(?!\u3066\u3082|\u3053\u308d|\u304d|\u3042\u308b|\u305f\u3093)|\u3063\u3066)\u3001?")  # Japanese, of speech
_SHOWN = re.compile("laugh|sigh|sob|sang")  # as a way to speak, one that can be seen
_COMMAS = {",": ".", "\uff0c": "\u3002", "\u3001": "\u3002"}  # at the end of speech, and what stands for them
_STOP_BEHIND = re.compile("[,.\uff0c\u3002]")  # of speech, outside of its quotes
_WORD = 24  # characters: what is shorter in quotes, and no speech, is a name or a word


@dataclass(frozen=True)
class Told:
    """A sentence as a panel tells it.

    caption: narration and speech in their order. drawn: the narration of it that a picture can show; without a word where someone
    only speaks. speaker: of its speech. people: whom it means, the speaker included.
    """

    caption: tuple[str | Speech, ...]
    drawn: Narration
    speaker: str | None
    people: tuple[str, ...]
    sentence: Sentence


def tell(sentences: Sequence[Sentence], people: People, new_scene: Sequence[bool]) -> list[Told]:
    """The sentences with their speech. What nobody of the cast is known to say stays a quotation. `new_scene`: where one begins."""
    parted: list[Parts] = []
    groups: list[tuple[str, ...]] = []
    for sentence, new in zip(sentences, new_scene):
        around, found = quotations(sentence.text)
        quoted = [replace(each, addressed=people.addressed(each.inner)) for each in found]
        pairs = zip_longest(people.read(around, new), quoted)
        parted.append([part for pair in pairs for part in pair if part is not None and part.text.strip()])
        groups.append(people.group)
    speakers = find_speakers(sentences, parted, groups)
    return [_tell(*each) for each in zip(sentences, parted, speakers)]


def _tell(sentence: Sentence, parts: Parts, speaker: Speaker) -> Told:
    caption: list[str | Speech] = []
    drawn: list[Narration] = []
    said = [isinstance(part, Quotation) and is_said(parts, at) for at, part in enumerate(parts)]
    for at, part in enumerate(parts):
        behind, ahead = said[at - 1:at] == [True], said[at + 1:at + 2] == [True]  # of speech
        if isinstance(part, Quotation):
            if said[at] and speaker.tag:
                stop = _STOP_BEHIND.match(parts[at + 1].text) if at + 1 < len(parts) and not part.inner.endswith(STOPS) else None
                text = part.inner + (stop[0] if stop else "")
                caption.append(Speech(speaker.tag, text.replace('"', "'")))  # so that there are quotes to print it in
                continue
            told, shown = part.text, Narration(part.inner if not said[at] and len(part.inner) < _WORD else "")
        elif speaker.tag:
            narrations = _without_attribution(part, speaker.verb if speaker.part == at else None) if behind or ahead else (part, part)
            kept, shown = (_between(each, behind, ahead) for each in narrations)
            told = kept.text
        else:
            told, shown = part.text, _without_unknown_speaker(part, behind) if behind or ahead else part
        caption.append(told)
        drawn.append(shown)
    tags = (tag for part in parts if isinstance(part, Narration) for tag in part.tags)
    people = dict.fromkeys((*tags, speaker.tag) if speaker.tag else tags)
    return Told(_joined(caption), Narration.of([each for each in drawn if each.text]), speaker.tag, tuple(people), sentence)


def _without_attribution(part: Narration, verb: re.Match[str] | None) -> tuple[Narration, Narration]:
    """What is left of a narration beside speech, for the caption and for the picture. Nothing of "said Mia", which the speech shows; of
    "said Mia, holding a map" the caption has "Mia said, holding a map", and the picture "Mia holding a map"."""
    shown_verb = verb is not None and _SHOWN.search(verb[0])
    if (verb or part.references) and not shown_verb and _says_only_who(part, verb):
        return Narration(""), Narration("")
    if verb is None:
        return part, part
    start, end = verb.span()
    behind = [each for each in part.references if each.start >= end]
    if behind and not part.text[:start].strip(GAP):
        subject = behind[0]
        last = subject
        for each in behind[1:]:
            last = each if part.text[last.end:each.start] in (" and ", ", ") else last
        start = last.end - subject.start
        part = part.cut(subject.start, last.end) + Narration(f" {verb[0]}") + part.cut(last.end)
        end = start + 1 + len(verb[0])
    at_the_end = _SAID_LAST.search(part.text, max(start - 8, 0))
    if at_the_end:
        return (part.cut(0, at_the_end.start()),) * 2
    goes_on = _AND_DOES.match(part.text, end)
    return part, part.cut(0, start).stripped() + Narration(" ") + part.cut(goes_on.end()) if goes_on else part


def _says_only_who(part: Narration, verb: re.Match[str] | None) -> bool:
    left, end = [], 0
    for start, after in sorted([*((each.start, each.end) for each in part.references), *([verb.span()] if verb else [])]):
        left.append(part.text[end:start])
        end = after
    return not says_something(BESIDE_SAID.sub(" ", " ".join((*left, part.text[end:]))))


def _without_unknown_speaker(part: Narration, behind: bool) -> Narration:
    """A narration beside a quotation of somebody unknown, without the clause that says so; `behind` the quotation nothing is left."""
    if behind:
        says = ATTRIBUTION.match(part.text)
        only_says = says and not part.cut(says.end()).references or SAID.match(part.text.lstrip(GAP))
        return Narration("") if only_says else _without_particle(part)
    last = _SAID_LAST.search(part.text)
    clauses = [match.start() for match in CLAUSE_END.finditer(part.text, 0, last.start() + 1)] if last else []
    return part.cut(0, clauses[-1] if clauses else 0) if last else part


def _without_particle(part: Narration) -> Narration:
    particle = _PARTICLE.match(part.text)
    return part.cut(particle.end()) if particle else part


def _between(part: Narration, behind: bool, ahead: bool) -> Narration:
    """A narration as a sentence of its own beside speech: behind it, ahead of it, or both."""
    part = (_without_particle(part) if behind else part).stripped(GAP if behind else "", GAP if ahead else "")
    if not part.text:
        return part
    if behind:
        part = Narration(part.text[0].upper() + part.text[1:], part.references)
    if not ahead or part.text.endswith(STOPS):
        return part
    return part + Narration("\u3002" if is_wide(part.text[-1]) else ".")


def _joined(caption: Sequence[str | Speech]) -> tuple[str | Speech, ...]:
    """Narration in a row is one text. Speech that "said Mia" had broken in two is one again, and has its full stop in place of a comma."""
    found: list[str | Speech] = []
    parts: list[str | Speech] = []
    for is_text, run in groupby(filter(None, caption), key=lambda part: isinstance(part, str)):
        same = list(run)
        parts += ["".join(same)] if is_text else same
    for part in parts:
        last = found[-1] if found else ""
        if isinstance(part, Speech) and isinstance(last, Speech) and last.text.endswith(tuple(_COMMAS)):
            found[-1] = Speech(part.speaker, f"{last.text}{' ' if last.text.endswith(',') else ''}{part.text}")
        else:
            found.append(part)
    for number, part in enumerate(found):
        if isinstance(part, Speech) and part.text.endswith(tuple(_COMMAS)):
            found[number] = Speech(part.speaker, part.text[:-1] + _COMMAS[part.text[-1]])
    return tuple(found)
