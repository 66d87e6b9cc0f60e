"""Reads a picture of the demo world: place, action, time, weather, and which pixel shows which part of the figure.

A small net of its own, trained on drawings only. It is what `bench/consistency.py` measures with; it never sees, and
never helps to make, a picture of the diffusion model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from . import weights
from .world import ACTIONS, CLOTH, HAIR, PARTS, PLACES, RGB, SKIN, TIMES, WEATHERS, Character

SIDE = 128  # pixels that it looks at, both ways
MAP_SIDE = 64  # of the part map
LABELS = {"place": PLACES, "action": ACTIONS, "time": TIMES, "weather": WEATHERS}


def _stage(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(8, outputs), nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.GroupNorm(8, outputs), nn.SiLU(),
    )


class Reader(nn.Module):
    def __init__(self, width: int = 32):
        super().__init__()
        w = width
        self.down = nn.ModuleList([_stage(3, w, 2), _stage(w, 2 * w, 2), _stage(2 * w, 3 * w, 2), _stage(3 * w, 4 * w, 2)])
        self.up = nn.ModuleList([_stage(7 * w, 3 * w), _stage(5 * w, 2 * w), _stage(3 * w, w)])
        self.parts = nn.Conv2d(w, len(PARTS) + 1, 1)
        self.heads = nn.ModuleDict({name: nn.Linear(8 * w, len(values)) for name, values in LABELS.items()})

    def forward(self, pixels: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """pixels (batch, 3, height, width) in 0..1. Returns logits of each label (batch, values) and of the parts
        (batch, 1 + parts, 64, 64), class 0 being none."""
        x = F.interpolate(pixels, (SIDE, SIDE), mode="area") - 0.5
        levels = []
        for stage in self.down:
            x = stage(x)
            levels.append(x)
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)
        for stage, skip in zip(self.up, reversed(levels[:-1])):
            x = stage(torch.cat([F.interpolate(x, scale_factor=2.0), skip], dim=1))
        return {name: head(pooled) for name, head in self.heads.items()}, self.parts(x)


def load_reader() -> Reader:
    reader = Reader()
    reader.load_state_dict(weights.load(weights.READER))
    return reader.eval()


@dataclass(frozen=True)
class Reading:
    """What one picture shows. `colours`: part name to mean Lab colour (3,), for the parts that were found.
    `background`: (16, 16, 3) Lab, NaN where the figure covers it. `figure`: (64, 64) bool, the figure's cells."""

    labels: dict[str, str]
    colours: dict[str, torch.Tensor]
    background: torch.Tensor
    figure: torch.Tensor


SMALLEST_PART = 10  # cells of the 64 x 64 map; fewer are not trusted


@torch.inference_mode()
def read(reader: Reader, pixels: torch.Tensor) -> list[Reading]:
    """Reads pictures (batch, 3, height, width) in 0..1."""
    labels, parts = reader(pixels)
    lab = to_lab(F.interpolate(pixels, (MAP_SIDE, MAP_SIDE), mode="area"))
    found = parts.argmax(1)
    readings = []
    for i in range(len(pixels)):
        colours = {}
        for number, name in enumerate(PARTS, start=1):
            cells = _inner(found[i] == number)
            if int((found[i] == number).sum()) >= SMALLEST_PART:
                # The median: antialiased rims and drawn lines inside a part do not tint it.
                colours[name] = lab[i][:, cells].median(dim=1).values
        figure = F.max_pool2d((found[i] > 0).float()[None, None], 5, 1, 2)[0, 0].bool()
        background = lab[i].masked_fill(figure, torch.nan).view(3, 16, 4, 16, 4).nanmean((2, 4)).permute(1, 2, 0)
        readings.append(Reading({k: LABELS[k][int(v[i].argmax())] for k, v in labels.items()}, colours, background, found[i] > 0))
    return readings


def _inner(cells: torch.Tensor) -> torch.Tensor:
    """Cells whose four neighbours are of the part too; all of them where the part is too thin for that."""
    padded = F.pad(cells[None, None].float(), (1, 1, 1, 1))[0, 0]
    inner = cells & (padded[:-2, 1:-1] * padded[2:, 1:-1] * padded[1:-1, :-2] * padded[1:-1, 2:] > 0)
    return inner if int(inner.sum()) >= 4 else cells


def attributes_right(who: Character, reading: Reading) -> list[bool]:
    """For each part of a character, whether the picture shows it in the character's colour, of those of the world; a hat that is not there is right where
    the character has none."""
    wanted = {"skin": (SKIN, who.skin), "hair": (HAIR, who.hair), "top": (CLOTH, who.top), "shoes": (CLOTH, who.shoes)}
    if who.outfit != "dress":
        wanted["bottom"] = CLOTH, who.bottom
    if who.hat != "none":
        wanted["hat"] = CLOTH, who.hat_colour
    found = [part in reading.colours and _nearest(reading.colours[part], palette) == name for part, (palette, name) in wanted.items()]
    return found + ([] if "hat" in wanted else ["hat" not in reading.colours])


def _nearest(colour: torch.Tensor, palette: dict[str, RGB]) -> str:
    lab = to_lab(torch.tensor([list(rgb) for rgb in palette.values()]).float().T[None, :, :, None] / 255)[0, :, :, 0].T
    return list(palette)[int((lab - colour).norm(dim=1).argmin())]


def to_lab(rgb: torch.Tensor) -> torch.Tensor:
    """sRGB (batch, 3, height, width) in 0..1 to CIE Lab (D65)."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp_min(0) ** 2.4, rgb / 12.92)
    matrix = torch.tensor([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    white = torch.tensor([0.9505, 1.0, 1.089])
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear) / white[None, :, None, None]
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-8) ** (1 / 3), 7.787 * xyz + 16 / 116)
    return torch.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], dim=1)
