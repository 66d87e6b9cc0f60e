"""Attention over own and sampled tokens, on projected queries, keys and values.

Because to_k and to_v act on each token alone, gathering after the projection gives what the official code computes by
projecting gathered tokens, at the price of projecting each token once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class View:
    """What the queries of one row see beside its own tokens.

    seen: positions of other rows' tokens among (rows x keys of a row) laid end to end, (sampled,) int64.
    region: the queries of which this holds, (tokens,) bool; None for all. The views of a row that have regions divide
    its queries between them, each in one.
    """

    row: int
    seen: torch.Tensor
    region: torch.Tensor | None = None


@dataclass(frozen=True)
class Group:
    """Views that see equally many tokens. `rows`: theirs, a slice where they are neighbours (a tensor view instead of a
    copy), else (views,) int64. `index`: (chunks x views, keys) into (chunks x all rows x keys of a row) laid end to end,
    or None where they see their own tokens alone. `regions`: where views hold for some queries only, which of the group's
    queries (chunks x views x tokens) laid end to end go where among (chunks x all rows x tokens), both int64. Tensors are
    on the device of the attention: an index that is not would make the GPU wait in every layer."""

    rows: slice | torch.Tensor
    index: torch.Tensor | None
    regions: tuple[torch.Tensor, torch.Tensor] | None = None


def whole_rows(sources: Sequence[Sequence[int]], drawn: Sequence[torch.Tensor], keys: int) -> list[View]:
    """One view a row, of the sampled tokens of its sources: S_i = RandSample(the others).

    Args:
        sources: for each row, the rows whose sampled tokens it sees.
        drawn: for each row, the positions of its tokens that others see, (samples,) int64.
        keys: of one row.
    """
    return [View(row, laid_out([(other, drawn[other]) for other in seen], keys)) for row, seen in enumerate(sources)]


def laid_out(drawn: Sequence[tuple[int, torch.Tensor]], keys: int) -> torch.Tensor:
    """Positions in some rows, (row, (samples,) int64) each, among rows of `keys` keys laid end to end."""
    return torch.cat([torch.empty(0, dtype=torch.int64), *(positions + row * keys for row, positions in drawn)])


def group_views(views: Sequence[View], keys: int, chunks: int, device: torch.device) -> list[Group]:
    """Groups all views of a scene by how many tokens they see: P_i = [S_i; I_i], own tokens once and last.

    Args:
        views: at least one of every row.
        keys: of one row.
        chunks: how often the rows are in the batch, once a conditioning.
    """
    all_rows = max(view.row for view in views) + 1
    sizes: dict[tuple[int, bool], list[View]] = {}
    for view in views:
        sizes.setdefault((len(view.seen), view.region is not None), []).append(view)
    return [_group(alike, all_rows, keys, chunks, device) for alike in sizes.values()]


def _group(views: Sequence[View], all_rows: int, keys: int, chunks: int, device: torch.device) -> Group:
    index = regions = None
    if len(views[0].seen):
        index = torch.stack([torch.cat([view.seen, torch.arange(view.row * keys, (view.row + 1) * keys)]) for view in views])
        index = torch.cat([index + chunk * all_rows * keys for chunk in range(chunks)]).to(device)
    if views[0].region is not None:
        tokens = len(views[0].region)
        places = torch.stack([torch.arange(tokens) + (chunk * all_rows + view.row) * tokens for chunk in range(chunks) for view in views])
        inside = torch.stack([view.region for _ in range(chunks) for view in views])
        regions = inside.flatten().nonzero()[:, 0].to(device), places[inside].to(device)
    rows = [view.row for view in views]
    neighbours = rows == list(range(rows[0], rows[-1] + 1))
    return Group(slice(rows[0], rows[-1] + 1) if neighbours else torch.tensor(rows, device=device), index, regions)


def attend_shared(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, groups: Sequence[Group], chunks: int, attend: Attend) -> torch.Tensor:
    """Each row of `q` attends to its own tokens of `k` and `v` and to the sampled ones that its views see.

    Args:
        q: (chunks x rows, tokens, channels); a chunk is one conditioning, and tokens never pass from one to another.
        k, v: (chunks x rows, keys, channels), usually as many keys as tokens.
        groups: from `group_views` with these keys and chunks.
        attend: plain attention on (batch, tokens, channels), (batch, keys, channels) twice.

    Returns: what `attend` does, (chunks x rows, tokens, channels).
    """
    if len(groups) == 1 and groups[0].regions is None:
        return attend(q, *(_seen(t, groups[0], chunks) for t in (k, v))) if groups[0].index is not None else attend(q, k, v)
    out = None
    for group in groups:
        part = attend(_of_rows(q, group.rows, chunks), _seen(k, group, chunks), _seen(v, group, chunks))
        if out is None:
            out = part.new_empty(chunks, q.shape[0] // chunks, *part.shape[1:])
        if group.regions is None:
            out[:, group.rows] = part.unflatten(0, (chunks, -1))
        else:
            inside, places = group.regions
            out.view(-1, out.shape[-1]).index_copy_(0, places, part.flatten(0, 1).index_select(0, inside))
    return out.flatten(0, 1)


def _seen(x: torch.Tensor, group: Group, chunks: int) -> torch.Tensor:
    """What the views of a group see of keys or values (chunks x rows, keys, channels)."""
    if group.index is None:
        return _of_rows(x, group.rows, chunks)
    return x.reshape(-1, x.shape[-1]).index_select(0, group.index.flatten()).view(*group.index.shape, x.shape[-1])


def _of_rows(x: torch.Tensor, rows: slice | torch.Tensor, chunks: int) -> torch.Tensor:
    return x.unflatten(0, (chunks, -1))[:, rows].flatten(0, 1)
