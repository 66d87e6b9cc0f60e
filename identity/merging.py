"""When a prompt's class tokens become those of the person: the delayed merge of StoryDiffusion and PhotoMaker."""

from __future__ import annotations

from collections.abc import Sequence

_ABOVE = 1e-3  # of the way to the step before
LATEST = 30  # the official app's cap on the step


def start_merge_step(style_strength: float, steps: int) -> int:
    """The last step that goes by the text alone, from 0: int(style_strength / 100 * steps), at most 30 as in the official app."""
    return min(int(style_strength / 100 * steps), LATEST)


def switch_sigma(sigmas: Sequence[float], step: int) -> float | None:
    """A noise level just above that at which the step behind `step` begins: above it the text alone, below it the merged prompt, so that a sampler's
    evaluations within `step` go by the text as well. None where no step is left to merge in. `sigmas`: the noise levels of a sampling, falling, the last the
    end of its last step."""
    if step + 1 >= len(sigmas) - 1:
        return None
    return sigmas[step + 1] + _ABOVE * (sigmas[step] - sigmas[step + 1])
