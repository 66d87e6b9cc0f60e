"""The image UNets that motion modules and image prompts are made for: SD1.5, SDXL and their kin."""

from __future__ import annotations

from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher

_SD2_TEXT = 1024  # channels; SD2's layers are as wide as SD1.5's


def image_unet(node: str, model: ModelPatcher, made: str) -> UNetModel:
    """The UNet of `model`. made: what the node adds to it, in the plural.

    Raises: ValueError for any other net: also SVD's, which is one for the host, and SD2's.
    """
    net = getattr(model.model, "diffusion_model", None)
    if not isinstance(net, UNetModel) or not text_channels(net) or any("Video" in type(layer).__name__ for layer in net.modules()):
        raise ValueError(f"{node}: input 'model' is no image UNet: {made} are made for checkpoints of SD1.5 and SDXL. Load one.")
    if text_channels(net) == _SD2_TEXT:
        raise ValueError(f"{node}: input 'model' is of SD2: {made} are made for checkpoints of SD1.5 and SDXL, which read other texts. Load one.")
    return net


def text_channels(net: UNetModel) -> int:
    """Channels of the text that its cross attentions read; 0 where it has none."""
    return next((layer.transformer_blocks[0].attn2.to_k.in_features for layer in net.modules() if isinstance(layer, SpatialTransformer) and layer.transformer_blocks[0].attn2), 0)
