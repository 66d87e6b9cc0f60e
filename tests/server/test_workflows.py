"""Every workflow of workflows/api against a real host's nodes. Those with models of one's own cannot run here, but the host checks them as it does before a run."""

import io
import json
from pathlib import Path

import pytest
from host_differences import CHOICES_ARE_CHECKED, here
from PIL import Image
from server import failure

WORKFLOWS = sorted((Path(__file__).resolve().parents[2] / "workflows" / "api").glob("*.json"))
FILES = {  # inputs that choose a file, which the user has and this test has not
    ("LoadImage", "image"), ("ImageOnlyCheckpointLoader", "ckpt_name"), ("CheckpointLoaderSimple", "ckpt_name"), ("UNETLoader", "unet_name"),
    ("CLIPLoader", "clip_name"), ("VAELoader", "vae_name"), ("CLIPVisionLoader", "clip_name"),
}
OURS = {("Fabula_LoadMotionModule", "motion_module_name"), ("Fabula_ApplyMotion", "image_prompt_name")}  # which hosts ask for ahead of a run where CHOICES_ARE_CHECKED


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def nodes(server):
    return server.get_json("/object_info")


def inputs_of(info):
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def test_every_node_and_input_is_one_that_the_host_has(workflow, nodes):
    for key, node in workflow.items():
        assert node["class_type"] in nodes, key
        info = nodes[node["class_type"]]
        assert set(node["inputs"]) <= set(inputs_of(info)), key
        assert set(info["input"].get("required", {})) <= set(node["inputs"]), key


def test_every_link_goes_from_an_output_to_an_input_of_its_type(workflow, nodes):
    for key, node in workflow.items():
        for name, value in node["inputs"].items():
            if not isinstance(value, list):
                continue
            source, output = value
            found = nodes[workflow[source]["class_type"]]["output"]
            assert output < len(found), (key, name)
            assert found[output] == inputs_of(nodes[node["class_type"]])[name][0], (key, name)


def test_the_host_misses_nothing_but_the_user_s_files(workflow, server):
    """The host's own check: types, ranges, choices, rings, and an output to run for."""
    _, answer = server.post_json("/prompt", {"prompt": workflow})
    if "prompt_id" in answer:  # it has all that it needs, and would run
        server.post_json("/queue", {"delete": [answer["prompt_id"]]})
        server.post_json("/interrupt", {"prompt_id": answer["prompt_id"]})
        assert not answer["node_errors"]
        return
    assert answer["error"]["type"] == "prompt_outputs_failed_validation", answer["error"]
    missing = set()
    for key, errors in answer["node_errors"].items():
        for error in errors["errors"]:
            where = (workflow[key]["class_type"], error["extra_info"].get("input_name"))
            assert error["type"] in ("value_not_in_list", "custom_validation_failed"), (key, error)
            assert where in (FILES | OURS if here(CHOICES_ARE_CHECKED) else FILES), (key, error)
            missing |= {key} if where in FILES else set()
    assert missing == {key for key, node in workflow.items() if any((node["class_type"], name) in FILES for name in node["inputs"])}


def test_each_film_ends_in_one_video(workflow):
    kinds = [node["class_type"] for node in workflow.values()]
    if "Fabula_JoinTransitions" in kinds:
        assert kinds.count("SaveVideo") == 1 and kinds.count("LoadImage") == (0 if "Fabula_Story" in kinds else 4)


def test_the_host_runs_once_a_pair_of_keyframes(server):
    """As the films do, with ImageBatch in the place of a video model: a clip of two frames a transition."""
    colours = [0xFF0000, 0x00FF00, 0x0000FF]
    nodes = {str(n): {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": colour}} for n, colour in enumerate(colours)}
    nodes |= {
        "5": {"class_type": "ImageBatch", "inputs": {"image1": ["0", 0], "image2": ["1", 0]}},
        "6": {"class_type": "ImageBatch", "inputs": {"image1": ["5", 0], "image2": ["2", 0]}},
        "7": {"class_type": "Fabula_KeyframePairs", "inputs": {"keyframes": ["6", 0]}},
        "8": {"class_type": "ImageBatch", "inputs": {"image1": ["7", 0], "image2": ["7", 1]}},
        "9": {"class_type": "Fabula_JoinTransitions", "inputs": {"transitions": ["8", 0]}},
        "10": {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "pairs"}},
    }
    entry = server.wait(server.queue(nodes))
    assert failure(entry) is None
    frames = [Image.open(io.BytesIO(server.view(each))).getpixel((0, 0)) for each in entry["outputs"]["10"]["images"]]
    assert frames == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
