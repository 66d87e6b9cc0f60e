"""Which frames of a film the rows of a batch are, as the host or another pack cuts it."""

from __future__ import annotations

import torch


def rows_a_cond(x: torch.Tensor, transformer_options: dict) -> int:
    """Rows of each conditioning in a batch: the host sends those of positive and negative together, or alone."""
    return len(x) // max(1, len(transformer_options.get("cond_or_uncond") or [0]))


def frame_window(transformer_options: dict) -> list[int] | None:
    """The frames that are looked at now, where the host's context windows or AnimateDiff-Evolved's cut a film; None: all."""
    window = transformer_options.get("context_window")
    if window is not None:
        return list(window.index_list)
    return (transformer_options.get("ad_params") or {}).get("sub_idxs")
