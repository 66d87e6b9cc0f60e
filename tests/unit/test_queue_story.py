"""tools/queue_story.py without a server: looking nodes up, changing them, measuring progress, keeping files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from queue_story import Meter, Saved, change, failure, find, keep, only, read_setting, read_workflow, refusal, saved_files, set_seed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture()
def workflow():
    return read_workflow(ROOT / "workflows" / "api" / "demo_story.json")


def test_nodes_are_found_by_kind_title_and_id(workflow):
    assert find(workflow, "KSampler") == ["5", "6"] and find(workflow, "Without") == find(workflow, "5") == ["5"]
    with pytest.raises(ValueError, match='no node "Sampler".*node 5 "Without" \\(KSampler\\)'):
        find(workflow, "Sampler")


def test_one_node_is_changed_and_no_other(workflow):
    before = json.loads(json.dumps(workflow))
    change(workflow, "Without", steps=7, cfg=1.5)
    assert workflow["5"]["inputs"] == before["5"]["inputs"] | {"steps": 7, "cfg": 1.5}
    assert {key: node for key, node in workflow.items() if key != "5"} == {key: node for key, node in before.items() if key != "5"}
    with pytest.raises(ValueError, match='"KSampler" may be node 5 "Without" .* or node 6'):
        change(workflow, "KSampler", steps=7)


def test_the_seed_is_every_sampler_s_and_no_link_is_lost():
    nodes = {
        "1": {"class_type": "KSampler", "inputs": {"latent_image": ["9", 0], "seed": 1}},
        "2": {"class_type": "SamplerCustom", "inputs": {"latent_image": ["9", 0], "noise_seed": 1}},
        "3": {"class_type": "RandomNoise", "inputs": {"noise_seed": 1}},
        "4": {"class_type": "KSampler", "inputs": {"latent_image": ["9", 0], "seed": ["8", 0]}},
        "5": {"class_type": "Fabula_ConsistentAttention", "inputs": {"seed": 1}},
    }
    set_seed(nodes, 7)
    assert [node["inputs"].get("seed", node["inputs"].get("noise_seed")) for node in nodes.values()] == [7, 7, 7, ["8", 0], 1]


def test_only_keeps_what_leads_to_the_nodes(workflow):
    assert set(only(workflow, "Page")) == {"1", "2", "3", "4", "6", "8", "11", "12"}
    assert set(only(workflow, "Panels, without", "Page")) == set(workflow) - {"10"}


@pytest.mark.parametrize("text, setting", [
    ("Comic Page.layout=manga", ("Comic Page", "layout", "manga")),
    ("KSampler.cfg=3.5", ("KSampler", "cfg", 3.5)),
    ("v1.5 model.ckpt_name=a=b.safetensors", ("v1.5 model", "ckpt_name", "a=b.safetensors")),
    ("5.steps=20", ("5", "steps", 20)),
    ("11.shadow=true", ("11", "shadow", True)),
    ("11.rows=2,1,3", ("11", "rows", "2,1,3")),
])
def test_a_setting_is_a_node_an_input_and_a_value(text, setting):
    assert read_setting(text) == setting


def test_nothing_is_overwritten_and_no_name_leads_elsewhere(tmp_path):
    folder = tmp_path / "a" / "b"
    paths = [keep(folder, name, name.encode()) for name in ("page.png", "page.png", "page.png", "../../page.png", "..\\x\\other.tar.gz")]
    assert [path.name for path in paths] == ["page.png", "page-2.png", "page-3.png", "page-4.png", "other.tar.gz"]
    assert all(path.parent == folder for path in paths) and paths[0].read_bytes() == b"page.png" and len(list(tmp_path.rglob("*.*"))) == 5


def state(key, value, max_value, name="running"):
    return {"type": "progress_state", "data": {"nodes": {key: {"value": value, "max": max_value, "state": name, "real_node_id": key}}}}


def test_a_sampler_counts_by_its_steps(workflow):
    meter = Meter(only(workflow, "Page"))  # seven nodes and a sampler of 30 steps
    assert not meter.read({"type": "executing", "data": {"node": "6"}})
    assert meter.read({"type": "execution_cached", "data": {"nodes": ["1", "2", "elsewhere"]}}) and meter.now.percent == pytest.approx(200 / 37)
    assert meter.read(state("6", 15, 30)) and meter.now.percent == pytest.approx(1700 / 37)
    assert (meter.now.node, meter.now.step, meter.now.steps) == ("With consistent attention", 15, 30)
    meter.read(state("6", 30, 30, "finished"))
    top = meter.now.percent
    assert top == pytest.approx(3200 / 37)
    assert meter.read(state("6", 3, 30)) and meter.now.percent == top and meter.now.step == 3  # once more, for another transition
    meter.read(state("6.0.1", 0, 0))  # a node that another one put in its place
    assert meter.now.percent == top


def test_files_are_told_from_previews_and_books_found():
    entry = {"outputs": {
        "1": {"images": [{"filename": "a.png", "subfolder": "s", "type": "output"}, {"filename": "t.png", "subfolder": "", "type": "temp"}], "animated": [True]},
        "2": {"images": [{"filename": "p.png", "subfolder": "", "type": "temp"}], "text": ["12 pages: a: b/mia: 1_.pdf"]},
        "3": {"text": ["not: a file"]},
    }}
    kinds = {"1": {"class_type": "SaveVideo"}, "2": {"class_type": "Fabula_SaveComic"}, "3": {"class_type": "PreviewAny"}}
    assert saved_files(entry, kinds) == [Saved("1", "a.png", "s"), Saved("2", "mia: 1_.pdf", "a: b")]


def test_refusals_and_failures_of_every_kind(workflow):
    assert refusal({"error": {"message": "Prompt has no outputs", "details": ""}, "node_errors": {}}, workflow) == "Prompt has no outputs"
    ring = {"message": "Dependency cycle detected", "details": "5 -> 5", "extra_info": {}}
    assert refusal({"node_errors": {"5": {"errors": [ring]}}}, workflow) == 'node 5 "Without" (KSampler): Dependency cycle detected (5 -> 5)'
    status = {"status_str": "error", "messages": [["execution_start", {}]]}
    assert failure({"status": status}, workflow) == "The workflow did not finish."
    status["messages"].append(["execution_error", {"node_id": "5.0.1", "node_type": "VAEDecode", "exception_message": "VAEDecode: no memory\n"}])
    assert failure({"status": status}, workflow) == 'node 5.0.1 "5.0.1" (?): no memory'


def test_without_aiohttp_it_says_what_to_do(tmp_path):
    (tmp_path / "aiohttp.py").write_text("raise ImportError('No module named aiohttp')")
    script = ROOT / "tools" / "queue_story.py"
    ended = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path), "PATH": ""})
    assert ended.returncode == 1 and "pip install aiohttp" in ended.stderr and "Traceback" not in ended.stderr
