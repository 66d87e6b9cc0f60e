"""IP-Adapter's files as models of the host's, and pictures into their tokens."""

from __future__ import annotations

from textwrap import shorten

import comfy.model_management
import comfy.ops
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher

from ..motion.image_prompt import ImagePrompt, clean, sizes_of
from .folders import IMAGE_PROMPTS


def names() -> list[str]:
    return folder_paths.get_filename_list(IMAGE_PROMPTS)


def load_image_prompt(name: str) -> ModelPatcher:
    """Raises: ValueError for a file that is not there, cannot be read, or is of another kind."""
    path = folder_paths.get_full_path(IMAGE_PROMPTS, name)
    if path is None:
        raise ValueError(f"input 'image_prompt_name' is {name!r}, which is not in models/{IMAGE_PROMPTS}. There are: {', '.join(names()) or 'none'}.")
    try:
        weights = comfy.utils.load_torch_file(path, safe_load=True)
        if isinstance(weights.get("image_proj"), dict):  # .bin files are of two dicts
            weights = {f"{part}.{key}": tensor for part in ("image_proj", "ip_adapter") for key, tensor in weights[part].items()}
        weights = clean(weights)
        sizes = sizes_of(weights)
        device, offload = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
        model = ImagePrompt(sizes, comfy.ops.manual_cast, dtype=next(iter(weights.values())).dtype, device=offload)
        model.load_state_dict(weights)
    except Exception as error:  # whatever a file that is cut short or of another kind makes the readers raise
        raise ValueError(
            f"input 'image_prompt_name': {name} is no image prompt that can be read ({shorten(str(error), 200)}). Choose an IP-Adapter of the base, plus or full kind."
        ) from error
    return ModelPatcher(model.eval(), load_device=device, offload_device=offload)


@torch.inference_mode()
def project(patcher: ModelPatcher, features: torch.Tensor) -> torch.Tensor:
    """CLIP's features (pictures, tokens, channels) to the prompt's (pictures, prompt tokens, context), float32 where `features` are."""
    comfy.model_management.load_model_gpu(patcher)
    return patcher.model.tokens(features.to(patcher.load_device, torch.float32)).to(features.device)
