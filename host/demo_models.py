"""The host's own SDXL classes in the small sizes of the embedded demo.

`*_module` give bare torch modules for training; `load_*` wrap trained weights as the MODEL, CLIP and VAE that the
host's nodes take. Layers of the host come with uninitialised memory, so `initialise` must run before training.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import comfy.clip_model
import comfy.clip_vision
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.ops
import comfy.sd
import comfy.sdxl_clip
import comfy.supported_models
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.ldm.modules.attention import attention_pytorch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.ldm.modules.diffusionmodules.util import timestep_embedding

from ..identity.encoder import IdentityEncoder, Sizes
from .id_encoder import vision_config

Config = dict[str, Any]
Weights = dict[str, torch.Tensor]


def unet_module(config: Config) -> UNetModel:
    return UNetModel(**config, dtype=torch.float32, operations=comfy.ops.disable_weight_init)


def autoencoder_module(config: Config) -> AutoencoderKL:
    return AutoencoderKL(ddconfig=dict(config), embed_dim=config["z_channels"])


def text_encoder_module(config_l: Config, config_g: Config) -> comfy.sdxl_clip.SDXLClipModel:
    options = {"clip_l_model_config": config_l, "clip_g_model_config": config_g}
    return comfy.sdxl_clip.SDXLClipModel(device="cpu", dtype=torch.float32, model_options=options)


def identity_module(sizes: Sizes) -> IdentityEncoder:
    """PhotoMaker's encoder around the host's CLIP vision tower, which can be trained here."""
    encoder = IdentityEncoder(sizes, _TrainableVision(vision_config(sizes), torch.float32, "cpu", comfy.ops.disable_weight_init), comfy.ops.disable_weight_init)
    initialise(encoder)
    torch.nn.init.normal_(encoder.vision_model.embeddings.class_embedding, std=0.02)
    return encoder


def vision_module(config: Config) -> comfy.clip_model.CLIPVisionModelProjection:
    """CLIP's vision tower with its projection, which can be trained here."""
    model = comfy.clip_model.CLIPVisionModelProjection(config, torch.float32, "cpu", comfy.ops.disable_weight_init)
    model.vision_model = _TrainableVision(config, torch.float32, "cpu", comfy.ops.disable_weight_init)
    initialise(model)
    torch.nn.init.normal_(model.vision_model.embeddings.class_embedding, std=0.02)
    return model


class _TrainableVision(comfy.clip_model.CLIPVision):
    """The host's own layers; its forward adds in place, which autograd does not allow."""

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The last hidden states, the penultimate ones, and the pooled output."""
        x = self.pre_layrnorm(self.embeddings(pixel_values))
        for number, layer in enumerate(self.encoder.layers):
            x = x + layer.self_attn(layer.layer_norm1(x), None, attention_pytorch)
            x = x + layer.mlp(layer.layer_norm2(x))
            if number == len(self.encoder.layers) - 2:
                penultimate = x
        return x, penultimate, self.post_layernorm(x[:, 0])


def initialise(module: torch.nn.Module, zero: tuple[str, ...] = ()) -> None:
    """Gives every layer torch's usual start; parameters whose name ends with one of `zero` start at zero."""
    for layer in module.modules():
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
            torch.nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5) if isinstance(layer, torch.nn.Linear) else 1.0)
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
        elif isinstance(layer, (torch.nn.GroupNorm, torch.nn.LayerNorm)):
            torch.nn.init.ones_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        elif isinstance(layer, torch.nn.Embedding):
            torch.nn.init.normal_(layer.weight, std=0.02)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(zero):
                parameter.zero_()


class _DemoSDXL(comfy.supported_models.SDXL):
    """SDXL in the demo's size: v-prediction with zero terminal SNR. (An eps model's first noise decides each panel's palette,
    and no attention undoes that.)"""

    sampling_settings = {"zsnr": True}
    unet_extra_config: Config = {}


def load_model(config: Config, weights: Weights, latent_rgb: Weights | None = None) -> comfy.model_patcher.ModelPatcher:
    model_config = _DemoSDXL({**config, "dtype": torch.float32})
    device = comfy.model_management.get_torch_device()
    offload = comfy.model_management.unet_offload_device()
    dtype = comfy.model_management.unet_dtype(model_params=sum(w.numel() for w in weights.values()), supported_dtypes=model_config.supported_inference_dtypes)
    model_config.set_inference_dtype(dtype, comfy.model_management.unet_manual_cast(dtype, device, model_config.supported_inference_dtypes))
    model = comfy.model_base.SDXL(model_config, model_type=comfy.model_base.ModelType.V_PREDICTION, device=offload)
    model.diffusion_model.load_state_dict(weights)
    model.diffusion_model.eval()
    if latent_rgb:  # what live previews use
        model.latent_format.latent_rgb_factors = latent_rgb["factors"].tolist()
        model.latent_format.latent_rgb_factors_bias = latent_rgb["bias"].tolist()
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=offload)


def load_vae(config: Config, weights: Weights) -> comfy.sd.VAE:
    return comfy.sd.VAE(sd=weights, config={"params": {"ddconfig": dict(config), "embed_dim": config["z_channels"]}})


def load_clip(config_l: Config, config_g: Config, weights: Weights) -> comfy.sd.CLIP:
    """`weights` are a state dict of `text_encoder_module` with full token tables."""
    target = comfy.supported_models.SDXL({"in_channels": 4}).clip_target()
    options = {"clip_l_model_config": config_l, "clip_g_model_config": config_g}
    clip = comfy.sd.CLIP(target, parameters=sum(w.numel() for w in weights.values()), model_options=options)
    missing, unexpected = clip.cond_stage_model.load_state_dict(weights, strict=False)
    if missing or unexpected:
        raise ValueError(f"The demo's text encoder weights do not fit: missing {missing}, unexpected {unexpected}.")
    return clip


def load_clip_vision(config_file: Path, weights: Weights) -> comfy.clip_vision.ClipVisionModel:
    model = comfy.clip_vision.ClipVisionModel(str(config_file))
    missing, unexpected = model.load_sd(weights)
    if missing or unexpected:
        raise ValueError(f"The demo's CLIP vision weights do not fit: missing {missing}, unexpected {unexpected}.")
    return model


def size_embedding(height: int, width: int) -> torch.Tensor:
    """(1, 1536): SDXL's size conditioning for an uncropped picture, in the order of `comfy.model_base.SDXL`."""
    sizes = torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32)
    return timestep_embedding(sizes, 256).flatten()[None]


def training_sigmas() -> torch.Tensor:
    """(1000,) noise levels of the host's discrete schedule with zero terminal SNR."""
    return comfy.model_sampling.ModelSamplingDiscrete(zsnr=True).sigmas.clone()


def tokenizer() -> comfy.sdxl_clip.SDXLTokenizer:
    return comfy.sdxl_clip.SDXLTokenizer()
