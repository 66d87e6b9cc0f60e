"""Masks of a story's panels: which of them shows whom."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

Panel = TypeVar("Panel", bound=Hashable)
Mask = TypeVar("Mask")


def mask_of_each(masks: Sequence[Mask], panels: Sequence[tuple[Panel, Sequence[str]]], node: str, name: str) -> dict[tuple[Panel, str | None], Mask]:
    """The mask of each (panel, character), or of each (panel, None) where it is of all in the panel.

    Args:
        masks: one a panel, one for each character of each panel, in the panels' order, or one for all.
        panels: each with its characters. name: of the input, for the error.

    Raises: ValueError for any other number of masks.
    """
    # A panel of nobody has a mask, too: else as many masks might mean two things.
    each = [(panel, who) for panel, names in panels for who in names or (None,)]
    if len(masks) in (1, len(panels)):
        return {(panel, None): masks[row % len(masks)] for row, (panel, _) in enumerate(panels)}
    if len(masks) == len(each):
        return dict(zip(each, masks))
    raise ValueError(
        f"{node}: input '{name}' has {len(masks)} masks, but the story has {len(panels)} panels. Give it one mask a panel "
        f"({len(panels)}), one for each character of each panel, in the panels' order ({len(each)}; one for a panel of nobody), or "
        "one for all."
    )
