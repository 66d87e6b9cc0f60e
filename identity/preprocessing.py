"""Photos as PhotoMaker's CLIP tower takes them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's
PAPER = (255, 255, 255)


def prepare_photo(photo: Image.Image, size: int = 224) -> torch.Tensor:
    """(3, size, size): the middle of a photo, normalised for CLIP."""
    return normalise(torch.from_numpy(np.array(crop_photo(photo, size))).permute(2, 0, 1)[None])[0]


def crop_photo(photo: Image.Image, size: int = 224) -> Image.Image:
    """RGB, size x size: the shorter side resized to `size` (bicubic, the longer one rounded down, as the official CLIPImageProcessor does), its middle
    cut out. What is transparent shows white."""
    if photo.mode in ("RGBA", "LA", "PA") or "transparency" in photo.info:
        photo = photo.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, (*PAPER, 255)), photo)
    photo = photo.convert("RGB")
    short, long = sorted(photo.size)
    longer = int(size * long / short)
    wide, high = (size, longer) if photo.width <= photo.height else (longer, size)
    photo = photo.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = (wide - size) // 2, (high - size) // 2
    return photo.crop((left, top, left + size, top + size))


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """(photos, 3, height, width) of 0..255, to float32 of CLIP's mean and deviation."""
    mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (MEAN, STD))
    return (pixels.float() / 255 - mean) / std
