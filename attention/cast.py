"""Who is in which panel, and whom each panel therefore attends to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EVERYBODY = ""
"""The one nameless character of a story that names none: its panels all belong together."""


@dataclass(frozen=True)
class Cast:
    """The characters of each panel of a whole story; a panel without any attends to nobody and nobody to it ([NC]).

    The last `held` entries of `panels` are no panels of the story, but the anchors that a saved character brings along.
    """

    panels: tuple[tuple[str, ...], ...]
    held: int = 0

    @classmethod
    def nameless(cls, panels: int) -> Cast:
        """A batch of latents of which nothing is known: one character in all of them."""
        return cls(((EVERYBODY,),) * panels)

    @property
    def story_panels(self) -> range:
        return range(len(self.panels) - self.held)

    def hold(self, character: str, anchors: int) -> Cast:
        """The same story with `anchors` pictures of a saved character, which stand in for its own anchors."""
        return Cast((*self.panels, *[(character,)] * anchors), self.held + anchors)

    @property
    def characters(self) -> list[str]:
        """Each character once, in order of appearance."""
        return list(dict.fromkeys(name for names in self.panels for name in names))

    def solo_panels(self, character: str) -> list[int]:
        """The panels that show nobody else; of a saved character, the pictures that it brings along."""
        solo = [panel for panel, names in enumerate(self.panels) if names == (character,)]
        return [panel for panel in solo if self._is_held(panel)] or solo

    def _is_held(self, panel: int) -> bool:
        return panel >= len(self.panels) - self.held

    def anchors(self, id_length: int) -> dict[str, tuple[int, ...]]:
        """The first `id_length` panels that show a character alone, for each character; fewer where there are fewer.

        StoryDiffusion's reference images: "id images" in its code.
        """
        return {name: tuple(self.solo_panels(name)[:id_length]) for name in self.characters}

    def together(self, panels: Sequence[int]) -> list[list[int]]:
        """For each of `panels`, the positions in `panels` of the others that share a character with it; a saved
        character's pictures see each other alone."""
        return [
            [
                at for at, other in enumerate(panels)
                if at != here and set(self.panels[panel]) & set(self.panels[other]) and self._is_held(panel) <= self._is_held(other)
            ]
            for here, panel in enumerate(panels)
        ]

    def needed(self, panels: Iterable[int], anchors: dict[str, tuple[int, ...]]) -> list[int]:
        """The anchors of the characters that `panels` show, each once, in the story's order; with a panel's anchors come
        all that these attend to themselves."""
        return sorted({anchor for panel in panels for name in self.panels[panel] for anchor in anchors[name]})
