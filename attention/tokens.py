"""Random token sampling.

Source: StoryDiffusion (arXiv 2405.01434), section 3.1: S_i = RandSample(I_1..I_{i-1}, I_{i+1}..I_B), P_i = [S_i; I_i].
"""

from __future__ import annotations

import hashlib
import struct

import torch

from .subject import Subject


def keyed_generator(*key: int) -> torch.Generator:
    """A CPU generator whose numbers depend on the integers of `key` alone, not on what else has drawn."""
    folded = ((number + 2**63) % 2**64 - 2**63 for number in key)  # the host's seeds go up to 2**64 - 1
    digest = hashlib.blake2b(struct.pack(f"<{len(key)}q", *folded), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def sample_tokens(tokens: int, sampling_rate: float, seed: int, step: int, panel: int, subject: Subject | None = None) -> torch.Tensor:
    """Draws round(sampling_rate * tokens) of `tokens` positions without replacement.

    One draw for each (step, resolution, panel): layers of the same resolution and both CFG halves share it. Of a
    `subject` the tokens inside come first, in random order; where there are fewer than that, those outside by their score,
    or none where it has no score.

    Returns: (samples,) int64, ascending.
    """
    order = torch.randperm(tokens, generator=keyed_generator(seed, step, tokens, panel))
    if subject is not None:
        inside = subject.inside[order]
        outside = order[~inside]
        outside = outside[:0] if subject.score is None else outside[subject.score[outside].argsort(descending=True, stable=True)]
        order = torch.cat([order[inside], outside])
    return order[:round(sampling_rate * tokens)].sort().values
