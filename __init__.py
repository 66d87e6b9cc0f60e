"""Fabula: StoryDiffusion for ComfyUI."""

from __future__ import annotations

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    # Here and not above: the wings can then be imported, and tested, without a host.
    from .nodes import FabulaExtension

    return FabulaExtension()
