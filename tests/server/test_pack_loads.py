"""The public contract: node ids, inputs, choices and outputs, which saved workflows and API callers rely on."""

import difflib
import json

import object_info
import pytest

WRITTEN = object_info.FILE.read_text(encoding="utf-8")
RENEW = (
    "The nodes are not as tests/server/object_info.json has them. Saved workflows name ids and inputs, and count inputs and outputs: none goes, and new ones come last, "
    "new inputs as optional ones. Where the change is meant, `python3 tools/object_info.py` writes the file anew, to be committed with it."
)


def test_the_nodes_are_as_they_were(server):
    found = object_info.contract(server)
    if found != WRITTEN:
        lines = difflib.unified_diff(WRITTEN.splitlines(), found.splitlines(), "committed", "this server's", lineterm="", n=4)
        pytest.fail("\n".join([RENEW, *lines]), pytrace=False)


def test_the_users_files_are_no_part_of_it(server):
    models, files = server.folder / "models", ("fabula_fonts/any.ttf", "photomaker/in/any.safetensors", "LLM/any model/config.json", "LLM/any model/model.safetensors")
    for file in files:
        (models / file).parent.mkdir(parents=True, exist_ok=True)
        (models / file).write_bytes(b"{}")
    try:
        told = json.dumps(server.get_json("/object_info"))
        assert all(f'"{choice}"' in told for choice in ("any.ttf", "in/any.safetensors", "any model"))
        assert object_info.contract(server) == WRITTEN
    finally:
        for file in files:
            (models / file).unlink()


@pytest.mark.parametrize("node_id", json.loads(WRITTEN))
def test_every_input_and_output_has_a_tooltip(server, node_id):
    info = server.get_json(f"/object_info/{node_id}")[node_id]
    for kind in ("required", "optional"):
        for name, (_, options) in info["input"].get(kind, {}).items():
            assert options.get("tooltip"), name
    assert all(info["output_tooltips"]) and len(info["output_tooltips"]) == len(info["output"])


def test_the_server_answers_and_runs_on_the_device_that_torch_has(server):
    import torch

    stats = server.get_json("/system_stats")
    assert stats["system"]["comfyui_version"]
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    assert (stats["devices"][0]["type"] == "cpu") == (not accelerated)
