"""Where in a picture a balloon or a caption hides least: on its emptiest side, off the faces, in the order in which it is read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .cropping import detail
from .speaker import Speaker, crosses_box, find_speaker, is_at, map_of, passes_others, ways_cross

STEPS = 20  # places tried along the longer side of a panel
_ORDER = 3.0  # what reading out of order costs, of a full panel's height
_UPWARDS = 0.12  # what the way down from the top costs: a balloon hangs over its speaker
_INWARDS = 0.5  # what the way from the edge costs what belongs there
_MIDDLE = 0.35  # what covering the picture's middle costs, where a figure stands, as far as nobody says more
_FIGURE = (-1.5, 2.3), (-1.9, 1.9)  # the picture's ends, down and across, in widths of that middle: heads stand in the upper half
_FAR = 0.6  # what the way to who speaks costs, of the picture's longer side
_CROSSED = 2.0  # what each crossing of that way costs: with somebody else, another box, or the way from another box to who speaks there
_TOUCHING = 0.15  # what it costs where no tail has room between the box and who speaks
_COVERED = 40.0  # what covering what shall stay free costs, a full rectangle of it
_HIDDEN = 4.0  # as a fault: covering all of what shall stay free
_DISORDER = 0.5  # as a fault: being read in another order
_CONFUSED = 0.25  # as a fault: each crossing


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


@dataclass(frozen=True)
class Wanted:
    """A box that looks for a place. edge: least distance from the picture's edge. gap: from the boxes that are read before it.
    at_edge: it belongs to the picture's edge. speaker: whose words stand in it; None where nobody knows. tail: how long one to them should be."""

    width: float
    height: float
    edge: float
    gap: float
    at_edge: bool = False
    speaker: Speaker | None = None
    tail: float = 0.0


