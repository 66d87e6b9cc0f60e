"""Model files of others that the workflows name: where they are published, where they go, how large they are, under which licence."""

from __future__ import annotations

from typing import NamedTuple

HUB = "https://huggingface.co"


class Download(NamedTuple):
    name: str  # of the file in `folder`
    folder: str  # under ComfyUI's models
    repository: str  # on Hugging Face, the publisher's own or the one that ComfyUI's documentation names
    path: str  # in it
    size: str
    licence: str

    @property
    def url(self) -> str:
        return f"{HUB}/{self.repository}/resolve/main/{self.path}"

    @property
    def page(self) -> str:
        return f"{HUB}/{self.repository}/blob/main/{self.path}"


WAN, WAN_FOLDER = "Comfy-Org/Wan_2.1_ComfyUI_repackaged", "split_files"

SDXL = Download("sd_xl_base_1.0.safetensors", "checkpoints", "stabilityai/stable-diffusion-xl-base-1.0", "sd_xl_base_1.0.safetensors", "6.9 GB", "CreativeML Open RAIL++-M")
SD15 = Download(
    "v1-5-pruned-emaonly-fp16.safetensors", "checkpoints", "Comfy-Org/stable-diffusion-v1-5-archive", "v1-5-pruned-emaonly-fp16.safetensors", "2.1 GB", "CreativeML Open RAIL-M",
)
PHOTOMAKER = Download("photomaker-v1.bin", "photomaker", "TencentARC/PhotoMaker", "photomaker-v1.bin", "0.9 GB", "Apache-2.0")
MOTION_V3 = Download("v3_sd15_mm.ckpt", "animatediff_models", "guoyww/animatediff", "v3_sd15_mm.ckpt", "0.8 GB", "Apache-2.0")
IMAGE_PROMPT = Download("ip-adapter-plus_sd15.safetensors", "ipadapter", "h94/IP-Adapter", "models/ip-adapter-plus_sd15.safetensors", "0.1 GB", "Apache-2.0")
# Its publisher calls the file `model.safetensors`; this name is the one that IP-Adapter's users know it by.
IMAGE_ENCODER = Download("CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "clip_vision", "h94/IP-Adapter", "models/image_encoder/model.safetensors", "2.5 GB", "Apache-2.0")
SVD = Download("svd.safetensors", "checkpoints", "stabilityai/stable-video-diffusion-img2vid", "svd.safetensors", "9.6 GB", "Stability AI Community License")
WAN_FLF = Download("wan2.1_flf2v_720p_14B_fp16.safetensors", "diffusion_models", WAN, f"{WAN_FOLDER}/diffusion_models/wan2.1_flf2v_720p_14B_fp16.safetensors", "33 GB", "Apache-2.0")
WAN_TEXT = Download("umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders", WAN, f"{WAN_FOLDER}/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors", "6.7 GB", "Apache-2.0")
WAN_VAE = Download("wan_2.1_vae.safetensors", "vae", WAN, f"{WAN_FOLDER}/vae/wan_2.1_vae.safetensors", "0.3 GB", "Apache-2.0")
WAN_VISION = Download("clip_vision_h.safetensors", "clip_vision", WAN, f"{WAN_FOLDER}/clip_vision/clip_vision_h.safetensors", "1.3 GB", "Apache-2.0")
LTX = Download("ltx-video-2b-v0.9.5.safetensors", "checkpoints", "Lightricks/LTX-Video", "ltx-video-2b-v0.9.5.safetensors", "6.3 GB", "LTX-Video Open Weights License")
LTX_TEXT = Download("t5xxl_fp16.safetensors", "text_encoders", "comfyanonymous/flux_text_encoders", "t5xxl_fp16.safetensors", "9.8 GB", "Apache-2.0")
