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
    """Rows that attend to equally many tokens. `index`: (rows, keys) into (all rows x tokens) laid end to end, or None
    where the rows attend to their own tokens alone."""

    rows: tuple[int, ...]
    index: torch.Tensor | None


def group_rows(sources: Sequence[Sequence[int]], drawn: Sequence[torch.Tensor], tokens: int, device: torch.device) -> list[Group]:
    """Groups the rows of a scene by how many tokens they see: P_i = [S_i; I_i], own tokens once and last.

    Args:
        sources: for each row, the rows whose sampled tokens it sees.
        drawn: for each row, the positions of its tokens that others see, (samples,) int64.
        tokens: keys of one row.
    """
    sizes: dict[int, list[int]] = {}
    for row, seen in enumerate(sources):
        sizes.setdefault(sum(len(drawn[other]) for other in seen), []).append(row)
    groups = []
    for extra, rows in sizes.items():
        index = None
        if extra:
            own = torch.stack([torch.arange(row * tokens, (row + 1) * tokens) for row in rows])
            index = torch.cat([gather_index([sources[row] for row in rows], drawn, tokens), own], dim=1).to(device)
        groups.append(Group(tuple(rows), index))
    return groups


def attend_shared(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, groups: Sequence[Group], chunks: int, attend: Attend) -> torch.Tensor:
    """Each row of `q` attends to its own tokens of `k` and `v` and to the sampled ones of its sources.

    Args:
        q: (chunks x rows, tokens, channels); a chunk is one conditioning, and tokens never pass from one to another.
        k, v: (chunks x rows, keys, channels), usually as many keys as tokens.
        groups: from `group_rows` with `keys` tokens; together they hold every row once.
        attend: plain attention on (batch, tokens, channels), (batch, keys, channels) twice.

    Returns: what `attend` does, (chunks x rows, tokens, channels).
    """
    if len(groups) == 1:
        return _attend_group(q, k, v, groups[0].index, chunks, attend)
    rows = q.shape[0] // chunks
    out = None
    for group in groups:
        mine = _rows(group.rows)
        queries = q.unflatten(0, (chunks, rows))[:, mine].flatten(0, 1)
        if group.index is None:
            keys, values = (t.unflatten(0, (chunks, rows))[:, mine].flatten(0, 1) for t in (k, v))
            part = attend(queries, keys, values)
        else:
            part = _attend_group(queries, k, v, group.index, chunks, attend)
        if out is None:
            out = part.new_empty(chunks, rows, *part.shape[1:])
        out[:, mine] = part.unflatten(0, (chunks, len(group.rows)))
    return out.flatten(0, 1)


def _attend_group(q, k, v, index: torch.Tensor | None, chunks: int, attend: Attend) -> torch.Tensor:
    if index is None:
        return attend(q, k, v)
    return attend(q, _gather(k, index, chunks), _gather(v, index, chunks))


def _gather(x: torch.Tensor, index: torch.Tensor, chunks: int) -> torch.Tensor:
    """(chunks x rows, keys, channels) and (group's rows, own and sampled keys) to (chunks x group's rows, own and sampled keys, channels)."""
    flat = x.reshape(-1, x.shape[-1])
    if chunks > 1:
        per_chunk = flat.shape[0] // chunks
        index = torch.stack([index + chunk * per_chunk for chunk in range(chunks)])
    return flat.index_select(0, index.flatten()).view(-1, index.shape[-1], x.shape[-1])


def _rows(rows: tuple[int, ...]) -> slice | list[int]:
    """A slice where the rows are neighbours: a view instead of a copy."""
    return slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else list(rows)
