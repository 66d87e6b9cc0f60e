"""When a film shows which words: each panel's text around its keyframe, from half of the transition ahead of it to half of the one behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .timeline import keyframe_places

_GAP = Fraction(2, 25)  # seconds between two texts, so that the eye sees that they change: two frames of a cinema film
_LARGEST_GAP = 4  # a gap is no more than one part in so many of the text ahead of it


@dataclass(frozen=True)
class Cue:
    """A text that is shown from `start` to `end`, seconds of the film."""

    start: Fraction
    end: Fraction
    text: str

    def frames(self, fps: Fraction) -> range:
        """The frames, from 0, at whose time it is shown."""
        return range(math.ceil(self.start * fps), math.ceil(self.end * fps))


def plan_cues(texts: Sequence[str], places: Sequence[int], frames: int, fps: Fraction) -> list[Cue]:
    """A cue for each keyframe whose text is not empty; the first begins with the film, the last ends with it.

    Args:
        texts: of each keyframe. places: the frame, from 0, at which each stands; ascending. frames: of the film, `fps` a second.
    """
    # A frame belongs to the keyframe that is nearer, in the very middle to the later one.
    borders = [0, *(-(-(before + after) // 2) for before, after in zip(places, places[1:])), frames]
    cues = []
    for number, text in enumerate(texts):
        start, end = Fraction(borders[number]) / fps, Fraction(borders[number + 1]) / fps
        if number + 1 < len(texts) and texts[number + 1]:
            end -= min(_GAP, (end - start) / _LARGEST_GAP)
        if text:
            cues.append(Cue(start, end, text))
    return cues


def find_places(text: str, keyframes: int, frames: int) -> list[int]:
    """The frame, from 0, at which each keyframe of a film stands: as `text` lists them (`0, 13, 40`), or, where it is empty, transitions of one length.

    Raises: ValueError for a film that is not of that many keyframes, or places that are not in it or do not ascend.
    """
    if text.strip():
        return _read_places(text, keyframes, frames)
    if keyframes == 1:
        return [0]
    length, rest = divmod(frames - 1, keyframes - 1)
    if rest or not length:
        fitting = f"{frames - rest} or {frames - rest + keyframes - 1}" if length else f"{keyframes} at least"
        raise ValueError(
            f"frames: {frames} are no film of {keyframes} keyframes with transitions of one length; that would have {fitting}. Name the keyframes' panels in "
            "'panels', or the frames at which they stand in 'places'."
        )
    return keyframe_places(keyframes, length + 1)


def _read_places(text: str, keyframes: int, frames: int) -> list[int]:
    try:
        places = [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        places = []
    if not places or places != sorted(set(places)) or places[0] < 0 or places[-1] >= frames:
        raise ValueError(f"places: {text!r} are no frames of a film of {frames}. Write numbers from 0 to {frames - 1}, each larger than the one before: 0, 13, 40.")
    if len(places) != keyframes:
        raise ValueError(f"places: {text!r} are {len(places)}, but there are {keyframes} panels. Give one for each, or name the panels in 'panels'.")
    return places


def to_srt(cues: Sequence[Cue]) -> str:
    """A SubRip file."""
    return "".join(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n\n" for number, cue in enumerate(cues, start=1))


def to_vtt(cues: Sequence[Cue]) -> str:
    """A WebVTT file (W3C)."""
    escaped = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
    return "WEBVTT\n\n" + "".join(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{cue.text.translate(escaped)}\n\n" for cue in cues)


def milliseconds(time: Fraction) -> int:
    """Rounded down: a text that starts with a frame must not be late for it."""
    return math.floor(time * 1000)


def _clock(time: Fraction, point: str) -> str:
    seconds, thousandths = divmod(milliseconds(time), 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{thousandths:03}"
