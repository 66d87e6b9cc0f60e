"""A prompt's tokens, as the host's text encoders take them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from comfy.sd import CLIP

_FEW = (1, 2, 3, 4, 6, 12)  # numbers of chunks that all go into the last
_BREAK = re.compile(r"\bBREAK\b")


def tokenize(clip: CLIP, text: str) -> dict[str, list]:
    """Encoder to chunks of (id, weight), with the host's weights and embeddings. `BREAK` begins a new chunk."""
    return join_parts(tokenize_parts(clip, text))


def tokenize_parts(clip: CLIP, text: str, **options) -> list[dict[str, list]]:
    """As `tokenize`, what stands between two BREAKs by itself, equally many chunks of it for each encoder: what follows begins at the same place in all."""
    parts = [clip.tokenize(part.strip(), **options) for part in _BREAK.split(text)]
    for part in parts:
        pad_chunks(clip, part)
    return parts


def join_parts(parts: Sequence[dict[str, list]]) -> dict[str, list]:
    return {encoder: [chunk for part in parts for chunk in part[encoder]] for encoder in parts[0]}


def content(chunk: Sequence, end: int) -> Sequence:
    """A chunk's tokens between its start and its end; a textual inversion's are vectors."""
    ends = (at for at, (token, *_) in enumerate(chunk) if at and isinstance(token, int) and token == end)
    return chunk[1:next(ends, len(chunk))]


def flatten(chunks: Sequence[Sequence], end: int) -> tuple[list[tuple], list[int]]:
    """The tokens, (id or vector, weight, ...), of chunks without start, end and padding, and their places in the chunks laid end to end."""
    tokens, places = [], []
    for number, chunk in enumerate(chunks):
        for at, token in enumerate(content(chunk, end), start=1):
            tokens.append(token)
            places.append(number * len(chunk) + at)
    return tokens, places


def token_counter(clip: CLIP | None) -> Callable[[str], int] | None:
    """Counts a prompt's tokens as an encoder of CLIP's reads them; None where `clip` has no such encoder."""
    empty = clip.tokenize("") if clip is not None else {}
    encoder = next((name for name in ("l", "g", "h") if name in empty), None)
    if encoder is None:
        return None
    end = empty[encoder][0][1][0]
    return lambda text: sum(len(content(chunk, end)) for chunk in tokenize(clip, text)[encoder])


def even_chunks(clip: CLIP, prompts: Sequence[dict]) -> int:
    """Into how many chunks prompts of different length fit without a rest: rows of a batch are of one length, and a prompt that is repeated is the same to attention, which empty
    chunks behind it are not. Lengths that would need very many get empty chunks up to the next that does not."""
    for prompt in prompts:
        own = max(map(len, prompt.values()))
        pad_chunks(clip, prompt, next((number for number in _FEW if number >= own), math.ceil(own / _FEW[-1]) * _FEW[-1]))
    return math.lcm(*map(chunks_of, prompts))


def chunks_of(prompt: Mapping[str, list]) -> int:
    return len(next(iter(prompt.values())))


def pad_chunks(clip: CLIP, prompt: dict, least: int = 0) -> None:
    """Appends chunks of the empty prompt until all encoders have equally many, and `least`: the host cuts two encoders to the shorter one."""
    wanted = max(least, *map(len, prompt.values()))
    if all(len(chunks) == wanted for chunks in prompt.values()):
        return
    empty = clip.tokenize("")
    for encoder, chunks in prompt.items():
        prompt[encoder] = [*chunks, *([empty[encoder][0]] * (wanted - len(chunks)))]
