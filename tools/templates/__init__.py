"""The shipped workflows, each described once: `python3 tools/write_workflows.py` writes both of its forms."""

from __future__ import annotations

from . import demo, films, sdxl
from .graph import Workflow


def all_workflows() -> list[Workflow]:
    return [make() for family in (demo, sdxl, films) for make in family.WORKFLOWS]
