"""A prompt's tokens, as the host's text encoders take them."""

from __future__ import annotations

import re

from comfy.sd import CLIP

_BREAK = re.compile(r"\bBREAK\b")


def tokenize(clip: CLIP, text: str) -> dict[str, list]:
    """Encoder to chunks of (id, weight), with the host's weights and embeddings. `BREAK` begins a new chunk."""
    parts = [clip.tokenize(part) for part in split_breaks(text)]
    return {encoder: [chunk for part in parts for chunk in part[encoder]] for encoder in parts[0]}


def split_breaks(text: str) -> list[str]:
    """What stands between a prompt's `BREAK`s."""
    return [part.strip() for part in _BREAK.split(text)]


def pad_chunks(clip: CLIP, prompts: list[dict]) -> None:
    """Appends chunks of the empty prompt until all encoders have equally many chunks of every prompt: the host cuts two
    encoders to the shorter one."""
    empty = clip.tokenize("")
    longest = max(len(chunks) for prompt in prompts for chunks in prompt.values())
    for encoder in empty:
        for prompt in prompts:
            prompt[encoder] = [*prompt[encoder], *([empty[encoder][0]] * (longest - len(prompt[encoder])))]
