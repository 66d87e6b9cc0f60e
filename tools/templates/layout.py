"""Where the nodes of a workflow stand in the browser: groups are columns from left to right, their members stand below one another."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from .graph import Group, Node, Note, Workflow

# Pixels of the classic canvas.
TITLE, SLOT, WIDGET, TEXT, MARGIN = 30, 20, 24, 120, 14
NODES_2_SLOT, NODES_2_WIDGET = 4, 11  # what Nodes 2.0 needs beyond these: room for it is left below a node
LETTER, LINE, NOTE_EDGE, NOTE_HEAD = 7.7, 21, 52, 80  # of a note in Nodes 2.0, whose letters are the larger ones
GAP, FRAME, HEAD, FOOT, COLUMN_GAP, GROUP_GAP = 30, 20, 50, 50, 60, 60  # FOOT: frontends of 2026 write below a node that its file is missing


class Box(NamedTuple):
    x: int
    y: int
    width: int
    height: int


def place(workflow: Workflow, parts: dict[Node, tuple[int, int, list[bool]]]) -> tuple[dict[Node | Note, Box], dict[Group, Box]]:
    """parts: of each node the sockets, outputs, and for each widget whether it is a text of several lines. Returns boxes of nodes and notes (without their titles), and frames of groups."""
    boxes: dict[Node | Note, Box] = {}
    frames: dict[Group, Box] = {}
    left = 0
    for column in workflow.columns:
        top = 0
        for group in column:
            y = top + HEAD
            for member in group.members:
                if isinstance(member, Note):
                    height = room = _note_height(member.text, group.width)
                else:
                    height, room = (max(member.tall or 0, each) for each in _heights(*parts[member]))
                boxes[member] = Box(left + FRAME, y + TITLE, group.width, height)
                y += TITLE + room + GAP
            frames[group] = Box(left, top, group.width + 2 * FRAME, y - GAP + FOOT - top)
            top += frames[group].height + GROUP_GAP
        left += max(frames[group].width for group in column) + COLUMN_GAP
    return boxes, frames


def _heights(sockets: int, outputs: int, widgets: list[bool]) -> tuple[int, int]:
    """Of a node in the classic canvas, and in Nodes 2.0."""
    slots = max(sockets, outputs)
    height = slots * SLOT + sum(TEXT if text else WIDGET for text in widgets) + MARGIN
    return height, height + slots * NODES_2_SLOT + len(widgets) * NODES_2_WIDGET


def _note_height(text: str, width: int) -> int:
    paragraphs = [re.sub(r"\]\(.*?\)|[*\[]", "", line) for line in text.splitlines()]
    lines = sum(math.ceil(len(line) * LETTER / (width - NOTE_EDGE - (40 if line.startswith("- ") else 0))) or 0.6 for line in paragraphs)
    return NOTE_HEAD + int(lines * LINE)
