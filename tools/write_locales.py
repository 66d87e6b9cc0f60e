"""Writes locales/en from the nodes' schemas, as a real ComfyUI tells them: `python3 tools/write_locales.py`.

The English words stand once, in the schemas. locales/en follows them, and is what a translator starts from; tests/server says so
where it does not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment  # noqa: E402

LOCALES = ROOT / "locales"
COMMAND = "python3 tools/write_locales.py"


def locale_key(identifier: str) -> str:
    """As the frontend asks for it: a dot would part the key's path."""
    return identifier.replace(".", "_")


def node_texts(info: dict) -> dict:
    """The words of one node's entry in /object_info, as nodeDefs.json has them.

    An input is named by its id, which is what its label shows without a locale too: help, errors and saved workflows call it so.
    """
    inputs = {name: spec[1] for kind in ("required", "optional") for name, spec in info["input"].get(kind, {}).items()}
    outputs = zip(info["output_name"], info["output_tooltips"], strict=True)
    return {
        "display_name": info["display_name"],
        "description": info["description"],
        "inputs": {locale_key(name): {"name": name, "tooltip": options["tooltip"]} for name, options in inputs.items()},
        "outputs": {str(index): {"name": name, "tooltip": tooltip} for index, (name, tooltip) in enumerate(outputs)},
    }


def nodes_of_the_pack(object_info: dict, pack_name: str = "fabula") -> dict[str, dict]:
    return {name: info for name, info in object_info.items() if info["python_module"] == f"custom_nodes.{pack_name}"}


def english(object_info: dict) -> dict:
    """All that locales/en/nodeDefs.json holds."""
    return {locale_key(name): node_texts(info) for name, info in sorted(nodes_of_the_pack(object_info).items())}


def main() -> int:
    environment.run_inside(__file__)
    from server import Server

    with Server() as server:
        texts = english(server.get_json("/object_info"))
    file = LOCALES / "en" / "nodeDefs.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(texts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    print(f"[fabula] {len(texts)} nodes: {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
