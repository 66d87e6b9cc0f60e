"""The prompt of a panel that is told in several sentences: the moment of it that is best to draw, short enough for the text encoder."""

from __future__ import annotations

import bisect
import logging
import math
import re
from collections.abc import Callable, Sequence

from .cast import Cast
from .dialogue import Told
from .escaping import escape_prompt
from .people import Narration
from .text import NO_CHARACTER, TAG, says_something
from .words import ACTION, AND, CLAUSE_MARKS, DANGLING, OPENERS, PLACE, SAID, TALKING, UNSEEN, WIDE

TOKENS = 75  # a prompt has fewer: CLIP reads this many at once
_LONGEST = 800  # characters: no prompt of 75 tokens is longer
_PART_END = re.compile(f"[{CLAUSE_MARKS}\u2013\u2014]| (?:and|but|while|because|until|so that) ")
_REASON = re.compile(r"(?<=\w),? because\b")
_WORD_END = re.compile(r"(?= )|(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])|(?<=[をにはがでとへもてた])|(?<=\S{40})")
_PIECE = re.compile(rf"[{WIDE}]|[^\W\d_{WIDE}]+|\S")

log = logging.getLogger(__name__)


def estimate_tokens(text: str) -> int:
    """About as many as CLIP's tokenizer makes of a text; rather too many."""
    total = 0.0
    for piece in _PIECE.findall(text):
        if not piece[0].isalpha():
            total += 1 if piece.isascii() else 2
        elif piece.isascii():
            total += max(1.4, len(piece) / 4)
        elif max(piece) < "\u0250":
            total += 0.85 * len(piece)  # Latin with accents
        else:
            total += 2.6 if "\u3400" <= piece <= "\u9fff" else 2 * len(piece)  # Han, and all other scripts
    return math.ceil(total)


class Prompts:
    """Makes the prompts of a story. `count_tokens`: of a text, by the text encoder that will read it."""

    def __init__(self, cast: Cast, language: str, count_tokens: Callable[[str], int]) -> None:
        self._cast = cast
        self._language = language if language in TALKING else "en"
        self._count = count_tokens

    def of(self, told: Sequence[Told], number: int, company: Sequence[str] = ()) -> str:
        """The prompt of panel `number`, with the characters' tags. `company`: who else may be there, the likeliest first."""
        moments = sorted((_without_reason(each.drawn) for each in told if _can_be_drawn(each.drawn)), key=_score, reverse=True)
        speakers = tuple(dict.fromkeys(each.speaker for each in told if each.speaker))
        if moments and (moments[0].references or not speakers):
            prompt = self._moment([each for each in moments if bool(each.references) == bool(moments[0].references)])
        else:
            others = [tag for tag in (*(tag for each in told for tag in each.people), *company) if tag not in speakers]
            prompt = self._talk(speakers, others)
            if moments and len(moments[0].text) < _LONGEST:  # nobody is in it: it tells where they talk
                there = f"{prompt}{'. ' if self._language == 'en' else '。'}{self._tagged(moments[0])}"
                prompt = there if self._fits(there) else prompt
        if not self._fits(prompt):
            log.warning(
                "Fabula_SplitStory: panel %d: with the descriptions of input 'characters', its prompt (%s) has %d tokens, and the text "
                "encoder reads 75 at once. Shorten the descriptions.", number, prompt, self._count(self._expanded(prompt)),
            )
        return prompt if TAG.search(prompt) or not self._cast.characters else f"[{NO_CHARACTER}] {prompt}"

    def _moment(self, moments: Sequence[Narration]) -> str:
        """The first that fits, perhaps without its last clauses; else the first one with fewer characters, or cut within a clause."""
        for moment in moments[:8]:
            prompt = self._shortened(moment, _PART_END)
            if self._fits(prompt) and bool(TAG.search(prompt)) == bool(moment.references):
                return prompt
        for number in range(len(moments[0].tags) - 1, 0, -1):
            prompt = self._shortened(moments[0].of_first(number), _PART_END)
            if self._fits(prompt) and TAG.search(prompt):
                return prompt
        return self._shortened(moments[0].of_first(1), _WORD_END)

    def _shortened(self, moment: Narration, at: re.Pattern[str]) -> str:
        """The longest beginning that fits, else the shortest that says something; it ends where `at` matches."""
        ends = [match.start() for match in at.finditer(moment.text, 1, _LONGEST)]
        ends += [len(moment.text)] if len(moment.text) <= _LONGEST else []
        while ends and not _can_be_drawn(moment.cut(0, ends[0])):
            del ends[0]
        ends = ends or [_LONGEST]
        whole = self._tagged(moment.cut(0, ends[-1]))
        if self._fits(whole):
            return whole
        fitting = bisect.bisect_left(ends, True, key=lambda end: not self._fits(self._tagged(moment.cut(0, end))))
        return DANGLING.sub("", self._tagged(moment.cut(0, ends[max(fitting - 1, 0)])))

    def _talk(self, speakers: Sequence[str], others: Sequence[str]) -> str:
        alone, together, nobody = TALKING[self._language]
        if not speakers:
            return nobody
        if len(speakers) == 1 and not others:
            return alone.format(f"[{speakers[0]}]")
        first, *rest = speakers
        prompt = together.format(f"[{first}]", self._group(rest or others[:1]))
        return prompt if self._fits(prompt) else alone.format(f"[{first}]")

    def _tagged(self, moment: Narration) -> str:
        """With the first mention of each character as its tag."""
        text, end = "", 0
        seen: set[str] = set()
        for each in moment.references:
            new = [tag for tag in each.tags if tag not in seen]
            text += moment.text[end:each.start]
            word, end = moment.text[each.start:each.end], each.end
            seen.update(new)
            if not new:
                text += word
            elif len(new) < len(each.tags) and not each.owns:
                text += f"{word}{self._and}{self._group(new)}"
            else:
                text += self._group(new) + ("'s" if each.owns else "") + ("\u304c" if not word else "")
        text = (text + moment.text[end:]).lstrip()
        shorter = escape_prompt(OPENERS.sub("", text))
        return shorter if says_something(TAG.sub("", shorter)) else escape_prompt(text)

    @property
    def _and(self) -> str:
        return AND.get(self._language, " and ")

    def _group(self, tags: Sequence[str]) -> str:
        *most, last = (f"[{tag}]" for tag in tags)
        return ", ".join(most) + (self._and if most else "") + last

    def _fits(self, prompt: str) -> bool:
        return self._count(self._expanded(prompt)) < TOKENS

    def _expanded(self, prompt: str) -> str:
        return TAG.sub(lambda match: f" {self._cast.find(match[1]).description} ", prompt)


def _without_reason(moment: Narration) -> Narration:
    reason = _REASON.search(moment.text)
    return moment.cut(0, reason.start()) if reason else moment


def _score(moment: Narration) -> float:
    """How well it can be drawn: someone, who does something, somewhere."""
    text = moment.text[:_LONGEST]
    short = len(text.split()) < 3 and len(re.findall(f"[{WIDE}]", text)) < 5
    return (
        3 * bool(moment.references) + 2 * bool(ACTION.search(text)) + bool(PLACE.search(text)) - 2 * bool(UNSEEN.search(text))
        - bool(SAID.search(text)) - text.rstrip().endswith(("?", "\uff1f")) - 0.5 * short
    )


def _can_be_drawn(moment: Narration) -> bool:
    """Whether it says more than who is there."""
    end = 0
    for each in moment.references:
        if says_something(moment.text[end:each.start]):
            return True
        end = each.end
    return says_something(moment.text[end:])
