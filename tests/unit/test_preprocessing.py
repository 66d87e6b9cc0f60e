"""Photos for CLIP: as the official CLIPImageProcessor makes them."""

import numpy as np
import pytest
import torch
from PIL import Image

from fabula.identity.preprocessing import MEAN, STD, prepare_photo


def photo(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def reference(image, size=224):
    """Shortest edge to `size` with Pillow's bicubic, the other edge rounded down; centre crop; mean and deviation."""
    width, height = image.size
    resized = image.resize((size, int(size * height / width)) if width <= height else (int(size * width / height), size), Image.BICUBIC)
    pixels = np.asarray(resized, dtype=np.float64) / 255
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return (pixels[top:top + size, left:left + size] - np.array(MEAN)) / np.array(STD)


@pytest.mark.parametrize("size", [(512, 512), (1000, 333), (225, 337), (224, 224), (333, 1000), (64, 91)])
def test_resized_cut_and_normalised(size):
    image = photo(*size)
    found = prepare_photo(image)
    assert found.shape == (3, 224, 224) and found.dtype == torch.float32
    assert np.abs(found.permute(1, 2, 0).numpy() - reference(image)).max() < 1e-6


def test_the_photo_is_not_changed_and_alpha_shows_white():
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    before = image.tobytes()
    found = prepare_photo(image)
    assert image.tobytes() == before and image.mode == "RGBA"
    assert torch.allclose(found, ((1 - torch.tensor(MEAN)) / torch.tensor(STD))[:, None, None].expand_as(found), atol=1e-5)


def test_grey_and_palette_photos_are_read():
    for mode in ("L", "P", "LA"):
        assert prepare_photo(photo(300, 260).convert("L").convert(mode)).shape == (3, 224, 224)
