"""Where each character is in a panel: which of its tokens others may sample, and which queries see another's.

Either from masks of the user's, or from the cross-attention of the words that describe the character.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

FULL_ENOUGH = 0.5  # share of a token's area that a mask must cover
SMOOTHING = 0.5  # share of the last steps in the score of this one

Grid = tuple[int, int]  # rows and columns of a layer's tokens


@dataclass(frozen=True)
class Subject:
    """A character in one panel at one resolution. inside: (tokens,) bool, its tokens. score: (tokens,), how much each token
    is of it: where there are too few inside, those outside follow in this order; None where none of them may."""

    inside: torch.Tensor
    score: torch.Tensor | None


class Subjects(Protocol):
    """What is known of a run's panels at the moment."""

    def find(self, panel: int, characters: Sequence[str], grid: Grid) -> dict[str, Subject]:
        """The characters that a panel shows, those of whom something is known. No token is in two of them where `tells_apart`."""

    def tells_apart(self, panel: int, characters: Sequence[str]) -> bool:
        """Whether `find` gives each of the panel's characters a place of its own."""


class MaskedSubjects:
    """From masks, (height, width) each, 1 where the character is.

    Args:
        masks: of (panel, character), or of (panel, None) for all characters of a panel.
    """

    def __init__(self, masks: Mapping[tuple[int, str | None], torch.Tensor]):
        self._masks = dict(masks)
        self._found: dict[tuple, dict[str, Subject]] = {}

    def find(self, panel: int, characters: Sequence[str], grid: Grid) -> dict[str, Subject]:
        key = (panel, tuple(characters), grid)
        if key not in self._found:
            found = divide({name: on_grid(self._masks[panel, name], grid) for name in characters if (panel, name) in self._masks})
            if not found and (panel, None) in self._masks:
                found = dict.fromkeys(characters, on_grid(self._masks[panel, None], grid))
            self._found[key] = {name: Subject(subject.inside, None) for name, subject in found.items()}
        return self._found[key]

    def tells_apart(self, panel: int, characters: Sequence[str]) -> bool:
        return all((panel, name) in self._masks for name in characters)


class AttendedSubjects:
    """From the cross-attention of each character's words: averaged over layers and heads, smoothed over steps, cut in two
    where the two parts differ most (Otsu). A step goes by what the steps before it have shown, so that all of its layers
    and both halves of CFG see the same; in the first one nothing is known."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Other panels follow, from their first step on."""
        self._step: int | None = None
        self._noted: dict[tuple, tuple[torch.Tensor, int]] = {}  # sums over layers, and of how many
        self._scores: dict[tuple[int, str], torch.Tensor] = {}  # (height, width) each, mean 1
        self._found: dict[tuple, dict[str, Subject]] = {}

    def note(self, shown: tuple[tuple[int, str], ...], grid: Grid, attended: torch.Tensor) -> None:
        """One layer's cross-attention: for each (panel, character) of `shown` how much each token attends to its words,
        (shown, tokens)."""
        key = (shown, grid, attended.device)  # hosts with several GPUs sample on all of them
        known, layers = self._noted.get(key, (0, 0))
        self._noted[key] = known + attended, layers + 1

    def begin(self, step: int) -> None:
        """Called before the net is, once or more often a step."""
        if step == self._step:
            return
        self._step = step
        self._found.clear()
        finest = max((grid for _, grid, _ in self._noted), default=(0, 0))
        seen: dict[tuple[int, str], list[tuple[torch.Tensor, int]]] = {}
        for (shown, grid, _), (total, layers) in self._noted.items():
            maps = functional.interpolate(total.float().cpu().view(len(shown), 1, *grid), finest, mode="bilinear")[:, 0]
            for key, each in zip(shown, maps):
                seen.setdefault(key, []).append((each, layers))
        self._noted.clear()
        for key, maps in seen.items():
            score = sum(each for each, _ in maps) / sum(layers for _, layers in maps)
            score = score / score.mean().clamp_min(1e-12)
            if not score.isfinite().all():  # half precision overflows here before it does in fused attention
                continue
            if key in self._scores:  # of another size where a patch scales the picture in some steps
                old = functional.interpolate(self._scores[key][None, None], finest, mode="bilinear")[0, 0]
                score = torch.lerp(score, old, SMOOTHING)
            self._scores[key] = score

    def find(self, panel: int, characters: Sequence[str], grid: Grid) -> dict[str, Subject]:
        key = (panel, tuple(characters), grid)
        if key not in self._found:
            scores = {name: self._scores[panel, name] for name in characters if (panel, name) in self._scores}
            found = {name: on_grid((score > otsu(score)).float(), grid, score) for name, score in scores.items()}
            self._found[key] = divide(found)
        return self._found[key]

    def tells_apart(self, panel: int, characters: Sequence[str]) -> bool:
        return all((panel, name) in self._scores for name in characters)


def on_grid(mask: torch.Tensor, grid: Grid, score: torch.Tensor | None = None) -> Subject:
    """A mask (height, width) as the tokens that it covers. One that covers no token's half marks the token that it covers
    most; an empty mask marks none. `score` (height, width): the mask itself where there is none."""
    covered = _resized(mask, grid)
    inside = covered >= FULL_ENOUGH
    if not inside.any() and covered.max() > 0:
        inside = covered == covered.max()
    return Subject(inside, covered if score is None else _resized(score, grid))


def _resized(picture: torch.Tensor, grid: Grid) -> torch.Tensor:
    return functional.interpolate(picture[None, None].float(), grid, mode="area").flatten()


def divide(subjects: Mapping[str, Subject]) -> dict[str, Subject]:
    """The same characters with each token in one of them at most: the one that it is of most."""
    if len(subjects) < 2:
        return dict(subjects)
    scores = torch.stack([subject.score.masked_fill(~subject.inside, -torch.inf) for subject in subjects.values()])
    best = scores.argmax(0)
    return {
        name: Subject(subject.inside & (best == number), subject.score) for number, (name, subject) in enumerate(subjects.items())
    }


def otsu(values: torch.Tensor, bins: int = 64) -> float:
    """The threshold that divides `values` into two classes of the greatest variance between them (Otsu, 1979)."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return high
    counts = torch.histc(values.float(), bins, low, high)
    edges = torch.linspace(low, high, bins + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    below, total = counts.cumsum(0), counts.sum()
    weighted = (counts * centres).cumsum(0)
    above = (total - below).clamp_min(1e-9)
    between = below * above * (weighted / below.clamp_min(1e-9) - (weighted[-1] - weighted) / above) ** 2
    return float(edges[1:][between[:-1].argmax()])


def token_grid(tokens: int, height: int, width: int) -> Grid | None:
    """Rows and columns of a UNet layer of `tokens` tokens over latents of `height` x `width`: each downsampling halves
    both, rounding up where it is a convolution (SD's) and down where it is an average (the demo's). None where no number of halvings gives as many."""
    for rest in (1, 0):
        rows, columns = height, width
        while rows * columns > tokens:
            rows, columns = (rows + rest) // 2, (columns + rest) // 2
        if rows * columns == tokens:
            return rows, columns
    return None
