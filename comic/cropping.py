"""Which part of a picture its cell on a page shows, and where a picture has its detail."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

PAPER = (255, 255, 255)
SEEN_AT = 96  # pixels of the longer side at which detail is looked for: smaller detail is texture
_CENTRED = 0.6  # how much of the detail's weight its distance from _MIDDLE may cost
_MIDDLE = (0.5, 0.3)  # of a picture, across and down: heads stand in its upper half
_HEADROOM = 0.1  # of the window's height, above a figure
_FEET = 0.2  # what a figure's lowest row counts beside its uppermost: a cell that cannot show all of it shows the head


def flatten(image: Image.Image) -> Image.Image:
    """RGB; what is transparent shows paper."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*PAPER, 255)), image)
    return image.convert("RGB")


def detail(image: Image.Image) -> np.ndarray:
    """(height, width), the longer side SEEN_AT: how much the picture changes at each place, 0 to 1."""
    scale = SEEN_AT / max(image.size)
    size = [max(2, round(side * scale)) for side in image.size]
    pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX), dtype=np.float32) / 255
    down, right = (np.abs(np.diff(pixels, axis=axis)).max(axis=-1) for axis in (0, 1))
    return np.maximum(np.pad(down, ((0, 1), (0, 0))), np.pad(right, ((0, 0), (0, 1))))


def crop_box(image: Image.Image, width: float, height: float, mask: Image.Image | None = None) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the largest part of a picture that has the shape of a cell: the part with the most of `mask` (mode L, of
    any size, white where the character is), its upper rows, with some room above the head, ahead of its lower ones; or, where there is no mask,
    of detail."""
    scale = max(width / image.width, height / image.height)
    wide, high = min(image.width, width / scale), min(image.height, height / scale)
    if image.width - wide < 1 and image.height - high < 1:
        return 0, 0, image.width, image.height
    across, down = _weights(image, mask, high / image.height)
    left = (image.width - wide) * _best_start(across, wide / image.width)
    top = (image.height - high) * _best_start(down, high / image.height)
    return left, top, left + wide, top + high


def _weights(image: Image.Image, mask: Image.Image | None, share: float) -> tuple[np.ndarray, np.ndarray]:
    """What each column and each row of a picture is worth. `share`: of its height that the window shows."""
    if mask is not None:
        shown = np.asarray(mask.resize((SEEN_AT, SEEN_AT), Image.Resampling.BOX), dtype=np.float32) / 255
        rows = np.flatnonzero(shown.any(axis=1))
        if len(rows):
            # A row is worth as much where a figure is narrow, as its head is.
            worth = shown.max(axis=1) * np.interp(np.arange(SEEN_AT), rows[[0, -1]], (1, _FEET))
            worth[max(0, rows[0] - math.ceil(_HEADROOM * share * SEEN_AT)):rows[0] + 1] = 1
            return shown.sum(axis=0), worth
    weight = detail(image)
    across, down = (np.abs(np.linspace(-middle, 1 - middle, side)) / max(middle, 1 - middle) for middle, side in zip(_MIDDLE, weight.shape[::-1]))
    weight = weight * (1 - _CENTRED * np.maximum(across[None, :], down[:, None]))
    return weight.sum(axis=0), weight.sum(axis=1)


def _best_start(weight: np.ndarray, share: float) -> float:
    """Where a window of `share` of a line begins that holds the most of its weight: 0 at the line's start, 1 as near to its end as it
    can. Of equally good places the middle one of those that lie together, nearest the line's middle: between two like figures lies
    neither."""
    length = min(len(weight), max(1, round(len(weight) * share)))
    sums = np.convolve(weight, np.ones(length), mode="valid")
    if len(sums) == 1:
        return 0.5
    best = np.flatnonzero(sums >= sums.max() * (1 - 1e-4))
    together = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    last = len(sums) - 1
    return min((float(run.mean()) / last for run in together), key=lambda start: abs(start - 0.5))
