"""Films of the demo's models in process, by the same functions as the nodes: for the bench and the trainer's sheets."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..host import motion_module
from ..host.consistent_attention import Options, apply
from ..host.encode_story import encode_story
from ..host.image_prompt import apply_motion
from ..host.motion_predictor import Transition
from ..host.render import sample
from ..host.sight import Sight
from ..host.story_rows import KEY
from ..host.transition_latents import transition_latents
from ..story.model import Panel, Story
from . import models, weights

NODE = "demo"


@dataclass
class Studio:
    """The demo's models, loaded once. animated: with its motion module."""

    animated: object
    clip: object
    vae: object
    clip_vision: object

    @classmethod
    def load(cls) -> Studio:
        animated = motion_module.load_motion_module(models.load_model(), weights.MOTION_MODULE.name, 16, 4, "auto")
        return cls(animated, models.load_clip(), models.load_vae(), models.load_clip_vision())

    def see(self, pictures: torch.Tensor, space: str = "penultimate") -> torch.Tensor:
        """(pictures, height, width, 3) in 0..1 to (pictures, tokens, channels)."""
        return Sight(self.clip_vision, space).see(pictures)

    def transition(self, features: torch.Tensor) -> Transition:
        return Transition.of(features, "penultimate", Sight(self.clip_vision, "penultimate").nothing())

    @torch.inference_mode()
    def film(self, keyframes: torch.Tensor, motion: Transition, prompt: str = "", seed: int = 1, steps: int = 12, cfg: float = 2.0, weight: float = 1.0, consistent: bool = True) -> torch.Tensor:
        """One transition between two keyframes (2, height, width, 3), as frames (frames, height, width, 3) in 0..1.

        consistent: with consistent self-attention between the frames, so that who is in them stays the same.
        """
        story = Story(characters=(), panels=(Panel(1, prompt, prompt, (), 1),), style="(No style)", negative="")
        positive, negative = encode_story(self.clip, story, keyframes.shape[2], keyframes.shape[1])
        for _, more in (*positive, *negative):
            more.pop(KEY)  # the rows are frames, not panels
        latent = transition_latents(NODE, self.vae, keyframes, motion.frames)[0]
        model = apply_motion(self.animated, motion, weights.IMAGE_PROMPT.name, weight, "decoupled", 0.0, 1.0)
        if consistent:
            model = apply(model, Options(mode="batch"))
        return self.vae.decode(sample(model, positive, negative, latent, seed, steps, cfg))
