"""The sizes of the demo's models, as the host's classes take them."""

from __future__ import annotations

from pathlib import Path

VAE = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3,
    "ch": 32, "ch_mult": [1, 1, 2, 4], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
}
# SDXL's layout: no attention at full latent resolution, text through attn2, pooled text and size through `adm`.
UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "channel_mult": [1, 3, 5],
    "num_res_blocks": [1, 1, 1], "conv_resample": False, "transformer_depth": [0, 0, 1], "transformer_depth_middle": 1,
    "transformer_depth_output": [0, 0, 2, 2, 1, 1], "use_spatial_transformer": True, "use_linear_in_transformer": True,
    "context_dim": 128, "adm_in_channels": 64 + 6 * 256, "num_classes": "sequential", "num_head_channels": 32,
    "num_heads": -1, "legacy": False,
}
_TEXT = {"num_attention_heads": 2, "num_hidden_layers": 3, "hidden_size": 64, "intermediate_size": 256}
CLIP_L = {**_TEXT, "hidden_act": "quick_gelu"}
CLIP_G = {**_TEXT, "hidden_act": "gelu"}
# PhotoMaker V1's layout: patches of 14 pixels as CLIP's, class tokens as wide as the text encoders' embeddings together.
IDENTITY = {"hidden": 128, "intermediate": 512, "layers": 4, "patch": 14, "tokens": 65, "first": 64, "second": 64}
LORA_RANK = 16
CLIP_VISION = Path(__file__).parent / "clip_vision.json"  # the host reads a file
PREDICTOR = {"width": 192, "layers": 4, "heads": 6}
