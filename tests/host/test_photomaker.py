"""PhotoMaker's files through the host: what is read, what the LoRA reaches, and what is refused."""

import logging

import comfy.model_base
import comfy.model_patcher
import comfy.supported_models
import folder_paths
import pytest
import torch
from fabula.demo import sizes
from fabula.host import demo_models, id_encoder
from fabula.identity.checkpoint import Checkpoint, read_checkpoint
from fabula.identity.encoder import Sizes
from fabula.nodes.identity import LoadPhotoMaker
from safetensors.torch import save_file

RANK = 2
SDXL = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "num_res_blocks": [2, 2, 2], "transformer_depth": [0, 0, 2, 2, 10, 10],
    "channel_mult": [1, 2, 4], "transformer_depth_middle": 10, "use_linear_in_transformer": True, "context_dim": 2048, "num_head_channels": 64,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "adm_in_channels": 2816, "num_classes": "sequential", "use_spatial_transformer": True,
    "use_temporal_attention": False, "legacy": False,
}


def lora_for(model):
    """A LoRA for every attention layer of a UNet, in the names of PhotoMaker's file."""
    layers = model.model.state_dict()
    found = {}
    for name, weight in id_encoder.attention_layers(model).items():
        wide, narrow = layers[weight].shape
        found[f"{name}_lora.down.weight"] = torch.randn(RANK, narrow)
        found[f"{name}_lora.up.weight"] = torch.randn(wide, RANK)
    return found


@pytest.fixture(scope="module")
def state(model):
    torch.manual_seed(3)
    encoder = demo_models.identity_module(Sizes(**sizes.IDENTITY)).state_dict()
    return {"id_encoder": encoder, "lora_weights": lora_for(model)}


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "photomaker", ([str(tmp_path)], folder_paths.supported_pt_extensions))
    return tmp_path


def flat(state, prefix=True):
    return {(f"{part}." if prefix else "") + name: value.contiguous() for part, own in state.items() for name, value in own.items()}


@pytest.mark.parametrize("layout", ["nested.bin", "prefixed.safetensors", "flat.safetensors", "half.bin", "alone.bin"])
def test_every_layout_and_dtype_is_read(state, folder, layout, model):
    if layout.endswith(".bin"):
        dtype = torch.float16 if layout == "half.bin" else torch.float32
        parts = {part: {name: value.to(dtype) for name, value in own.items()} for part, own in state.items() if layout != "alone.bin" or part == "id_encoder"}
        torch.save(parts, folder / layout)
    else:
        save_file(flat(state, layout.startswith("prefixed")), folder / layout)
    assert id_encoder.names() == [layout]
    patched, encoder = LoadPhotoMaker.execute(model, layout, 1.0).args
    assert encoder.version == "v1" and encoder.sizes == Sizes(**sizes.IDENTITY)
    wanted = state["id_encoder"]["visual_projection.weight"]
    assert torch.allclose(encoder.patcher.model.state_dict()["visual_projection.weight"].float(), wanted, atol=1e-3)
    assert len(patched.patches) == (0 if layout == "alone.bin" else 64) and not model.patches


