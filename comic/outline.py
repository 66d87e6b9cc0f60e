"""The outline of a balloon: its body, and its tail towards who speaks."""

from __future__ import annotations

import math

from .placing import Box

_ROUNDNESS = 2.8  # exponent of a balloon's outline: 2 is an ellipse, and much more a rectangle
AROUND = 2 ** (1 / _ROUNDNESS)  # a balloon's width by that of the largest rectangle in it


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


def tail(box: Box, target: tuple[float, float], size: float) -> list[tuple[float, float]]:
    """A triangle from inside the balloon towards who speaks; it ends ahead of them, so that it covers nobody."""
    x, y = box.centre
    across, down = target[0] - x, target[1] - y
    distance = math.hypot(across, down)
    across, down = across / distance, down / distance
    # Where the way to the speaker leaves the balloon.
    edge = (abs(across / (box.width / 2)) ** _ROUNDNESS + abs(down / (box.height / 2)) ** _ROUNDNESS) ** (-1 / _ROUNDNESS)
    reach = min(max(edge + 0.9 * size, edge + 0.6 * (distance - edge)), edge + 3.2 * size)
    half = min(0.42 * size, 0.2 * min(box.width, box.height))
    root = max(0.0, edge - 0.6 * size)
    base = x + root * across, y + root * down
    return [(base[0] - half * down, base[1] + half * across), (x + reach * across, y + reach * down), (base[0] + half * down, base[1] - half * across)]
