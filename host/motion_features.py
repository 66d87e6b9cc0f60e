"""CLIP's features of a folder of videos, for training: encoded once, and kept video by video. An interrupt loses the one at hand, and a new video costs only itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..motion.clips import Report, read_windows
from ..motion.files import written
from .images import to_pixels
from .sight import Sight

_AT_ONCE = 16  # frames that CLIP sees together: a window has up to 256


class Watch(Protocol):
    """Whoever waits for a training. `check` raises what ends it, where that was asked for."""

    def check(self) -> None: ...

    def encoded(self, done: int, total: int) -> None:
        """Videos, of those that were not encoded before."""


@dataclass
class Features:
    """windows: (windows, frames, tokens, channels), float16. clips: (windows,) int, which video each is of. report: of all videos, also those that were `before`
    encoded. key: differs where any of this does."""

    windows: torch.Tensor
    clips: torch.Tensor
    report: Report
    before: int
    key: str

    def __str__(self) -> str:
        return f"{self.report}\n{self.before} videos were encoded before" if self.before else str(self.report)


def read_features(sight: Sight, videos: Sequence[Path], frames: int, fps: float, folder: Path, watch: Watch) -> Features:
    """All windows of `frames` frames at `fps`, from `folder` or else through CLIP's eyes.

    Raises: ValueError where there is no window; OSError where one cannot be kept, after which the next run goes on behind the videos that were.
    """
    into = folder / key(_fingerprint(sight.weights()), repr((frames, fps, sight.name)))
    into.mkdir(parents=True, exist_ok=True)
    report, rows, clips, keys = Report(), [], [], []
    kept = [(path, _kept_file(path, into)) for path in videos]
    missing = sum(not file.exists() for _, file in kept)
    before = 0
    for number, (path, file) in enumerate(kept):
        watch.check()
        found = _read(file)
        if found is None:
            found = _encode(sight, path, frames, fps, file, watch)
            watch.encoded(number + 1 - before, max(missing, number + 1 - before))
        else:
            before += 1
        windows, of_video = found
        report.add(of_video)
        if len(windows):
            rows.append(windows)
            clips += [number] * len(windows)
            keys.append(f"{file.name} {len(windows)}")
    if not rows:
        raise ValueError(f"no window of {frames} frames at {fps:g} a second can be used. Put longer videos there that move, or choose fewer frames or more a second. {report}")
    return Features(_joined(rows), torch.tensor(clips), report, before, key(into.name, *keys))


def _encode(sight: Sight, path: Path, frames: int, fps: float, file: Path, watch: Watch) -> tuple[torch.Tensor, Report]:
    report, rows = Report(), []
    for window in read_windows([path], frames, fps, report):
        parts = []
        for first in range(0, len(window.frames), _AT_ONCE):
            watch.check()
            parts.append(sight.see(to_pixels(window.frames[first:first + _AT_ONCE])).half().cpu())
        rows.append(torch.cat(parts))
    windows = torch.stack(rows) if rows else torch.zeros(0, dtype=torch.float16)
    if not report.unreadable:  # what is wrong may be gone next time: a drive that was not there
        with written(file) as part:
            save_file({"windows": windows.contiguous()}, part, {"report": json.dumps(asdict(report))})
    return windows, report


def _joined(rows: list[torch.Tensor]) -> torch.Tensor:
    """Behind one another; `rows` is emptied on the way, so that they are never in the memory twice."""
    whole, done = torch.empty(sum(map(len, rows)), *rows[0].shape[1:], dtype=rows[0].dtype), 0
    while rows:
        part = rows.pop(0)
        whole[done:done + len(part)] = part
        done += len(part)
    return whole


def _read(file: Path) -> tuple[torch.Tensor, Report] | None:
    """What was kept; None where there is nothing, or it is damaged."""
    try:
        with safe_open(file, "pt") as found:
            return found.get_tensor("windows"), Report(**json.loads(found.metadata()["report"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def _kept_file(path: Path, into: Path) -> Path:
    """Of the video as it is now."""
    try:
        now = path.stat()
        state = f"{now.st_mtime_ns} {now.st_size}"
    except OSError:  # deleted meanwhile: whoever opens it will say so
        state = "gone"
    return into / f"{key(str(path), state)}.features"


def _fingerprint(weights: Mapping[str, torch.Tensor]) -> str:
    """Which weights these are: a little of each tensor."""
    return repr([(name, tuple(value.shape), value.flatten()[:4].float().tolist()) for name, value in weights.items()])


def key(*parts: str) -> str:
    """A short name that differs where any part does."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
