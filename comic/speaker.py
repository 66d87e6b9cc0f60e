"""Who speaks where in a picture, and what lies on the straight way to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from .cropping import SEEN_AT

_BESIDE = 9  # cells of the map, across: what is so near to who speaks is no other one (a box of a face is wider than the face)
_STEPS = 24  # points of a way that are looked at


@dataclass(frozen=True)
class Speaker:
    """point: in pixels, where their head is. others: (SEEN_AT, SEEN_AT) where others are, laid over the picture."""

    point: tuple[float, float]
    others: np.ndarray


def find_speaker(mask: Image.Image, everybody: np.ndarray | None, size: tuple[int, int]) -> Speaker | None:
    """Who is white in a mask, of any size, laid over a picture of `size`; None where nobody is.

    everybody: (SEEN_AT, SEEN_AT), who is in the picture; None where nobody knows.
    """
    point = head_of(np.asarray(mask, dtype=np.float32), size)
    if point is None:
        return None
    if everybody is None:
        return Speaker(point, np.zeros((SEEN_AT, SEEN_AT), dtype=bool))
    own = Image.fromarray(map_of(mask)).convert("L").filter(ImageFilter.MaxFilter(_BESIDE))
    return Speaker(point, everybody & (np.asarray(own) == 0))


def map_of(mask: Image.Image) -> np.ndarray:
    """(SEEN_AT, SEEN_AT), where a mask is white, also in part only."""
    return np.asarray(mask.resize((SEEN_AT, SEEN_AT), Image.Resampling.BOX)) > 12


def is_at(there: np.ndarray, size: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points, in pixels, lie in a map (height, width) that is laid over a picture of `size`; beside the picture none does."""
    column, row = (np.floor(each * (side / length)).astype(int) for each, side, length in zip((x, y), there.shape[::-1], size))
    inside = (column >= 0) & (column < there.shape[1]) & (row >= 0) & (row < there.shape[0])
    return inside & there[np.clip(row, 0, there.shape[0] - 1), np.clip(column, 0, there.shape[1] - 1)]


def passes_others(speaker: Speaker, size: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether the way from each point (x, y) to a speaker crosses somebody else, in a picture of `size`."""
    if not speaker.others.any():
        return np.zeros(np.shape(x), dtype=bool)
    share = np.linspace(0, 1, _STEPS)
    across, down = (each[..., None] + share * (end - each[..., None]) for each, end in zip((x, y), speaker.point))
    return is_at(speaker.others, size, across, down).any(axis=-1)


def crosses_box(x: np.ndarray, y: np.ndarray, point: tuple[float, float], left: np.ndarray, top: np.ndarray, width: float, height: float) -> np.ndarray:
    """Whether the way from (x, y) to a point meets a box; all may be arrays of places."""
    enters, leaves = 0.0, 1.0  # shares of the way
    for start, end, low, length in ((x, point[0], left, width), (y, point[1], top, height)):
        each = 1 / np.where(np.abs(end - start) < 1e-6, 1e-6, end - start)
        near = (low - start) * each
        enters = np.maximum(enters, near + np.minimum(0, length * each))
        leaves = np.minimum(leaves, near + np.maximum(0, length * each))
    return enters < leaves


def ways_cross(x: np.ndarray, y: np.ndarray, point: tuple[float, float], next_x: np.ndarray, next_y: np.ndarray,
               next_point: tuple[float, float]) -> np.ndarray:
    """Whether the way from (x, y) to a point meets that from (next_x, next_y) to another."""

    def side(from_x, from_y, to_x, to_y, of_x, of_y):
        return (to_x - from_x) * (of_y - from_y) > (to_y - from_y) * (of_x - from_x)

    return (side(x, y, *point, next_x, next_y) != side(x, y, *point, *next_point)) & (
        side(next_x, next_y, *next_point, x, y) != side(next_x, next_y, *next_point, *point))


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
