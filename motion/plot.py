"""The loss of a training run as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

SIZE = (640, 400)
_INK, _FAINT, _LINE, _SMOOTH = (40, 40, 44), (225, 225, 228), (150, 180, 225), (30, 90, 190)
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 40, 20, 50  # margins, pixels
_FONT = 13


def plot_losses(losses: Sequence[float], text: str = "") -> Image.Image:
    """RGB: the loss of each step and its running mean, on a logarithmic scale, and a line of text above."""
    image = Image.new("RGB", SIZE, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(_FONT)
    pen.text((_LEFT, 12), text, fill=_INK, font=font)
    values = [math.log10(max(loss, 1e-12)) for loss in losses if math.isfinite(loss)]
    if not values:
        return image
    low, high = math.floor(min(values) * 4) / 4, math.ceil(max(values) * 4) / 4 + 1e-9
    wide, tall = SIZE[0] - _LEFT - _RIGHT, SIZE[1] - _TOP - _BOTTOM

    def at(step: float, value: float) -> tuple[float, float]:
        return _LEFT + wide * step / max(1, len(values) - 1), _TOP + tall * (high - value) / max(high - low, 1e-6)

    for number in range(5):
        value = low + (high - low) * number / 4
        y = at(0, value)[1]
        pen.line((_LEFT, y, SIZE[0] - _RIGHT, y), fill=_FAINT)
        pen.text((_LEFT - 8, y), f"{10 ** value:.3g}", fill=_INK, font=font, anchor="rm")
        step = round((len(values) - 1) * number / 4)
        pen.text((at(step, low)[0], SIZE[1] - _BOTTOM + 8), str(step + 1), fill=_INK, font=font, anchor="mt")
    pen.text((_LEFT + wide / 2, SIZE[1] - 12), "step", fill=_INK, font=font, anchor="mm")
    every = max(1, len(values) // wide)
    pen.line([at(step, values[step]) for step in range(0, len(values), every)], fill=_LINE)
    span = max(1, len(values) // 40)
    smooth = [sum(values[max(0, step - span):step + 1]) / (min(step, span) + 1) for step in range(len(values))]
    pen.line([at(step, smooth[step]) for step in range(0, len(values), every)], fill=_SMOOTH, width=2)
    return image
