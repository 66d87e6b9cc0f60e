"""Rows of everything that goes with a batch of latents: conditionings, ControlNet hints, masks.

The host gives row i of a batch the row i % n of a tensor that has n rows, and so do these.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from comfy.conds import CONDRegular
from comfy.controlnet import ControlBase


def pick(tensor: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """What rows `rows` of a batch get of `tensor`; one of a single row serves all of them as it is."""
    return tensor if tensor.shape[0] <= 1 else every(tensor, rows)


def every(tensor: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """As `pick`, one row for each of `rows` in any case."""
    return tensor[[row % tensor.shape[0] for row in rows]]


def pick_conds(conds: Sequence[dict], rows: Sequence[int]) -> list[dict]:
    """Conditioning entries for some rows, before or after the host has prepared them for sampling.

    Entries that share a ControlNet share its copy. The copies hold hints of their rows alone, and go with the entries.
    """
    controls: dict[int, ControlBase] = {}
    return [_pick_entry(entry, rows, controls) for entry in conds]


def name_rows(transformer_options: dict, rows: Sequence[int], whole: int) -> None:
    """Tells patches that know AnimateDiff's windows (IPAdapter and its kin) which rows of the whole batch these are."""
    transformer_options["ad_params"] = {"sub_idxs": [row % whole for row in rows], "full_length": whole}


def _pick_entry(entry: dict, rows: Sequence[int], controls: dict[int, ControlBase]) -> dict:
    picked = {}
    for name, value in entry.items():
        if isinstance(value, torch.Tensor) and value.ndim > 1:
            one_for_all = name == "mask" and value.ndim == 2  # (height, width), without rows
            value = value if one_for_all else pick(value, rows)
        elif isinstance(value, ControlBase):
            value = _pick_control(value, rows, controls)
        elif name == "model_conds":
            value = {key: _pick_model_cond(cond, rows) for key, cond in value.items()}
        picked[name] = value
    return picked


def _pick_model_cond(cond, rows: Sequence[int]):
    tensor = getattr(cond, "cond", None)
    if not isinstance(cond, CONDRegular) or not isinstance(tensor, torch.Tensor) or tensor.ndim < 2:
        return cond
    return cond._copy_with(pick(tensor, rows))


def _has_rows(control: ControlBase) -> bool:
    hints = [control.cond_hint_original, *control.extra_concat_orig]
    own = any(isinstance(hint, torch.Tensor) and hint.shape[0] > 1 for hint in hints)
    return own or (control.previous_controlnet is not None and _has_rows(control.previous_controlnet))


def _pick_control(control: ControlBase, rows: Sequence[int], controls: dict[int, ControlBase]) -> ControlBase:
    """A chain of ControlNets with the hints of these rows. The nets themselves are shared, and so is what the host has
    prepared for this run: a plain copy, since a control's own `copy()` leaves that out."""
    if not _has_rows(control):
        return control
    if id(control) not in controls:
        picked = copy.copy(control)
        # What the control has made of the whole batch's hints.
        for name in ("cond_hint", "extra_concat", "control_input"):
            if hasattr(picked, name):
                setattr(picked, name, None)
        if isinstance(picked.cond_hint_original, torch.Tensor):
            picked.cond_hint_original = pick(picked.cond_hint_original, rows)
        picked.extra_concat_orig = [pick(extra, rows) for extra in picked.extra_concat_orig]
        if control.previous_controlnet is not None:
            picked.previous_controlnet = _pick_control(control.previous_controlnet, rows, controls)
        controls[id(control)] = picked
    return controls[id(control)]
