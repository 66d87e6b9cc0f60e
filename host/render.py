"""Pictures from prompts in process, by the host's own sampling: for the trainer's sheets and the benches."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.sample
import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE
from PIL import Image

from ..story.model import Panel, Story
from .encode_story import empty_latents, encode_story
from .images import to_images


def sample(model: ModelPatcher, positive, negative, latent: dict, seed: int, steps: int, cfg: float,
           sampler: str = "euler", scheduler: str = "normal", denoise: float = 1.0) -> torch.Tensor:
    """What KSampler does. Returns latents (batch, channels, height, width)."""
    noise = comfy.sample.prepare_noise(latent["samples"], seed, latent.get("batch_index"))
    return comfy.sample.sample(
        model, noise, steps, cfg, sampler, scheduler, positive, negative, latent["samples"], denoise=denoise,
        noise_mask=latent.get("noise_mask"), disable_pbar=True, seed=seed,
    )


@torch.inference_mode()
def render(model: ModelPatcher, clip: CLIP, vae: VAE, prompts: Sequence[str], seed: int, steps: int, cfg: float,
           width: int = 256, height: int = 256) -> list[Image.Image]:
    """One picture a prompt."""
    panels = tuple(Panel(i + 1, prompt, prompt, (), i + 1) for i, prompt in enumerate(prompts))
    story = Story(characters=(), panels=panels, style="(No style)", negative="")
    positive, negative = encode_story(clip, story, width, height)
    latents = sample(model, positive, negative, empty_latents(range(len(panels)), width, height), seed, steps, cfg)
    return to_images(vae.decode(latents))
