"""How many frames a film has: transitions of a length that its decoder allows, and where the keyframes stand in it.

N keyframes are N - 1 transitions of L frames, both keyframes included; each inner keyframe ends one and begins the next, and is shown once:
(N - 1)(L - 1) + 1 frames.
"""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 100_000  # frames of a transition: more is a slip of the keyboard


@dataclass(frozen=True)
class Lengths:
    """The lengths of a transition that a decoder can make: least, least + step, ... up to most."""

    least: int
    step: int
    most: int = _MOST


DECODERS = {
    "any": Lengths(2, 1),
    "Wan (4n + 1)": Lengths(5, 4),
    "LTX (8n + 1)": Lengths(9, 8),
    "MiniMax (17k + 5)": Lengths(5, 17),
    "AnimateDiff v2, v3 (to 32)": Lengths(2, 1, 32),
    "AnimateDiff v1 (to 24)": Lengths(2, 1, 24),
    "SVD (to 25)": Lengths(2, 1, 25),
}


def nearest_length(frames: float, decoder: str) -> int:
    """The length that a decoder allows nearest to `frames`; of two as near the longer one. Raises: ValueError for a decoder that there is not."""
    if decoder not in DECODERS:
        raise ValueError(f"decoder: there is no {decoder!r}. Choose one of: {', '.join(DECODERS)}.")
    lengths = DECODERS[decoder]
    steps = int((frames - lengths.least) / lengths.step + 0.5)
    longest = (lengths.most - lengths.least) // lengths.step
    return lengths.least + lengths.step * min(max(steps, 0), longest)


def film_frames(keyframes: int, frames: int) -> int:
    """Raises: ValueError for fewer than two keyframes, or frames a transition."""
    _check(keyframes, frames)
    return (keyframes - 1) * (frames - 1) + 1


def keyframe_places(keyframes: int, frames: int) -> list[int]:
    """Where the keyframes stand in the film, from 0. Raises: as `film_frames`."""
    _check(keyframes, frames)
    return [number * (frames - 1) for number in range(keyframes)]


def _check(keyframes: int, frames: int) -> None:
    if keyframes < 2:
        raise ValueError(f"keyframes: {keyframes} is too few. A film goes from one keyframe to another: give at least two.")
    if frames < 2:
        raise ValueError(f"frames: {frames} a transition are too few. Its two keyframes are two of them.")
