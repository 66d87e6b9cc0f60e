"""PhotoMaker's files, in the three layouts that are about."""

import pytest
import torch

from fabula.identity.checkpoint import NEEDED, V2_KEY, lora_targets, read_checkpoint

ENCODER = {name: torch.zeros(1) for name in NEEDED}
LORA = {
    f"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_{part}_lora.{side}.weight": torch.zeros(1)
    for part in ("q", "out") for side in ("down", "up")
}
LAYOUTS = {
    "nested": {"id_encoder": ENCODER, "lora_weights": LORA},
    "prefixed": {**{f"id_encoder.{name}": value for name, value in ENCODER.items()}, **{f"lora_weights.{name}": value for name, value in LORA.items()}},
    "flat": {**ENCODER, **LORA},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_three_layouts_are_the_same_file(layout):
    found = read_checkpoint(LAYOUTS[layout])
    assert (found.version, set(found.encoder), set(found.lora)) == ("v1", set(ENCODER), set(LORA))


def test_a_file_without_its_lora_is_read():
    assert read_checkpoint({"id_encoder": ENCODER}).lora == {} and read_checkpoint(ENCODER).lora == {}


def test_v2_is_known_by_its_keys():
    assert read_checkpoint({**ENCODER, V2_KEY: torch.zeros(1)}).version == "v2"


def test_numbers_of_old_transformers_are_tolerated():
    found = read_checkpoint({**ENCODER, "vision_model.embeddings.position_ids": torch.arange(257)})
    assert set(found.encoder) == set(ENCODER)


def test_a_projection_by_its_other_name():
    renamed = {("vision_model." if name == "visual_projection.weight" else "") + name: value for name, value in ENCODER.items()}
    assert set(read_checkpoint(renamed).encoder) == set(ENCODER)


def test_a_file_of_another_kind():
    with pytest.raises(ValueError, match="no PhotoMaker file .it begins with lora_unet_down; .*photomaker-v1.bin"):
        read_checkpoint({"lora_unet_down": torch.zeros(1)})
    with pytest.raises(ValueError, match="begins with nothing"):
        read_checkpoint({})
    with pytest.raises(ValueError, match="no PhotoMaker file: it holds a list"):
        read_checkpoint([torch.zeros(1)])


def test_a_file_that_is_cut_short():
    part = dict(ENCODER)
    del part["visual_projection_2.weight"]
    with pytest.raises(ValueError, match="lacks 1 of the encoder's weights .visual_projection_2.weight"):
        read_checkpoint(part)


def test_what_the_lora_changes():
    assert lora_targets(LORA) == {f"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_{part}" for part in ("q", "out")}
