"""Transitions into one film: no keyframe twice, and no jump of colour at the seams."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_LEAST = 1e-4  # deviation of a channel that is counted as none: a picture of one colour
_MOST_GAIN = 2.0  # what is drawn apart further is another picture, not a drift of colour


def join(transitions: Sequence[Tensor], keyframes: Tensor | None = None, match_colours: bool = False) -> Tensor:
    """One film, (frames, height, width, channels) in 0..1, of transitions of that shape each.

    Of the two frames at a seam, the end of one transition and the start of the next, the second is shown.

    Args:
        keyframes: (transitions + 1, height, width, channels): they take their own places in the film, exactly as they are.
        match_colours: each transition's frames get the colours of its keyframes: mean and deviation of each channel, as they are off at its start and
            at its end, and in between in proportion to time. Frames that are keyframes stay.

    Raises: ValueError for no transitions, sizes that differ, another number of keyframes, or none where colours shall match.
    """
    if not transitions:
        raise ValueError("transitions: there is none. Connect the frames of at least one.")
    shape = transitions[0].shape[1:]
    for number, each in enumerate(transitions, start=1):
        if each.ndim != 4 or len(each) < 2:
            raise ValueError(f"transitions: number {number} has {len(each)} frame(s). A transition has at least its two keyframes.")
        if each.shape[1:] != shape:
            raise ValueError(
                f"transitions: number {number} is {each.shape[2]} x {each.shape[1]} pixels, the first is {shape[1]} x {shape[0]}. Make all of one size."
            )
    if keyframes is None:
        if match_colours:
            raise ValueError("keyframes: colours can only be matched to them. Connect the keyframes, or switch match_colours off.")
        return torch.cat([*(each[:-1] for each in transitions), transitions[-1][-1:]])
    if len(keyframes) != len(transitions) + 1:
        raise ValueError(f"keyframes: {len(keyframes)} are no ends of {len(transitions)} transitions. Connect {len(transitions) + 1}.")
    if keyframes.shape[1:] != shape:
        raise ValueError(
            f"keyframes: they are {keyframes.shape[2]} x {keyframes.shape[1]} pixels, the transitions {shape[1]} x {shape[0]}. Scale them to that size."
        )
    parts = []
    for number, each in enumerate(transitions):
        inner = match(each, keyframes[number], keyframes[number + 1]) if match_colours else each
        parts += [keyframes[number:number + 1].to(each), inner[1:-1]]
    return torch.cat([*parts, keyframes[-1:].to(parts[0])])


def one_batch(keyframes: Sequence[Tensor]) -> Tensor:
    """Keyframes that come as several batches, (some, height, width, channels) each. Raises: ValueError for sizes that differ."""
    sizes = {tuple(each.shape[1:]) for each in keyframes}
    if len(sizes) > 1:
        told = ", ".join(f"{width} x {height}" for height, width, _ in sorted(sizes))
        raise ValueError(f"keyframes: they are of several sizes, {told} pixels. Scale them to that of the transitions.")
    return torch.cat(list(keyframes))


def match(frames: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """A transition, (frames, height, width, channels), with the colours that its first and last frame have where they are the keyframes `start` and
    `end`, (height, width, channels)."""
    tau = torch.linspace(0, 1, len(frames), device=frames.device)[:, None]
    mean, deviation = _statistics(frames)
    gains, shifts = [], []
    for at, keyframe in ((0, start), (-1, end)):
        wanted_mean, wanted_deviation = _statistics(keyframe[None].to(frames))
        flat = (deviation[at] < _LEAST) | (wanted_deviation[0] < _LEAST)
        gain = torch.where(flat, torch.ones_like(deviation[at]), wanted_deviation[0] / deviation[at].clamp_min(_LEAST))
        gains.append(gain.clamp(1 / _MOST_GAIN, _MOST_GAIN))
        shifts.append(wanted_mean[0] - mean[at])
    gain = torch.exp(torch.lerp(gains[0].log(), gains[1].log(), tau))[:, None, None]
    shift = torch.lerp(shifts[0], shifts[1], tau)[:, None, None]
    centre = mean[:, None, None]
    return ((frames - centre) * gain + centre + shift).clamp(0, 1)


def _statistics(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each frame's channels, (frames, channels) each."""
    flat = frames.flatten(1, 2)
    return flat.mean(1), flat.std(1, unbiased=False)
