"""IP-Adapter in the host's UNets, with a picture's tokens of its own for each frame: the cross attention of the paper's decoder."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.ldm.modules.attention as host_attention
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ..motion.image_prompt import ImagePrompt, attend
from .errors import errors_of
from .frame_rows import frame_window, refuse_other_rows, rows_a_cond
from .image_prompt_file import load_image_prompt, project
from .image_unet import image_unet, text_channels
from .motion_predictor import Transition
from .sight import PROJECTED

NODE = "Fabula_ApplyMotion"
KEY = "fabula_image_prompt"
MODES = ("decoupled", "one softmax")

Key = tuple[str, int, int]
"""A cross attention by the host's name: "input", "middle" or "output", the block's number, and the layer's in it."""


def layers(net: UNetModel) -> list[tuple[Key, int]]:
    """All cross attentions in the order of IP-Adapter's files, input blocks, output blocks, middle, each with its width."""
    parts = [*(("input", number, blocks) for number, blocks in enumerate(net.input_blocks)),
             *(("output", number, blocks) for number, blocks in enumerate(net.output_blocks)), ("middle", 0, net.middle_block or ())]
    found: list[tuple[Key, int]] = []
    for name, number, blocks in parts:
        attentions = [block for layer in blocks if isinstance(layer, SpatialTransformer) for block in layer.transformer_blocks]
        found += [((name, number, index), block.attn2.to_k.out_features) for index, block in enumerate(attentions)]
    return found


def apply_to_each(*inputs: Sequence) -> list[ModelPatcher]:
    """`apply_motion` for each of lists of its inputs, of which shorter ones go on with their last, as the host does. An image prompt is loaded once for all."""
    prompts: dict[str, ModelPatcher] = {}
    return [apply_motion(*(values[min(number, len(values) - 1)] for values in inputs), prompts) for number in range(max(map(len, inputs)))]


def apply_motion(model: ModelPatcher, motion: Transition, name: str, weight: float, mode: str, start_percent: float, end_percent: float,
                 prompts: dict[str, ModelPatcher] | None = None) -> ModelPatcher:
    """A clone of `model` in which each frame of one transition attends to its own predicted features. prompts: those that are loaded, by name; ours is added.

    Raises: ValueError for a model, an image prompt and features that do not fit each other.
    """
    net = image_unet(NODE, model, "image prompts")
    places = layers(net)
    if start_percent >= end_percent:
        raise ValueError(
            f"{NODE}: input 'start_percent' is {start_percent:g} and 'end_percent' is {end_percent:g}, so it would never act. Let 'start_percent' be the smaller one; to switch the "
            "node off, bypass it."
        )
    prompts = {} if prompts is None else prompts
    if name not in prompts:
        with errors_of(NODE):
            prompts[name] = load_image_prompt(name)
    patcher = prompts[name]
    sizes = patcher.model.sizes
    if (*(width for _, width in places), text_channels(net)) != (*sizes.layers, sizes.context):
        raise ValueError(
            f"{NODE}: input 'image_prompt_name': {name} is of another family than input 'model': it has {len(sizes.layers)} layers beside texts of {sizes.context} channels, the model "
            f"{len(places)} and {text_channels(net)}. Choose one of the checkpoint's family, SD1.5 or SDXL."
        )
    given = torch.cat([motion.features, motion.nothing[None]])
    channels = given.shape[-1]
    if motion.space == PROJECTED:
        if motion.image_prompt not in ("", name):
            raise ValueError(
                f"{NODE}: input 'motion' has the tokens of {motion.image_prompt}, but input 'image_prompt_name' is {name}. Choose the same one here and in Fabula_PredictMotion."
            )
        if channels != sizes.context:
            raise ValueError(f"{NODE}: input 'motion' has tokens of {channels} channels, {name} makes {sizes.context}. Use one image prompt in both nodes.")
        tokens = given
    elif (motion.space, channels) != (sizes.space, sizes.features):
        raise ValueError(
            f"{NODE}: input 'motion' has {motion.space} features of {channels} channels, but {name} reads {sizes.space} ones of {sizes.features}. "
            f"Set Fabula_PredictMotion's 'space' to {sizes.space}, and load the CLIP vision model that the image prompt was trained with."
        )
    else:
        tokens = project(patcher, given)
    clone = model.clone()
    clone.set_additional_models(KEY, [*clone.get_additional_models_with_key(KEY), patcher])  # one node behind another: both act
    always = start_percent <= 0 and end_percent >= 1
    prompt = FramePrompt(patcher.model, tokens[:-1], tokens[-1], weight, mode == MODES[1], None if always else (start_percent, end_percent))
    clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, prompt.sample)
    replaced = clone.model_options.setdefault("transformer_options", {}).get("patches_replace", {})
    before = replaced.get("attn2", {})
    ours = {key: prompt.layer(number, before.get(key, before.get(key[:2]))) for number, (key, _) in enumerate(places)}
    clone.model_options["transformer_options"] = {**clone.model_options["transformer_options"], "patches_replace": {**replaced, "attn2": {**before, **ours}}}
    return clone


