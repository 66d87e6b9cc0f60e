"""UNets of the host's own class in SD1.5's layout with few channels, and files of motion modules and image prompts that fit them."""

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import torch
from fabula.host import image_prompt, motion_module
from fabula.host.render import sample
from fabula.motion.image_prompt import ImagePrompt, Sizes
from fabula.motion.motion_module import MotionModule
from safetensors.torch import save_file

CPU = torch.device("cpu")
CONTEXT, FEATURES, SIZE = 24, 64, 8
SD15 = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 1, 2, 2],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1, "transformer_depth_output": [1] * 9 + [0] * 3, "use_linear_in_transformer": False,
    "context_dim": CONTEXT, "use_spatial_transformer": True, "legacy": False, "num_heads": 4, "num_head_channels": -1, "adm_in_channels": None, "use_temporal_attention": False,
}


def randomise(module, std=0.1, seed=0):
    """In place: norms are as at the start of a training, biases are zero, `pe` is left."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if not name.endswith("pe"):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * std if tensor.ndim > 1 else torch.zeros_like(tensor))
    for layer in module.modules():
        if isinstance(layer, (torch.nn.GroupNorm, torch.nn.LayerNorm)):
            torch.nn.init.ones_(layer.weight)
    return module


def sd15(**changed):
    config = comfy.supported_models.SD15({**SD15, **changed})
    config.unet_config = {**SD15, **changed, "dtype": torch.float32}
    base = comfy.model_base.BaseModel(config, device=CPU)
    randomise(base.diffusion_model, 0.05)
    return comfy.model_patcher.ModelPatcher(base, CPU, CPU)


def module_of(net, positions=32, mid=True, std=0.1):
    """A motion module in the layout that fits `net`."""
    channels = {place: spot.channels for place, spot in motion_module.spots(net.model.diffusion_model).items() if mid or place[0] != "mid"}
    return randomise(MotionModule(channels, positions), std, 1)


def prompt_of(net, kind="plus", features=FEATURES):
    layers = tuple(width for _, width in image_prompt.layers(net.model.diffusion_model))
    prompt = randomise(ImagePrompt(Sizes(kind, features, CONTEXT, {"plus": 5, "base": 4, "full": 0}[kind], layers, 64, 2, 64)), 0.2, 2)
    if kind == "base":
        torch.nn.init.ones_(prompt.image_proj.norm.bias)  # no features are tokens nevertheless
    return prompt


def write(model, path, dtype=torch.float32, metadata=None):
    save_file({name: tensor.to(dtype).contiguous() for name, tensor in model.state_dict().items()}, path, metadata)


def conditioning(seed, rows=1):
    return [[torch.randn(rows, 7, CONTEXT, generator=torch.Generator().manual_seed(seed)), {}]]


def run(net, frames=4, cfg=2.5, latent=None, steps=2):
    """Latents, (frames, 4, 8, 8)."""
    with torch.inference_mode():
        samples = torch.zeros(frames, 4, SIZE, SIZE) if latent is None else latent
        return sample(net, conditioning(5), conditioning(6), {"samples": samples}, 1, steps, cfg, denoise=1.0 if latent is None else 0.7)


def near(one, two):
    """But for what the order of sums does."""
    return bool((one - two).abs().max() < 1e-4 * two.abs().mean())


def parts_of(net):
    """All that an eject has to put back: which modules stand where, and forwards of their own."""
    unet = net.model.diffusion_model
    found = [(name, id(part)) for name, part in unet.named_modules()]
    return found, [(name, id(part.__dict__["forward"])) for name, part in unet.named_modules() if "forward" in part.__dict__]


def with_little_memory(monkeypatch, work):
    """What `work` gives while models stay outside the device, as --lowvram has them, and the names of those that did."""
    own, forced = comfy.model_patcher.ModelPatcher.load, []

    def load(self, *args, **kwargs):
        forced.append(type(self.model).__name__)
        return own(self, *args, **{**kwargs, "lowvram_model_memory": 1, "full_load": False})

    comfy.model_management.unload_all_models()
    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "load", load)
    found = work()
    comfy.model_management.unload_all_models()
    return found, forced
