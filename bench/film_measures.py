"""What a film between two keyframes is judged by. Films are (frames, 3, height, width) in 0..1; `true` is the drawn clip that it should be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# What a film must have to pass. Motion, agreement and progress are bounded by what drawings have (`film_fakes.py`, and the clips themselves late or out of order), not by what the decoder draws.
MOTION = (0.5, 2.0)  # of the true clip's: a figure half blended away has a third, frames out of order about twice
LEAST_PROGRESS = 0.9  # a cut in the middle has 0.87, the most of two values
LEAST_AGREEMENT = 0.35  # a film that lags one frame of 13 has about 0.5, two frames 0.2; a blend of the ends, boiling or not, less than 0.05
MOST_END_ERROR = 0.05  # mean difference of a pixel
MOST_PATH_ERROR = 20.0  # pixels of 256
BLOCK = 16  # pixels, both ways: an arm is seen in it, and what boils on outlines evens out
FLICKER = 0.06  # of 1: a smaller change of a block is no motion


@dataclass(frozen=True)
class Measures:
    """first, between: distance to the first frame and between neighbours, as the paper's LPIPS-first and LPIPS-frames, in the reader's features. first_cosine, between_cosine: its
    CLIPSIM pair, of the pooled CLIP features. ends: mean difference of the end frames' pixels from the keyframes. motion: how much neighbours differ, of the true clip's. agreement: how
    much what no blend of the ends shows changes as in the true clip, 1 at best. progress: how steadily it goes from the start's features to the end's, 1 at best; NaN where these are
    one, and there is nowhere to go. path: how far the figure's middle is from where it should be, pixels. true: distance to the true frames between the ends, in the reader's features."""

    first: float
    between: float
    first_cosine: float
    between_cosine: float
    ends: float
    motion: float
    agreement: float
    progress: float
    path: float
    true: float

    @property
    def passes(self) -> bool:
        moves = MOTION[0] <= self.motion <= MOTION[1] and self.agreement >= LEAST_AGREEMENT
        return moves and (math.isnan(self.progress) or self.progress >= LEAST_PROGRESS) and self.ends <= MOST_END_ERROR and self.path <= MOST_PATH_ERROR


@torch.inference_mode()
def measure(film: Tensor, true: Tensor, reader, pooled: Tensor) -> Measures:
    """pooled: CLIP's features of the film's frames, (frames, channels)."""
    seen, wanted = features(reader, film), features(reader, true)
    pooled = F.normalize(pooled, dim=-1)
    cosine = pooled @ pooled.T
    frames = len(film)
    steps = torch.arange(frames - 1)  # from each frame to the next
    return Measures(
        first=_mean(distance(seen, seen, [0] * (frames - 1), range(1, frames))),
        between=_mean(distance(seen, seen, steps, steps + 1)),
        first_cosine=float(cosine[0, 1:].mean()),
        between_cosine=float(cosine[steps, steps + 1].mean()),
        ends=float((film[[0, -1]] - true[[0, -1]]).abs().mean()),
        motion=float(amount(film) / amount(true)),
        agreement=agreement(film, true),
        progress=progress(seen, wanted),
        path=float((middles(reader, film) - middles(reader, true))[1:-1].norm(dim=1).mean()),
        true=_mean(distance(seen, wanted, range(1, frames - 1), range(1, frames - 1))),
    )


def features(reader, film: Tensor) -> list[Tensor]:
    """The reader's features of each frame at three resolutions, of unit length at each place, as LPIPS takes a network's."""
    x = F.interpolate(film, (128, 128), mode="area") - 0.5
    levels = []
    for stage in reader.down[:3]:
        x = stage(x)
        levels.append(F.normalize(x, dim=1))
    return levels


def distance(a: list[Tensor], b: list[Tensor], rows_a, rows_b) -> Tensor:
    """Of the given frames of `a` from those of `b`, one number a pair: squared difference of the features, over places and resolutions."""
    at, to = (torch.tensor([int(row) for row in rows]) for rows in (rows_a, rows_b))
    return sum((x[at] - y[to]).square().sum(1).mean((1, 2)) for x, y in zip(a, b)) / len(a)


def amount(film: Tensor) -> Tensor:
    """How much neighbouring frames differ, in blocks, where it is more than what flickers."""
    small = F.avg_pool2d(film, BLOCK)
    return ((small[1:] - small[:-1]).abs() - FLICKER).clamp_min(0).mean()


def agreement(film: Tensor, true: Tensor) -> float:
    """Cosine of what changes in the frames between the ends, as `unblended` leaves it, with what changes in the true clip's. A still picture, a cross-fade and a cut leave nothing, noise
    on them what agrees with nothing; an arm that waves is all that a wave leaves. What a decoder paints wrongly, but in all frames alike, does not count."""
    ends = F.avg_pool2d(true[[0, -1]], BLOCK)
    own, wanted = (unblended(F.avg_pool2d(each[1:-1], BLOCK), ends) for each in (film, true))
    own, wanted = own - own.mean(0), wanted - wanted.mean(0)
    if float(own.norm()) < 1e-3 * float(wanted.norm()):
        return 0.0
    return float(F.cosine_similarity(own.flatten(), wanted.flatten(), dim=0))


def unblended(frames: Tensor, ends: Tensor) -> Tensor:
    """What each frame shows beside its best blend of the two ends, by least squares."""
    way = ends[1] - ends[0]
    frames = frames - ends[0]
    length = float(way.square().sum())
    if length < 1e-6:  # the ends are one: nothing to blend
        return frames
    return frames - (frames * way).sum((1, 2, 3), keepdim=True) / length * way


def progress(seen: list[Tensor], true: list[Tensor]) -> float:
    """Rank correlation (average ranks) of time with how much nearer a frame is to the true end than to the true start."""
    frames = len(seen[0])
    if float(distance(true, true, [0], [frames - 1])) < 1e-3:
        return math.nan
    nearer = distance(seen, true, range(frames), [0] * frames) - distance(seen, true, range(frames), [frames - 1] * frames)
    above = nearer[:, None] - nearer
    ranks = (above.sign() * (above.abs() > 1e-5)).sum(1).double()  # equal frames are equal, whatever a convolution rounds
    if not ranks.any():
        return 0.0
    time = torch.arange(frames).double()
    return float(torch.corrcoef(torch.stack([ranks, time]))[0, 1])


def middles(reader, film: Tensor) -> Tensor:
    """Where the figure's middle is in each frame, (frames, 2) in pixels of 256; the picture's middle where none is seen."""
    parts = reader(film)[1].softmax(1)
    figure = (1 - parts[:, 0]) * (parts.argmax(1) > 0)
    axis = (torch.arange(figure.shape[-1]) + 0.5) * 256 / figure.shape[-1]
    total = figure.sum((1, 2))
    x, y = (figure.sum(1) * axis).sum(1), (figure.sum(2) * axis).sum(1)
    found = torch.stack([x, y], dim=1) / total.clamp_min(1e-6)[:, None]
    return torch.where(total[:, None] > 1, found, torch.full_like(found, 128.0))


def _mean(values: Tensor) -> float:
    return float(values.mean())
