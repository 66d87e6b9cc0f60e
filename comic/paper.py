"""Sizes of paper."""

from __future__ import annotations

_INCHES = {"A4": (210 / 25.4, 297 / 25.4), "US letter": (8.5, 11.0)}
PAPERS = ("none", *(name + turned for name in _INCHES for turned in ("", " landscape")))


def paper_size(name: str, dpi: int) -> tuple[int, int] | None:
    """(width, height) in pixels of one of PAPERS at `dpi` pixels an inch; None for "none"."""
    if name == "none":
        return None
    inches = _INCHES[name.removesuffix(" landscape")]
    width, height = (round(side * dpi) for side in inches)
    return (height, width) if name.endswith("landscape") else (width, height)
