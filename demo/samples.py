"""Sample sheets of the demo models, through the host's own sampling."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..host.render import render
from . import models

PROMPTS = (
    "a girl waving in the forest by day",
    "an old man running on the beach at sunset",
    "a woman sitting in the city at night",
    "a boy jumping in the mountains in the snow",
    "a man reading a book in the desert",
    "an old woman holding a balloon in a meadow",
    "a girl with ginger hair, wearing a red coat, blue trousers, yellow shoes, a green beanie and scarf, reading in the library",
    "a boy, wearing a yellow shirt, blue trousers, jumping, in the bedroom at night",
    "a woman in a purple dress, a white sun hat, waving, by the sea, at sunset",
    "two twin girls, waving and sitting, in the city in the rain",
)


def save_samples(path: Path, seed: int = 1, steps: int = 25, cfg: float = 4.0) -> None:
    pictures = render(models.load_model(), models.load_clip(), models.load_vae(), PROMPTS, seed=seed, steps=steps, cfg=cfg)
    width, height = pictures[0].size
    sheet = Image.new("RGB", (5 * width, height * ((len(pictures) + 4) // 5)))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % 5 * width, i // 5 * height))
    sheet.save(path)
