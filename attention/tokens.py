"""Random token sampling and the gathering of other panels' tokens.

Source: StoryDiffusion (arXiv 2405.01434), section 3.1: S_i = RandSample(I_1..I_{i-1}, I_{i+1}..I_B), P_i = [S_i; I_i].
"""

from __future__ import annotations

import hashlib
import struct

import torch


def keyed_generator(*key: int) -> torch.Generator:
    """A CPU generator whose numbers depend on the integers of `key` alone, not on what else has drawn."""
    digest = hashlib.blake2b(struct.pack(f"<{len(key)}q", *key), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


def sample_tokens(tokens: int, sampling_rate: float, seed: int, step: int, panel: int) -> torch.Tensor:
    """Draws round(sampling_rate * tokens) of `tokens` positions without replacement.

    One draw for each (step, resolution, panel): layers of the same resolution and both CFG halves share it.

    Returns: (samples,) int64, ascending.
    """
    count = round(sampling_rate * tokens)
    drawn = torch.randperm(tokens, generator=keyed_generator(seed, step, tokens, panel))[:count]
    return drawn.sort().values


def batch_sources(panels: int) -> list[list[int]]:
    """Mode `batch`: every panel attends to every other one."""
    return [[other for other in range(panels) if other != panel] for panel in range(panels)]


def gather_index(sources: list[list[int]], drawn: list[torch.Tensor], tokens: int) -> torch.Tensor:
    """Where the sampled tokens of each panel's sources lie in (panels x tokens) rows laid end to end.

    `sources[i]` lists the panels that panel i attends to, `drawn[j]` the sampled positions of panel j; every panel
    must have the same number of sampled tokens in total.

    Returns: (panels, sampled) int64.
    """
    return torch.stack([torch.cat([drawn[j] + j * tokens for j in js]) for js in sources])


def extend_context(hidden: torch.Tensor, context: torch.Tensor, index: torch.Tensor, chunks: int) -> torch.Tensor:
    """Puts the sampled tokens of the other panels before each panel's own context: P_i = [S_i; I_i].

    Args:
        hidden: (chunks x panels, tokens, channels), the layer's normalised input; a chunk is one CFG half.
        context: (chunks x panels, context tokens, channels), what the panels attend to so far: their own tokens.
        index: (panels, sampled) from `gather_index`.
        chunks: how many conditionings are batched together; tokens never pass from one to another.

    Returns: (chunks x panels, sampled + context tokens, channels).
    """
    rows, tokens, channels = hidden.shape
    panels = rows // chunks
    if panels * chunks != rows or panels != index.shape[0]:
        raise ValueError(f"{rows} rows of tokens cannot be {chunks} chunk(s) of {index.shape[0]} panels.")
    flat = hidden.reshape(chunks, panels * tokens, channels)
    sampled = flat[:, index.flatten()].reshape(rows, index.shape[1], channels)
    return torch.cat([sampled.to(context.dtype), context], dim=1)