class Room:
    """A panel's picture, in which boxes look for places.

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
            down, across = (np.exp(-np.linspace(*ends, side) ** 2) for ends, side in zip(_FIGURE, hides.shape))
            hides = hides + _MIDDLE * down[:, None] * across[None, :]
        self._hides = _Sums(hides, picture.size)
        self._map = self._kept = None
        if keep_free is not None:
            self._map = map_of(keep_free)
            self._kept = _Sums(self._map, picture.size)

    def place(self, items: Sequence[Wanted]) -> list[Box] | None:
        """The best places for boxes that are read one after the other; None where they do not all have room.

        Each is placed with an eye on those behind it: what the best places of these would cost is part of its own cost, so that the first
        does not take the only place that the second could have. Exact for two boxes; of more, those that are not neighbours do not look out
        for each other in advance.
        """
        places = [self._places(item) for item in items]
        if not all(len(left) for left, _ in places):
            return None
        own = [self._cost(item, *place) for item, place in zip(items, places)]
        behind = [np.zeros(len(cost)) for cost in own]  # per place: what the best places of all boxes behind it cost
        for at in range(len(items) - 2, -1, -1):
            (left, top), following = places[at], items[at + 1]
            pairs = self._beside(left[:, None], top[:, None], items[at], *places[at + 1], following)
            behind[at] = (pairs + own[at + 1] + behind[at + 1]).min(axis=1)
        boxes: list[Box] = []
        for at, (item, (left, top)) in enumerate(zip(items, places)):
            cost = own[at] + behind[at]
            for earlier, box in zip(items, boxes):
                cost = cost + self._beside(np.array(box.left), np.array(box.top), earlier, left, top, item)
            best = int(cost.argmin())
            if not np.isfinite(cost[best]):
                return None
            boxes.append(Box(float(left[best]), float(top[best]), item.width, item.height))
        return boxes

    def fault(self, items: Sequence[Wanted], boxes: Sequence[Box]) -> float:
        """What is wrong with boxes where they stand: 0 where they are read in the order in which they are given, hide nothing that shall stay free,
        and nothing crosses the ways to who speaks."""
        turns = [self._turn(*box.centre) for box in boxes]
        fault = _DISORDER * (not all(first < second for first, second in itertools.pairwise(turns)))
        middles = [tuple(map(np.array, box.centre)) for box in boxes]
        for at, (item, box) in enumerate(zip(items, boxes)):
            if self._kept is not None:
                fault += _HIDDEN * self._kept.share(box)
            if item.speaker is not None:
                fault += _CONFUSED * passes_others(item.speaker, self._size, *middles[at])
            for before in range(at):
                fault += _CONFUSED * self._crossings(*middles[before], items[before], *middles[at], item)
        return float(fault)

    def find_speaker(self, mask: Image.Image | None) -> Speaker | None:
        """Who is white in a mask; None where nobody is, or nobody knows."""
        return None if mask is None else find_speaker(mask, self._map, self._size)

    def is_kept(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether points, in pixels, lie in what shall stay free."""
        return np.zeros(np.shape(x), dtype=bool) if self._map is None else is_at(self._map, self._size, x, y)

    def _places(self, item: Wanted) -> tuple[np.ndarray, np.ndarray]:
        """Left and top, (places,) each, of all places that are tried; none where the picture is too small."""
        wide, high = self._size
        if item.width + 2 * item.edge > wide or item.height + 2 * item.edge > high:
            return np.empty(0), np.empty(0)
        step = max(1.0, max(wide, high) / STEPS)
        lefts, tops = (_along(item.edge, side - item.edge - length, step) for side, length in ((wide, item.width), (high, item.height)))
        left, top = np.meshgrid(lefts, tops)
        return left.ravel(), top.ravel()

    def _cost(self, item: Wanted, left: np.ndarray, top: np.ndarray) -> np.ndarray:
        """What a box hides at each of its places."""
        wide, high = self._size
        cost = self._hides.mean(left, top, item.width, item.height) + _UPWARDS * top / high
        if item.at_edge:
            inwards = np.minimum(left, wide - item.width - left) / wide + np.minimum(top, high - item.height - top) / high
            cost = cost + _INWARDS * inwards
        if self._kept is not None:
            cost = cost + _COVERED * self._kept.mean(left, top, item.width, item.height)
        if item.speaker is not None:
            cost = cost + self._cost_of_way(item, item.speaker, left + item.width / 2, top + item.height / 2)
        return cost

    def _cost_of_way(self, item: Wanted, speaker: Speaker, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What the way to who speaks costs from the middle of a box."""
        across, down = speaker.point[0] - x, speaker.point[1] - y
        far = np.maximum(np.hypot(across, down), 1e-6)
        edge = np.minimum(item.width / 2 / np.maximum(np.abs(across), 1e-6), item.height / 2 / np.maximum(np.abs(down), 1e-6))
        ends = [edge + share * item.tail / far for share in (0.25, 0.5, 0.75, 1.0)]  # of tails of several lengths, of the whole way
        touching = sum(self.is_kept(x + end * across, y + end * down).astype(float) for end in ends) / len(ends)
        return _FAR * far / max(self._size) + _CROSSED * passes_others(speaker, self._size, x, y) + _TOUCHING * touching

    def _beside(self, left: np.ndarray, top: np.ndarray, first: Wanted, next_left: np.ndarray, next_top: np.ndarray, second: Wanted) -> np.ndarray:
        """What a box costs that is read after another: infinite where they touch, much where it stands ahead, or where the way to who speaks
        in one is crossed by the other."""
        gap = second.gap
        apart = (next_left >= left + first.width + gap) | (next_left + second.width + gap <= left)
        apart |= (next_top >= top + first.height + gap) | (next_top + second.height + gap <= top)
        x, y, next_x, next_y = left + first.width / 2, top + first.height / 2, next_left + second.width / 2, next_top + second.height / 2
        cost = _ORDER * np.maximum(0, self._turn(x, y) - self._turn(next_x, next_y) + 0.08)
        cost = cost + _CROSSED * self._crossings(x, y, first, next_x, next_y, second)
        return np.where(apart, cost, np.inf)

    def _crossings(self, x: np.ndarray, y: np.ndarray, first: Wanted, next_x: np.ndarray, next_y: np.ndarray, second: Wanted) -> np.ndarray:
        """How often the ways to who speaks cross a box, or each other, for two boxes around (x, y) and (next_x, next_y)."""
        one, other = first.speaker, second.speaker
        count = np.zeros(())
        if one is not None:
            count = count + crosses_box(x, y, one.point, next_x - second.width / 2, next_y - second.height / 2, second.width, second.height)
        if other is not None:
            count = count + crosses_box(next_x, next_y, other.point, x - first.width / 2, y - first.height / 2, first.width, first.height)
        if one is not None and other is not None and one.point != other.point:
            count = count + ways_cross(x, y, one.point, next_x, next_y, other.point)
        return count

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

    def share(self, box: Box) -> float:
        """How much of the whole map lies in a box."""
        whole = self._sums[-1, -1]
        inside = self.mean(np.array(box.left), np.array(box.top), box.width, box.height) * box.width * box.height * self._scale[0] * self._scale[1]
        return float(inside / whole) if whole else 0.0


def _along(first: float, last: float, step: float) -> np.ndarray:
    count = max(1, round((last - first) / step))
    return np.linspace(first, last, count + 1)
