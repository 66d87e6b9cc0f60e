"""Noise of each panel's own, whichever other panels are sampled beside it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence

import torch
from comfy.samplers import KSAMPLER, Sampler

from ..attention.tokens import keyed_generator


def reseed(noise: torch.Tensor, seeds: Sequence[int | None]) -> torch.Tensor:
    """Gives the rows that have a seed of their own the noise which that seed gives a single picture.

    Noise that is all zero (sampling goes on from an earlier sampler) stays so.
    """
    if not any(seed is not None for seed in seeds) or not noise.any():
        return noise
    noise = noise.clone()
    for row, seed in enumerate(seeds):
        if seed is not None:
            # The numbers of the host's `prepare_noise`, without reseeding torch for everybody.
            drawn = torch.randn(noise[row:row + 1].shape, dtype=noise.dtype, generator=torch.Generator().manual_seed(seed))
            noise[row] = drawn[0]
    return noise


def keyed(sampler: Sampler, keys: Sequence[tuple[int, ...]]) -> Sampler:
    """`sampler` with the noise that it draws on its way (ancestral, SDE) drawn for each row by its key alone.

    Samplers of other packs that draw noise in ways of their own are left as they are.
    """
    if type(sampler) is not KSAMPLER or "noise_sampler" in sampler.extra_options:
        return sampler
    function = sampler.sampler_function
    if "noise_sampler" not in inspect.signature(function).parameters:
        return sampler

    @functools.wraps(function)
    def sample(model, noise, sigmas, extra_args=None, **kwargs):
        if _draws_brownian(function):
            seeds = tuple(int(torch.randint(2**62, (), generator=keyed_generator(*key))) for key in keys)
            extra_args = {**(extra_args or {}), "seed": seeds}
        else:
            kwargs["noise_sampler"] = _row_noise(noise, keys)
        return function(model, noise, sigmas, extra_args=extra_args, **kwargs)

    return KSAMPLER(sample, sampler.extra_options, sampler.inpaint_options)


def _row_noise(x: torch.Tensor, keys: Sequence[tuple[int, ...]]) -> Callable:
    """Drawn on the CPU, one row after the other."""
    generators = [keyed_generator(*key) for key in keys]

    def draw(sigma, sigma_next) -> torch.Tensor:
        rows = [torch.randn(x.shape[1:], generator=generator) for generator in generators]
        return torch.stack(rows).to(x)

    return draw


def _draws_brownian(function: Callable, seen: tuple[Callable, ...] = ()) -> bool:
    """Whether the host's sampler, or one that it hands over to, draws its noise from a Brownian tree, which takes one
    seed a row; the others take a function that draws."""
    function = inspect.unwrap(function)
    if function in seen or not inspect.isfunction(function):
        return False
    names = function.__code__.co_names
    if "BrownianTreeNoiseSampler" in names:
        return True
    called = (function.__globals__.get(name) for name in names if name.startswith("sample_"))
    return any(_draws_brownian(each, (*seen, function)) for each in called if callable(each))
