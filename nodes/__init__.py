"""The nodes that ComfyUI shows."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..host import folders
from .comic import ComicPage
from .consistency import ConsistentAttention
from .demo import LoadDemo
from .story import EncodeStory, StoryScript


class FabulaExtension(ComfyExtension):
    async def on_load(self) -> None:
        folders.register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [StoryScript, EncodeStory, ConsistentAttention, ComicPage, LoadDemo]
