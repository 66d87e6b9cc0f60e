"""Where in a picture a balloon or a caption hides least: on its emptiest side, off the faces, in the order in which it is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .cropping import detail

STEPS = 28  # places tried along the longer side of a panel
_ORDER = 3.0  # what reading out of order costs, of a full panel's height
_UPWARDS = 0.12  # what the way down from the top costs: a balloon hangs over its speaker
_INWARDS = 0.5  # what the way from the edge costs what belongs there
_MIDDLE = 0.35  # what covering the picture's middle costs, where a figure stands, as far as nobody says more
_COVERED = 40.0  # what covering what shall stay free costs, a full rectangle of it


@dataclass(frozen=True)
class Box:
    """Pixels of a picture, from its top left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2


class Room:
    """A panel's picture, and what stands in it already.

    Args:
        picture: as its cell shows it.
        keep_free: mode L, of any size: what nothing may cover, white; None for nothing.

    detail: the picture's, (height, width).
    """

    def __init__(self, picture: Image.Image, keep_free: Image.Image | None, right_to_left: bool = False) -> None:
        self._size = picture.size
        self._right_to_left = right_to_left
        self.detail = hides = detail(picture)
        if keep_free is None:
            down, across = (np.exp(-np.linspace(-1.9, 1.9, side) ** 2) for side in hides.shape)
            hides = hides + _MIDDLE * down[:, None] * across[None, :]
        self._hides = _Sums(hides, picture.size)
        self._kept = None
        if keep_free is not None:
            kept = np.asarray(keep_free.resize((96, 96), Image.Resampling.BOX)) > 12  # also where it is white in part only
            self._kept = _Sums(kept, picture.size)
        self._taken: list[Box] = []

    def place(self, width: float, height: float, edge: float, gap: float, at_edge: bool = False) -> Box | None:
        """The best place for a box of a size that is read after the boxes before it, and marks it as taken; None where none is free of these.

        Args:
            edge: least distance from the picture's edge; gap: from another box.
            at_edge: it belongs to the picture's edge.
        """
        wide, high = self._size
        if width + 2 * edge > wide or height + 2 * edge > high:
            return None
        step = max(1.0, max(wide, high) / STEPS)
        lefts = _places(edge, wide - edge - width, step)
        tops = _places(edge, high - edge - height, step)
        left, top = np.meshgrid(lefts, tops)
        cost = self._hides.mean(left, top, width, height)
        cost = cost + _UPWARDS * top / high
        if at_edge:
            cost = cost + _INWARDS * (np.minimum(left, wide - width - left) / wide + np.minimum(top, high - height - top) / high)
        if self._kept is not None:
            cost = cost + _COVERED * self._kept.mean(left, top, width, height)
        for box in self._taken:
            apart = (left >= box.left + box.width + gap) | (left + width + gap <= box.left)
            apart |= (top >= box.top + box.height + gap) | (top + height + gap <= box.top)
            late = np.maximum(0, self._turn(*box.centre) - self._turn(left + width / 2, top + height / 2) + 0.08)
            cost = np.where(apart, cost + _ORDER * late, np.inf)
        best = int(cost.argmin())
        if not np.isfinite(cost.flat[best]):
            return None
        box = Box(float(left.flat[best]), float(top.flat[best]), width, height)
        self._taken.append(box)
        return box

    def covers(self, box: Box) -> float:
        """How much of what shall stay free lies in a box, as a share of the box."""
        return 0.0 if self._kept is None else float(self._kept.mean(np.array(box.left), np.array(box.top), box.width, box.height))

    def clear(self) -> None:
        """Takes all boxes away again."""
        self._taken.clear()

    def _turn(self, x, y):
        """When a place is read: downwards, and of equal height from the side on which lines begin."""
        across = x / self._size[0]
        return y / self._size[1] + 0.35 * (1 - across if self._right_to_left else across)


class _Sums:
    """Means over rectangles of a map (height, width) that is laid over a picture of `size`."""

    def __init__(self, values: np.ndarray, size: tuple[int, int]) -> None:
        self._sums = np.pad(values.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        self._scale = values.shape[1] / size[0], values.shape[0] / size[1]

    def mean(self, left: np.ndarray, top: np.ndarray, width: float, height: float) -> np.ndarray:
        high, wide = (side - 1 for side in self._sums.shape)
        x0 = np.clip(np.floor(left * self._scale[0]).astype(int), 0, wide - 1)
        y0 = np.clip(np.floor(top * self._scale[1]).astype(int), 0, high - 1)
        x1 = np.clip(np.ceil((left + width) * self._scale[0]).astype(int), x0 + 1, wide)
        y1 = np.clip(np.ceil((top + height) * self._scale[1]).astype(int), y0 + 1, high)
        total = self._sums[y1, x1] - self._sums[y0, x1] - self._sums[y1, x0] + self._sums[y0, x0]
        return total / ((x1 - x0) * (y1 - y0))


def head_of(weight: np.ndarray, size: tuple[int, int]) -> tuple[float, float] | None:
    """The middle, in pixels of a picture of `size`, of the upper part of a map (height, width): where a figure has its head. None for an
    empty map."""
    rows = np.flatnonzero(weight.sum(axis=1) > 0)
    if not len(rows):
        return None
    head = weight.copy()
    head[rows[0] + max(1, round(0.35 * (rows[-1] + 1 - rows[0]))):] = 0
    return centroid(head, size)


def centroid(weight: np.ndarray, size: tuple[int, int]) -> tuple[float, float] | None:
    """The middle of a map (height, width), in pixels of a picture of `size`; None for an empty one."""
    total = weight.sum()
    if total <= 0:
        return None
    across, down = (weight.sum(axis=axis) @ (np.arange(side) + 0.5) / total / side for axis, side in ((0, weight.shape[1]), (1, weight.shape[0])))
    return float(across * size[0]), float(down * size[1])


def _places(first: float, last: float, step: float) -> np.ndarray:
    count = max(1, round((last - first) / step))
    return np.linspace(first, last, count + 1)
