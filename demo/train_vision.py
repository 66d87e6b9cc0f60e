"""Trains the demo's CLIP vision tower: what a picture of the demo world shows must be readable off its features.

Off the pooled ones who wears what, where, when, standing where and how; off the penultimate layer's tokens what stands in their own patch of the picture. Real CLIP
towers learn from pictures and their captions; this one, of the same classes, from what was drawn.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..host.demo_models import vision_module
from . import sizes, workers
from .checkpoint import Checkpoint
from .clips import KINDS, draw_frame, random_clip
from .drawing import draw_picture
from .poses import POSES
from .train_identity import LABELS, UNSEEN, labels_of, roughen
from .workers import DEVICE
from .world import PARTS, PLACES, TIMES, WEATHERS, Figure, Picture, random_character, random_pair, random_single

PICTURES = 14000
BATCH = 96
CELLS = 4  # a patch shows CELLS x CELLS of colours and parts
SCENES = {"place": PLACES, "time": TIMES, "weather": WEATHERS}
POSTURE = 15  # numbers of `posture`


def config() -> dict:
    return json.loads(sizes.CLIP_VISION.read_text(encoding="utf-8"))


def posture(figure: Figure) -> list[float]:
    """Where somebody stands, which way it looks, and the joints."""
    pose = figure.pose or POSES[figure.action]
    joints = [value for limb in (*pose.legs, *pose.arms) for value in limb[1]]
    knees = [limb[0][0] for limb in pose.legs]
    return [4 * (figure.x - 0.5), figure.facing, 2 * (pose.hip + pose.lift - 1), figure.prop * (figure.action in ("sitting", "reading", "balloon")), *joints, *knees, figure.scale]


def random_frame(rng: Random) -> tuple[Image.Image, Image.Image, Picture, Figure]:
    """A moment of a clip or, one in four, a still picture: it, its part map, the scene, and the first figure in it."""
    draw = rng.random()
    if draw < 0.25:
        picture = random_single(rng) if draw < 0.18 else random_pair(rng, twins=False)
        return *draw_picture(picture), picture, picture.figures[0]
    clip = random_clip(rng, random_character(rng), rng.choice((*KINDS, "journey")))
    tau = rng.choice((0.0, 1.0, rng.random(), rng.random()))
    return *draw_frame(clip, tau), clip.start if tau < 0.5 else clip.end, clip.figure(tau)


def draw_pool(count: int, seed: int | str, path: Path, side: int, grid: int) -> dict[str, Tensor]:
    """pixels (count, 3, side, side), colours (count, 3, grid, grid), parts (count, grid, grid), all uint8; labels (count, LABELS), scenes (count, SCENES),
    postures (count, POSTURE)."""
    if path.exists():
        return load_file(path)
    rng = Random(f"vision {seed}")
    found: dict[str, list[Tensor]] = {name: [] for name in ("pixels", "colours", "parts", "labels", "scenes", "postures")}
    for number in range(count):
        image, parts, scene, figure = random_frame(rng)
        for name, size in (("pixels", side), ("colours", grid)):
            filter_ = Image.Resampling.BICUBIC if name == "pixels" else Image.Resampling.BOX
            found[name].append(torch.from_numpy(np.array(image.resize((size, size), filter_))).permute(2, 0, 1))
        step = image.width // grid
        ids = np.array(parts)[step // 2::step, step // 2::step]
        found["parts"].append(torch.from_numpy(np.where(ids > 0, (ids - 1) % len(PARTS) + 1, 0).astype(np.uint8)))
        found["labels"].append(torch.tensor(labels_of(figure.character)))
        found["scenes"].append(torch.tensor([values.index(getattr(scene, name)) for name, values in SCENES.items()]))
        found["postures"].append(torch.tensor(posture(figure)))
        if number % 2000 == 1999:
            print(f"{number + 1} of {count} pictures drawn", flush=True)
    pool = {name: torch.stack(values).contiguous() for name, values in found.items()}
    save_file(pool, path)
    return pool


class Heads(nn.Module):
    """What must be readable; only a help for training."""

    def __init__(self, hidden: int, pooled: int) -> None:
        super().__init__()
        self.names = {**LABELS, **SCENES}
        self.labels = nn.ModuleDict({name: nn.Linear(pooled, len(values)) for name, values in self.names.items()})
        self.posture = nn.Sequential(nn.Linear(pooled, 128), nn.GELU(), nn.Linear(128, POSTURE))
        self.patches = nn.Linear(hidden, CELLS * CELLS * (3 + 1 + len(PARTS)))

    def forward(self, tokens: Tensor, pooled: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """tokens (batch, 1 + patches, hidden), pooled (batch, pooled). The losses by name, and how many labels are read right as "right"."""
        wanted = torch.cat([batch["labels"], batch["scenes"]], dim=1)
        logits = [head(pooled) for head in self.labels.values()]
        losses = {"labels": sum(F.cross_entropy(each, wanted[:, number], ignore_index=UNSEEN) for number, each in enumerate(logits))}
        right = torch.stack([each.argmax(1) for each in logits], dim=1) == wanted
        losses["posture"] = F.mse_loss(self.posture(pooled), batch["postures"])
        side = int((tokens.shape[1] - 1) ** 0.5)
        cells = self.patches(tokens[:, 1:]).view(len(tokens), side, side, -1, CELLS, CELLS).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        losses["colours"] = F.mse_loss(cells[:, :3], batch["colours"].float() / 127.5 - 1)
        losses["parts"] = F.cross_entropy(cells[:, 3:], batch["parts"].long())
        return {**losses, "right": right[wanted != UNSEEN].float().mean()}


WEIGHTS = {"labels": 0.1, "posture": 1.0, "colours": 3.0, "parts": 1.0}


def train(folder: Path, steps: int, seed: int = 1, rate: float = 1.5e-3, pictures: int = PICTURES) -> tuple[nn.Module, str]:
    """Trains until `steps`, resuming from `folder`/vision.pt. Returns the tower and the minutes that it took."""
    said = config()
    side, grid = said["image_size"], CELLS * said["image_size"] // said["patch_size"]
    pool = draw_pool(pictures, seed, folder / f"vision_pool_{seed}_{pictures}.safetensors", side, grid)
    held = draw_pool(600, f"{seed} held out", folder / f"vision_pool_{seed}_held.safetensors", side, grid)
    torch.manual_seed(seed)
    model = vision_module(said).to(DEVICE)
    heads = Heads(said["hidden_size"], said["projection_dim"]).to(DEVICE)
    optimiser = torch.optim.AdamW([*model.parameters(), *heads.parameters()], lr=rate, weight_decay=0.02)
    checkpoint = Checkpoint(folder / "vision.pt", model=model, heads=heads, optimiser=optimiser)
    generator = torch.Generator().manual_seed(seed + 1000 * checkpoint.steps)
    for step in range(checkpoint.steps, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 200) * min(1.0, (steps - step) / (steps / 2))
        picked = torch.randint(len(pool["pixels"]), (BATCH,), generator=generator)
        losses = _losses(model, heads, {name: values[picked] for name, values in pool.items()}, generator)
        optimiser.zero_grad(set_to_none=True)
        sum(WEIGHTS[name] * losses[name] for name in WEIGHTS).backward()
        nn.utils.clip_grad_norm_([*model.parameters(), *heads.parameters()], 1.0)
        optimiser.step()
        if step % 100 == 99:
            with torch.no_grad():
                told = _losses(model, heads, held, generator)
            print(f"step {step + 1}/{steps}, held out: " + ", ".join(f"{name} {float(value):.4f}" for name, value in told.items()) + f"; {checkpoint.minutes} min", flush=True)
        if step % 500 == 499 or step == steps - 1:
            checkpoint.save(step + 1)
    return model.cpu(), checkpoint.minutes


def _losses(model: nn.Module, heads: Heads, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    pixels = roughen(batch["pixels"], generator)
    with workers.half_precision():
        _, penultimate, pooled, _ = model(pixel_values=pixels)
    return heads(penultimate.float(), pooled.float(), {name: values.to(DEVICE) for name, values in batch.items() if name != "pixels"})
