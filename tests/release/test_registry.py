"""The registry's own validator and packer, which are fetched for it: `python3 tools/test.py tests/release -k registry`. Nothing is published."""

import os
import subprocess
import sys
import venv
import zipfile

import archive
import environment
import pytest

LARGEST = 60e6  # bytes


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """Runs the registry's command in a clone of what is committed."""
    if not (environment.ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    folder = tmp_path_factory.mktemp("registry")
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(environment.ROOT), str(folder / "clone")], check=True)
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([str(programs / "python"), "-m", "pip", "install", "-q", "comfy-cli"], check=True)
    variables = {**os.environ, "HOME": str(folder), "USERPROFILE": str(folder), "NO_COLOR": "1", "COLUMNS": "200"}  # its settings are not the user's

    def run(*arguments: str) -> str:
        command = [str(programs / "comfy"), "--skip-prompt", *arguments]
        done = subprocess.run(command, cwd=folder / "clone", env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
        assert done.returncode == 0, done.stdout
        return done.stdout

    run("tracking", "disable")
    run.folder, run.programs = folder / "clone", programs
    return run


def test_the_validator_has_no_complaint(registry):
    said = registry("node", "validate")
    assert "All validation checks passed" in said and "Warning" not in said and "warnings found" not in said


def test_not_even_where_its_rules_are_told_to_look_away(registry):
    done = subprocess.run(
        [str(registry.programs / "python"), "-m", "ruff", "check", ".", "-q", "--isolated", "--ignore-noqa", "--select", "S102,S301,S302,S307,E702"],
        cwd=registry.folder, capture_output=True, text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_archive_is_what_we_say_it_is(registry):
    registry("node", "pack")
    packed = registry.folder / "node.zip"
    assert 10e6 < packed.stat().st_size < LARGEST
    with zipfile.ZipFile(packed) as opened:
        assert sorted(opened.namelist()) == archive.shipped()
