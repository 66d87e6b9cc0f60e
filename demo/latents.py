"""The demo VAE's latent space: scaled so that the host's SDXL latent format fits it exactly."""

from __future__ import annotations

import torch

SDXL_SCALE = 0.13025


def fold_statistics(weights: dict[str, torch.Tensor], mean: torch.Tensor, std: torch.Tensor) -> dict[str, torch.Tensor]:
    """Puts (z - mean) / (std * SDXL_SCALE), per channel, into the 1x1 convolutions around the latent.

    After it, an encoded drawing times SDXL's scale factor has mean 0 and deviation 1 in each of its 4 channels, and
    the decoder undoes it: same pictures, and no latent format of our own.
    """
    folded = dict(weights)
    scale = 1 / (std * SDXL_SCALE)
    channels = len(mean)
    weight, bias = weights["quant_conv.weight"].clone(), weights["quant_conv.bias"].clone()
    weight[:channels] *= scale[:, None, None, None]
    bias[:channels] = (bias[:channels] - mean) * scale
    folded["quant_conv.weight"], folded["quant_conv.bias"] = weight, bias
    post = weights["post_quant_conv.weight"]
    folded["post_quant_conv.weight"] = post / scale[None, :, None, None]
    folded["post_quant_conv.bias"] = weights["post_quant_conv.bias"] + post[:, :, 0, 0] @ mean
    return folded


def fit_rgb(latents: torch.Tensor, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Least squares from scaled latents (batch, 4, h, w) to colours of pixels (batch, 3, 8h, 8w) in -1..1, for the
    host's quick previews. Returns factors (4, 3) and bias (3,)."""
    small = torch.nn.functional.avg_pool2d(pixels, 8).permute(0, 2, 3, 1).reshape(-1, 3)
    flat = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    solved = torch.linalg.lstsq(torch.cat([flat, torch.ones(len(flat), 1)], dim=1), small).solution
    return {"factors": solved[:-1], "bias": solved[-1]}
