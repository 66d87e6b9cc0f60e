"""A story as it was read: characters, panels, and what is wrong with a script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .styles import STYLES, Style

_SHOWN_MISTAKES = 100  # in the text of the error; `StoryError.mistakes` has them all
_SHOWN_LINE = 80  # characters of a line quoted in an error


@dataclass(frozen=True)
class PanelOptions:
    """seed: of the panel's own noise. style: a name in `Story.styles`, in place of the story's. negative: added to the
    story's negative prompt. prompt_2: for SDXL's second text encoder, in place of the prompt. crop: (width, height), the
    shape of the panel's picture on a page."""

    seed: int | None = None
    style: str = ""
    negative: str = ""
    prompt_2: str = ""
    crop: tuple[int, int] | None = None


@dataclass(frozen=True)
class Character:
    """A character of the story: `tag` is its name in square brackets, `description` what the model reads, `aliases` what else
    the story calls it."""

    tag: str
    description: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Speech:
    """What a character says: `speaker` is its tag; it need not be in the panel's picture."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Mention:
    """Where a panel's prompt holds a character's description: `prompt[start:end]`, in characters."""

    tag: str
    start: int
    end: int


@dataclass(frozen=True)
class Panel:
    """One picture of the story.

    number: counts panels from 1. line: its line in the `panels` text, from 1.
    prompt: the text for the model, each tag replaced by its character's description, the scene at its end; no style yet.
    caption: the text for the page; empty where the line ends in a bare `#`.
    speech: what is said in the panel, in the order of the line; not part of the caption.
    characters: the tags that it names, each once, in order of appearance.
    alone: the line says [NC]: nobody is in the picture.
    scene: of the heading that it stands under.
    options: what the line says of this panel alone.
    """

    number: int
    prompt: str
    caption: str
    characters: tuple[str, ...]
    line: int = field(compare=False)
    mentions: tuple[Mention, ...] = ()
    alone: bool = False
    scene: str = ""
    options: PanelOptions = PanelOptions()
    speech: tuple[Speech, ...] = ()


@dataclass(frozen=True)
class Story:
    """A whole story. `style` is a name in `styles`, what there is to choose from; `negative` the user's own negative prompt."""

    characters: tuple[Character, ...]
    panels: tuple[Panel, ...]
    style: str
    negative: str
    styles: Mapping[str, Style] = field(default_factory=lambda: STYLES, compare=False, repr=False)

    @property
    def captions(self) -> list[str]:
        """The captions, one a panel."""
        return [panel.caption for panel in self.panels]


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in a script. `line` counts from 1; 0 means the input as a whole."""

    input_name: str
    line: int
    text: str
    message: str
    remedy: str

    def __str__(self) -> str:
        if not self.line:
            return f"{self.input_name}: {self.message}. {self.remedy}"
        quoted = self.text if len(self.text) <= _SHOWN_LINE else self.text[: _SHOWN_LINE - 1] + "…"
        return f'{self.input_name}, line {self.line}, "{quoted}": {self.message}. {self.remedy}'


class StoryError(ValueError):
    """A script with mistakes. Its text lists them one a line; `mistakes` holds every one."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        lines = [str(mistake) for mistake in self.mistakes[:_SHOWN_MISTAKES]]
        if len(self.mistakes) > _SHOWN_MISTAKES:
            lines.append(f"... and {len(self.mistakes) - _SHOWN_MISTAKES} more mistakes.")
        super().__init__("\n".join(lines))
