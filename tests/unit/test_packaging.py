"""What an installed pack consists of: pyproject.toml, the archive, licences."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import archive
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(archive.ROOT)
LARGEST = 60e6  # bytes
GIT = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no git checkout")
TEXTS = {".py", ".js", ".css", ".json", ".md", ".txt", ".toml", ".csv", ".yml", ".yaml", ""}
PICTURES = {".png", ".jpg"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def shipped():
    return archive.shipped()


@pytest.fixture(scope="module")
def tracked():
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True, encoding="utf-8")
    return [path for path in done.stdout.split("\0") if path and (ROOT / path).exists()]


def needed(path: str) -> bool:
    """What runs, is loaded or is shown in ComfyUI."""
    if path.split("/")[0] in ("attention", "comic", "host", "identity", "locales", "motion", "nodes", "story", "web", "workflows"):
        return True
    if path.startswith("demo/weights/"):
        return not path.startswith("demo/weights/reader/")
    return path in ("__init__.py", "pyproject.toml", "requirements.txt", "README.md", "CHANGELOG.md", "LICENSE", "LICENSES.md", "demo/README.md")


def unwanted(path: str) -> bool:
    """What is for work on the pack: tests, benches, commands, training and what it is judged by."""
    return path.startswith(("tests/", "bench/", "tools/", ".", "demo/train", "demo/stages", "demo/weights/reader/", "output/")) or Path(path).suffix in (".pt", ".zip")


@GIT
def test_the_archive_holds_what_runs_and_nothing_of_the_work_on_it(shipped, tracked):
    assert [path for path in tracked if needed(path) and path not in shipped] == []
    assert [path for path in shipped if unwanted(path)] == []
    assert sum(map(needed, shipped)) > 150 and sum(map(unwanted, tracked)) > 100  # both have something to say
    assert archive.packed_size(shipped) < LARGEST


@GIT
def test_each_relative_import_of_the_archive_finds_its_file_in_it(shipped):
    found = 0
    for path in (path for path in shipped if path.endswith(".py")):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                module = Path(path).parents[node.level - 1] / (node.module or "").replace(".", "/")
                candidates = [module, *(module / each.name for each in node.names)]  # a name may be a module of its own
                files = [each.as_posix() for one in candidates for each in (one.with_suffix(".py"), one / "__init__.py") if (ROOT / each).is_file()]
                assert files and set(files) <= set(shipped), (path, node.lineno)
                found += 1
    assert found > 200


@GIT
def test_each_weight_file_that_the_demo_names_is_in_the_archive(shipped):
    from fabula.demo import weights

    files = [*weights.BASE.values(), weights.PHOTOMAKER, weights.VISION, weights.MOTION_MODULE, weights.IMAGE_PROMPT, weights.PREDICTOR]
    assert {path.relative_to(ROOT).as_posix() for path in files} == {path for path in shipped if path.endswith(".safetensors")}


@GIT
def test_every_weight_file_and_font_is_in_the_list_of_licences(shipped, tracked):
    text = (ROOT / "LICENSES.md").read_text(encoding="utf-8")
    inside, beside = (dict(re.findall(r"^\| `(.+?)` \|.*\| (\d+) \|$", part, re.MULTILINE)) for part in text.split("## In the repository only"))
    binary = {path: str((ROOT / path).stat().st_size) for path in tracked if Path(path).suffix not in TEXTS | PICTURES}
    assert len(inside) >= 9 and inside == {path: size for path, size in binary.items() if path in shipped}
    assert beside == {path: size for path, size in binary.items() if path not in shipped}
    assert {path.split("/")[0] for path in tracked if Path(path).suffix in PICTURES} <= {"docs", "workflows"}  # the last paragraph speaks of these
    for licence in re.findall(r"`(\S*(?:OFL\.txt|LICENSE))`", text):
        assert (ROOT / licence).is_file() and (licence in shipped or licence.startswith("tests/"))


@GIT
def test_the_registry_s_packer_takes_every_name(shipped):
    assert all(path.isascii() and "\\" not in path for path in shipped)  # git quotes others, and it does not read that


def test_the_project_says_what_the_registry_asks():
    project, comfy = PROJECT["project"], PROJECT["tool"]["comfy"]
    assert re.fullmatch(r"[a-z0-9-]{1,99}", project["name"]) and "comfyui" not in project["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"]) and project["description"] and project["urls"]["Repository"].startswith("https://")
    assert (ROOT / project["license"]["file"]).read_text(encoding="utf-8").lstrip().startswith("Apache License")
    assert comfy["PublisherId"] and comfy["DisplayName"] and comfy["requires-comfyui"] == ">=0.3.64"
    known = {"Operating System :: OS Independent", *(f"Environment :: GPU :: {name}" for name in ("NVIDIA CUDA", "AMD ROCm", "Intel Arc", "Apple Metal"))}
    assert set(project["classifiers"]) <= known


def test_what_is_required_is_said_once_and_never_from_above():
    lines = [line for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    assert sorted(lines) == sorted(PROJECT["project"]["dependencies"])
    assert all(re.fullmatch(r"[a-z0-9-]+(>=[0-9.]+)?", line) for line in lines)  # no ceiling: it would change what the host has
