"""Rows of everything that goes with a batch of latents: conditionings, ControlNet hints, masks.

The host gives row i of a batch the row i % n of a tensor that has n rows, and so do these.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy.conds import CONDRegular
from comfy.controlnet import ControlBase


def pick(tensor: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """What rows `rows` of a batch get of `tensor`; one of a single row serves all of them as it is."""
    return tensor if tensor.shape[0] <= 1 else tensor[[row % tensor.shape[0] for row in rows]]


def pick_conds(conds: Sequence[dict], rows: Sequence[int], controls: dict) -> list[dict]:
    """Conditioning entries for some rows. `controls` keeps the ControlNet copies that were made, so that each is made once."""
    return [_pick_entry(entry, rows, controls) for entry in conds]


def _pick_entry(entry: dict, rows: Sequence[int], controls: dict) -> dict:
    picked = {}
    for name, value in entry.items():
        if isinstance(value, torch.Tensor) and value.ndim > 1:
            value = pick(value, rows)
        elif isinstance(value, ControlBase):
            value = _pick_control(value, tuple(rows), controls)
        elif name == "model_conds":
            value = {key: _pick_model_cond(cond, rows) for key, cond in value.items()}
        picked[name] = value
    return picked


def _pick_model_cond(cond, rows: Sequence[int]):
    tensor = getattr(cond, "cond", None)
    if not isinstance(cond, CONDRegular) or not isinstance(tensor, torch.Tensor) or tensor.ndim < 2:
        return cond
    return cond._copy_with(pick(tensor, rows))


def _pick_control(control: ControlBase, rows: tuple[int, ...], controls: dict) -> ControlBase:
    """A copy of a chain of ControlNets that has the hints of these rows; it shares the nets themselves."""
    key = (id(control), rows)
    if key not in controls:
        copy = control.copy()
        copy.timestep_range = control.timestep_range
        if isinstance(copy.cond_hint_original, torch.Tensor):
            copy.cond_hint_original = pick(copy.cond_hint_original, rows)
        copy.extra_concat_orig = [pick(extra, rows) for extra in copy.extra_concat_orig]
        if control.previous_controlnet is not None:
            copy.set_previous_controlnet(_pick_control(control.previous_controlnet, rows, controls))
        controls[key] = copy
    return controls[key]
