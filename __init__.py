"""Fabula: StoryDiffusion for ComfyUI."""

from __future__ import annotations


async def comfy_entrypoint():
    # Here and not above: the wings can then be imported, and tested, without a host.
    from .nodes import FabulaExtension

    return FabulaExtension()
