"""Imports this checkout as a package, whatever its folder is called.

The root never goes onto `sys.path`: its `nodes/` would hide the host's `nodes`.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def load_pack(name: str = "fabula") -> ModuleType:
    """The pack under `name`; afterwards `import fabula.story.script` works. Loads once."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # the next try shall not find half a package
        raise
    return module


def node_ids() -> set[str]:
    """Of all nodes, as their schemas say in the source: no host is needed."""
    return {name for source in (ROOT / "nodes").glob("*.py") for name in re.findall(r'node_id="(\w+)"', source.read_text(encoding="utf-8"))}
