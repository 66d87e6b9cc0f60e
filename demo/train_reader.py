"""Trains the demo's reader on drawings, roughened the way a small VAE and a diffusion model roughen pictures."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import torch
from torch.nn import functional as F

from . import workers
from .checkpoint import Checkpoint
from .drawing import draw_picture
from .reader import LABELS, MAP_SIDE, Reader
from .workers import DEVICE
from .world import random_single


def draw_examples(count: int, seed: int | str, reduce: int = 2) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    """`count` drawings: pixels (count, 3, 256 / reduce, 256 / reduce) uint8, labels (count,) each, part maps (count, 64, 64)."""
    rng = Random(f"reader {seed}")
    pixels, parts, labels = [], [], {name: [] for name in LABELS}
    for _ in range(count):
        picture = random_single(rng)
        image, part_map = draw_picture(picture)
        pixels.append(torch.from_numpy(np.array(image.reduce(reduce))).permute(2, 0, 1))
        parts.append(torch.from_numpy(np.array(part_map))[2::4, 2::4].long())
        shown = {"place": picture.place, "action": picture.figures[0].action, "time": picture.time, "weather": picture.weather}
        for name, value in shown.items():
            labels[name].append(LABELS[name].index(value))
    assert parts[0].shape == (MAP_SIDE, MAP_SIDE)
    return torch.stack(pixels), {k: torch.tensor(v) for k, v in labels.items()}, torch.stack(parts)


def roughen(pixels: torch.Tensor) -> torch.Tensor:
    """Blur, wobbling colours, noise and patches of another brightness, differently for each batch."""
    x = pixels.float() / 255
    size = int(torch.randint(48, 129, ()))
    x = F.interpolate(F.interpolate(x, (size, size), mode="area"), x.shape[-2:], mode="bilinear")
    n = len(x)
    tint, shift, patches = (torch.randn(n, 3, side, side, device=x.device) for side in (1, 1, 8))
    x = x * (1 + 0.12 * tint) + 0.04 * shift
    x = x + 0.06 * F.interpolate(patches, x.shape[-2:], mode="bilinear")
    return (x + 0.05 * torch.rand(n, 1, 1, 1, device=x.device) * torch.randn_like(x)).clamp(0, 1)


def train(folder: Path, steps: int, seed: int = 1, batch: int = 32, rate: float = 2e-3, examples: int = 6000) -> tuple[Reader, str]:
    """Trains until `steps`, resuming from `folder`/reader.pt. Returns the reader and the minutes that it took."""
    pixels, labels, parts = draw_examples(examples, seed)
    torch.manual_seed(seed)
    reader = Reader().to(DEVICE)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=rate, weight_decay=0.01)
    checkpoint = Checkpoint(folder / "reader.pt", reader=reader, optimiser=optimiser)
    torch.manual_seed(seed + checkpoint.steps)
    for step in range(checkpoint.steps, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * (1 - step / steps)
        picked = torch.randint(len(pixels), (batch,))
        with workers.half_precision():
            logits, part_logits = reader(roughen(pixels[picked].to(DEVICE)))
        loss = F.cross_entropy(part_logits.float(), parts[picked].to(DEVICE))
        loss = loss + sum(F.cross_entropy(logits[k].float(), labels[k][picked].to(DEVICE)) for k in LABELS)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 99:
            print(f"step {step + 1}/{steps}: loss {loss.item():.3f}, {checkpoint.minutes} min", flush=True)
        if step % 200 == 199 or step == steps - 1:
            checkpoint.save(step + 1)
    return reader.cpu(), checkpoint.minutes


@torch.inference_mode()
def accuracy(reader: Reader, pixels: torch.Tensor, labels: dict[str, torch.Tensor], parts: torch.Tensor) -> dict[str, float]:
    """Share of right labels, and of right cells where a part is, on held-out pictures (count, 3, h, w) in 0..1."""
    logits, part_logits = (zip(*[reader(chunk) for chunk in pixels.split(50)]))
    right = {k: float((torch.cat([part[k] for part in logits]).argmax(1) == labels[k]).float().mean()) for k in LABELS}
    seen = parts > 0
    right["parts"] = float((torch.cat(part_logits).argmax(1)[seen] == parts[seen]).float().mean())
    return right
