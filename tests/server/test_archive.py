"""The pack as the registry installs it: a server that has the archive's files and nothing else of the checkout."""

import json
import re
import urllib.parse
import urllib.request
from pathlib import Path

import archive
import pytest
from pack import node_ids
from server import Server, failure

ROOT = Path(archive.ROOT)
if not (ROOT / ".git").exists():
    pytest.skip("only git says what is shipped, and this is no git checkout", allow_module_level=True)
FOLDER = "fabula"  # the registry names it after the project


@pytest.fixture(scope="module")
def files():
    return archive.shipped()


@pytest.fixture(scope="module")
def installed(files, tmp_path_factory):
    base = tmp_path_factory.mktemp("installed") / "Ünï cødé 故事"
    archive.copy(files, base / "custom_nodes" / FOLDER)
    with Server(base, FOLDER, pack=None) as server:
        yield server


def read(server, path: str) -> bytes:
    with urllib.request.urlopen(server.url + urllib.parse.quote(path), timeout=30) as answer:
        return answer.read()


def test_all_nodes_are_there(installed):
    written = node_ids()
    assert len(written) > 25 and written <= installed.get_json("/object_info").keys()


def test_help_scripts_and_styles_are_served(installed, files):
    pages = [path for path in files if path.startswith("web/")]
    assert len([path for path in pages if path.endswith(".md")]) > 25 and any(path.endswith(".js") for path in pages)
    for path in pages:
        assert read(installed, f"/extensions/{FOLDER}/{path.removeprefix('web/')}") == (ROOT / path).read_bytes()
    scripts = {urllib.parse.unquote(path) for path in installed.get_json("/extensions")}
    assert {f"/extensions/{FOLDER}/{path.removeprefix('web/')}" for path in pages if path.endswith(".js")} <= scripts


def test_the_templates_are_listed_with_their_pictures(installed, files):
    templates = [path for path in files if re.fullmatch(r"workflows/[^/]+\.json", path)]
    assert sorted(installed.get_json("/workflow_templates").get(FOLDER, [])) == sorted(Path(path).stem for path in templates)
    for path in templates:
        for file in (path, Path(path).with_suffix(".jpg").as_posix()):
            assert file in files and read(installed, f"/api/workflow_templates/{FOLDER}/{Path(file).name}") == (ROOT / file).read_bytes()


def test_the_languages_are_there(installed, files):
    languages = {path.split("/")[1] for path in files if path.startswith("locales/")}
    texts = installed.get_json("/i18n")
    for language in languages:
        assert any(name.startswith("Fabula_") for name in texts[language]["nodeDefs"]), language


@pytest.mark.parametrize("name", ["demo_story", "demo_identity", "demo_film"])
def test_the_demo_s_workflows_run(installed, name, files):
    assert f"workflows/api/{name}.json" in files
    nodes = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in nodes.values():
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = 1
    entry = installed.wait(installed.queue(nodes))
    assert failure(entry) is None
    savers = {key for key, node in nodes.items() if node["class_type"] in ("SaveImage", "SaveVideo")}
    assert savers and all(entry["outputs"][key]["images"] for key in savers)


def test_running_leaves_the_pack_s_folder_as_it_was(installed, files):
    folder = installed.folder / "custom_nodes" / FOLDER
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert found == set(files)
    assert all((folder / path).read_bytes() == (ROOT / path).read_bytes() for path in files)
