"""Moving clips of the demo world: somebody walks, jumps, waves, or goes from one place into another.

All that happens between the two ends follows from them, as far as a world can be foreseen: legs move with the way that is gone, a crouch is the
start or the end of a jump, a raised hand waves once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import numpy as np
from PIL import Image

from .drawing import OVERSAMPLING, draw_background, draw_figures
from .poses import POSES, blend, jumping, walking, waving
from .world import ACTIONS, Character, Figure, Picture, random_scene

KINDS = ("walk", "jump", "wave", "journey")
PATHS = {"walk": "straight", "jump": "curved", "wave": "curved", "journey": "journey"}
FRAMES = 13  # of a clip: 1, 2, 3 and 4 are strides that end with the last frame
STRIDE = 0.36  # of the picture's width: the way of two steps at scale 1
_EDGE = 40  # pixels over which one place becomes the other
_SETTLE = 0.25  # of a journey: getting up at its start, and coming to rest at its end


@dataclass(frozen=True)
class Clip:
    """One motion. start, end: pictures with one figure each; of another place than each other only in a journey, whose background moves past."""

    kind: str
    start: Picture
    end: Picture
    phase: float  # of the legs at the start

    def figure(self, tau: float) -> Figure:
        """Who is where and how at `tau`, from 0 at the start to 1 at the end."""
        return _MOTIONS[self.kind](self, tau)


def random_clip(rng: Random, who: Character, kind: str) -> Clip:
    scale = rng.uniform(0.92, 1.06)
    side = rng.choice((-1, 1))
    if kind == "journey":
        actions = rng.choices(ACTIONS, k=2)
        xs = [0.5 + rng.uniform(-0.12, 0.12) for _ in range(2)]
        figures = [Figure(who, action, x, rng.uniform(0.92, 1.06), rng.choice((-1, 1))) for action, x in zip(actions, xs)]
        return Clip(kind, *(random_scene(rng, (each,)) for each in figures), 0.0)
    if kind == "wave":
        x0 = x1 = 0.5 + rng.uniform(-0.25, 0.25)
        action = "waving"
    else:
        near, far = rng.uniform(0.14, 0.36), rng.uniform(0.64, 0.86)
        x0, x1 = (near, far) if side > 0 else (far, near)
        action = rng.choice(("waving", "balloon")) if kind == "walk" else "jumping"
    start = random_scene(rng, (Figure(who, action, x0, scale, side),))
    return Clip(kind, start, replace(start, figures=(Figure(who, action, x1, scale, side),)), rng.random())


def draw_clip(clip: Clip, frames: int = FRAMES) -> list[Image.Image]:
    """RGB, evenly in time from the start to the end."""
    places = _places(clip)
    return [draw_figures(_background(clip, places, number / (frames - 1)), (clip.figure(number / (frames - 1)),))[0] for number in range(frames)]


def draw_frame(clip: Clip, tau: float) -> tuple[Image.Image, Image.Image]:
    """The moment `tau`, and its part map as of `draw_picture`."""
    return draw_figures(_background(clip, _places(clip), tau), (clip.figure(tau),))


def _places(clip: Clip) -> list[Image.Image]:
    return [draw_background(clip.start), *([draw_background(clip.end)] if clip.kind == "journey" else [])]


def _background(clip: Clip, places: list[Image.Image], tau: float) -> Image.Image:
    return places[0] if len(places) == 1 else _moved(*places, _eased(tau), clip.start.figures[0].facing)


def _eased(tau: float) -> float:
    return tau * tau * (3 - 2 * tau)


def _walk(clip: Clip, tau: float) -> Figure:
    a, b = clip.start.figures[0], clip.end.figures[0]
    x = a.x + (b.x - a.x) * tau
    arms = POSES["balloon"].arms if a.action == "balloon" else None
    return replace(a, x=x, pose=walking(clip.phase + abs(x - a.x) / (STRIDE * a.scale), arms))


def _jump(clip: Clip, tau: float) -> Figure:
    a, b = clip.start.figures[0], clip.end.figures[0]
    return replace(a, x=a.x + (b.x - a.x) * tau, pose=jumping(tau))


def _wave(clip: Clip, tau: float) -> Figure:
    return replace(clip.start.figures[0], pose=waving(tau))


def _journey(clip: Clip, tau: float) -> Figure:
    """Off the bench, walking while the place goes by, and down to rest in the next one."""
    a, b = clip.start.figures[0], clip.end.figures[0]
    going, resting = min(1.0, tau / _SETTLE), min(1.0, (1 - tau) / _SETTLE)
    if tau in (0.0, 1.0):
        return a if tau == 0 else b
    # Two whole cycles, so that both feet stand together where the poses meet.
    step = walking(2 * (tau - _SETTLE) / (1 - 2 * _SETTLE))
    first = tau < 0.5
    near, share = (a, going) if first else (b, resting)
    turned = max(0.0, (tau - (1 - _SETTLE)) / _SETTLE)
    return Figure(
        a.character, near.action, x=a.x + (b.x - a.x) * tau, scale=a.scale + (b.scale - a.scale) * tau,
        facing=a.facing + (b.facing - a.facing) * turned, pose=blend(POSES[near.action], step, share), prop=1 - share,
    )


_MOTIONS = {"walk": _walk, "jump": _jump, "wave": _wave, "journey": _journey}


def _moved(a: Image.Image, b: Image.Image, share: float, direction: float) -> Image.Image:
    """The place `a` leaves and `b` comes in as somebody goes in `direction`; the two flow into each other at the seam."""
    left, right = (np.asarray(each, dtype=np.float32) for each in ((a, b) if direction > 0 else (b, a)))
    width = left.shape[1]
    at = round(width * (share if direction > 0 else 1 - share))
    columns = np.arange(at, at + width)  # of both places side by side, seen through a window that moves
    # The seam is sharp where it comes in and goes out: the ends show one place each, and nothing else.
    edge = max(1.0, _EDGE * OVERSAMPLING * min(1.0, 8 * min(share, 1 - share)))
    weight = np.clip((columns - width + 0.5) / edge + 0.5, 0, 1)[None, :, None].astype(np.float32)
    shown = left[:, np.minimum(columns, width - 1)] * (1 - weight) + right[:, np.maximum(columns - width, 0)] * weight
    return Image.fromarray(shown.round().astype(np.uint8))
