"""Where a character's words lie among the tokens of a panel's prompt."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from comfy.sd import CLIP

from ..story.model import Panel, Story
from .prompt_tokens import flatten, tokenize

log = logging.getLogger(__name__)


Words = Mapping[str, tuple[int, ...]]
"""Of one prompt: character to the places of the words that describe it among the tokens, in the chunks laid end to end."""


def find_words(clip: CLIP, story: Story, prompts: Sequence[str], encoded: Sequence[dict], node: str = "Fabula_EncodeStory") -> list[Words]:
    """For each panel, and each character that it mentions, the places of the character's description in the encoded prompt.

    Found as a run of token ids, so that weights, styles and 77-token chunks around it make no difference: the n-th mention
    of a description is its n-th occurrence. What is not found is left out, with a warning.

    Args:
        prompts: the panels' prompts with their style, which hold `panel.prompt` as it is.
        encoded: what `clip` made of each: encoder to chunks of (id, weight). All of SDXL's encoders have the same words at
            the same places, unless a panel has a prompt of its own for the second.
    """
    reader = _Reader(clip)
    found = [reader.find(panel, prompt, tokens) for panel, prompt, tokens in zip(story.panels, prompts, encoded)]
    for panel, own in zip(story.panels, found):
        for name in panel.characters:
            if name not in own:
                log.warning(
                    "%s: panel %d: the words of [%s] are not found among the prompt's tokens. Other panels will see all of this one, not the "
                    "character alone.", node, panel.number, name,
                )
    return found


class _Reader:
    def __init__(self, clip: CLIP):
        self._clip = clip
        empty = clip.tokenize("")
        self._encoder = "l" if "l" in empty else next(iter(empty))  # `prompt_2=` is for the other one of SDXL
        frame = [token for token, *_ in empty[self._encoder][0][:2]]
        # CLIP's prompts stand between a start and an end; those of other families may not, and are not searched.
        self._frame = frame if len(frame) == 2 and all(isinstance(token, int) for token in frame) else None

    def find(self, panel: Panel, prompt: str, tokens: dict) -> dict[str, tuple[int, ...]]:
        if self._frame is None:
            return {}
        ids, places = self._read(tokens)
        start = max(prompt.find(panel.prompt), 0)
        found: dict[str, tuple[int, ...]] = {}
        for mention in panel.mentions:
            whole = self._ids(prompt[start + mention.start:start + mention.end])
            before = self._ids(prompt[:start + mention.start])
            # Punctuation at its ends may be one token with its neighbours: then the description is found without it.
            for wanted in (whole, whole[:-1], whole[1:], whole[1:-1]):
                starts, number = _occurrences(wanted, ids), len(_occurrences(wanted, before))
                if number < len(starts):
                    own = places[starts[number]:starts[number] + len(wanted)]
                    found[mention.tag] = (*found.get(mention.tag, ()), *own)
                    break
        return found

    def _ids(self, text: str) -> list:
        return self._read(tokenize(self._clip, text))[0]

    def _read(self, tokens: dict) -> tuple[list, list[int]]:
        """The ids of a prompt without start, end and padding, and their places in the chunks laid end to end."""
        flat, places = flatten(tokens[self._encoder], self._frame[1])
        return [token if isinstance(token, int) else tuple(token.flatten().tolist()) for token, *_ in flat], places


def _occurrences(wanted: Sequence, among: Sequence) -> list[int]:
    """Where `wanted` begins in `among`, runs that overlap counted once."""
    found, at = [], 0
    while wanted and at + len(wanted) <= len(among):
        if among[at:at + len(wanted)] == wanted:
            found.append(at)
            at += len(wanted)
        else:
            at += 1
    return found
