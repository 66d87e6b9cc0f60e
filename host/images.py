"""The host's IMAGE tensors and Pillow's pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image


def to_images(pixels: torch.Tensor) -> list[Image.Image]:
    """(batch, height, width, channels) in 0..1, the host's IMAGE, to Pillow pictures: 1 channel is grey, 4 have alpha."""
    return [Image.fromarray(p) for p in (pixels.clamp(0, 1) * 255).round().byte().squeeze(-1).cpu().numpy()]


def to_pixels(images: Sequence[Image.Image]) -> torch.Tensor:
    """Pillow pictures of one size to (batch, height, width, 3) in 0..1."""
    return torch.stack([torch.from_numpy(np.array(i.convert("RGB"))) for i in images]).float() / 255
