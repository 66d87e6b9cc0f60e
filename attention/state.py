"""What consistent self-attention knows during one run of a sampler. Made when sampling starts, dropped when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from .schedule import Schedule, step_of
from .tokens import batch_sources, extend_context, gather_index, sample_tokens


@dataclass(frozen=True)
class Settings:
    """`start_sigma` >= sigma > `end_sigma` is where attention is shared."""

    sampling_rate: float
    schedule: str
    seed: int
    start_sigma: float
    end_sigma: float

    def covers(self, sigma: float) -> bool:
        return self.start_sigma >= sigma > self.end_sigma


@dataclass
class Run:
    """One sampling run over `panels` rows of latents."""

    settings: Settings
    schedule: Schedule
    sources: list[list[int]]
    _indices: dict[int, torch.Tensor] = field(default_factory=dict)
    _step: int = -1

    @classmethod
    def start(cls, settings: Settings, panels: int, from_noise: bool) -> Run:
        return cls(settings, Schedule(settings.schedule, settings.seed, warm_up=from_noise), batch_sources(panels))

    def context(self, hidden: torch.Tensor, context: torch.Tensor, sigma: float, sample_sigmas: torch.Tensor,
                layer: tuple[int, int], chunks: int) -> torch.Tensor:
        """The tokens that a self-attention layer shall attend to at this moment; shapes as in `extend_context`."""
        if len(self.sources) < 2 or not self.settings.covers(sigma):
            return context
        step = step_of(sigma, sample_sigmas)
        if not self.schedule.is_on(step, layer):
            return context
        return extend_context(hidden, context, self._index(step, hidden.shape[1], hidden.device), chunks)

    def _index(self, step: int, tokens: int, device: torch.device) -> torch.Tensor:
        if step != self._step:
            self._indices.clear()
            self._step = step
        if tokens not in self._indices:
            rate, seed = self.settings.sampling_rate, self.settings.seed
            drawn = [sample_tokens(tokens, rate, seed, step, panel) for panel in range(len(self.sources))]
            self._indices[tokens] = gather_index(self.sources, drawn, tokens).to(device)
        return self._indices[tokens]
