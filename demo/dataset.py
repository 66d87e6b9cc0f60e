"""Training data of the demo's diffusion model: latents and tokenised captions in shards on disk.

A shard is drawn from its own seed, so shards can be made in any order, by several processes, and again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from .captions import caption
from .drawing import SIZE, draw_picture
from .world import Picture, random_pair, random_single, random_strip

SHARD = {"square": 1024, "strip": 512}  # pictures in a shard; a strip is two panels wide
CAPTIONS = 3  # captions for each picture, each leaving out other things
GUTTER = 6  # white pixels at each side of the line between two panels


def random_pictures(kind: str, rng: Random) -> tuple[Picture, ...]:
    if kind == "strip":
        return random_strip(rng, 2)
    draw = rng.random()
    if draw < 0.62:
        return (random_single(rng),)
    return (random_pair(rng, twins=draw < 0.9),)


def draw(pictures: tuple[Picture, ...]) -> Image.Image:
    """One picture, or the panels of a strip side by side with a white gutter between them."""
    if len(pictures) == 1:
        return draw_picture(pictures[0])[0]
    sheet = Image.new("RGB", (SIZE * len(pictures), SIZE), "white")
    for i, picture in enumerate(pictures):
        panel = draw_picture(picture)[0]
        left, right = (GUTTER if i else 0), SIZE - (GUTTER if i + 1 < len(pictures) else 0)
        sheet.paste(panel.crop((left, 0, right, SIZE)), (SIZE * i + left, 0))
    return sheet


@dataclass(frozen=True)
class Encoders:
    """`latents` maps (batch, 3, height, width) in -1..1 to latents scaled to unit variance; `tokens` a text to the
    77 token ids of both text encoders."""

    latents: object
    tokens: object


@torch.no_grad()
def make_shard(kind: str, index: int, folder: Path, encoders: Encoders, batch: int = 16) -> Path:
    path = folder / f"{kind}_{index:04d}.safetensors"
    if path.exists():
        return path
    rng = Random(f"{kind} {index}")
    latents, tokens = [], []
    for _ in range(SHARD[kind] // batch):
        groups = [random_pictures(kind, rng) for _ in range(batch)]
        pixels = torch.stack([torch.from_numpy(np.array(draw(g))).permute(2, 0, 1) for g in groups]).float() / 127.5 - 1
        latents.append(encoders.latents(pixels).half().contiguous())
        tokens.append(torch.tensor([[encoders.tokens(caption(g, rng)) for _ in range(CAPTIONS)] for g in groups], dtype=torch.int32))
    unfinished = path.with_suffix(".part")
    # latents (pictures, 4, height / 8, width / 8); tokens (pictures, captions, 2 encoders, 77)
    save_file({"latents": torch.cat(latents).contiguous(), "tokens": torch.cat(tokens)}, unfinished)
    unfinished.rename(path)
    return path


class Shards:
    """All pictures of one kind that are on disk; `refresh` finds shards that were added meanwhile."""

    def __init__(self, kind: str, folder: Path):
        self._kind, self._folder, self._seen = kind, folder, set()
        self.latents, self.tokens = torch.empty(0), torch.empty(0)
        self.refresh()

    def refresh(self) -> None:
        new = sorted(p for p in self._folder.glob(f"{self._kind}_*.safetensors") if p not in self._seen)
        if not new:
            return
        loaded = [load_file(p) for p in new]
        self._seen.update(new)
        self.latents, self.tokens = (
            torch.cat([old, *(shard[key] for shard in loaded)]) if len(old) else torch.cat([shard[key] for shard in loaded])
            for key, old in (("latents", self.latents), ("tokens", self.tokens))
        )

    def batch(self, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents (size, 4, height, width) float32 and tokens (size, 2, 77)."""
        picked = torch.randint(len(self.latents), (size,), generator=generator)
        which = torch.randint(CAPTIONS, (size,), generator=generator)
        return self.latents[picked].float(), self.tokens[picked, which]
