"""Windows over more frames than a motion module can tell apart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Frames from `start` up to `stop`. weights: of each, highest in the middle: what a blend of overlapping windows counts them."""

    start: int
    stop: int
    weights: tuple[float, ...]


def windows(frames: int, length: int, overlap: int) -> list[Window]:
    """Windows of `length` frames, each sharing at least `overlap` with the next, over `frames` frames; the last one ends with the last frame.

    Raises: ValueError for an overlap that is not smaller than the length.
    """
    if not 0 <= overlap < length:
        raise ValueError(f"windows of {length} frames cannot overlap by {overlap}. Choose an overlap from 0 to {length - 1}.")
    if frames <= length:
        return [Window(0, frames, _weights(frames))]
    starts = [*range(0, frames - length, length - overlap), frames - length]
    return [Window(start, start + length, _weights(length)) for start in starts]


def _weights(length: int) -> tuple[float, ...]:
    return tuple(float(min(number + 1, length - number)) for number in range(length))
