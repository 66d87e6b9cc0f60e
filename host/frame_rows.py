"""Which frames of a film the rows of a batch are, as the host or another pack cuts it."""

from __future__ import annotations

import torch

from .consistent_attention import KEY as CONSISTENT


def rows_a_cond(x: torch.Tensor, transformer_options: dict) -> int:
    """Rows of each conditioning in a batch: the host sends those of positive and negative together, or alone."""
    return len(x) // max(1, len(transformer_options.get("cond_or_uncond") or [0]))


def frame_window(transformer_options: dict) -> list[int] | None:
    """The frames that are looked at now, where the host's context windows or AnimateDiff-Evolved's cut a film; None: all."""
    window = transformer_options.get("context_window")
    if window is not None:
        ahead = getattr(window, "causal_anchor_index", None)  # a frame ahead of the window's own, which newer hosts add and throw away
        return ([] if ahead is None or ahead < 0 else [ahead]) + list(window.index_list)
    return (transformer_options.get("ad_params") or {}).get("sub_idxs")


def told_frames(transformer_options: dict) -> int:
    """Frames of the whole film, where the host's context windows cut it and tell; else 0."""
    return getattr(transformer_options.get("context_window"), "total_frames", 0)


def refuse_other_rows(node: str, transformer_options: dict) -> None:
    """Raises: ValueError where consistent attention cuts the rows into tiles or adds a character's: they are a story's panels then and not a clip's frames."""
    for options in transformer_options.get(CONSISTENT, ()):
        if options.mode != "batch" or options.character is not None:
            cause = "a 'character'" if options.mode == "batch" else f"'mode' {options.mode}"
            raise ValueError(
                f"{node}: the rows of the latent are frames here, but Fabula_ConsistentAttention with {cause} puts others beside them. Set its 'mode' to batch, without a 'character'."
            )
