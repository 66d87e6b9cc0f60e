"""Consistent self-attention as one patch of a MODEL, under any sampler of the host."""

from __future__ import annotations

import torch
from comfy.ldm.modules.attention import SpatialVideoTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ..attention.state import Run, Settings

KEY = "fabula_consistent_attention"
NODE = "Fabula_ConsistentAttention"


def apply(model: ModelPatcher, sampling_rate: float, schedule: str, start_percent: float, end_percent: float, seed: int) -> ModelPatcher:
    """A clone of `model` whose up-block self-attention sees sampled tokens of the other latents of the batch.

    Applied more than once, with ranges of percent of their own, the first one whose range holds the current step acts.

    Raises: ValueError where `model` is not a UNet with self-attention blocks, or where the range is empty.
    """
    net = model.get_model_object("diffusion_model")
    if not isinstance(net, UNetModel) or not _has_up_self_attention(net):
        raise ValueError(
            f"{NODE}: input 'model' is a {type(net).__name__}, but consistent self-attention needs an image UNet with "
            "self-attention in its up blocks. Load an SDXL or SD1.5 checkpoint."
        )
    if start_percent >= end_percent:
        raise ValueError(
            f"{NODE}: input 'start_percent' is {start_percent:g} and 'end_percent' is {end_percent:g}, so it would never "
            "act. Let 'start_percent' be the smaller one; to switch the node off, bypass it."
        )

    def outer_sample(executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
        guider = executor.class_obj
        _check_rows(guider.conds, len(noise))
        # The model's own schedule, asked only now: nodes after this one may have replaced it.
        sampling = guider.model_patcher.get_model_object("model_sampling")
        settings = Settings(
            sampling_rate, schedule, seed,
            start_sigma=float(sampling.percent_to_sigma(start_percent)), end_sigma=float(sampling.percent_to_sigma(end_percent)),
        )
        from_noise = float(sigmas[0]) >= 0.9 * min(float(sampling.sigma_max), _FROM_NOISE)
        holder = _RunHolder(Run.start(settings, len(noise), from_noise), sigmas.cpu())
        # The host has made these options for this one run, and drops them after it.
        options = guider.model_options["transformer_options"]
        options[KEY] = [*options.get(KEY, []), holder]
        return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)

    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, outer_sample)
    if _attn1_patch not in patched.model_options["transformer_options"].get("patches", {}).get("attn1_patch", []):
        patched.set_model_attn1_patch(_attn1_patch)
    return patched


# A zero-terminal-SNR schedule starts at a sigma of thousands; some schedulers leave its first step out.
_FROM_NOISE = 14.0


class _RunHolder:
    """Carries the run through the host's copies of `transformer_options`: dicts and lists are copied, objects not."""

    def __init__(self, run: Run, sample_sigmas: torch.Tensor):
        self.run, self.sample_sigmas = run, sample_sigmas
        self._sigma: tuple[torch.Tensor, float] | None = None

    def __deepcopy__(self, memo):
        return self

    def sigma(self, sigmas: torch.Tensor) -> float:
        """The current sigma as a number, read from the device once a model call and not in every layer."""
        if self._sigma is None or self._sigma[0] is not sigmas:
            self._sigma = (sigmas, float(sigmas.max()))
        return self._sigma[1]


def _attn1_patch(n: torch.Tensor, context: torch.Tensor, value: torch.Tensor, extra_options: dict):
    holders = extra_options.get(KEY)
    block = extra_options.get("block")
    if not holders or not block or block[0] != "output":
        return n, context, value
    sigmas = extra_options["sigmas"]
    holder = next((h for h in holders if h.run.settings.covers(h.sigma(sigmas))), None)
    if holder is None:
        return n, context, value
    layer = (block[1], extra_options.get("block_index", 0))
    chunks = len(extra_options["cond_or_uncond"])

    def extended(tokens: torch.Tensor) -> torch.Tensor:
        # What an earlier patch has made of the keys holds for the other panels' too, as long as it is still one a token.
        hidden = tokens if tokens.shape[:2] == n.shape[:2] else n
        return holder.run.context(hidden, tokens, holder.sigma(sigmas), holder.sample_sigmas, layer, chunks)

    try:
        keys = extended(context)
        return n, keys, keys if value is context or value is None else extended(value)
    except ValueError as error:
        raise ValueError(
            f"{NODE}: the batch changed on its way to the attention layers ({error}) Another patch of input 'model' "
            "divides it: tiled diffusion, HyperTile or context windows. Take that patch out."
        ) from error


def _has_up_self_attention(net: UNetModel) -> bool:
    blocks = [block for part in net.output_blocks for block in part.modules()]
    attentions = [block for block in blocks if hasattr(block, "attn1")]
    # A video UNet's batch is frames; blocks without self-attention see text in its place.
    video = any(isinstance(block, SpatialVideoTransformer) for block in blocks)
    return bool(attentions) and not video and not any(block.disable_self_attn for block in attentions)


def _check_rows(conds: dict, latents: int) -> None:
    for entries in conds.values():
        for entry in entries:
            panels = entry.get("fabula", {}).get("panels")
            if panels is not None and len(panels) != latents:
                raise ValueError(
                    f"{NODE}: the story has {len(panels)} panels, but the sampler's input 'latent_image' has {latents} "
                    "latents. Give it one latent a panel: the LATENT of Fabula_EncodeStory, or as many encoded pictures."
                )
