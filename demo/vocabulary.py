"""Which rows of CLIP's token table the demo's text encoders keep.

The host's tokenizer knows 49,408 tokens; the demo's captions use a few hundred. The weights hold those rows and one
more for every other token, so that an unknown word is only unknown and not noise.
"""

from __future__ import annotations

import torch

from . import captions
from .world import CLOTH, HAIR, HAIR_STYLES, HATS, KINDS, SKIN

TABLE_SIZE = 49408
UNKNOWN_ROW = 0


def words() -> list[str]:
    """Every word that a caption can hold, each once, sorted."""
    tables = (captions.ACTION_WORDS, captions.PLACE_WORDS, captions.TIME_WORDS, captions.WEATHER_WORDS)
    phrases = [p for table in tables for options in table.values() for p in options]
    phrases += [*KINDS, *captions.PLURAL.values(), *CLOTH, *HAIR, *HAIR_STYLES, *HATS, *SKIN, captions.FILLER]
    phrases += ["comic strip of twin no , . : ; ! ? ' \" - 1 2 3"]
    return sorted({word for phrase in phrases for word in phrase.split()})


def kept_tokens(tokenizer) -> list[int]:
    """Token ids of `words()` by the host's `SDTokenizer`, with start, end and padding; sorted."""
    ids = {0, 49406, 49407}
    for word in words():
        ids.update(int(token) for token, _ in tokenizer.tokenize_with_weights(word)[0])
    return sorted(ids)


def rows_of_tokens(kept: list[int]) -> torch.Tensor:
    """(49408,) int64: the row of the small table for each token id; row 0 is the unknown word."""
    rows = torch.full((TABLE_SIZE,), UNKNOWN_ROW, dtype=torch.long)
    rows[torch.tensor(kept)] = torch.arange(1, len(kept) + 1)
    return rows


def full_table(small: torch.Tensor, kept: list[int]) -> torch.Tensor:
    """The (49408, channels) token table that the host's text encoder takes, from the (1 + kept, channels) one."""
    return small[rows_of_tokens(kept)]
