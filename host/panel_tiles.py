"""A story sampled tile by tile, as one run of the host's sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..attention.state import Run
from ..attention.tiles import Tile
from .panel_noise import keyed
from .panel_rows import name_rows, pick, pick_conds


@dataclass(frozen=True)
class Placed:
    """A tile with the batch rows that its places hold, and those of them whose result is the batch's."""

    tile: Tile
    rows: tuple[int, ...]
    kept: tuple[int, ...]  # places in the tile


def place(tiles: Sequence[Tile], row_of: dict[int, int], story_panels: range) -> list[Placed]:
    """The tiles that hold a panel of the batch. `row_of`: panel of the story, or picture of a saved character, to row.

    A place whose panel was not asked for holds an anchor's row in its stead; nobody attends to such places. A panel
    that stands in several tiles (an anchor) is kept from the first.
    """
    placed, done = [], set()
    for tile in tiles:
        kept = []
        for at, panel in enumerate(tile.scene.panels):
            if panel in row_of and panel in story_panels and panel not in done and not tile.stand_ins[at]:
                kept.append(at)
                done.add(panel)
        if kept:
            spare = next(row_of[panel] for panel in tile.scene.panels if panel in row_of)
            rows = tuple(row_of.get(panel, spare) for panel in tile.scene.panels)
            placed.append(Placed(tile, rows, tuple(kept)))
    return placed


def sample_tiles(executor, run: Run, placed: Sequence[Placed], panels: int, keys: Sequence[tuple[int, ...]], noise: torch.Tensor,
                 latent_image: torch.Tensor, sampler, sigmas: torch.Tensor, denoise_mask: torch.Tensor | None,
                 callback: Callable | None, disable_pbar: bool, seed: int | None, **kwargs) -> torch.Tensor:
    """Calls the host's sampling once a tile, and puts the results together.

    Args:
        executor: what an OUTER_SAMPLE wrapper is given; the arguments after `keys` are the host's.
        panels: the rows of the batch that are panels, its first ones.
        keys: for each panel of the story, what the noise that is drawn for it while sampling depends on.
    """
    guider = executor.class_obj
    whole = guider.conds
    progress = _Progress(callback, len(placed), panels)
    result = None
    for number, each in enumerate(placed):
        run.restart(each.tile.scene)
        rows = list(each.rows)
        guider.conds = _pick_kinds(whole, rows)
        name_rows(guider.model_options["transformer_options"], rows, panels)
        if "latent_shapes" in kwargs:
            kwargs["latent_shapes"] = [latent_image[rows].shape]
        sampled = executor(
            noise[rows], latent_image[rows], keyed(sampler, [keys[panel] for panel in each.tile.scene.panels]), sigmas,
            None if denoise_mask is None else pick(denoise_mask, rows), progress.of_tile(number, each), disable_pbar, seed, **kwargs,
        )
        if result is None:
            result = sampled.new_zeros(panels, *sampled.shape[1:])
        result[[rows[at] for at in each.kept]] = sampled[list(each.kept)]
    guider.conds = whole
    progress.finish(result)
    return result


def _pick_kinds(conds: dict[str, list[dict]], rows: Sequence[int]) -> dict[str, list[dict]]:
    """All kinds at once: positive and negative share a ControlNet, and so must what is made of it."""
    kinds = [kind for kind, entries in conds.items() for _ in entries]
    picked = pick_conds([entry for entries in conds.values() for entry in entries], rows)
    return {kind: [entry for of, entry in zip(kinds, picked) if of == kind] for kind in conds}


class _Progress:
    """Reports all tiles to the host as one run: one bar, and at the end the estimate of the whole batch."""

    def __init__(self, callback: Callable | None, tiles: int, rows: int):
        self._callback, self._tiles, self._rows = callback, tiles, rows
        self._estimate: torch.Tensor | None = None
        self._steps = 0

    def of_tile(self, number: int, placed: Placed) -> Callable | None:
        if self._callback is None:
            return None
        kept = list(placed.kept)
        rows = [placed.rows[at] for at in kept]

        def report(step: int, x0: torch.Tensor, x: torch.Tensor, total_steps: int) -> None:
            if self._estimate is None:
                self._estimate = x0.new_zeros(self._rows, *x0.shape[1:])
            self._estimate[rows] = x0[kept]
            self._steps = self._tiles * total_steps
            self._callback(number * total_steps + step, x0[kept], x[kept], self._steps)

        return report

    def finish(self, result: torch.Tensor) -> None:
        """One last report, of every panel: sampler nodes give it out as `denoised_output`."""
        if self._estimate is not None:
            self._callback(self._steps - 1, self._estimate, result, self._steps)