class FramePrompt:
    """The tokens of one transition in the layers of a UNet. tokens: (frames, prompt tokens, context). none: (prompt tokens, context), for the negative. percents: of the
    sampling, between which it is there; None: all of it."""

    def __init__(self, model: ImagePrompt, tokens: torch.Tensor, none: torch.Tensor, weight: float, one_softmax: bool, percents: tuple[float, float] | None) -> None:
        self._model, self._weight, self._one_softmax, self._percents = model, weight, one_softmax, percents
        self._tokens = torch.cat([tokens, none[None]])  # (frames + 1, prompt tokens, context)
        self._frames = len(tokens)
        self.forget()

    def __deepcopy__(self, memo) -> FramePrompt:
        return self  # hosts copy the options that carry it

    def forget(self) -> None:
        """What is kept for the layers of one sampling."""
        self._moved: torch.Tensor | None = None
        self._sigma: tuple[torch.Tensor | None, float] = (None, 0.0)
        self._span: tuple[float, float] | None = None
        self._positive: dict[object, bool] = {}

    def sample(self, executor, *args, **kwargs):
        """The host's wrapper of one sampling. Only now is it known which schedule the model has, and which conditionings are positive: not all guiders call the net with those first."""
        self._check(len(args[0] if args else kwargs["noise"]))
        guider = executor.class_obj
        self._positive = {entry["uuid"]: name == "positive" for name, entries in guider.conds.items() for entry in entries or () if "uuid" in entry}
        if self._percents:
            sampling = guider.model_patcher.get_model_object("model_sampling")
            self._span = tuple(sampling.percent_to_sigma(percent) for percent in self._percents)
        try:
            return executor(*args, **kwargs)
        finally:
            self.forget()

    def _check(self, frames: int) -> None:
        if frames != self._frames:
            raise ValueError(
                f"{NODE}: the latent has {frames} frames, but input 'motion' {self._frames}. Give Fabula_TransitionLatents, or the empty latent, as many 'frames' as Fabula_PredictMotion."
            )

    def layer(self, number: int, previous):
        """The host's attn2 replacement for the layer `number` of the file: (q, k, v, extra_options) to the layer's output before to_out. previous: what another pack
        has set there, called for the text."""

        def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict) -> torch.Tensor:
            def plain(q, k, v):
                return host_attention.optimized_attention(
                    q, k, v, extra_options["n_heads"], attn_precision=extra_options["attn_precision"], transformer_options=extra_options,
                )

            def text(*qkv):
                return previous(*qkv, extra_options) if previous is not None else plain(*qkv)

            if not self._weight or self._span and not self._span[1] <= self._current(extra_options["sigmas"]) <= self._span[0]:
                return text(q, k, v)
            prompt = self._model.keys_values(number, self._rows(q, extra_options))
            return attend(q, k, v, prompt, self._weight, plain, self._one_softmax, text)

        return attention

    def _rows(self, q: torch.Tensor, extra_options: dict) -> torch.Tensor:
        """(rows, prompt tokens, context): each row's own frame's where it is of the positive, else none's."""
        refuse_other_rows(NODE, extra_options)
        frames, window = rows_a_cond(q, extra_options), frame_window(extra_options)
        if window is None:
            self._check(frames)
        if self._moved is None or (self._moved.device, self._moved.dtype) != (q.device, q.dtype):
            self._moved = self._tokens.to(q)  # once, and not in every layer of every step
        shown = self._moved[:-1] if window is None else self._moved[window]
        none = self._moved[-1:].expand(frames, -1, -1)
        kinds = extra_options.get("cond_or_uncond") or [0]
        names = extra_options.get("uuids") or [None] * len(kinds)
        return torch.cat([shown if self._positive.get(name, kind == 0) else none for name, kind in zip(names, kinds)])

    def _current(self, sigmas: torch.Tensor) -> float:
        """The current sigma as a number, read from the device once and not in every layer."""
        if self._sigma[0] is not sigmas:
            self._sigma = (sigmas, float(sigmas.max()))
        return self._sigma[1]
