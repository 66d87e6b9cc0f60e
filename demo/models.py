"""The demo's trained models, as the host's MODEL, CLIP and VAE."""

from __future__ import annotations

import json

import torch

from ..host import demo_models
from . import sizes, vocabulary, weights


def load_model():
    tensors = weights.load(weights.BASE["unet"])
    rgb = {key: tensors.pop(f"latent_rgb.{key}") for key in ("factors", "bias")}
    return demo_models.load_model(sizes.UNET, tensors, rgb)


def load_clip():
    tensors = weights.load(weights.BASE["text"])
    kept = json.loads(weights.metadata(weights.BASE["text"])["kept_tokens"])
    return demo_models.load_clip(sizes.CLIP_L, sizes.CLIP_G, host_text_weights(tensors, kept))


def load_vae():
    return demo_models.load_vae(sizes.VAE, weights.load(weights.BASE["vae"]))


def load_clip_vision():
    return demo_models.load_clip_vision(sizes.CLIP_VISION, weights.load(weights.VISION))


def host_text_weights(trained: dict[str, torch.Tensor], kept: list[int]) -> dict[str, torch.Tensor]:
    """The trainer's text encoders under the host's names, with full token tables."""
    renamed = {}
    for name, tensor in trained.items():
        encoder, rest = name.removeprefix("encoders.").split(".", 1)
        if rest.endswith("token_embedding.weight"):
            tensor = vocabulary.full_table(tensor, kept)
        renamed[f"clip_{encoder}.transformer.{rest}"] = tensor
    for encoder in "lg":
        renamed[f"clip_{encoder}.logit_scale"] = torch.tensor(4.6055)
    return renamed
