"""Where the character is in each panel: which of its tokens others may sample."""

from __future__ import annotations

from collections.abc import Mapping

import torch

FULL_ENOUGH = 0.5  # share of a token's area that the mask must cover


class Subjects:
    """Masks of some panels. `masks`: panel of the story to (height, width), 1 where its character is."""

    def __init__(self, masks: Mapping[int, torch.Tensor]):
        self._masks = dict(masks)
        self._found: dict[tuple[int, tuple[int, int]], torch.Tensor] = {}

    def tokens(self, panel: int, grid: tuple[int, int]) -> torch.Tensor | None:
        """(tokens,) bool of a layer whose tokens lie in `grid`, rows and columns; None where every token may be sampled.

        A mask that covers no token's half marks the token that it covers most; an empty mask marks none.
        """
        mask = self._masks.get(panel)
        if mask is None:
            return None
        if (panel, grid) not in self._found:
            covered = torch.nn.functional.interpolate(mask[None, None].float(), grid, mode="area").flatten()
            marked = covered >= FULL_ENOUGH
            if not marked.any() and covered.max() > 0:
                marked = covered == covered.max()
            self._found[panel, grid] = marked
        return self._found[panel, grid]


def token_grid(tokens: int, height: int, width: int) -> tuple[int, int] | None:
    """Rows and columns of a UNet layer of `tokens` tokens over latents of `height` x `width`: each downsampling halves
    both, rounding up. None where no number of halvings gives as many."""
    while height * width > tokens:
        height, width = (height + 1) // 2, (width + 1) // 2
    return (height, width) if height * width == tokens else None
