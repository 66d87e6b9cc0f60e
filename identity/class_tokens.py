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


class TriggerError(ValueError):
    """A trigger word that stands where none can."""


def content(chunks: Sequence[Sequence[Token]], frame: Frame) -> list[Token]:
    """The tokens of chunks without start, end and padding."""
    tokens: list[Token] = []
    for chunk in chunks:
        for token in chunk[1:]:
            if is_id(token[0]) and token[0] == frame.end:
                break
            tokens.append((token[0], token[1]))
    return tokens


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


def expand(tokens: Sequence[Token], trigger: Sequence[int], copies: Sequence[int], ends_word: Callable[[int], bool],
           is_word: Callable[[int], bool]) -> tuple[list[Token], list[range]]:
    """The tokens without any trigger, and each trigger's class token as often as `copies` says (0: once, and nothing is to be fused there), with
    its weight. Also where these are, in the new tokens.

    Raises: TriggerError where nothing that can be a class word stands ahead of a trigger.
    """
    starts = find_triggers(tokens, trigger, ends_word)
    if len(starts) != len(copies):
        raise ValueError(f"{len(starts)} triggers, but copies for {len(copies)}")
    result: list[Token] = []
    runs: list[range] = []
    end = 0
    for start, count in zip(starts, copies):
        result += tokens[end:start]
        end = start + len(trigger)
        if start == 0:
            raise TriggerError("nothing stands ahead of it")
        if runs and tokens[start - len(trigger):start] == tokens[start:end] and start - len(trigger) in starts:
            raise TriggerError("it stands twice in a row")
        if is_id(result[-1][0]) and not is_word(result[-1][0]):
            raise TriggerError("a mark stands ahead of it, and no word")
        runs.append(range(len(result) - 1, len(result) - 1 + count))
        result += [result[-1]] * (count - 1)
    return result + list(tokens[end:]), runs


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
