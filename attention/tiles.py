"""A long story in tiles: the panels that are denoised at once, with their anchors replayed in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .cast import Cast


@dataclass(frozen=True)
class Scene:
    """Panels that go through the net together. `sources[i]` are the positions whose sampled tokens position i sees,
    `characters[i]` whom it shows."""

    panels: tuple[int, ...]
    sources: tuple[tuple[int, ...], ...]
    characters: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Tile:
    """One scene in `anchors` mode: anchors first, then the panels of the tile, then padding.

    `stand_ins[i]` is True where position i only fills the batch up: it repeats a panel that stands elsewhere.
    """

    scene: Scene
    stand_ins: tuple[bool, ...]


def together(cast: Cast, panels: Sequence[int]) -> Scene:
    """Modes `batch` and `window`: every panel attends to every other one that shows one of its characters."""
    return _scene(cast, panels, cast.together(panels))


def windows(panels: int, tile_size: int) -> list[range]:
    """Overlapping runs of `tile_size` panels, one panel apart (Algorithm 1 of the paper); fewer panels are one window."""
    if panels <= tile_size:
        return [range(panels)]
    return [range(first, first + tile_size) for first in range(panels - tile_size + 1)]


def plan(cast: Cast, id_length: int, tile_size: int) -> list[Tile]:
    """The tiles of a whole story, all of one size.

    A panel's place in its tile, and what stands in the other places, follow from the story and the two sizes alone, so
    that asking for fewer of the panels changes neither the tensors' shapes nor where a panel lies in them.
    """
    anchors = cast.anchors(id_length)
    held = sorted({panel for panels in anchors.values() for panel in panels})
    others = [panel for panel in cast.story_panels if panel not in set(held)]
    groups = [others[first:first + tile_size] for first in range(0, len(others), tile_size)]
    replayed = [cast.needed(group, anchors) for group in groups]
    # Anchors that no other panel calls for are still panels of the story.
    idle = sorted(set(held) & set(cast.story_panels) - {a for each in replayed for a in each})
    while idle:
        taken = cast.needed(idle[:1], anchors)
        groups.append([])
        replayed.append(taken)
        idle = [a for a in idle if a not in taken]
    slots = min(tile_size, len(others))
    size = max((len(a) + (slots if group else 0) for a, group in zip(replayed, groups)), default=0)
    return [_tile(cast, anchors, a, g, size) for a, g in zip(replayed, groups)]


def _tile(cast: Cast, anchors: dict[str, tuple[int, ...]], held: list[int], group: list[int], size: int) -> Tile:
    real = [*held, *group]
    filling = (group or held)[:1] * (size - len(real))
    panels = [*real, *filling]
    place = {panel: at for at, panel in enumerate(real)}
    sources = [[place[a] for a in cast.needed([panel], anchors) if a != panel] for panel in panels]
    return Tile(_scene(cast, panels, sources), tuple(at >= len(real) for at in range(size)))


def _scene(cast: Cast, panels: Sequence[int], sources: Sequence[Sequence[int]]) -> Scene:
    return Scene(tuple(panels), tuple(map(tuple, sources)), tuple(cast.panels[panel] for panel in panels))
