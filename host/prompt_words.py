"""Where a character's words lie among the tokens of a panel's prompt."""

from __future__ import annotations

from collections.abc import Sequence

from comfy.sd import CLIP

from ..story.script import Panel


def find_words(clip: CLIP, panel: Panel, tokens: dict) -> dict[str, tuple[int, ...]]:
    """For each character that `panel` mentions, the places of its description in the encoded prompt.

    Found as a run of token ids, so that weights, styles and 77-token chunks around it make no difference: the n-th mention
    of a description is its n-th occurrence. Empty for a character of whom nothing is found.

    Args:
        tokens: what `clip` made of the panel's prompt, with its style: encoder to chunks of (id, weight).
    """
    encoder = next(iter(tokens))  # all of SDXL's encoders have the same words, at the same places
    ids, places = _words(clip, tokens[encoder], encoder)
    found: dict[str, list[int]] = {}
    for mention in panel.mentions:
        wanted, _ = _words(clip, clip.tokenize(panel.prompt[mention.start:mention.end])[encoder], encoder)
        before, _ = _words(clip, clip.tokenize(panel.prompt[:mention.start])[encoder], encoder)
        starts = _occurrences(wanted, ids)
        number = len(_occurrences(wanted, before))
        if number < len(starts):
            found.setdefault(mention.tag, []).extend(places[starts[number]:starts[number] + len(wanted)])
    return {tag: tuple(own) for tag, own in found.items()}


def _words(clip: CLIP, chunks: Sequence[Sequence[tuple]], encoder: str) -> tuple[list, list[int]]:
    """The ids of a prompt without start, end and padding, and their places in the chunks laid end to end."""
    empty = clip.tokenize("")[encoder][0]
    start, end = empty[0][0], empty[1][0]
    ids, places = [], []
    for number, chunk in enumerate(chunks):
        for at, (token, *_) in enumerate(chunk):
            embedding = not isinstance(token, int)  # a textual inversion's vector
            if not embedding and at > 0 and token == end:
                break
            if embedding or token != start:
                ids.append(tuple(token.shape) if embedding else token)
                places.append(number * len(chunk) + at)
    return ids, places


def _occurrences(wanted: Sequence, among: Sequence) -> list[int]:
    """Where `wanted` begins in `among`, runs that overlap counted once."""
    found, at = [], 0
    while wanted and at + len(wanted) <= len(among):
        if list(among[at:at + len(wanted)]) == list(wanted):
            found.append(at)
            at += len(wanted)
        else:
            at += 1
    return found
