"""Trains the semantic motion predictor on CLIP features of real clips: given the two ends, the frames between.

The paper trains through the video model's denoising loss; here the features themselves are the target, which needs no decoder. What linear interpolation gets wrong on
the same windows is printed beside it in every run, since it is hard to beat.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .files import written
from .judging import Log, evaluate
from .predictor import MotionPredictor, Sizes
from .workers import ALONE, Workers

_LEAST_STD = 1e-4  # of a channel: one that never changes is not blown up
_AT_ONCE = 1 << 22  # numbers that are looked at together: 32 MiB as float64
_KEPT_EVERY = 100  # steps

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """rate: of AdamW, after `warmup` steps, falling to zero as a cosine. average: decay of the weights' average; less in the first steps, so that a short run forgets
    the start as well. direction: weight of 1 - cosine beside the squared error. held_out: share of the clips that is not trained on. bf16: of the matrix products, where the
    device has it. backwards: share of the windows that are shown from their end to their start: the way from B to A is as good an example, but where things have a front.
    strides: every how many frames of a window are looked at, drawn anew for each step, so that films of several lengths are learned, and the short ones quickly."""

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
    backwards: float = 0.5
    strides: tuple[int, ...] = (1,)


def train(features: Tensor, clips: Tensor, sizes: Sizes, settings: Settings, checkpoint: Path | None = None, on_step: Callable[[int, float], None] | None = None,
          device: torch.device | str = "cpu", workers: Workers = ALONE) -> tuple[MotionPredictor, Log]:
    """A predictor with the averaged weights. Processes that train together get the same, but for the errors on held-out clips, which are the main one's.

    Args:
        features: (windows, frames, tokens, channels), of any floating type. clips: (windows,) int, which video each is of: a video is held out whole.
        checkpoint: where the state is kept every hundred steps and when the run ends or is interrupted; a run goes on from it.
        on_step: called with the steps done and the loss; what it raises, such as an interrupt, ends the run, with the checkpoint kept.
        workers: whose process this is. The same rows are drawn however many there are, so that the losses are the same, up to rounding.

    Raises: ValueError for features of another shape, too few windows or clips, values that are not finite, a device without bf16, a loss that is not finite, a damaged
    checkpoint; OSError where the checkpoint cannot be written: the one before is kept.
    """
    _check(features, clips, sizes)
    rows = check_settings(settings, features.shape[1], device, workers)
    own = torch.Generator().manual_seed(settings.seed)
    held = _held_out(clips, settings.held_out, own)
    training = (~held).nonzero().flatten()
    run = _Run(sizes, settings, workers.from_main(lambda: _begin(features, training, sizes, settings, checkpoint)), torch.device(device))
    kept = checkpoint if workers.main else None
    try:
        while len(run.losses) < settings.steps:
            run.step(features, training, rows, workers)
            if kept is not None and len(run.losses) % _KEPT_EVERY == 0:
                run.keep(kept)
            if on_step:
                on_step(len(run.losses), run.losses[-1])
    except BaseException:
        if kept is not None:
            _try_to_keep(run, kept)
        raise
    if kept is not None:
        run.keep(kept)
    trained, found = run.average.module.eval(), Log(run.losses)
    if workers.main:
        evaluate(trained, features, clips, found, held.nonzero().flatten())
    return trained.cpu(), found


def has_bf16(device: torch.device | str) -> bool:
    """Whether matrix products in bf16 are the device's own."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        with torch.autocast(device.type, torch.bfloat16):
            return (torch.ones(1, 1, device=device) @ torch.ones(1, 1, device=device)).dtype == torch.bfloat16
    except RuntimeError:
        return False


class _Run:
    """A training after so many steps."""

    def __init__(self, sizes: Sizes, settings: Settings, state: dict[str, Any], device: torch.device) -> None:
        self.settings, self.device = settings, device
        with torch.random.fork_rng(devices=[]):
            self.model = MotionPredictor(sizes)
        self.model.load_state_dict(state["model"])
        self.model.to(device)
        self.average = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=_averaging(settings.average))
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=settings.rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay)
        self.losses: list[float] = list(state["losses"])
        if self.losses:
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])

    def step(self, windows: Tensor, among: Tensor, rows: slice, workers: Workers) -> None:
        number, settings, model = len(self.losses), self.settings, self.model
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + number)  # a run that goes on draws what one in one piece draws
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(number, settings)
        batch = draw(windows, settings, generator, rows, among).to(self.device).float()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.bf16):
            predicted = model(batch[:, 0], batch[:, -1], batch.shape[1])
        loss = _loss(predicted.float(), batch, model, settings.direction) * (len(batch) / settings.batch)  # the shares add up to the batch's mean
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        whole = workers.add_up(model, loss)
        if not math.isfinite(whole):
            raise ValueError(f"the loss of step {number + 1} is not finite. Choose a lower learning rate.")
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        self.optimiser.step()
        self.average.update_parameters(model)
        self.losses.append(whole)

    def keep(self, path: Path) -> None:
        state = {"model": self.model.state_dict(), "average": self.average.state_dict(), "optimiser": self.optimiser.state_dict(), "losses": self.losses}
        with written(path) as part, part.open("wb") as file:
            torch.save(state, file)


