"""What the script editor (web/script_widget.js) asks while one types: what is wrong with this story?"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

from ..story.model import StoryError
from ..story.script import parse_story
from ..story.styles import NO_STYLE
from . import folders

ROUTE = "/fabula/check"
LARGEST_BODY = 4 * 2**20  # bytes
SHOWN_MISTAKES = 1000


def register() -> None:
    """Adds the route to the host's server; in a process that has none, such as a test's, there is nothing to do."""
    server = getattr(sys.modules.get("server"), "PromptServer", None)
    running = getattr(server, "instance", None)
    if running is not None:
        running.routes.post(ROUTE)(check)


async def check(request: web.Request) -> web.Response:
    """`{"characters": text, "panels": text}` to `{"mistakes": [{input, line, message, remedy}]}`, the first thousand."""
    if request.content_length is None or request.content_length > LARGEST_BODY:
        return web.json_response({"error": f"A script of up to {LARGEST_BODY} bytes is checked."}, status=413)
    try:
        texts = await request.json()
        characters, panels = texts["characters"], texts["panels"]
        if not (isinstance(characters, str) and isinstance(panels, str)):
            raise TypeError("characters and panels are texts")
    except (ValueError, TypeError, KeyError) as error:
        return web.json_response({"error": f'This is not {{"characters": text, "panels": text}}: {error}'}, status=400)
    # In a thread: reading a long script takes a second, and the server has others to answer.
    mistakes = await asyncio.get_running_loop().run_in_executor(None, find_mistakes, characters, panels)
    return web.json_response({"mistakes": mistakes})


def find_mistakes(characters: str, panels: str) -> list[dict]:
    try:
        parse_story(characters, panels, NO_STYLE, "", folders.styles())
    except StoryError as error:
        return [
            {"input": each.input_name, "line": each.line, "message": each.message, "remedy": each.remedy}
            for each in error.mistakes[:SHOWN_MISTAKES]
        ]
    return []
