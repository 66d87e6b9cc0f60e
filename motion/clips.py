"""Videos as training material: frames by their time, windows of them that hold one shot that moves, and a report of what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageSequence

VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"}
PICTURE_SUFFIXES = {".webp", ".gif", ".png"}  # animated ones
# The most that the shorter side keeps: more than the 224 to 518 pixels that CLIP vision models read, so that these see what they would have seen. A window of 256 frames of 4K
# would be 6 GB, and 25 as the host's tensor.
_SIDE = 640
_SEEN_AT = 32  # pixels along a side at which frames are compared
_CUT = 0.22  # mean difference of two neighbours, of 1: more is another shot
_PAUSE = 600.0  # seconds from frame to frame: more is a broken time stamp, and filling it up with one frame could take for ever
_STILL = 0.012  # largest difference of a window's frames from its first: less is a still picture


@dataclass(frozen=True)
class Window:
    """Frames of one shot. start: the first one's time, seconds. frames: RGB, all of one size."""

    path: Path
    start: float
    frames: tuple[Image.Image, ...]


@dataclass
class Report:
    """What became of a folder's files. unreadable: file to what is wrong with it. used, cut, still, short: windows, the last: files with fewer frames than one."""

    unreadable: dict[str, str] = field(default_factory=dict)
    used: int = 0
    cut: int = 0
    still: int = 0
    short: int = 0

    def add(self, other: Report) -> None:
        self.unreadable.update(other.unreadable)
        for name in ("used", "cut", "still", "short"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        lines = [f"{self.used} windows used; left out: {self.cut} with a cut, {self.still} that stand still, {self.short} files that are too short"]
        return "\n".join([*lines, *(f"{name} cannot be read: {problem}" for name, problem in self.unreadable.items())])


def find_videos(folder: Path) -> list[Path]:
    """All videos and animated pictures below a folder, sorted. Raises: ValueError where there is no folder, or none in it."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder. Write one that holds videos.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES and path.is_file())
    if not found:
        raise ValueError(f"{folder} has no videos. Put files such as .mp4, .webm or animated .webp there.")
    return found


def read_windows(paths: list[Path], frames: int, fps: float, report: Report) -> Iterator[Window]:
    """Windows of `frames` frames at `fps`, one behind the other, of every file that can be read; `report` is kept as they go."""
    for path in paths:
        window: list[Image.Image] = []
        start, seen = 0.0, 0
        for time, frame in _readable(path, fps, report):
            if not window:
                start = time
            window.append(frame)
            seen += 1
            if len(window) < frames:
                continue
            yield from _judge(Window(path, start, tuple(window)), report)
            window = []
        report.short += seen < frames and path.name not in report.unreadable


def _readable(path: Path, fps: float, report: Report) -> Iterator[tuple[float, Image.Image]]:
    """`sample_frames` as far as the file can be read; what ends it is reported."""
    found = sample_frames(path, fps)
    while True:
        try:
            each = next(found, None)  # alone: what goes wrong with whoever is given the frames is not the file's
        except Exception as error:  # decoders raise all classes for a file that is damaged, or something else than its name says
            report.unreadable[path.name] = f"{type(error).__name__}: {error}"
            return
        if each is None:
            return
        yield each


def sample_frames(path: Path, fps: float) -> Iterator[tuple[float, Image.Image]]:
    """(seconds, RGB frame) at every 1 / fps seconds: what is shown at that time, whatever the file's own, perhaps uneven, rate is. Large frames are made smaller.

    Raises: ValueError where a frame would be shown for longer than anything that moves; what the decoders raise.
    """
    step, due, last = 1 / fps, 0.0, None
    for time, frame in _frames(path):
        if last is None:
            begin = before = time
        if time - before > _PAUSE:
            raise ValueError(f"its frame at {before:.2f} s is followed by one at {time:.2f} s: the time stamps are broken from there on")
        before = time
        # All that were due before this frame came show the one before it.
        while last is not None and due < time - begin - 1e-6:
            last = _shrunk(last)
            yield due, last
            due += step
        last = frame
    if last is not None and due <= time - begin + 1e-6:
        yield due, _shrunk(last)


def _shrunk(frame: Image.Image) -> Image.Image:
    scale = _SIDE / min(frame.size)
    return frame if scale >= 1 else frame.resize([max(1, round(side * scale)) for side in frame.size], Image.Resampling.LANCZOS)


def _frames(path: Path) -> Iterator[tuple[float, Image.Image]]:
    if path.suffix.lower() in PICTURE_SUFFIXES:
        with Image.open(path) as picture:
            time = 0.0
            for frame in ImageSequence.Iterator(picture):
                yield time, frame.convert("RGB")
                time += max(frame.info.get("duration", 100), 1) / 1000
        return
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("there is no video in it")
        for frame in container.decode(video=0):
            if frame.time is not None:
                yield frame.time, frame.to_image()


def _judge(window: Window, report: Report) -> Iterator[Window]:
    small = np.stack([np.asarray(frame.resize((_SEEN_AT, _SEEN_AT), Image.Resampling.BOX), dtype=np.float32) for frame in window.frames]) / 255
    if np.abs(np.diff(small, axis=0)).mean((1, 2, 3)).max() > _CUT:
        report.cut += 1
    elif np.abs(small - small[0]).mean((1, 2, 3)).max() < _STILL:
        report.still += 1
    else:
        report.used += 1
        yield window