def test_the_lora_changes_every_attention_layer_by_its_strength(state, model, caplog):
    checkpoint = read_checkpoint(state)
    name, weight = next(iter(id_encoder.attention_layers(model).items()))
    update = state["lora_weights"][f"{name}_lora.up.weight"] @ state["lora_weights"][f"{name}_lora.down.weight"]
    before = model.model.state_dict()[weight].clone()
    for strength in (1.0, 0.5):
        patched = id_encoder.apply_lora(model, checkpoint, strength)
        patched.patch_weight_to_device(weight, device_to=torch.device("cpu"))
        found = patched.model.state_dict()[weight].clone()
        patched.unpatch_model(torch.device("cpu"))
        assert torch.allclose(found, before + strength * update, atol=1e-4)
    assert id_encoder.apply_lora(model, checkpoint, 0.0) is model
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_sdxl_has_560_layers_and_all_are_reached(caplog):
    config = comfy.supported_models.SDXL(dict(SDXL))
    sdxl = comfy.model_base.SDXL(config, device=torch.device("meta"))
    model = comfy.model_patcher.ModelPatcher(sdxl, load_device=torch.device("cpu"), offload_device=torch.device("cpu"))
    lora = {f"{name}_lora.{side}.weight": torch.zeros(1, 1) for name in id_encoder.attention_layers(model) for side in ("down", "up")}
    patched = id_encoder.apply_lora(model, Checkpoint("v1", {}, lora), 1.0)
    assert len(lora) == 1120 and len(patched.patches) == 560
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    some = {name: value for name, value in lora.items() if "mid_block" not in name}
    caplog.clear()
    patched = id_encoder.apply_lora(model, Checkpoint("v1", {}, some), 1.0)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(patched.patches) == 480 and "fits 480 of the UNet's 560 attention layers" in warning and "mid_block" in warning


def test_what_the_unet_lacks_is_named(state, model, caplog):
    extra = "unet.down_blocks.7.attentions.0.transformer_blocks.0.attn1.processor.to_q"
    lora = {**state["lora_weights"], f"{extra}_lora.down.weight": torch.zeros(1, 1), f"{extra}_lora.up.weight": torch.zeros(1, 1)}
    id_encoder.apply_lora(model, Checkpoint("v1", {}, lora), 1.0)
    assert any(f"the UNet has no {extra}" in record.getMessage() for record in caplog.records)


def cut(path):
    path.write_bytes(path.read_bytes()[:2000])


def save_broken(kind, state, path):
    if kind == "truncated.bin":
        torch.save(state, path)
        cut(path)
    elif kind == "truncated.safetensors":
        save_file(flat(state), path)
        cut(path)
    elif kind == "lora.safetensors":
        save_file({"lora_unet_mid_block.lora_down.weight": torch.zeros(1)}, path)
    elif kind == "partial.bin":
        torch.save({"id_encoder": {name: value for name, value in state["id_encoder"].items() if "fc2" not in name}}, path)
    elif kind == "layer.bin":
        torch.save({"id_encoder": {name: value for name, value in state["id_encoder"].items() if ".layers.1.mlp" not in name}}, path)
    elif kind == "tower.bin":
        torch.save({"id_encoder": {name: value for name, value in state["id_encoder"].items() if not name.startswith("vision_model")}}, path)
    elif kind == "list.bin":
        torch.save([torch.zeros(1)], path)
    elif kind == "shape.bin":
        torch.save({"id_encoder": {**state["id_encoder"], "visual_projection_2.weight": torch.zeros(9, 128)}}, path)
    elif kind == "code.bin":
        torch.save({"id_encoder": Evil()}, path)


class Evil:
    def __reduce__(self):
        return print, ("code of a file was run",)


@pytest.mark.parametrize(("kind", "words"), [
    ("truncated.bin", "cannot be used"), ("truncated.safetensors", "cannot be used"), ("lora.safetensors", "it is no PhotoMaker file"),
    ("partial.bin", "cut short or damaged"), ("layer.bin", "cannot be used"), ("tower.bin", "it lacks 3 of the encoder.s weights"), ("list.bin", "cannot be used"), ("shape.bin", "cannot be used"), ("code.bin", "cannot be used"),
    ("none.bin", "is 'none.bin', which is not in models/photomaker"),
])
def test_files_that_are_refused(kind, words, state, folder, model, capsys):
    save_broken(kind, state, folder / kind)
    with pytest.raises(ValueError, match=f"(?s)Fabula_LoadPhotoMaker: input 'photomaker_name'.*{words}"):
        LoadPhotoMaker.execute(model, kind, 1.0)
    assert "code of a file" not in capsys.readouterr().out


def test_the_demo_s_file_is_listed():
    id_encoder.register()
    assert any("demo" in path for path in folder_paths.get_folder_paths("photomaker"))
