"""Several pictures of each panel: one telling of the story after the other, as one run of the host's sampler."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .panel_rows import pick, pick_conds
from .story_rows import KEY, StoryRows


def sample_variants(executor, sample_story: Callable, story: StoryRows, noise: torch.Tensor, latent_image: torch.Tensor, sampler,
                    sigmas: torch.Tensor, denoise_mask: torch.Tensor | None, callback: Callable | None, *rest, **kwargs) -> torch.Tensor:
    """Calls `sample_story` once a variant, with the rows of that variant, and puts the results together.

    Args:
        executor: what an OUTER_SAMPLE wrapper is given; the arguments after `story` are the host's.
        sample_story: takes (executor, the story of one variant, the host's arguments).
    """
    guider = executor.class_obj
    conds, options = guider.conds, guider.model_options
    variants = sorted(set(story.variants))
    result = estimate = None
    steps = 0
    for number, variant in enumerate(variants):
        rows = [row for row, each in enumerate(story.variants) if each == variant]
        told = story.of_rows(rows)
        guider.conds = {kind: [_of_variant(entry, rows) for entry in pick_conds(entries, rows)] for kind, entries in conds.items()}
        guider.model_options = {**options, "transformer_options": _own(options["transformer_options"])}
        last = {}

        def report(step: int, x0: torch.Tensor, x: torch.Tensor, total_steps: int, number: int = number, last: dict = last) -> None:
            last["x0"], last["steps"] = x0, total_steps
            callback(number * total_steps + step, x0, x, len(variants) * total_steps)

        sampled = sample_story(
            executor, told, noise[rows], latent_image[rows], sampler, sigmas, None if denoise_mask is None else pick(denoise_mask, rows),
            None if callback is None else report, *rest, **kwargs,
        )
        if result is None:
            result = sampled.new_zeros(len(noise), *sampled.shape[1:])
        result[rows] = sampled
        if last and len(last["x0"]) == len(rows):
            estimate = last["x0"].new_zeros(len(noise), *last["x0"].shape[1:]) if estimate is None else estimate
            estimate[rows], steps = last["x0"], last["steps"]
    guider.conds, guider.model_options = conds, options
    if estimate is not None:
        # One last report, of every row: sampler nodes give it out as `denoised_output`.
        callback(len(variants) * steps - 1, estimate, result, len(variants) * steps)
    return result


def _of_variant(entry: dict, rows: list[int]) -> dict:
    return {**entry, KEY: entry[KEY].of_rows(rows)} if KEY in entry else entry


def _own(transformer_options: dict) -> dict:
    """A copy into which one variant's patches can be put without reaching the next one's."""
    wrappers = {kind: dict(each) for kind, each in transformer_options.get("wrappers", {}).items()}
    return {**transformer_options, "wrappers": wrappers}
