"""A story's captions and speech in a film: as subtitles in the file that the host writes of it, or drawn into its frames."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import folder_paths
import numpy as np
import torch
from comfy_api.latest import InputImpl, Types

from ..comic.subtitles import Subtitle, letter_subtitle
from ..comic.typeface import Typeface
from ..motion.captions import Cue, find_places, plan_cues
from ..motion.text_track import add_track
from ..story.model import Panel, Story
from .encode_story import named_panels

NODE = "Fabula_CaptionFilm"
MODES = ("subtitles", "burnt in")


@dataclass(frozen=True)
class Film:
    """frames: (frames, height, width, channels) in 0..1, `fps` a second. panels: those that its keyframes show, from 0; places: the frame of each."""

    frames: torch.Tensor
    fps: Fraction
    panels: Sequence[Panel]
    places: Sequence[int]

    def cues(self) -> list[Cue]:
        return plan_cues([spoken(panel) for panel in self.panels], self.places, len(self.frames), self.fps)


def read_film(frames: torch.Tensor, story: Story, fps: float, panels: str = "", places: str = "") -> Film:
    """Which of the story's panels a film shows where; `fps` as exact as the host writes it.

    Raises: ValueError for a choice of panels or places that does not fit.
    """
    shown = [story.panels[at] for at in (named_panels(story, panels, NODE) if panels.strip() else range(len(story.panels)))]
    try:
        found = find_places(places, len(shown), len(frames))
    except ValueError as error:
        raise ValueError(f"{NODE}: input {error}") from error
    return Film(frames, Fraction(round(fps * 1000), 1000), shown, found)


def spoken(panel: Panel) -> str:
    """A panel's caption, and what is said in it, each in a line of its own with who says it."""
    lines = [panel.caption, *(f"{speech.speaker}: {speech.text}" for speech in panel.speech)]
    return "\n".join(" ".join(line.split()) for line in lines if line.strip())


def burn(film: Film, face: Typeface, size: int = 0) -> torch.Tensor:
    """The film's frames with each text drawn into those that show it; all else stays bit for bit the same.

    Raises: ValueError, with the panel's number, for a text that has no room, or characters that no font has.
    """
    height, width = film.frames.shape[1:3]
    lettered: dict[str, Subtitle] = {}
    for panel in film.panels:
        text = spoken(panel)
        if text and text not in lettered:
            try:
                lettered[text] = letter_subtitle(text, face, width, height, size)
            except ValueError as error:
                raise ValueError(f"{NODE}: panel {panel.number}: {error}") from error
    frames = film.frames.clone()
    for cue in film.cues():
        words = lettered[cue.text]
        pixels = torch.from_numpy(np.array(words.picture)).to(frames) / 255
        down, across = (slice(start, start + side) for start, side in zip((words.top, words.left), pixels.shape[:2]))
        for frame in cue.frames(film.fps):
            part = frames[frame, down, across, :3]
            part += (pixels[..., :3] - part) * pixels[..., 3:]
    return frames


class SubtitledVideo(InputImpl.VideoFromComponents):
    """A VIDEO of the host's whose file has a track of subtitles beside what the host itself writes."""

    def __init__(self, components: Types.VideoComponents, cues: Sequence[Cue]) -> None:
        super().__init__(components)
        self._cues = tuple(cues)

    def save_to(self, path: str | io.BytesIO, format: Types.VideoContainer = Types.VideoContainer.AUTO,
                codec: Types.VideoCodec = Types.VideoCodec.AUTO, metadata: Mapping | None = None, **more) -> None:
        """As the host's; `more` are its settings since 0.30.

        Raises: ValueError for a container that holds no subtitles.
        """
        if not self._cues:
            return super().save_to(path, format=format, codec=codec, metadata=metadata, **more)
        suffix = "" if isinstance(path, io.IOBase) else Path(path).suffix
        suffix = suffix or "." + (Types.VideoContainer.get_extension(format) or "mp4")
        temporary = folder_paths.get_temp_directory()
        os.makedirs(temporary, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=temporary) as folder:
            plain, finished = (Path(folder) / f"{name}{suffix}" for name in ("plain", "finished"))
            super().save_to(str(plain), format=format, codec=codec, metadata=metadata, **more)
            try:
                add_track(plain, finished, self._cues)
            except ValueError as error:
                raise ValueError(f"{NODE}: {error}") from error
            if isinstance(path, io.IOBase):
                path.write(finished.read_bytes())
            else:
                shutil.move(finished, path)
