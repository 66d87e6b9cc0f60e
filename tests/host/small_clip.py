"""CLIP vision models of the host's own class, of any size, with random weights."""

import json

import comfy.clip_vision
import torch


def clip_vision_of(config, folder):
    """`config` as of the host's JSON files; one is written into `folder`, since the host reads no other."""
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    made = comfy.clip_vision.ClipVisionModel(file)
    torch.manual_seed(5)
    made.load_sd({name: torch.randn_like(value) * (0.1 if value.ndim > 1 else 0.5) for name, value in made.get_sd().items()})
    return made
