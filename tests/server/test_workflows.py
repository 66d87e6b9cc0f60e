"""Every shipped workflow against a real host's nodes: the host checks all of them as it does before a run, and runs those for which the demo's models can stand in."""

import io
import json
import urllib.request
from pathlib import Path

import host
import pytest
from host_differences import CHOICES_ARE_CHECKED, here
from PIL import Image
from server import failure
from templates import all_workflows
from write_thumbnails import SIZE
from write_workflows import texts

FOLDER = Path(__file__).resolve().parents[2] / "workflows"
WORKFLOWS = sorted((FOLDER / "api").glob("*.json"))
WRITTEN_ON = host.VERSION.removeprefix("ComfyUI-")  # the ComfyUI whose nodes the files have; those of others may have more inputs
FILES = {  # inputs that choose a file, which the user has and this test has not
    ("LoadImage", "image"), ("ImageOnlyCheckpointLoader", "ckpt_name"), ("CheckpointLoaderSimple", "ckpt_name"), ("UNETLoader", "unet_name"),
    ("CLIPLoader", "clip_name"), ("VAELoader", "vae_name"), ("CLIPVisionLoader", "clip_name"),
}
OURS = {  # which hosts ask for ahead of a run where CHOICES_ARE_CHECKED
    ("Fabula_LoadMotionModule", "motion_module_name"), ("Fabula_ApplyMotion", "image_prompt_name"), ("Fabula_LoadPhotoMaker", "photomaker_name"), ("Fabula_LoadCharacter", "character_name"),
}
LARGE = {"ImageOnlyCheckpointLoader", "UNETLoader", "CLIPLoader"}  # loaders of models of which the demo has none


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
            assert inputs_of(nodes[node["class_type"]])[name][0] in (found[output], "*"), (key, name)


def test_the_host_misses_nothing_but_the_user_s_files(workflow, server):
    """The host's own check: types, ranges, choices, rings, and an output to run for."""
    _, answer = server.post_json("/prompt", {"prompt": workflow})
    if "prompt_id" in answer:  # it would run, or a part of it that needs no files
        server.post_json("/queue", {"delete": [answer["prompt_id"]]})
        server.post_json("/interrupt", {"prompt_id": answer["prompt_id"]})
    else:
        assert answer["error"]["type"] == "prompt_outputs_failed_validation", answer["error"]
    missing = set()
    for key, errors in answer["node_errors"].items():
        for error in errors["errors"]:
            where = (workflow[key]["class_type"], error["extra_info"].get("input_name"))
            assert error["type"] in ("value_not_in_list", "custom_validation_failed"), (key, error)
            assert where in (FILES | OURS if here(CHOICES_ARE_CHECKED) else FILES), (key, error)
            missing |= {key} if where in FILES else set()
    assert missing == {key for key, node in workflow.items() if any((node["class_type"], name) in FILES for name in node["inputs"])}


def test_the_files_are_what_their_descriptions_say(server, nodes):
    version = server.get_json("/system_stats")["system"]["comfyui_version"]
    if version != WRITTEN_ON:
        pytest.skip(f"they are written on ComfyUI {WRITTEN_ON}, and this is {version}")
    made = texts(nodes, version)
    assert set(made) == {*FOLDER.glob("*.json"), *WORKFLOWS}
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is not what tools/templates says: run tools/write_workflows.py"


def test_every_file_of_others_is_told_with_its_folder_and_where_it_is_published():
    loaders = {kind for kind, _ in FILES | OURS} - {"LoadImage", "Fabula_LoadCharacter"}
    told = 0
    for workflow in all_workflows():
        browser = json.loads((FOLDER / f"{workflow.name}.json").read_text(encoding="utf-8"))
        for node in browser["nodes"]:
            models = node["properties"].get("models", [])
            if node["type"] in loaders and not workflow.name.startswith("demo_"):
                assert models, (workflow.name, node["title"])
            for model in models:
                told += 1
                assert model["name"] in node["widgets_values"] and model["directory"]
                assert model["url"].startswith("https://huggingface.co/") and "/resolve/main/" in model["url"]
                note = " ".join(each["widgets_values"][0] for each in browser["nodes"] if each["type"] == "MarkdownNote")
                assert f"[{model['name']}](" in note and f"models/{model['directory']}" in note
    assert told > 15


