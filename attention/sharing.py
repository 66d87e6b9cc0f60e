"""Attention over own and sampled tokens, on projected queries, keys and values.

Because to_k and to_v act on each token alone, gathering after the projection gives what the official code computes by
projecting gathered tokens, at the price of projecting each token once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .tokens import gather_index

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Group:
    """Rows that attend to equally many tokens. `rows`: a slice where they are neighbours (a view instead of a copy), else
    (rows,) int64. `index`: (chunks x rows, keys) into (chunks x all rows x keys of a row) laid end to end, or None where
    the rows attend to their own tokens alone. Tensors are on the device of the attention: an index that is not would make
    the GPU wait in every layer."""

    rows: slice | torch.Tensor
    index: torch.Tensor | None


def group_rows(sources: Sequence[Sequence[int]], drawn: Sequence[torch.Tensor], keys: int, chunks: int, device: torch.device) -> list[Group]:
    """Groups the rows of a scene by how many tokens they see: P_i = [S_i; I_i], own tokens once and last.

    Args:
        sources: for each row, the rows whose sampled tokens it sees.
        drawn: for each row, the positions of its tokens that others see, (samples,) int64.
        keys: of one row.
        chunks: how often the rows are in the batch, once a conditioning.
    """
    sizes: dict[int, list[int]] = {}
    for row, seen in enumerate(sources):
        sizes.setdefault(sum(len(drawn[other]) for other in seen), []).append(row)
    groups = []
    for extra, rows in sizes.items():
        index = None
        if extra:
            own = torch.stack([torch.arange(row * keys, (row + 1) * keys) for row in rows])
            index = torch.cat([gather_index([sources[row] for row in rows], drawn, keys), own], dim=1)
            index = torch.cat([index + chunk * len(sources) * keys for chunk in range(chunks)]).to(device)
        neighbours = rows[-1] - rows[0] + 1 == len(rows)
        groups.append(Group(slice(rows[0], rows[-1] + 1) if neighbours else torch.tensor(rows, device=device), index))
    return groups


def attend_shared(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, groups: Sequence[Group], chunks: int, attend: Attend) -> torch.Tensor:
    """Each row of `q` attends to its own tokens of `k` and `v` and to the sampled ones of its sources.

    Args:
        q: (chunks x rows, tokens, channels); a chunk is one conditioning, and tokens never pass from one to another.
        k, v: (chunks x rows, keys, channels), usually as many keys as tokens.
        groups: from `group_rows` with these keys and chunks; together they hold every row once.
        attend: plain attention on (batch, tokens, channels), (batch, keys, channels) twice.

    Returns: what `attend` does, (chunks x rows, tokens, channels).
    """
    if len(groups) == 1:
        return attend(q, *(_seen(t, groups[0], chunks) for t in (k, v))) if groups[0].index is not None else attend(q, k, v)
    out = None
    for group in groups:
        part = attend(_of_rows(q, group.rows, chunks), _seen(k, group, chunks), _seen(v, group, chunks))
        if out is None:
            out = part.new_empty(chunks, q.shape[0] // chunks, *part.shape[1:])
        out[:, group.rows] = part.unflatten(0, (chunks, -1))
    return out.flatten(0, 1)


def _seen(x: torch.Tensor, group: Group, chunks: int) -> torch.Tensor:
    """What the rows of a group see of keys or values (chunks x rows, keys, channels)."""
    if group.index is None:
        return _of_rows(x, group.rows, chunks)
    return x.reshape(-1, x.shape[-1]).index_select(0, group.index.flatten()).view(*group.index.shape, x.shape[-1])


def _of_rows(x: torch.Tensor, rows: slice | torch.Tensor, chunks: int) -> torch.Tensor:
    return x.unflatten(0, (chunks, -1))[:, rows].flatten(0, 1)
