"""A real ComfyUI in this process, and small real models of its own classes with random weights."""

import sys
from pathlib import Path

import host
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # animatediff_nets
host.prepare_in_process(host.find_host())
torch.set_num_threads(1)  # these nets are so small that threads wait for each other more than they work

import comfy.model_base  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.supported_models  # noqa: E402
import folder_paths  # noqa: E402
from fabula.demo import sizes  # noqa: E402
from fabula.host import demo_models, folders  # noqa: E402
from fabula.story.script import parse_story  # noqa: E402

folders.register()

SVD = {
    "image_size": 32, "in_channels": 8, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1], "channel_mult": [1, 2], "transformer_depth": [1, 1],
    "transformer_depth_middle": 1, "transformer_depth_output": [1, 1, 1, 1], "use_linear_in_transformer": True, "context_dim": 1024, "adm_in_channels": 768,
    "num_classes": "sequential", "use_spatial_transformer": True, "use_temporal_attention": True, "use_temporal_resblock": True, "legacy": False,
    "extra_ff_mix_layer": True, "use_spatial_context": True, "merge_strategy": "learned_with_images", "merge_factor": 0.0, "video_kernel_size": [3, 1, 1],
    "num_head_channels": 32, "num_heads": -1, "attn_precision": torch.float32,
}


def random_weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    demo_models.initialise(module)
    return {k: torch.randn_like(v) * 0.1 if v.ndim > 1 else v for k, v in module.state_dict().items()}


@pytest.fixture(autouse=True, scope="session")
def temporary_folder(tmp_path_factory):
    """The host's, where previews and unfinished files go: not in a ComfyUI that belongs to somebody else."""
    folder_paths.set_temp_directory(str(tmp_path_factory.mktemp("temp")))


@pytest.fixture(autouse=True)
def no_dead_models():
    """Copies of `model` that a test has dropped: for each that it still lists, the host collects garbage ahead of every
    sampling, which made the tests several times slower."""
    yield
    listed = comfy.model_management.current_loaded_models
    listed[:] = [each for each in listed if not each.is_dead()]


@pytest.fixture(scope="session")
def model():
    torch.manual_seed(0)
    return demo_models.load_model(sizes.UNET, random_weights(demo_models.unet_module(sizes.UNET)))


@pytest.fixture(scope="session")
def clip():
    torch.manual_seed(1)
    return demo_models.load_clip(sizes.CLIP_L, sizes.CLIP_G, random_weights(demo_models.text_encoder_module(sizes.CLIP_L, sizes.CLIP_G)))


@pytest.fixture()
def story():
    return parse_story("[Mia] a girl in a red coat", "[Mia] waves\n[Mia] runs\n[Mia] reads a book", "(No style)", "blurry")


@pytest.fixture(scope="session")
def svd():
    config = comfy.supported_models.SVD_img2vid(dict(SVD))
    config.unet_config = {**SVD, "dtype": torch.float32}
    torch.manual_seed(6)
    model = comfy.model_base.SVD_img2vid(config)
    for name, value in model.diffusion_model.state_dict().items():
        value.copy_(torch.randn_like(value) * 0.1 if value.ndim > 1 else torch.full_like(value, float(name.endswith("weight"))))
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)


@pytest.fixture(scope="session")
def vae():
    from fabula.demo import models

    return models.load_vae()
