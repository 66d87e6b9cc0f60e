"""The attention layers of a UNet's up blocks, made to see what `attention.state.Run` says they shall see."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable

import torch
from comfy.ldm.modules import attention as host_attention
from comfy.ldm.modules.attention import SpatialTransformer, SpatialVideoTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel, Upsample
from comfy.patcher_extension import WrappersMP

from ..attention.sharing import attend_shared
from ..attention.state import Layer, Run
from ..attention.subject import token_grid

KEY = "fabula_attention"

log = logging.getLogger(__name__)


def up_layers(net: UNetModel) -> list[tuple[Layer, int]]:
    """The self-attention layers of the up path in the order in which they run, each with its level: 0 is the lowest
    resolution that has any. Empty where the net has none that see one picture a row."""
    found: list[tuple[Layer, int]] = []
    level = 0
    for number, part in enumerate(net.output_blocks):
        modules = list(part.modules())
        if any(isinstance(module, SpatialVideoTransformer) for module in modules):
            return []  # rows are frames
        blocks = [block for m in modules if isinstance(m, SpatialTransformer) for block in m.transformer_blocks]
        if any(block.disable_self_attn for block in blocks):
            return []  # text stands in the place of self-attention
        found += [((number, index), level) for index in range(len(blocks))]
        level += bool(found) and any(isinstance(module, Upsample) for module in modules)
    return found


def coarse_blocks(layers: list[tuple[Layer, int]]) -> frozenset[int]:
    return frozenset(block for (block, _), level in layers if level == 0)


def install(transformer_options: dict, run: Run, layers: list[tuple[Layer, int]], size: tuple[int, int]) -> None:
    """Puts `run` into the options of one sampling of latents of `size`, height and width. What another pack has set for a
    layer is called by ours, not lost."""
    sharing = _Sharing(run, size)
    add_calc_cond_batch(transformer_options, sharing.calc_cond_batch)
    replace_layers(transformer_options, "attn1", [layer for layer, _ in layers], sharing.layer)


def replace_layers(transformer_options: dict, kind: str, layers: Iterable[Layer], make: Callable[[Layer, Callable | None], Callable]) -> None:
    """Replaces the attention `kind` ("attn1" or "attn2") of some layers by what `make` gives for a layer and for what
    another pack has set there, for the layer or for its whole block."""
    replaced = transformer_options.get("patches_replace", {})
    before = replaced.get(kind, {})
    ours = {}
    for block, index in layers:
        key = ("output", block, index)
        attention = make((block, index), before.get(key, before.get(("output", block))))
        if "torch._dynamo" in sys.modules:  # somebody compiles; the import takes long
            # Compilers stop before it and go on after it: what it does depends on the step.
            attention = torch.compiler.disable(attention)
        ours[key] = attention
    transformer_options["patches_replace"] = {**replaced, kind: {**before, **ours}}

    def calc_cond_batch(executor, model, conds, x_in, timestep, model_options):
        """Leaves out our layers in blocks that this call alone replaces as a whole, as perturbed-attention guidance does: the
        host asks for a layer's own replacement first, so ours would stand before it."""
        options = model_options["transformer_options"]
        now = options.get("patches_replace", {}).get(kind, {})
        taken = {key for key, attention in now.items() if len(key) == 2 and before.get(key) is not attention}
        if taken:
            kept = {key: before.get(key) if ours.get(key) is attention and key[:2] in taken else attention for key, attention in now.items()}
            kept = {key: attention for key, attention in kept.items() if attention is not None}
            options = {**options, "patches_replace": {**options["patches_replace"], kind: kept}}
            model_options = {**model_options, "transformer_options": options}
        return executor(model, conds, x_in, timestep, model_options)

    add_calc_cond_batch(transformer_options, calc_cond_batch)


def add_calc_cond_batch(transformer_options: dict, wrapper: Callable) -> None:
    """Wraps the host's calls of the net in one sampling; those added first are the outermost."""
    wrappers = transformer_options.setdefault("wrappers", {}).setdefault(WrappersMP.CALC_COND_BATCH, {})
    wrappers[KEY] = [*wrappers.get(KEY, []), wrapper]


class _OtherLength(Exception):
    """Another patch gives something else than one token for each query."""


class _Sharing:
    """One sampling's patch of all layers."""

    def __init__(self, run: Run, size: tuple[int, int]):
        self._run, self._size, self._sigma, self._warned = run, size, (None, 0.0), set()

    def __deepcopy__(self, memo) -> _Sharing:
        return self  # hosts copy the options that carry it

    def calc_cond_batch(self, executor, model, conds, x_in, timestep, model_options):
        """The host's wrapper of that name: reads the sigma while the device has little to do, not in the middle of the net."""
        self._run.begin(self._current(timestep))
        return executor(model, conds, x_in, timestep, model_options)

    def layer(self, layer: Layer, previous):
        """The host's attn1 replacement for one layer: (q, k, v, extra_options) to the layer's output before to_out."""

        def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict) -> torch.Tensor:
            def attend(q, k, v):
                if previous is not None:
                    out = previous(q, k, v, extra_options)
                    if out.shape[1] != q.shape[1]:
                        raise _OtherLength
                    return out
                return host_attention.optimized_attention(
                    q, k, v, extra_options["n_heads"], attn_precision=extra_options["attn_precision"],
                    transformer_options=extra_options,
                )

            chunks = len(extra_options["cond_or_uncond"])
            sigma = self._current(extra_options["sigmas"])
            tokens = min(q.shape[1], k.shape[1])
            whole_picture = tuple(extra_options["original_shape"][-2:]) == self._size
            # Where there are more keys or fewer, another patch has added or merged some: nobody knows where they lie.
            grid = token_grid(tokens, *self._size) if whole_picture and q.shape[1] == k.shape[1] else None
            if grid is None and self._run.masked:
                self._warn("where only an area of the picture is drawn, or another patch changes its size, all of a panel is shared: 'subject' and "
                           "'subject_masks' do not hold there.")
            groups = self._run.groups(sigma, layer, tokens, k.shape[1], chunks, k.device, grid)
            if groups is None:
                return attend(q, k, v)
            rows = chunks * len(self._run.scene.panels)
            if q.shape[0] != rows or k.shape[0] != rows or v.shape != k.shape:
                self._warn(
                    f"another patch of the model divides the pictures in some attention layers ({q.shape[0]} rows there, {rows} pictures), "
                    "as HyperTile does. No tokens are shared in those layers."
                )
                return attend(q, k, v)
            try:
                return attend_shared(q, k, v, groups, chunks, attend)
            except _OtherLength:
                self._warn("another patch of the model gives no token for each query in some attention layers. No tokens are shared there.")
                return previous(q, k, v, extra_options)

        return attention

    def _current(self, sigmas: torch.Tensor) -> float:
        """The current sigma as a number, read from the device once and not in every layer."""
        if self._sigma[0] is not sigmas:
            self._sigma = (sigmas, float(sigmas.max()))
        return self._sigma[1]

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            log.warning("Fabula_ConsistentAttention: %s", text)
            self._warned.add(text)


def refusal(net: object) -> str:
    return (
        f"a {type(net).__name__}, but consistent self-attention needs an image UNet with self-attention in its up blocks: "
        "SDXL and its smaller kin (SSD-1B, Vega), SD1.5 or SD2.1. Transformers (SD3, Flux, Qwen-Image, Wan, ...) and video "
        "models have no such blocks"
    )


def walk(net: object) -> list[tuple[Layer, int]]:
    """`up_layers`, or nothing where `net` is of another family."""
    return up_layers(net) if isinstance(net, UNetModel) else []
