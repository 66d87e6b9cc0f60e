"""Trains the semantic motion predictor on CLIP features of real clips: given the two ends, the frames between.

The paper trains through the video model's denoising loss; here the features themselves are the target, which needs no decoder. What linear interpolation gets wrong on
the same windows is printed beside it in every run, since it is hard to beat.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from .interpolation import MODES, interpolate
from .predictor import MotionPredictor, Sizes

_LEAST_STD = 1e-4  # of a channel: one that never changes is not blown up


@dataclass(frozen=True)
class Settings:
    """rate: of AdamW, after `warmup` steps, falling to zero as a cosine. direction: weight of 1 - cosine beside the squared error. held_out: share of the clips that
    is not trained on. bf16: of the matrix products, where the device has it."""

    steps: int = 2000
    batch: int = 16
    rate: float = 1e-4
    warmup: int = 100
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average: float = 0.999
    direction: float = 0.1
    held_out: float = 0.15
    bf16: bool = False
    seed: int = 0


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
        if len(self.ratios) < 2:
            return False
        logs = torch.tensor(self.ratios).log()
        return float(logs.mean() + 1.645 * logs.std() / math.sqrt(len(logs))) < 0

    def __str__(self) -> str:
        lines = [f"{name}: {error:.4f}" for name, error in self.errors.items()]
        verdict = "beats" if self.beats_linear else "does NOT beat"
        return "\n".join([f"error on {len(self.ratios)} held-out clips, in squared deviations:", *lines, f"The predictor {verdict} linear interpolation."])


def train(features: Tensor, clips: Tensor, sizes: Sizes, settings: Settings, checkpoint: Path | None = None, on_step: Callable[[int, float], None] | None = None,
          device: torch.device | str = "cpu") -> tuple[MotionPredictor, Log]:
    """A predictor with the averaged weights.

    Args:
        features: (windows, frames, tokens, channels). clips: (windows,) int, which video each is of: a video is held out whole.
        checkpoint: where the state is kept every hundred steps and when the run ends or is interrupted; a run goes on from it.
        on_step: called with the steps done and the loss; what it raises, such as an interrupt, ends the run, with the checkpoint kept.

    Raises: ValueError for features of another shape, too few windows or clips, or values that are not finite.
    """
    _check(features, clips, sizes)
    own = torch.Generator().manual_seed(settings.seed)
    held = _held_out(clips, settings.held_out, own)
    training, testing = features[~held].float(), features[held].float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = MotionPredictor(sizes)
    model.mean.copy_(training.mean((0, 1, 2)))
    model.std.copy_(training.std((0, 1, 2)).clamp_min(_LEAST_STD))
    model.to(device)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(settings.average))
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay)
    log, done = Log(), 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        log.losses, done = state["losses"], len(state["losses"])
    try:
        for step in range(done, settings.steps):
            generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)  # a run that goes on draws what one in one piece draws
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, settings)
            batch = draw(training, settings.batch, generator).to(device)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=settings.bf16):
                predicted = model(batch[:, 0], batch[:, -1], batch.shape[1])
            loss = _loss(predicted.float(), batch, model, settings.direction)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimiser.step()
            average.update_parameters(model)
            log.losses.append(loss.item())
            if checkpoint is not None and step % 100 == 99:
                _keep(checkpoint, model, average, optimiser, log)
            if on_step:
                on_step(step + 1, log.losses[-1])
    finally:
        if checkpoint is not None:
            _keep(checkpoint, model, average, optimiser, log)
    trained = average.module.eval()
    evaluate(trained, testing.to(device), clips[held], log)
    return trained.cpu(), log


def learning_rate(step: int, settings: Settings) -> float:
    """Warm-up, then a cosine to zero."""
    through = step / max(1, settings.steps)
    return settings.rate * min(1.0, (step + 1) / max(1, settings.warmup)) * 0.5 * (1 + math.cos(math.pi * through))


def draw(windows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Windows at random, half of them backwards: the way from B to A is as good an example."""
    picked = windows[torch.randint(len(windows), (count,), generator=generator)]
    backwards = torch.rand(count, generator=generator) < 0.5
    return torch.where(backwards[:, None, None, None], picked.flip(1), picked)


@torch.inference_mode()
def evaluate(model: MotionPredictor, features: Tensor, clips: Tensor, log: Log) -> None:
    """Fills `log.errors` and `log.ratios` with what the predictor, and what needs no training, get wrong on windows (windows, frames, tokens, channels)."""
    start, end, frames = features[:, 0], features[:, -1], features.shape[1]
    near = torch.arange(frames) < frames / 2
    hold = torch.where(near[:, None, None].to(features.device), start[:, None], end[:, None])
    found = {"predictor": model(start, end, frames), **{mode: interpolate(start, end, frames, mode) for mode in MODES}, "hold": hold}
    errors = {name: ((each - features) / model.std).square()[:, 1:-1].mean((1, 2, 3)).cpu() for name, each in found.items()}
    log.errors = {name: float(each.mean()) for name, each in errors.items()}
    log.ratios = [float(errors["predictor"][clips == clip].mean() / errors["linear"][clips == clip].mean().clamp_min(1e-12)) for clip in clips.unique()]


def _loss(predicted: Tensor, batch: Tensor, model: MotionPredictor, direction: float) -> Tensor:
    """Of the frames between: squared error in deviations, and how far each token's direction is off."""
    a, b = ((each[:, 1:-1] - model.mean) / model.std for each in (predicted, batch))
    return F.mse_loss(a, b) + direction * (1 - F.cosine_similarity(a, b, dim=-1)).mean()


def _check(features: Tensor, clips: Tensor, sizes: Sizes) -> None:
    if features.ndim != 4 or features.shape[2:] != (sizes.tokens, sizes.channels):
        raise ValueError(f"features are of shape {tuple(features.shape)}, but must be (windows, frames, {sizes.tokens}, {sizes.channels}).")
    if features.shape[1] < 3:
        raise ValueError(f"windows of {features.shape[1]} frames have nothing between their ends. Take at least 3.")
    if len(clips) != len(features):
        raise ValueError(f"there are {len(features)} windows, but clips for {len(clips)}.")
    if len(clips.unique()) < 2:
        raise ValueError("all windows are of one clip: nothing is left to hold out. Train on at least two videos.")
    if not torch.isfinite(features).all():
        raise ValueError("features hold values that are not finite. Encode the clips again.")


def _held_out(clips: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(windows,) bool: those of the clips that are held out, at least one clip and never all."""
    names = clips.unique()
    count = min(len(names) - 1, max(1, round(share * len(names))))
    return torch.isin(clips, names[torch.randperm(len(names), generator=generator)[:count]])


def _keep(path: Path, model, average, optimiser, log: Log) -> None:
    part = path.with_name(path.name + ".part")  # a full disk leaves the last state as it was
    try:
        torch.save({"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(), "losses": log.losses}, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
