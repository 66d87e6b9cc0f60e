"""The nodes that ComfyUI shows."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..host import folders
from .character import LoadCharacter, PictureCharacter, SaveCharacter
from .comic import ComicPage, SaveComic
from .consistency import ConsistentAttention
from .demo import LoadDemo
from .prose import SplitStory
from .story import EncodeStory, StoryScript


class FabulaExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        folders.register()  # not in `on_load`, which hosts of the supported versions never call
        return [
            StoryScript, SplitStory, EncodeStory, ConsistentAttention, SaveCharacter, LoadCharacter, PictureCharacter, ComicPage,
            SaveComic, LoadDemo,
        ]
