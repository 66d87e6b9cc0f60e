"""Who says what in a narrative: by the words beside a quotation, by who acts beside it, by whose turn it is."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .people import CLAUSE_END, Narration
from .sentences import QUOTATION, QUOTES, Sentence
from .text import says_something
from .words import PRONOUN, SAID, WRITTEN

GAP = " ,;:\u2013\u2014\uff0c\u3001\uff1a\uff1b.\u3002"  # what stands between speech and the words that say who speaks
STOPS = tuple(".!?,\u2026\u2014\u2013-\u3002\uff01\uff1f\uff0c\u3001~\uff5e")
_LEADS_IN = re.compile("[,:\uff0c\uff1a\u3001]\\s*\\Z")
_SAID_OF = re.compile("\\s*[,\u3001]|\u3068|\u3063\u3066")  # behind a quotation; the Japanese particles of speech
_QUESTION = ("?", "\uff1f")
_CALL = ("!", "\uff01")


@dataclass(frozen=True)
class Quotation:
    """A quotation within a sentence. `text` has its quotes, `inner` has not. addressed: whom it calls by name."""

    text: str
    addressed: frozenset[str] = frozenset()

    @property
    def inner(self) -> str:
        return self.text[1:-1 if self.text[-1] in (*QUOTES, "'") else None].strip()


Parts = list[Narration | Quotation]  # of a sentence, in their order


class Speaker(NamedTuple):
    """tag: of who speaks in a sentence, or None. part, verb: where its narration says so. known: the sentence says who; None then is
    somebody else than the cast."""

    tag: str | None = None
    part: int = -1
    verb: re.Match[str] | None = None
    known: bool = False


def quotations(text: str) -> tuple[list[str], list[Quotation]]:
    """The texts around the quotations of a sentence, the first and the last perhaps empty, and the quotations."""
    around, found, end = [], [], 0
    for match in QUOTATION.finditer(text):
        around.append(text[end:match.start()])
        found.append(Quotation(match[0]))
        end = match.end()
    return [*around, text[end:]], found


def is_said(parts: Parts, at: int) -> bool:
    """Whether a quotation is speech, and no title or word in quotes."""
    inner = parts[at].inner
    before = parts[at - 1].text if at else ""
    after = parts[at + 1].text if at + 1 < len(parts) else ""
    if not says_something(inner) or WRITTEN.search(before[-40:]):
        return False
    return inner.endswith(STOPS) or not before or bool(_LEADS_IN.search(before) or _SAID_OF.match(after))


def find_speakers(sentences: Sequence[Sentence], parted: Sequence[Parts], groups: Sequence[Sequence[str]]) -> list[Speaker]:
    """Who speaks in each sentence: whom it names; else who acts beside the quotation in the same paragraph; else the other one of the
    last two who spoke. None of these speaks to himself by name, except where the sentence names him as the speaker.

    Args:
        parted: the parts of each sentence. groups: who was there together, up to each sentence.
    """
    named = [_named(parts) for parts in parted]
    alone = _alone_in_paragraph(sentences, named)
    found: list[Speaker] = []
    spoke: list[str | None] = []  # no one twice in a row
    for number, (parts, speaker) in enumerate(zip(parted, named)):
        if not any(is_said(parts, at) for at, part in enumerate(parts) if isinstance(part, Quotation)):
            found.append(Speaker())
            continue
        if not speaker.known:
            after = parted[number + 1] if number + 1 < len(parted) and not sentences[number + 1].opens else []
            if number and not sentences[number].opens:
                tag = _beside(parted[number - 1], found[-1].tag, after, alone[number])
            else:
                tag = _acting(after)
            addressed = _addressed(parts)
            tag = tag if tag not in addressed else None
            speaker = speaker._replace(tag=tag or _next_in_turn(spoke, groups[number], addressed))
        if spoke[-1:] != [speaker.tag]:
            spoke.append(speaker.tag)
        found.append(speaker)
    return found


def _named(parts: Parts) -> Speaker:
    """Whom the sentence itself names as the speaker."""
    if not any(isinstance(part, Quotation) for part in parts):
        return Speaker()
    for at, part in enumerate(parts):
        verbs = list(SAID.finditer(part.text)) if isinstance(part, Narration) else []
        if verbs:
            verb = verbs[0] if at else verbs[-1]
            subject = _subject_of(parts, at, verb)
            if subject and subject.tags[0] in _addressed(parts) and re.fullmatch(PRONOUN, subject.text):
                return Speaker(None, at, verb)  # "Tom, wait!" he said: not Tom
            return Speaker(subject.tags[0] if subject else None, at, verb, known=True)
    for at, part in enumerate(parts):
        if isinstance(part, Narration) and part.references and (at or _LEADS_IN.search(part.text)):
            if not part.actors:
                return Speaker(known=True)
            if part.actors[0].tags[0] not in _addressed(parts):
                return Speaker(part.actors[0].tags[0], known=True)
    return Speaker()


def _addressed(parts: Parts) -> frozenset[str]:
    return frozenset().union(*(part.addressed for part in parts if isinstance(part, Quotation)))


def _subject_of(parts: Parts, at: int, verb: re.Match[str]) -> Narration | None:
    """The words for the subject: behind a quotation and its verb, as in "said Mia"; else ahead of the verb, in this part or before it.
    None where it is nobody of the cast."""
    part = parts[at]
    if at and not part.text[:verb.start()].strip(GAP) and part.text.startswith(" ", verb.end()):
        return next((part.cut(each.start, each.end) for each in part.subjects if each.start == verb.end() + 1), None)
    ahead = part.cut(0, verb.start())
    clause = ahead.cut(_clause_start(ahead.text))
    if clause.references and not clause.subjects:
        return None  # "Tom's mother said"
    earlier = (each for each in reversed(parts[:at]) if isinstance(each, Narration))
    return next((subject for each in (ahead, *earlier) if (subject := _last_subject(each))), None)


def _last_subject(narration: Narration) -> Narration | None:
    """The words for whom the last clause that means anyone means first."""
    if not narration.actors:
        return None
    start = _clause_start(narration.text[:narration.actors[-1].start])
    return next(narration.cut(each.start, each.end) for each in narration.actors if each.start >= start)


def _clause_start(text: str) -> int:
    """Where the last clause of a text begins."""
    return max((match.end() for match in CLAUSE_END.finditer(text)), default=0)


def _alone_in_paragraph(sentences: Sequence[Sentence], speakers: Sequence[Speaker]) -> list[bool]:
    """For each sentence whether its paragraph names one speaker at most, as is the custom of books."""
    numbers: list[int] = []
    named: dict[int, set[str]] = {}
    for sentence, speaker in zip(sentences, speakers):
        numbers.append(numbers[-1] + bool(sentence.opens) if numbers else 0)
        named.setdefault(numbers[-1], set()).update([speaker.tag] if speaker.tag else [])
    return [len(named[number]) < 2 for number in numbers]


def _beside(before: Parts, spoke: str | None, after: Parts, alone: bool) -> str | None:
    """Who speaks between two sentences of a paragraph, in the first of which `spoke` spoke: the same one where he is `alone` in the
    paragraph, or had not come to an end; after a question, or in a row of quotations, someone else."""
    if not isinstance(before[-1], Narration):
        all_quoted = all(isinstance(part, Quotation) for part in before)
        return None if spoke and all_quoted else _acting(after)
    if len(before) == 1:
        return before[0].actors[0].tags[0] if before[0].actors else _acting(after)
    if spoke and alone:
        return spoke
    last = before[0].inner[-1:] if isinstance(before[0], Quotation) else ""
    if last in _QUESTION or after and isinstance(after[0], Quotation):
        return _acting(after)
    return _acting(after) or spoke if last in _CALL else spoke


def _acting(parts: Parts) -> str | None:
    """Whom a sentence without quotations begins with."""
    first = parts[0] if len(parts) == 1 else None
    return first.actors[0].tags[0] if isinstance(first, Narration) and first.actors and not first.actors[0].start else None


def _next_in_turn(spoke: Sequence[str | None], group: Sequence[str], addressed: Collection[str]) -> str | None:
    """The one who spoke before the last speaker; after the first, or where one of two who are there is `addressed`, the other."""
    if len(spoke) > 1 and spoke[-2] not in addressed:
        return spoke[-2]
    not_he = [tag for tag in group if tag in addressed] or spoke[-1:]
    others = [tag for tag in group if tag not in not_he]
    return others[0] if not_he and len(group) == 2 and len(others) == 1 else None
