"""The outline of a balloon: its body, and its tail towards who speaks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .placing import Box

_ROUNDNESS = 2.8  # exponent of a balloon's outline: 2 is an ellipse, and much more a rectangle
AROUND = 2 ** (1 / _ROUNDNESS)  # a balloon's width by that of the largest rectangle in it
SHORT = 0.9  # ems that a tail should have at least
_LONG, _STUB = 3.2, 0.2  # ems that it has at most; and at least, where who speaks is too near
_SAMPLES = 32  # points along a tail, and lengths of it, that are looked at


def body(box: Box) -> list[tuple[float, float]]:
    """Corners of a balloon that fills a box."""
    (x, y), steps = box.centre, 96

    def along(angle: float) -> tuple[float, float]:
        across, down = math.cos(angle), math.sin(angle)
        return (
            x + box.width / 2 * math.copysign(abs(across) ** (2 / _ROUNDNESS), across),
            y + box.height / 2 * math.copysign(abs(down) ** (2 / _ROUNDNESS), down),
        )

    return [along(2 * math.pi * step / steps) for step in range(steps)]


def tail(box: Box, target: tuple[float, float], size: float, is_kept: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> list[tuple[float, float]]:
    """A triangle from inside the balloon towards who speaks; empty where there is no room for one.

    It ends ahead of what `is_kept` says of points (x, y) to keep clear, so that it covers nobody; unless the balloon itself already does.
    """
    x, y = box.centre
    across, down = target[0] - x, target[1] - y
    distance = math.hypot(across, down)
    across, down = across / distance, down / distance
    # Where the way to the speaker leaves the balloon.
    edge = (abs(across / (box.width / 2)) ** _ROUNDNESS + abs(down / (box.height / 2)) ** _ROUNDNESS) ** (-1 / _ROUNDNESS)
    reach = min(max(edge + SHORT * size, edge + 0.6 * (distance - edge)), edge + _LONG * size)
    half = min(0.42 * size, 0.2 * min(box.width, box.height))
    root = max(0.0, edge - 0.6 * size)

    def is_free(reach: float) -> bool:
        """Whether neither side of the triangle, nor what lies a little ahead of its tip, is to be kept clear."""
        line = line_width(size)
        along = np.linspace(edge + line, reach + 2 * line + 2, _SAMPLES)
        aside = half * np.maximum(0, reach - along) / (reach - root) + line
        return not any(is_kept(x + along * across - side * down, y + along * down + side * across).any() for side in (-aside, 0 * aside, aside))

    if is_kept(np.array(x + edge * across), np.array(y + edge * down)):
        reach = edge + SHORT * size
    else:
        shorter = np.linspace(reach, edge + _STUB * size, _SAMPLES)
        reach = next((each for each in shorter if is_free(each)), None)
        if reach is None:
            return []
    base = x + root * across, y + root * down
    return [(base[0] - half * down, base[1] + half * across), (x + reach * across, y + reach * down), (base[0] + half * down, base[1] - half * across)]


def line_width(size: float) -> int:
    """Of the outline around letters of a size, in pixels."""
    return max(1, round(size * 0.07))
