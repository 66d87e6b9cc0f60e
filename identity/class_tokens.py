"""Class tokens: the token ahead of each trigger word, once for every identity token, in a prompt's token ids.

`a man img, smiling` with three photos becomes `a man man man, smiling`: the trigger word is gone, and the places of the three are known. All on
token ids, since a prompt's words, weights and embeddings have become tokens before anybody knows where they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Token = tuple[Any, float, int]  # an id, or the vector of a textual inversion; its weight; and the group, such as a weighted phrase, that it belongs to


@dataclass(frozen=True)
class Frame:
    """How an encoder lays out its chunks: `length` tokens each, `start` first and `end` after the last, then `pad`. Groups of `large` tokens and more are cut
    at a chunk's end."""

    start: int
    end: int
    pad: int
    length: int = 77
    large: int = 8

    @property
    def room(self) -> int:
        return self.length - 2


@dataclass(frozen=True)
class Expansion:
    """tokens: without triggers. runs: where each trigger's class tokens lie in them. moved: where each token of the prompt has gone; nowhere for a
    trigger's, to several places for a class token."""

    tokens: list[Token]
    runs: list[range]
    moved: list[range]


class TriggerError(ValueError):
    """A trigger word that stands where none can."""


def find_triggers(tokens: Sequence[Token], trigger: Sequence[int], ends_word: Callable[[int], bool]) -> list[int]:
    """Where the trigger's ids begin, as a word of its own: what stands ahead of it ends a word."""
    ids = [token[0] if is_id(token[0]) else None for token in tokens]
    found, at = [], 0
    while at + len(trigger) <= len(ids):
        ahead = ids[at - 1] if at else None
        if ids[at:at + len(trigger)] == list(trigger) and (ahead is None or ends_word(ahead)):
            found.append(at)
            at += len(trigger)
        else:
            at += 1
    return found


def expand(tokens: Sequence[Token], triggers: Sequence[int], length: int, copies: Sequence[int], ends_word: Callable[[int], bool],
           is_word: Callable[[Sequence[int]], bool]) -> Expansion:
    """A prompt without its triggers, and the class token ahead of each as often as `copies` says, with its weight.

    Args:
        triggers: where they begin, as `find_triggers` says; length: tokens of one.
        is_word: whether the ids of a whole word are one, and not a mark.

    Raises: TriggerError where nothing that can be a class word stands ahead of a trigger.
    """
    result: list[Token] = []
    runs: list[range] = []
    moved: list[range] = []
    times = dict(zip((start - 1 for start in triggers), copies, strict=True))
    gone = {start + at for start in triggers for at in range(length)}
    for start in triggers:
        if start == 0:
            raise TriggerError("nothing stands ahead of it")
        if start - 1 in gone:
            raise TriggerError("it stands twice in a row")
        if is_id(tokens[start - 1][0]) and not is_word(_word_before(tokens, start, ends_word)):
            raise TriggerError("a mark stands ahead of it, and no word")
    for at, token in enumerate(tokens):
        begin = len(result)
        result += [] if at in gone else [token] * times.get(at, 1)
        moved.append(range(begin, len(result)))
        if at in times:
            runs.append(moved[-1])
    return Expansion(result, runs, moved)


def lay_out(tokens: Sequence[Token], frame: Frame) -> tuple[list[list[tuple[Any, float]]], list[int]]:
    """Tokens in chunks of (id, weight), each with its start and end, at least one chunk; and where each token lies in the chunks laid end to end.

    As hosts lay out prompts: a group of fewer than `frame.large` tokens stays together, and goes to the next chunk where this one has no room for it.
    """
    chunks: list[list[tuple[Any, float]]] = [[]]
    where: list[int] = []
    for _, group in itertools.groupby(tokens, key=lambda token: token[2]):
        own = list(group)
        if len(own) < frame.large and len(chunks[-1]) + len(own) > frame.room:
            chunks.append([])
        for token, weight, _ in own:
            if len(chunks[-1]) == frame.room:
                chunks.append([])
            chunks[-1].append((token, weight))
            where.append((len(chunks) - 1) * frame.length + len(chunks[-1]))
    ends = [(frame.end, 1.0), *[(frame.pad, 1.0)] * frame.room]
    return [[(frame.start, 1.0), *chunk, *ends][:frame.length] for chunk in chunks], where


def _word_before(tokens: Sequence[Token], end: int, ends_word: Callable[[int], bool]) -> list[int]:
    """The ids of the word whose last token is the one ahead of `end`."""
    begin = end - 1
    while begin > 0 and is_id(tokens[begin - 1][0]) and not ends_word(tokens[begin - 1][0]):
        begin -= 1
    return [token for token, *_ in tokens[begin:end]]


def is_id(token: Any) -> bool:
    """Whether a token is an id; the other kind is the vector of a textual inversion."""
    return isinstance(token, int)
