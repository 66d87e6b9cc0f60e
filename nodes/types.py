"""Socket types of Fabula's own."""

from __future__ import annotations

from comfy_api.latest import io

StoryType = io.Custom("FABULA_STORY")
CharacterType = io.Custom("FABULA_CHARACTER")
