"""Class tokens: the token ahead of each trigger word, once for every identity token, in a prompt's token ids.

`a man img, smiling` with three photos becomes `a man man man, smiling`: the trigger word is gone, and the places of the three are known. All on
token ids, since a prompt's words, weights and embeddings have become tokens before anybody knows where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Token = tuple[Any, float]  # an id, or the vector of a textual inversion, and its weight


@dataclass(frozen=True)
class Frame:
    """How an encoder lays out its chunks: `length` tokens each, `start` first and `end` after the last, then `pad`."""

    start: int
    end: int
    pad: int
    length: int = 77

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
    ids = [token if is_id(token) else None for token, _ in tokens]
    found, at = [], 0
    while at + len(trigger) <= len(ids):
        ahead = ids[at - 1] if at else None
        if ids[at:at + len(trigger)] == list(trigger) and (ahead is None or ends_word(ahead)):
            found.append(at)
            at += len(trigger)
        else:
            at += 1
    return found


def expand(tokens: Sequence[Token], triggers: Sequence[int], length: int, copies: Sequence[int], is_word: Callable[[int], bool]) -> Expansion:
    """A prompt without its triggers, and the class token ahead of each as often as `copies` says, with its weight.

    Args:
        triggers: where they begin, as `find_triggers` says; length: tokens of one.

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
        if is_id(tokens[start - 1][0]) and not is_word(tokens[start - 1][0]):
            raise TriggerError("a mark stands ahead of it, and no word")
    for at, token in enumerate(tokens):
        begin = len(result)
        result += [] if at in gone else [token] * times.get(at, 1)
        moved.append(range(begin, len(result)))
        if at in times:
            runs.append(moved[-1])
    return Expansion(result, runs, moved)


def lay_out(tokens: Sequence[Token], frame: Frame) -> list[list[Token]]:
    """Tokens in chunks, each with its start and end; at least one."""
    chunks = []
    for at in range(0, max(1, len(tokens)), frame.room):
        part = list(tokens[at:at + frame.room])
        chunk = [(frame.start, 1.0), *part, (frame.end, 1.0)]
        chunks.append(chunk + [(frame.pad, 1.0)] * (frame.length - len(chunk)))
    return chunks


def places(run: range, frame: Frame, chunks_before: int = 0) -> list[int]:
    """Where the tokens of a run lie in chunks laid end to end; a run may cross from one chunk to the next."""
    return [(chunks_before + at // frame.room) * frame.length + 1 + at % frame.room for at in run]


def is_id(token: Any) -> bool:
    """Whether a token is an id; the other kind is the vector of a textual inversion."""
    return isinstance(token, int)
