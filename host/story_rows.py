"""What the rows of a batch are in the story: the private key `fabula` of a conditioning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..attention.cast import EVERYBODY, Cast
from ..story.model import Panel, Story
from ..story.options import LARGEST_SEED

KEY = "fabula"


@dataclass(frozen=True)
class StoryRows:
    """cast: the whole story's. panels: for each row of the batch, which panel of the story it is, from 0. seeds: of each
    row, where the script gives it one. words: of each panel of the story, asked for or not, character to the places of the
    words that describe it among the tokens of the panel's prompt; all empty in the negative conditioning. variants: which of
    several pictures of its panel each row is, from 0."""

    cast: Cast
    panels: tuple[int, ...]
    seeds: tuple[int | None, ...]
    words: tuple[Mapping[str, tuple[int, ...]], ...]
    variants: tuple[int, ...]

    def of_rows(self, rows: Sequence[int]) -> StoryRows:
        """What some of the rows are."""
        panels, seeds, variants = (tuple(each[row] for row in rows) for each in (self.panels, self.seeds, self.variants))
        return replace(self, panels=panels, seeds=seeds, variants=variants)


def describe(story: Story, panels: Iterable[int], words: Sequence[Mapping[str, tuple[int, ...]]] | None = None,
             images_per_panel: int = 1) -> StoryRows:
    """The rows of a batch that holds `panels` (from 0) of `story`, each `images_per_panel` times in a row."""
    rows = [(panel, variant) for panel in panels for variant in range(images_per_panel)]
    seeds = [_seed(story.panels[panel].options.seed, variant) for panel, variant in rows]
    cast = Cast(tuple(_names(story, panel) for panel in story.panels))
    panels, variants = (tuple(row[i] for row in rows) for i in (0, 1))
    return StoryRows(cast, panels, tuple(seeds), tuple(words or [{}] * len(story.panels)), variants)


def _seed(own: int | None, variant: int) -> int | None:
    """The first picture of a panel has the panel's seed, the others those that follow."""
    return None if own is None else (own + variant) % (LARGEST_SEED + 1)


def _names(story: Story, panel: Panel) -> tuple[str, ...]:
    # Where nobody has a name, the panels belong together as a batch of latents does.
    return panel.characters or (() if panel.alone or story.characters else (EVERYBODY,))


def rows_of(conds: dict[str, list[dict]], latents: int, node: str) -> StoryRows:
    """What a sampler's conditionings say of its rows. Without a story each row is a panel of one nameless character.

    Raises: ValueError where the story has more or fewer rows than there are latents.
    """
    found = next((entry[KEY] for entries in conds.values() for entry in entries or () if KEY in entry), None)
    if found is None:
        return StoryRows(Cast.nameless(latents), tuple(range(latents)), (None,) * latents, ({},) * latents, (0,) * latents)
    if len(found.panels) != latents:
        raise ValueError(
            f"{node}: the story has {len(found.panels)} {'pictures' if any(found.variants) else 'panels'}, but the sampler's input 'latent_image' has {latents} "
            "latents. Give it one latent a panel: the LATENT of Fabula_EncodeStory, or as many encoded pictures."
        )
    return found
