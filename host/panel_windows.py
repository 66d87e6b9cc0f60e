"""Windows of panels at each call of the denoiser: the paper's sliding window (section 3.1, Algorithm 1), in flat memory.

The paper averages inside every attention layer; here whole predictions are averaged, so that only one window's
activations are alive at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..attention.cast import Cast
from ..attention.state import Run
from ..attention.tiles import together, windows
from .panel_rows import name_rows, pick_conds


class WindowedDenoiser:
    """A CALC_COND_BATCH wrapper: sends the panels through the net window by window, and averages by count."""

    def __init__(self, run: Run, cast: Cast, panels: Sequence[int], tile_size: int):
        """`panels`: of each row; those of saved characters come last, and are in every window."""
        self._run, self._story_panels = run, len(panels) - cast.held
        held = range(len(panels) - cast.held, len(panels))
        self._windows = [[*window, *held] for window in windows(held.start, tile_size)]
        self._scenes = [together(cast, [panels[row] for row in window]) for window in self._windows]

    def __deepcopy__(self, memo) -> WindowedDenoiser:
        return self  # hosts and packs copy the options that carry it

    def __call__(self, executor, model, conds, x_in: torch.Tensor, timestep: torch.Tensor, model_options: dict):
        if len(self._windows) == 1:
            self._run.scene = self._scenes[0]
            return executor(model, conds, x_in, timestep, model_options)
        sums, counts = None, x_in.new_zeros(len(x_in), *([1] * (x_in.ndim - 1)))
        for window, scene in zip(self._windows, self._scenes):
            self._run.scene = scene
            picked = [None if entries is None else pick_conds(entries, window) for entries in conds]
            options = dict(model_options["transformer_options"])
            name_rows(options, window, self._story_panels)
            outputs = executor(model, picked, x_in[window], timestep[window], {**model_options, "transformer_options": options})
            if sums is None:
                sums = [torch.zeros_like(x_in) for _ in outputs]
            for total, output in zip(sums, outputs):
                total[window] += output
            counts[window] += 1
        return [total / counts for total in sums]