def _begin(windows: Tensor, among: Tensor, sizes: Sizes, settings: Settings, checkpoint: Path | None) -> dict[str, Any]:
    """The state that a run begins with, or goes on from."""
    if checkpoint is not None and checkpoint.exists():
        try:
            return torch.load(checkpoint, weights_only=True, map_location="cpu")
        except Exception as error:  # torch raises many classes for a file that is cut short
            raise ValueError(f"{checkpoint}, where the interrupted training was kept, cannot be read ({type(error).__name__}). Delete it to begin anew.") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = MotionPredictor(sizes)
    mean, std = _statistics(windows, among)
    model.mean.copy_(mean)
    model.std.copy_(std.clamp_min(_LEAST_STD))
    return {"model": model.state_dict(), "losses": []}


def _statistics(windows: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel. among: the indices of the windows that count."""
    count = len(among) * windows[0, ..., 0].numel()
    mean = sum(part.sum(0, dtype=torch.float64) for part in _parts(windows, among)) / count
    square = sum((part.double() - mean).square().sum(0) for part in _parts(windows, among)) / max(1, count - 1)
    return mean.float(), square.sqrt().float()


def _parts(windows: Tensor, among: Tensor) -> Iterator[Tensor]:
    """The tokens of these windows, (tokens, channels), so few at a time that they are small beside what may fill half of the memory."""
    for some in among.split(max(1, _AT_ONCE // windows[0].numel())):
        yield from windows[some].flatten(0, 2).split(max(1, _AT_ONCE // windows.shape[-1]))


def _try_to_keep(run: _Run, path: Path) -> None:
    """What has ended the run is what is told in the end; a full disk beside it only in the log."""
    try:
        run.keep(path)
    except OSError as error:
        log.warning("%s", error)


def _averaging(most: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """For AveragedModel, which counts the steps and keeps their number beside the weights."""

    def average(averages: list[Tensor], now: list[Tensor], done: Tensor) -> None:
        decay = min(most, (1 + done.item()) / (10 + done.item()))
        for each, other in zip(averages, now):
            each.lerp_(other, 1 - decay)

    return average


def learning_rate(step: int, settings: Settings) -> float:
    """Warm-up, then a cosine to zero."""
    through = step / max(1, settings.steps)
    return settings.rate * min(1.0, (step + 1) / max(1, settings.warmup)) * 0.5 * (1 + math.cos(math.pi * through))


def draw(windows: Tensor, settings: Settings, generator: torch.Generator, rows: slice = slice(None), among: Tensor | None = None) -> Tensor:
    """A batch of windows at random, each forwards or backwards, all at one stride. rows: which of the batch are given; the same are drawn whatever it is. among: the indices
    of the windows that may be drawn; else all."""
    among = torch.arange(len(windows)) if among is None else among
    picked = windows[among[torch.randint(len(among), (settings.batch,), generator=generator)[rows]]]
    backwards = torch.rand(settings.batch, generator=generator)[rows] < settings.backwards
    stride = settings.strides[int(torch.randint(len(settings.strides), (1,), generator=generator))]
    return torch.where(backwards[:, None, None, None], picked.flip(1), picked)[:, ::stride]


def _loss(predicted: Tensor, batch: Tensor, model: MotionPredictor, direction: float) -> Tensor:
    """Of the frames between: squared error in deviations, and how far each token's direction is off."""
    a, b = ((each[:, 1:-1] - model.mean) / model.std for each in (predicted, batch))
    return F.mse_loss(a, b) + direction * (1 - F.cosine_similarity(a, b, dim=-1)).mean()


def check_settings(settings: Settings, frames: int, device: torch.device | str, workers: Workers = ALONE) -> slice:
    """This process's rows of a batch. Raises: ValueError for settings that do not fit windows of so many frames, the device or the processes: all that can be told before
    there are features."""
    rows = workers.rows(settings.batch)
    if settings.bf16 and not has_bf16(device):
        raise ValueError(f"bf16 is on, but the device ({torch.device(device)}) has no bf16. Turn it off.")
    if frames < 3:
        raise ValueError(f"windows of {frames} frames have nothing between their ends. Take at least 3.")
    wrong = [stride for stride in settings.strides if stride < 1 or (frames - 1) % stride or frames < 2 * stride + 1]
    if wrong:
        raise ValueError(f"strides {wrong} do not fit windows of {frames} frames: their first, their last and at least one frame between must be looked at.")
    return rows


def _check(features: Tensor, clips: Tensor, sizes: Sizes) -> None:
    if features.ndim != 4 or features.shape[2:] != (sizes.tokens, sizes.channels):
        raise ValueError(f"features are of shape {tuple(features.shape)}, but must be (windows, frames, {sizes.tokens}, {sizes.channels}).")
    if len(clips) != len(features):
        raise ValueError(f"there are {len(features)} windows, but clips for {len(clips)}.")
    if len(clips.unique()) < 2:
        raise ValueError("all windows are of one clip: nothing is left to hold out. Train on at least two videos.")
    if not all(torch.isfinite(part).all() for part in _parts(features, torch.arange(len(features)))):
        raise ValueError("features hold values that are not finite. Encode the clips again.")


def _held_out(clips: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """(windows,) bool: those of the clips that are held out, at least one clip and never all."""
    names = clips.unique()
    count = min(len(names) - 1, max(1, round(share * len(names))))
    return torch.isin(clips, names[torch.randperm(len(names), generator=generator)[:count]])
