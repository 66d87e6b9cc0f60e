"""What a workflow is, before it has a form: nodes with what goes into them, in groups from left to right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .downloads import Download


class Output(NamedTuple):
    """A node's output, by its place: what another node's input takes."""

    node: Node
    slot: int


SHOWING = ("LoadImage", "PreviewImage", "SaveImage", "SaveVideo", "Fabula_SaveComic")  # nodes with a picture under their widgets, as high as wide in Nodes 2.0
PICTURE = 100  # pixels beside the picture


@dataclass(eq=False)
class Node:
    key: int
    kind: str  # the node's id in the host
    title: str
    inputs: dict[str, object]  # name: an `Output`, or the value of a widget. Widgets that are not named get the host's defaults
    downloads: tuple[Download, ...] = ()
    tall: int | None = None  # pixels, where it needs more than its widgets: a text to be read, a picture

    def __getitem__(self, slot: int) -> Output:
        return Output(self, slot)


@dataclass(eq=False)
class Note:
    text: str  # Markdown, with a blank line between paragraphs


@dataclass(eq=False)
class Group:
    """Nodes and notes below one another, with a frame and a title around them."""

    workflow: Workflow
    title: str
    colour: str
    width: int  # pixels, of each node in it
    members: list[Node | Note] = field(default_factory=list)

    def add(self, kind: str, title: str, tall: int | None = None, /, **inputs: object) -> Node:
        """A value that is a `Download` is a file to be chosen: the node's metadata then say where it can be had."""
        downloads = tuple(value for value in inputs.values() if isinstance(value, Download))
        values = {name: value.name if isinstance(value, Download) else value for name, value in inputs.items()}
        if kind in SHOWING:
            tall = max(tall or 0, self.width + PICTURE)
        node = Node(len(self.workflow.nodes) + 1, kind, title, values, downloads, tall)
        self.workflow.nodes.append(node)
        self.members.append(node)
        return node

    def note(self, text: str, first: bool = False) -> None:
        self.members.insert(0 if first else len(self.members), Note(text))

    def files(self, *more: str) -> None:
        """A note on all files that the workflow needs; `more` paragraphs follow. Call it when all nodes are there."""
        found = dict.fromkeys(download for node in self.workflow.nodes for download in node.downloads)
        lines = [f"- [{each.name}]({each.page}) ({each.size}, {each.licence}) → models/{each.folder}" for each in found]
        self.note("\n\n".join(["**Files**", "\n".join(lines), *more]), first=True)


BLUE, GREEN, PURPLE, BROWN, GREY = "#3f789e", "#5a8a4f", "#7a5a9e", "#a1713b", "#5f6b76"  # of groups: models, story, drawing, pages and films, comparisons


class Workflow:
    """name: of both files."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.columns: list[list[Group]] = []

    def group(self, title: str, colour: str, width: int = 320, below: bool = False) -> Group:
        """A new group: right of what there is, or under the one before."""
        made = Group(self, title, colour, width)
        if below:
            self.columns[-1].append(made)
        else:
            self.columns.append([made])
        return made