def with_the_demo_s_models(workflow: dict, folder: Path) -> dict:
    """The workflow as it is, but for small models and pictures in the place of large ones, few steps, and pictures of 256 pixels."""
    nodes = json.loads(json.dumps(workflow))
    checkpoint = next(key for key, node in nodes.items() if node["class_type"] in ("CheckpointLoaderSimple", "Fabula_LoadDemo"))
    vision = {key for key, node in nodes.items() if node["class_type"] == "CLIPVisionLoader"}
    files = {"photomaker_name": "photomaker", "motion_module_name": "motion", "image_prompt_name": "image_prompt"}
    for key, node in list(nodes.items()):
        inputs = node["inputs"]
        if node["class_type"] == "CheckpointLoaderSimple":
            nodes[key] = {"class_type": "Fabula_LoadDemo", "inputs": {}}
        if node["class_type"] == "LoadImage":
            Image.new("RGB", (256, 256), (90 * int(key) % 256, 120, 60)).save(folder / "input" / inputs["image"])
        for name, value in inputs.items():
            if isinstance(value, list) and value[0] in vision:
                inputs[name] = [checkpoint, 3]
            elif name in files and value:
                inputs[name] = f"fabula_demo_{files[name]}.safetensors"
            elif name in ("width", "height", "target_width", "target_height") and not isinstance(value, list):
                inputs[name] = 256
            elif name == "steps":
                inputs[name] = 2
    return {key: node for key, node in nodes.items() if key not in vision}


SMALL = [path for path in WORKFLOWS if not LARGE & {node["class_type"] for node in json.loads(path.read_text(encoding="utf-8")).values()}]


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_it_runs_to_its_files(path, server):
    nodes = with_the_demo_s_models(json.loads(path.read_text(encoding="utf-8")), server.folder)
    for node in nodes.values():
        if node["class_type"] == "Fabula_LoadCharacter":  # kept by the workflow ahead of this one
            node["inputs"]["character_name"] = run(server, nodes_of("sdxl_character_1_save", server), "Fabula_SaveCharacter")[0]["text"][0].split(": ")[1]
    savers = {key for key, node in nodes.items() if node["class_type"] in ("SaveImage", "SaveVideo", "Fabula_SaveComic", "Fabula_SaveCharacter")}
    made = run(server, nodes)
    assert savers and all(any(made[key].values()) for key in savers)
    for key, node in nodes.items():
        if node.get("_meta", {}).get("title") in ("Save the panels", "Panels, with"):
            script = next(each["inputs"]["panels"] for each in nodes.values() if each["class_type"] == "Fabula_Story")
            assert len(made[key]["images"]) == (8 if isinstance(script, list) else sum(line.startswith("[") for line in script.splitlines()))


def nodes_of(name, server):
    return with_the_demo_s_models(json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8")), server.folder)


def run(server, nodes, kind=None):
    """The outputs of all nodes, or of those of a kind."""
    entry = server.wait(server.queue(nodes))
    assert failure(entry) is None
    return entry["outputs"] if kind is None else [output for key, output in entry["outputs"].items() if nodes[key]["class_type"] == kind]


def test_only_what_large_models_are_for_does_not_run_here():
    assert {path.stem for path in set(WORKFLOWS) - set(SMALL)} == {"film_svd", "film_wan_flf", "film_ltx"}


def test_each_film_ends_in_one_video(workflow, request):
    kinds = [node["class_type"] for node in workflow.values()]
    is_film = "film" in request.node.callspec.id
    assert is_film == ("Fabula_JoinTransitions" in kinds) and kinds.count("SaveVideo") == is_film


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


def test_the_host_offers_all_of_them_with_a_picture_each(server):
    names = {path.stem for path in FOLDER.glob("*.json")}
    assert set(server.get_json("/workflow_templates")["fabula"]) == names == {path.stem for path in WORKFLOWS}
    for name in names:
        for suffix in ("json", "jpg"):
            with urllib.request.urlopen(f"{server.url}/api/workflow_templates/fabula/{name}.{suffix}", timeout=30) as answer:
                data = answer.read()
        picture = Image.open(io.BytesIO(data))
        assert picture.size == SIZE and max(high - low for low, high in picture.getextrema()) > 100
