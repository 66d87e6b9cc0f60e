"""Training and test clips of the demo's film models: latents, and what the CLIP vision tower shall see, in shards on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .captions import character_words
from .clips import KINDS, draw_clip, random_clip
from .world import Character, random_character

SHARD = 100  # clips
CAST = 500  # characters that training knows
SHARES = {"walk": 5, "jump": 3, "wave": 3, "journey": 9}


@dataclass(frozen=True)
class Clips:
    """latents (clips, FRAMES, 4, 32, 32) of unit variance; pixels (clips, FRAMES, 3, side, side) uint8, as CLIP vision reads them; kinds and texts, one a clip."""

    latents: Tensor
    pixels: Tensor
    kinds: list[str]
    texts: list[str]


def known_character(number: int) -> Character:
    return random_character(Random(f"cast {number % CAST}"))


def unseen_character(number: int) -> Character:
    return random_character(Random(f"unseen cast {number}"))


def held_out(count: int):
    """`count` clips of each kind that training has not seen, and whether it knows who is in them: every other one."""
    rng = Random("held out clips")
    return [(random_clip(rng, (known_character if number % 2 else unseen_character)(rng.randrange(10000)), kind), bool(number % 2)) for kind in KINDS for number in range(count)]


def make_shard(folder: Path, index: int, side: int, encode) -> Path:
    """encode: pixels (batch, 3, height, width) in -1..1 to latents."""
    path = folder / f"clips_{index:03d}.safetensors"
    if path.exists():
        return path
    rng = Random(f"clips {index}")
    latents, pixels, texts, kinds = [], [], [], []
    for _ in range(SHARD):
        kind = rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        who = known_character(rng.randrange(CAST))
        drawn = draw_clip(random_clip(rng, who, kind))
        latents.append(encode(to_pixels(drawn)).half())
        pixels.append(small(drawn, side))
        kinds.append(KINDS.index(kind))
        texts.append(character_words(who, rng, rng.choice((0.0, 0.3, 0.7, 1.0))))
    part = path.with_suffix(".part")
    save_file({"latents": torch.stack(latents).contiguous(), "pixels": torch.stack(pixels).contiguous(), "kinds": torch.tensor(kinds)}, part, metadata={"texts": "\n".join(texts)})
    part.rename(path)
    return path


def load_shards(folder: Path) -> Clips:
    paths = sorted(folder.glob("clips_*.safetensors"))
    if not paths:
        raise FileNotFoundError(f"There are no clips in {folder}. Draw them first: train_demo.py clips.")
    found, texts = [], []
    for path in paths:
        with safe_open(path, "pt") as file:
            found.append({name: file.get_tensor(name) for name in file.keys()})
            texts += file.metadata()["texts"].split("\n")
    kinds = [KINDS[number] for shard in found for number in shard["kinds"].tolist()]
    return Clips(torch.cat([shard["latents"] for shard in found]), torch.cat([shard["pixels"] for shard in found]), kinds, texts)


def to_pixels(drawn: list[Image.Image]) -> Tensor:
    """(frames, 3, height, width) in -1..1."""
    return torch.stack([torch.from_numpy(np.array(each)).permute(2, 0, 1) for each in drawn]).float() / 127.5 - 1


def small(drawn: list[Image.Image], side: int) -> Tensor:
    """(frames, 3, side, side) uint8."""
    return torch.stack([torch.from_numpy(np.array(each.resize((side, side), Image.Resampling.BICUBIC))).permute(2, 0, 1) for each in drawn])
