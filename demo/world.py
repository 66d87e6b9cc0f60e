"""What exists in the demo's cartoon world: who, wearing what, where, when and doing what.

A `Picture` is a plain description. `drawing.py` turns it into pixels, `captions.py` into words.
Everything random comes from the `random.Random` that the caller passes in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from .poses import Pose

RGB = tuple[int, int, int]

KINDS = ("girl", "boy", "woman", "man", "old woman", "old man")
ACTIONS = ("waving", "running", "sitting", "jumping", "reading", "balloon")
PLACES = ("forest", "beach", "city", "mountains", "desert", "meadow", "library", "bedroom")
INDOORS = ("library", "bedroom")
TIMES = ("day", "sunset", "night")
WEATHERS = ("clear", "rain", "snow")

CLOTH: dict[str, RGB] = {
    "red": (210, 48, 52),
    "orange": (240, 138, 36),
    "yellow": (248, 212, 62),
    "green": (62, 152, 76),
    "blue": (52, 104, 208),
    "purple": (132, 72, 176),
    "pink": (242, 142, 182),
    "white": (244, 243, 238),
}
HAIR: dict[str, RGB] = {
    "black": (44, 38, 44),
    "brown": (112, 68, 38),
    "blond": (236, 200, 104),
    "ginger": (206, 96, 36),
    "grey": (172, 174, 182),
}
SKIN: dict[str, RGB] = {"light": (252, 220, 196), "tan": (222, 168, 122), "dark": (134, 86, 58)}
HAIR_STYLES = ("short", "long", "curly", "bun")
HATS = ("none", "cap", "beanie", "sun hat")

# The parts whose colours make a character recognisable, in the order of the ids in a part map (1-based).
PARTS = ("skin", "hair", "top", "bottom", "shoes", "hat")


@dataclass(frozen=True)
class Character:
    kind: str
    skin: str
    hair_style: str
    hair: str
    outfit: str  # "shirt", "coat" or "dress"
    top: str
    bottom: str  # colour of the trousers; a dress has none
    shoes: str
    hat: str
    hat_colour: str  # hat and scarf share it
    beard: bool


@dataclass(frozen=True)
class Figure:
    """A character in a pose. `x` is the middle of the feet in 0..1 of the picture's width.

    pose: a moment of a motion instead of the action's own pose; the action then says only which thing is at hand. prop: how much of that thing is there, 0 to 1.
    """

    character: Character
    action: str
    x: float = 0.5
    scale: float = 1.0
    facing: float = 1  # 1 looks to the right, -1 to the left; between them it turns around
    pose: Pose | None = None
    prop: float = 1.0


@dataclass(frozen=True)
class Picture:
    """One scene with one or two figures in it. `look` seeds where trees, clouds and flakes stand."""

    place: str
    time: str
    weather: str
    figures: tuple[Figure, ...]
    look: int


def random_character(rng: Random) -> Character:
    kind = rng.choice(KINDS)
    old = kind.startswith("old")
    female = kind in ("girl", "woman", "old woman")
    styles = HAIR_STYLES if female else ("short", "curly")
    return Character(
        kind=kind,
        skin=rng.choice(tuple(SKIN)),
        hair_style=rng.choice(styles),
        hair="grey" if old else rng.choice([c for c in HAIR if c != "grey"]),
        outfit=rng.choice(("shirt", "coat", "dress") if female else ("shirt", "coat")),
        top=rng.choice(tuple(CLOTH)),
        bottom=rng.choice(tuple(CLOTH)),
        shoes=rng.choice(tuple(CLOTH)),
        hat=rng.choice(HATS),
        hat_colour=rng.choice(tuple(CLOTH)),
        beard=kind in ("man", "old man") and rng.random() < 0.5,
    )


def random_figure(rng: Random, character: Character, x: float = 0.5, spread: float = 0.12) -> Figure:
    return Figure(
        character=character,
        action=rng.choice(ACTIONS),
        x=x + rng.uniform(-spread, spread),
        scale=rng.uniform(0.92, 1.06),
        facing=rng.choice((-1, 1)),
    )


def random_scene(rng: Random, figures: tuple[Figure, ...]) -> Picture:
    return Picture(
        place=rng.choice(PLACES),
        time=rng.choice(TIMES),
        weather=rng.choices(WEATHERS, (3, 1, 1))[0],
        figures=figures,
        look=rng.randrange(1 << 30),
    )


def random_single(rng: Random) -> Picture:
    return random_scene(rng, (random_figure(rng, random_character(rng)),))


def random_pair(rng: Random, twins: bool) -> Picture:
    """Two figures side by side: the same character twice, or two different ones."""
    first = random_character(rng)
    second = first if twins else random_character(rng)
    left = replace(random_figure(rng, first, 0.27, 0.03), scale=rng.uniform(0.85, 0.95))
    right = replace(random_figure(rng, second, 0.73, 0.03), scale=left.scale)
    return random_scene(rng, (left, right))


def random_strip(rng: Random, panels: int) -> tuple[Picture, ...]:
    """The panels of a comic strip: one character, each panel in its own place and pose."""
    character = random_character(rng)
    return tuple(random_scene(rng, (random_figure(rng, character),)) for _ in range(panels))
