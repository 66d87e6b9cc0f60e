"""How pictures are seen: as CLIP's features, or as the tokens that an image prompt makes of them."""

from __future__ import annotations

import torch

from ..motion.predictor import SPACES
from .image_prompt_file import load_image_prompt, project

PROJECTED = SPACES[2]


class Sight:
    """A CLIP_VISION in one of SPACES. name: of the space, and of the image prompt for "projected".

    Raises: ValueError for no CLIP_VISION, and for an image prompt that is not there, or reads another CLIP.
    """

    def __init__(self, clip_vision, space: str, image_prompt: str = "") -> None:
        if clip_vision is None:
            raise ValueError("input 'clip_vision' is empty: the checkpoint has none in it. Load one with CLIPVisionLoader.")
        if space == PROJECTED and not image_prompt:
            raise ValueError("input 'image_prompt_name' is empty, but 'space' is projected: these are an image prompt's tokens. Choose the one that Apply Motion uses.")
        self.clip_vision, self.space = clip_vision, space
        self.name = f"{space} {image_prompt}" if space == PROJECTED else space
        self._image_prompt = image_prompt
        self._prompt = load_image_prompt(image_prompt) if space == PROJECTED else None
        if self._prompt is not None:
            self.nothing()  # raises, where what is seen later would seem to be at fault

    def weights(self) -> dict[str, torch.Tensor]:
        """Of all that sees: CLIP, and the image prompt."""
        prompt = {} if self._prompt is None else self._prompt.model.image_proj.state_dict()
        return {**self.clip_vision.get_sd(), **{f"image_proj.{name}": value for name, value in prompt.items()}}

    def see(self, pictures: torch.Tensor) -> torch.Tensor:
        """(pictures, height, width, channels) in 0..1 to (pictures, tokens, channels), float32."""
        if self._prompt is None:
            return encode_pictures(self.clip_vision, pictures, self.space)
        return self._project(encode_pictures(self.clip_vision, pictures, self._prompt.model.sizes.space))

    def nothing(self) -> torch.Tensor:
        """What stands for no picture, (tokens, channels): zeros for pooled features, as image prompts of the base kind were trained; else what CLIP sees in a black picture, as the demo's
        was and as is usual for the others, which were trained with one of CLIP's mean grey."""
        black = torch.zeros(1, 64, 64, 3)
        space = self.space if self._prompt is None else self._prompt.model.sizes.space
        features = encode_pictures(self.clip_vision, black, space)
        if space == "pooled":
            features = torch.zeros_like(features)
        return (features if self._prompt is None else self._project(features))[0]

    def _project(self, features: torch.Tensor) -> torch.Tensor:
        wanted = self._prompt.model.sizes.features
        if features.shape[-1] != wanted:
            raise ValueError(
                f"input 'clip_vision' gives features of {features.shape[-1]} channels, but input 'image_prompt_name' ({self._image_prompt}) reads {wanted}. Load the CLIP vision "
                "model that the image prompt was trained with."
            )
        return project(self._prompt, features)


@torch.no_grad()
def encode_pictures(clip_vision, pictures: torch.Tensor, space: str) -> torch.Tensor:
    """(pictures, height, width, channels) in 0..1 to CLIP's pooled or penultimate features (pictures, tokens, channels), float32."""
    seen = clip_vision.encode_image(pictures)
    features = seen.image_embeds[:, None] if space == "pooled" else seen.penultimate_hidden_states
    return features.float()
