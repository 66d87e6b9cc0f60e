"""docs/api.md: every block of code that it shows is run, in its order, against a real server."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from queue_story import Saved, failure, read_workflow, refusal, saved_files

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def blocks(kind):
    return [text for found, text in BLOCKS if found == kind]


@pytest.fixture()
def folder(tmp_path):
    """A folder as the page assumes: the repository's, with workflows of few steps."""
    (tmp_path / "workflows" / "api").mkdir(parents=True)
    workflow = read_workflow(ROOT / "workflows" / "api" / "demo_story.json")
    for node in workflow.values():
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = 2
    (tmp_path / "workflows" / "api" / "demo_story.json").write_text(json.dumps(workflow), encoding="utf-8")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "queue_story.py", tmp_path / "tools")
    for name, kind in (("mia.txt", "characters"), ("story.txt", "panels")):
        (tmp_path / name).write_text(blocks(kind)[0], encoding="utf-8")
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "mia_1.png")
    return tmp_path


def python(server, folder, code):
    script = folder / "tools" / "own.py"  # beside the script, as the page says
    script.write_text(code.replace("http://127.0.0.1:8188", server.url), encoding="utf-8")
    ended = subprocess.run([sys.executable, str(script)], cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_module_s_example(server, folder):
    told = python(server, folder, blocks("python")[0])
    assert "100 %" in told and "Path(" in told
    (page,) = (folder / "pages").iterdir()
    ran = json.loads(Image.open(page).text["prompt"])
    assert ran["2"]["inputs"]["style"] == "Comic book" and ran["4"]["inputs"]["sampling_rate"] == 0.6 and ran["6"]["inputs"]["cfg"] == 3.5
    assert ran["4"]["inputs"]["seed"] == ran["6"]["inputs"]["seed"] == 4711


@pytest.mark.parametrize("old, new, told", [
    ('panels=panels', 'panels="[Bo] waves"', "The story could not be drawn:\nnode 2"),
    ('style="Comic book"', 'style="Fresco"', "The workflow is wrong:\nnode 2"),
])
def test_the_module_s_example_tells_errors(server, folder, old, new, told):
    code = blocks("python")[0]
    assert old in code
    assert told in python(server, folder, code.replace(old, new))


def test_one_s_own_checkpoint_in_the_demo_s_place(server, folder):
    own = python(server, folder, blocks("python")[1] + "\nimport json; print(json.dumps(workflow))")
    status, answer = server.post_json("/prompt", {"prompt": json.loads(own)})
    problems = [error for found in answer["node_errors"].values() for error in found["errors"]]
    assert status == 400 and [error["extra_info"]["input_name"] for error in problems] == ["ckpt_name"]  # the file alone is missing: all else fits


def test_the_standard_library_alone(server, folder):
    code = blocks("python")[2]
    assert not {"aiohttp", "queue_story", "requests"} & set(re.findall(r"\w+", code))
    python(server, folder, code)
    made = sorted(path.name for path in folder.glob("*.png") if path.name != "mia_1.png")
    assert [re.sub(r"\d+_.png", "", name) for name in made] == ["page_", "with_", "without_"]
    refused = subprocess.run([sys.executable, "-c", code.replace("http://127.0.0.1:8188", server.url).replace('"panels"] =', '"panels"] = ["9", 9]  #')],
                             cwd=folder, capture_output=True, text=True, timeout=300)
    assert refused.returncode == 1 and refused.stderr.startswith("Refused: ")


@pytest.mark.skipif(sys.platform == "win32" or not shutil.which("curl") or not shutil.which("bash"), reason="needs bash and curl")
def test_what_the_shell_is_told(server, folder):
    command, queue, ask, view, cancel, upload = blocks("bash")

    def shell(*texts):
        text = "\n".join(["set -eu", *texts]).replace("http://127.0.0.1:8188", server.url).replace("python3", shlex.quote(sys.executable))
        ended = subprocess.run(["bash", "-c", text], cwd=folder, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "1 file in pages/" in shell(command) and len(list((folder / "pages").iterdir())) == 1
    answer = json.loads(shell(queue))
    assert set(answer) == {"prompt_id", "number", "node_errors"} and not answer["node_errors"]
    entry = server.wait(answer["prompt_id"])
    assert entry["status"]["status_str"] == "success"
    known = f"SERVER={server.url}\nID={answer['prompt_id']}"
    assert answer["prompt_id"] in shell(known, ask)
    page = next(file for file in saved_files(entry, read_workflow(folder / "workflows" / "api" / "demo_story.json")) if file.node_id == "12")
    shown = json.loads(re.search(r'`(\{"12": .*?)`\.', (ROOT / "docs" / "api.md").read_text(encoding="utf-8"))[1])
    assert saved_files({"outputs": shown}, {"12": {"class_type": "SaveImage"}}) == [Saved("12", "page_00001_.png", page.subfolder)]
    assert "filename=page_00001_.png&" in view
    shell(known, view.replace("filename=page_00001_.png", f"filename={page.filename}"))
    assert json.loads(Image.open(folder / "page.png").text["prompt"])["12"]["inputs"]["filename_prefix"] == "fabula/page"
    assert json.loads(shell(known, upload))["name"].startswith("mia_1")

    slow = json.loads((folder / "workflows" / "api" / "demo_story.json").read_text(encoding="utf-8"))
    slow["6"]["inputs"]["steps"] = 5000
    prompt_id = server.queue(slow)
    for _ in range(200):  # one interrupt that comes just as it begins would be lost
        shell(known.replace(answer["prompt_id"], prompt_id), cancel)
        if not any(item[1] == prompt_id for items in server.get_json("/queue").values() for item in items):
            break
    else:
        raise AssertionError("it still runs")


def test_the_json_is_json_and_the_refusal_is_told_as_it_says(server, folder):
    example, refused = map(json.loads, blocks("json"))
    nodes = server.get_json("/object_info")
    for node in example.values():
        assert set(node["inputs"]) <= set(nodes[node["class_type"]]["input"]["required"])
    workflow = read_workflow(folder / "workflows" / "api" / "demo_story.json")
    told = refusal(refused, workflow)
    assert f"`{told}`" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    workflow["5"]["inputs"]["steps"] = workflow["6"]["inputs"]["steps"] = 0
    _, answer = server.post_json("/prompt", {"prompt": workflow})
    assert answer["error"] == refused["error"] and told in refusal(answer, workflow)


def test_a_story_can_be_checked_alone_and_the_error_reads_as_shown(server, folder):
    story = read_workflow(folder / "workflows" / "api" / "demo_story.json")["2"]
    workflow = {"2": story, "3": {"class_type": "PreviewAny", "inputs": {"source": ["2", 2]}}}
    entry = server.wait(server.queue(workflow))
    assert failure(entry, workflow) is None and "Mia leaves the old forest." in entry["outputs"]["3"]["text"][0]
    story["inputs"]["panels"] = "[Mia] runs\n[Bo] waves"
    assert failure(server.wait(server.queue(workflow)), workflow) + "\n" == blocks("text")[0]


def test_the_inputs_that_it_names_are_the_nodes_own(server):
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    table = text.split("What you will want to change:")[1].split("\n\n")[1]
    nodes = server.get_json("/object_info")
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    assert len(rows) >= 7
    for row in rows:
        kinds, told = row.strip("|").split("|")
        kinds = re.findall(r"`(\w+)`", kinds)
        names = {name for kind in kinds for group in ("required", "optional") for name in nodes[kind]["input"].get(group, {})}
        words = [word for word in re.findall(r"`(\w+)`", told) if word not in ("pdf", "cbz", "noise_seed")]
        assert words and set(words) <= names, (kinds, set(words) - names)
    assert "noise_seed" in nodes["SamplerCustom"]["input"]["required"]
