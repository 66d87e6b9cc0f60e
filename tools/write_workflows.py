"""Writes the shipped workflows in both forms, for the browser and for the queue: `python3 tools/write_workflows.py`.

They are described in `tools/templates`; what the nodes' inputs are is asked of a real ComfyUI.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment  # noqa: E402

FOLDER = environment.ROOT / "workflows"


def texts(host_nodes: dict, host_version: str) -> dict[Path, str]:
    """The text of every file. host_nodes: the host's answer to `/object_info`."""
    from templates import all_workflows
    from templates.forms import api_form, browser_form

    pack = re.search(r'^version = "(.+)"', (environment.ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]
    versions = {"fabula": pack, "comfy-core": host_version}
    made = {}
    for workflow in all_workflows():
        made[FOLDER / "api" / f"{workflow.name}.json"] = as_text(api_form(workflow, host_nodes))
        made[FOLDER / f"{workflow.name}.json"] = as_text(browser_form(workflow, host_nodes, versions))
    return made


def as_text(form: dict) -> str:
    return json.dumps(form, ensure_ascii=False, indent=2) + "\n"


def main() -> int:
    environment.run_inside(__file__)
    from server import Server

    with Server() as server:
        made = texts(server.get_json("/object_info"), server.get_json("/system_stats")["system"]["comfyui_version"])
    for folder in (FOLDER, FOLDER / "api"):
        for old in set(folder.glob("*.json")) - set(made):
            old.unlink()
            print(f"removed {old.relative_to(environment.ROOT)}")
    for path, text in made.items():
        path.write_text(text, encoding="utf-8", newline="\n")
        print(path.relative_to(environment.ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
