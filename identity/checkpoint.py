"""PhotoMaker's files: which version one is, its encoder's weights and its LoRA.

Three layouts are about: a dict of two dicts (`id_encoder`, `lora_weights`; the official .bin), the same with the two names as
prefixes of flat keys, and flat keys without them, where the LoRA's begin with `unet.`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

Weights = dict[str, torch.Tensor]

ENCODER, LORA = "id_encoder", "lora_weights"
V2_KEY = "qformer_perceiver.token_norm.weight"
_LORA_START = "unet."
_ALSO_CALLED = {"vision_model.visual_projection.weight": "visual_projection.weight"}
_IGNORED = ("vision_model.embeddings.position_ids",)  # numbers that old releases of transformers stored
_FUSE = [f"fuse_module.{part}.{name}" for part in ("mlp1.layernorm", "mlp1.fc1", "mlp1.fc2", "mlp2.layernorm", "mlp2.fc1", "mlp2.fc2", "layer_norm")
         for name in ("weight", "bias")]
NEEDED = (
    "vision_model.embeddings.patch_embedding.weight", "vision_model.embeddings.position_embedding.weight", "vision_model.encoder.layers.0.mlp.fc1.weight",
    "visual_projection.weight", "visual_projection_2.weight", *_FUSE,
)


@dataclass(frozen=True)
class Checkpoint:
    """version: "v1" or "v2". encoder: weights by the official names. lora: as in the file, without prefix; empty where it has none."""

    version: str
    encoder: Weights
    lora: Weights


def read_checkpoint(state: Mapping) -> Checkpoint:
    """Any of the three layouts. Raises: ValueError, saying what the file is not, for a file of another kind or one that is cut short."""
    if not isinstance(state, Mapping):
        raise ValueError(f"it is no PhotoMaker file: it holds a {type(state).__name__}. Choose photomaker-v1.bin or photomaker-v2.bin.")
    encoder, lora = _parts(state)
    encoder = {_ALSO_CALLED.get(name, name): value for name, value in encoder.items() if name not in _IGNORED}
    if not any(name.startswith("fuse_module.") for name in encoder):
        some = ", ".join(str(name) for name in list(state)[:3])
        raise ValueError(f"it is no PhotoMaker file (it begins with {some or 'nothing'}; there is no fuse_module). Choose photomaker-v1.bin or photomaker-v2.bin.")
    wrong = [name for name, value in encoder.items() if not isinstance(value, torch.Tensor) or not value.is_floating_point()]
    missing = [name for name in NEEDED if name not in encoder]
    if missing or wrong:
        raise ValueError(f"it lacks {len(missing or wrong)} of the encoder's weights ({', '.join((missing or wrong)[:2])}, ...): it is cut short or damaged. Download it again.")
    return Checkpoint("v2" if V2_KEY in encoder else "v1", encoder, lora)


def lora_targets(lora: Mapping[str, torch.Tensor]) -> set[str]:
    """The layers that a LoRA changes, as its keys call them."""
    return {name.rsplit("_lora.", 1)[0] for name in lora if "_lora." in name}


def _parts(state: Mapping) -> tuple[Weights, Weights]:
    if isinstance(state.get(ENCODER), Mapping):
        return dict(state[ENCODER]), dict(state.get(LORA) or {})
    if any(str(name).startswith(ENCODER + ".") for name in state):
        return tuple({name[len(part) + 1:]: value for name, value in state.items() if name.startswith(part + ".")} for part in (ENCODER, LORA))
    lora = {name: value for name, value in state.items() if str(name).startswith(_LORA_START)}
    return {name: value for name, value in state.items() if name not in lora}, lora
