"""The nodes' public contract as text: `python3 tools/object_info.py` writes tests/server/object_info.json anew, as a real ComfyUI tells it.

One line an input or output, in their order, on which saved workflows rely. What no workflow or API caller relies on is left out: help and
other texts, what hosts add of their own, and the user's files among the choices.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment  # noqa: E402

FILE = environment.ROOT / "tests" / "server" / "object_info.json"
SHIPPED = environment.ROOT / "demo" / "weights"
NO_MODELS = ("custom_nodes",)  # the host lists it among the model folders
UNSAID = ({"multiselect": False}, {"multiline": False})  # what hosts say of inputs that say nothing


def main() -> None:
    environment.run_inside(__file__)
    from server import Server

    with Server() as running:
        FILE.write_text(contract(running), encoding="utf-8", newline="\n")
    print(f"[fabula] {FILE.relative_to(environment.ROOT)} is written. Read what `git diff` says of it: what saved workflows rely on may only grow at the end.")


def contract(server) -> str:
    """What a running `server` says of the pack's nodes."""
    info = {name: node for name, node in server.get_json("/object_info").items() if node["python_module"].startswith("custom_nodes.")}
    files = users_files(server)
    nodes = (f"{_json(name)}: {{\n{_joined(_parts(info[name], files), 2)}\n }}" for name in sorted(info))
    return f"{{\n{_joined(nodes, 1)}\n}}\n"


def users_files(server) -> set[str]:
    """The files in the server's model folders beside the pack's own, and the folders that are language models."""
    folders = [name for name in server.get_json("/models") if name not in NO_MODELS]
    shipped = {path.name for path in SHIPPED.glob("*/*")}
    files = {file for name in folders for file in server.get_json(f"/models/{name}")} - shipped
    return files | {str(Path(file).parent) for file in files if Path(file).name == "config.json"}


def _parts(node: dict, files: set[str]) -> Iterator[str]:
    yield f'"name": {_json(node["display_name"])}'
    yield f'"category": {_json(node["category"])}'
    for flag in ("output_node", "deprecated", "experimental"):
        if node[flag]:
            yield f'"{flag}": true'
    for kind in ("required", "optional"):
        inputs = node["input"].get(kind)
        if inputs:
            lines = (f"{_json(name)}: {_json(_input(*told, files=files))}" for name, told in inputs.items())
            yield f'"{kind}": {{\n{_joined(lines, 3)}\n  }}'
    outputs = zip(node["output_name"], node["output"], node["output_is_list"])
    lines = [_json([name, kind, *(["list"] if is_list else [])]) for name, kind, is_list in outputs]
    if lines:
        yield f'"outputs": [\n{_joined(lines, 3)}\n  ]'


def _input(kind: str, options: dict, files: set[str]) -> list:
    told = {name: options[name] for name in sorted(options) if name != "tooltip" and {name: options[name]} not in UNSAID}
    if "options" in told:
        told["options"] = [each for each in told["options"] if each not in files]
    return [kind, told] if told else [kind]


def _joined(lines, depth: int) -> str:
    return ",\n".join(" " * depth + line for line in lines)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
