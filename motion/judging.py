"""What a trained predictor is worth: its errors on clips that it has not seen, beside those of what needs no training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from scipy.special import stdtrit
from torch import Tensor

from .interpolation import MODES, interpolate
from .predictor import MotionPredictor

_AT_ONCE = 16  # windows
_LEAST = 5  # held-out clips that show something: of fewer, one that is unlike the others decides


@dataclass
class Log:
    """losses: of each step. errors: on held-out clips, method to the mean squared error of the frames between, in deviations; also of "predictor". ratios: of each
    held-out clip, the predictor's error by linear interpolation's."""

    losses: list[float] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)
    ratios: list[float] = field(default_factory=list)

    @property
    def beats_linear(self) -> bool:
        """Whether it is better than linear on held-out clips beyond what chance among these clips gives (95 %, one-sided)."""
        if self.too_few:
            return False
        logs = torch.tensor(self.ratios).log()
        return float(logs.mean() + stdtrit(len(logs) - 1, 0.95) * logs.std() / math.sqrt(len(logs))) < 0

    @property
    def too_few(self) -> bool:
        """Whether there are too few held-out clips to say either."""
        return len(self.ratios) < _LEAST

    def __str__(self) -> str:
        lines = [f"{name}: {error:.4f}" for name, error in self.errors.items()]
        if self.too_few:
            verdict = f"These are too few clips to show whether the predictor beats linear interpolation. Train on more videos, so that at least {_LEAST} are held out."
        else:
            verdict = f"The predictor {'beats' if self.beats_linear else 'does NOT beat'} linear interpolation."
        return "\n".join([f"error on {len(self.ratios)} held-out clips, in squared deviations:", *lines, verdict])


@torch.inference_mode()
def evaluate(model: MotionPredictor, features: Tensor, clips: Tensor, log: Log, among: Tensor | None = None) -> None:
    """Fills `log.errors` and `log.ratios` with what the predictor, and what needs no training, get wrong on windows (windows, frames, tokens, channels); clips: (windows,)
    int, which video each is of. among: the indices of the windows that count; else all."""
    among = torch.arange(len(features)) if among is None else among
    clips = clips[among]
    parts = [_errors(model, features[some].to(model.mean.device).float()) for some in among.split(_AT_ONCE)]
    errors = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    log.errors = {name: float(each.mean()) for name, each in errors.items()}
    log.ratios = [float(errors["predictor"][clips == clip].mean() / errors["linear"][clips == clip].mean().clamp_min(1e-12)) for clip in clips.unique()]


def _errors(model: MotionPredictor, features: Tensor) -> dict[str, Tensor]:
    start, end, frames = features[:, 0], features[:, -1], features.shape[1]
    near = torch.arange(frames) < frames / 2
    hold = torch.where(near[:, None, None].to(features.device), start[:, None], end[:, None])
    found = {"predictor": model(start, end, frames), **{mode: interpolate(start, end, frames, mode) for mode in MODES}, "hold": hold}
    return {name: ((each - features) / model.std).square()[:, 1:-1].mean((1, 2, 3)).cpu() for name, each in found.items()}
