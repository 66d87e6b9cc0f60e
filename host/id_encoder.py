"""PhotoMaker's encoder as a model of the host's, and its LoRA in the host's UNet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import comfy.clip_model
import comfy.lora
import comfy.lora_convert
import comfy.model_management
import comfy.ops
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from PIL import Image

from ..identity.checkpoint import Checkpoint, lora_targets, read_checkpoint
from ..identity.encoder import IdentityEncoder, Sizes, fuse
from ..identity.preprocessing import prepare_photo

NODE = "Fabula_LoadPhotoMaker"
FOLDER = "photomaker"

log = logging.getLogger(__name__)


class IdEncoder:
    """What the socket FABULA_ID_ENCODER carries. The weights are in a ModelPatcher: the host loads, counts and frees them."""

    def __init__(self, version: str, patcher: ModelPatcher) -> None:
        self.version = version
        self.patcher = patcher

    @property
    def sizes(self) -> Sizes:
        return self.patcher.model.sizes

    @torch.inference_mode()
    def encode(self, photos: Sequence[Image.Image], faces: torch.Tensor | None = None) -> torch.Tensor:
        """Photos, and for V2 their face embeddings (photos, 512), to identity tokens (photos x id_tokens, width), photo by photo."""
        device = self._load()
        # In float32, whatever the weights are stored in: the layers cast them, and a few photos are soon done.
        pixels = torch.stack([prepare_photo(photo, self.sizes.image_size) for photo in photos])
        faces = None if faces is None else faces.to(device, torch.float32)
        tokens = self.patcher.model(pixels.to(device), faces)
        return tokens.flatten(0, 1).to(comfy.model_management.intermediate_device())

    @torch.inference_mode()
    def fuse(self, text: torch.Tensor, places: Sequence[int], tokens: torch.Tensor, strength: float) -> torch.Tensor:
        """A prompt's embeddings (tokens, width) with the identity tokens in the class tokens at `places`; a new tensor, where `text` is."""
        device = self._load()
        return fuse(text.to(device), places, tokens.to(device), self.patcher.model.fuse_module, strength).to(text.device)

    def _load(self) -> torch.device:
        comfy.model_management.load_model_gpu(self.patcher)
        return self.patcher.load_device


def register() -> None:
    """Lets the host's folder `photomaker` list the demo's file as well."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(__file__).resolve().parents[1] / "demo" / "weights" / FOLDER))


def names() -> list[str]:
    return folder_paths.get_filename_list(FOLDER)


def load_photomaker(name: str) -> tuple[IdEncoder, Checkpoint]:
    """A file of the host's folder `photomaker`. Raises: ValueError where it is not there, cut short, or of another kind."""
    path = folder_paths.get_full_path(FOLDER, name)
    if path is None:
        raise ValueError(f"{NODE}: input 'photomaker_name' is {name!r}, which is not in models/{FOLDER}. Put photomaker-v1.bin or photomaker-v2.bin there.")
    try:
        checkpoint = read_checkpoint(comfy.utils.load_torch_file(path, safe_load=True))
        return make_encoder(checkpoint), checkpoint
    except Exception as error:  # torch and safetensors raise much for a file that is cut short
        raise ValueError(f"{NODE}: input 'photomaker_name': {name} cannot be used: {error}") from error


def make_encoder(checkpoint: Checkpoint) -> IdEncoder:
    """Raises: RuntimeError, by torch, for weights that are missing or do not fit each other."""
    sizes = Sizes.of(checkpoint.encoder)
    device, offload = comfy.model_management.text_encoder_device(), comfy.model_management.text_encoder_offload_device()
    factory = {"dtype": comfy.model_management.text_encoder_dtype(device), "device": offload}
    tower = comfy.clip_model.CLIPVision(vision_config(sizes), factory["dtype"], offload, comfy.ops.manual_cast)
    model = IdentityEncoder(sizes, tower, comfy.ops.manual_cast, **factory)
    model.load_state_dict(checkpoint.encoder)
    model.eval()
    return IdEncoder(checkpoint.version, ModelPatcher(model, load_device=device, offload_device=offload))


def vision_config(sizes: Sizes) -> dict:
    """As the host's CLIPVision takes it."""
    return {
        "hidden_size": sizes.hidden, "intermediate_size": sizes.intermediate, "num_hidden_layers": sizes.layers, "num_attention_heads": sizes.heads,
        "image_size": sizes.image_size, "patch_size": sizes.patch, "num_channels": 3, "projection_dim": sizes.first, "hidden_act": "quick_gelu",
        "model_type": "clip_vision_model",
    }


def apply_lora(model: ModelPatcher, checkpoint: Checkpoint, strength: float) -> ModelPatcher:
    """A clone of `model` with the file's LoRA in the attention layers of its UNet. What the LoRA has and the UNet has not, or the other way
    round, is told in a warning."""
    if not checkpoint.lora or not strength:
        return model
    loaded = comfy.lora.load_lora(comfy.lora_convert.convert_lora(checkpoint.lora), comfy.lora.model_lora_keys_unet(model.model, {}), log_missing=False)
    clone = model.clone()
    applied = set(clone.add_patches(loaded, strength))
    wanted = attention_layers(model)
    missing = sorted(name for name, weight in wanted.items() if weight not in applied)
    unused = sorted(name for name in lora_targets(checkpoint.lora) if wanted.get(name) not in applied)
    if missing or unused:
        log.warning(
            "%s: the LoRA fits %d of the UNet's %d attention layers; without it are %s%s.", NODE, len(wanted) - len(missing), len(wanted),
            ", ".join(missing[:4]) or "none", f"; the UNet has no {', '.join(unused[:4])}" if unused else "",
        )
    return clone


def attention_layers(model: ModelPatcher) -> dict[str, str]:
    """The weights of a UNet's attention layers, by the names that diffusers gives them in LoRA files."""
    keys = comfy.lora.model_lora_keys_unet(model.model, {})
    return {name: weight for name, weight in keys.items() if name.startswith("unet.") and ".processor.to_" in name}
