"""When consistent self-attention is on: steps by sigma, the warm-up and the layer schedule of the official code."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .tokens import keyed_generator

SCHEDULES = ("storydiffusion", "always")
WARM_UP_STEPS = 1
EARLY_STEPS, EARLY_SHARE, LATE_SHARE = 20, 0.7, 0.9


def step_of(sigma: float, sample_sigmas: torch.Tensor) -> int:
    """The index of the interval of `sample_sigmas` (steps + 1, descending) that `sigma` lies in.

    A sampler that calls the model between two steps (dpm_2, dpmpp_sde) thus stays within the step it is in, and one
    that looks ahead (heun) is already in the next: nothing is counted.
    """
    above = int((sample_sigmas > sigma * (1 + 1e-4)).sum())
    exact = above < len(sample_sigmas) and abs(float(sample_sigmas[above]) - sigma) <= 1e-3 * max(sigma, 1e-6)
    step = above if exact else above - 1
    return min(max(step, 0), max(len(sample_sigmas) - 2, 0))


@dataclass(frozen=True)
class Schedule:
    """`storydiffusion`: plain attention in the first step, then each layer is on with probability 0.7 before step 20
    and 0.9 from there, one map for all panels. `always`: every layer in every step.

    `warm_up` is False where sampling starts from an image (denoise < 1) instead of from noise.
    """

    name: str
    seed: int
    warm_up: bool = True

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise ValueError(f"schedule is {self.name!r}, but must be one of {', '.join(SCHEDULES)}.")

    def is_on(self, step: int, layer: tuple[int, int]) -> bool:
        """`layer`: number of the output block and of the transformer block in it."""
        if self.name == "always":
            return True
        if self.warm_up and step < WARM_UP_STEPS:
            return False
        share = EARLY_SHARE if step < EARLY_STEPS else LATE_SHARE
        return float(torch.rand((), generator=keyed_generator(self.seed, step, -1, *layer))) < share
