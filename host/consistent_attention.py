"""Consistent self-attention as one patch of a MODEL, under any sampler of the host."""

from __future__ import annotations

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher, create_model_options_clone
from comfy.patcher_extension import WrappersMP

from ..attention.state import Run, Settings

KEY = "fabula_consistent_attention"
NODE = "Fabula_ConsistentAttention"


def apply(model: ModelPatcher, sampling_rate: float, schedule: str, start_percent: float, end_percent: float, seed: int) -> ModelPatcher:
    """A clone of `model` whose up-block self-attention sees sampled tokens of the other latents of the batch.

    Raises: ValueError where `model` is not a UNet with self-attention blocks.
    """
    net = model.get_model_object("diffusion_model")
    if not isinstance(net, UNetModel) or not _has_up_attention(net):
        raise ValueError(
            f"{NODE}: input 'model' is a {type(net).__name__}, but consistent self-attention needs a UNet with "
            "self-attention in its up blocks. Load an SDXL or SD1.5 checkpoint."
        )
    sampling = model.get_model_object("model_sampling")
    settings = Settings(
        sampling_rate, schedule, seed,
        start_sigma=float(sampling.percent_to_sigma(start_percent)), end_sigma=float(sampling.percent_to_sigma(end_percent)),
    )
    sigma_max = float(sampling.sigma_max)

    def outer_sample(executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
        guider = executor.class_obj
        _check_rows(guider.conds, len(noise))
        run = Run.start(settings, len(noise), from_noise=float(sigmas[0]) >= 0.9 * min(sigma_max, _FROM_NOISE))
        before = guider.model_options
        guider.model_options = create_model_options_clone(before)
        guider.model_options["transformer_options"][KEY] = _RunHolder(run, sigmas.cpu())
        try:
            return executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
        finally:
            guider.model_options = before

    patched = model.clone()
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, outer_sample)
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
    holder = extra_options.get(KEY)
    block = extra_options.get("block")
    if holder is None or not block or block[0] != "output":
        return n, context, value
    sigma = holder.sigma(extra_options["sigmas"])
    layer = (block[1], extra_options.get("block_index", 0))
    chunks = len(extra_options["cond_or_uncond"])

    def extended(tokens: torch.Tensor) -> torch.Tensor:
        return holder.run.context(n, tokens, sigma, holder.sample_sigmas, layer, chunks)

    keys = extended(context)
    return n, keys, keys if value is context or value is None else extended(value)


def _has_up_attention(net: UNetModel) -> bool:
    return any(hasattr(block, "attn1") for part in net.output_blocks for block in part.modules())


def _check_rows(conds: dict, latents: int) -> None:
    for entries in conds.values():
        for entry in entries:
            panels = entry.get("fabula", {}).get("panels")
            if panels is not None and len(panels) != latents:
                raise ValueError(
                    f"{NODE}: the story has {len(panels)} panels, but the sampler's input 'latent_image' has {latents} "
                    "latents. Connect the LATENT of Fabula_EncodeStory to the sampler."
                )
