"""Random token sampling and the gathering of other panels' tokens.

Source: StoryDiffusion (arXiv 2405.01434), section 3.1: S_i = RandSample(I_1..I_{i-1}, I_{i+1}..I_B), P_i = [S_i; I_i].
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

import torch


def keyed_generator(*key: int) -> torch.Generator:
    """A CPU generator whose numbers depend on the integers of `key` alone, not on what else has drawn."""
    folded = ((number + 2**63) % 2**64 - 2**63 for number in key)  # the host's seeds go up to 2**64 - 1
    digest = hashlib.blake2b(struct.pack(f"<{len(key)}q", *folded), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def sample_tokens(tokens: int, sampling_rate: float, seed: int, step: int, panel: int, marked: torch.Tensor | None = None) -> torch.Tensor:
    """Draws round(sampling_rate * tokens) of `tokens` positions without replacement; of the marked ones alone, where
    `marked` (tokens,) bool is given, as many as the rate is of those.

    One draw for each (step, resolution, panel): layers of the same resolution and both CFG halves share it.

    Returns: (samples,) int64, ascending.
    """
    order = torch.randperm(tokens, generator=keyed_generator(seed, step, tokens, panel))
    if marked is not None:
        order = order[marked[order]]
    return order[:round(sampling_rate * len(order))].sort().values


def gather_index(sources: Sequence[Sequence[int]], drawn: Sequence[torch.Tensor], tokens: int) -> torch.Tensor:
    """Where the sampled tokens of each panel's sources lie in (panels x tokens) rows laid end to end.

    `sources[i]` lists the panels that panel i attends to, `drawn[j]` the sampled positions of panel j; every panel
    must have the same number of sampled tokens in total.

    Returns: (panels, sampled) int64.
    """
    return torch.stack([torch.cat([drawn[j] + j * tokens for j in js]) for js in sources])
