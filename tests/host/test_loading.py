"""What loading the pack does to a host: it needs nothing that the host has not, and reaches for nothing."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import environment
import host
import pack

ROOT = Path(pack.ROOT)
CODE = [path for folder in ("nodes", "host", "story", "attention", "identity", "motion", "comic") for path in sorted((ROOT / folder).glob("*.py"))]
CODE += [ROOT / "__init__.py", *(ROOT / "demo" / f"{name}.py" for name in ("models", "sizes", "vocabulary", "captions", "weights", "world", "poses"))]
HOSTS_OWN = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "latent_preview", "node_helpers", "nodes", "server"}
OPTIONAL = {"uniseg", "sentencex", "insightface", "onnxruntime"}  # each has a plain fallback, or an error with a remedy
PACKAGES = {"PIL": "pillow"}


def imports(path: Path) -> list[tuple[str, bool]]:
    """The modules that a file imports, and whether that happens as soon as it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {id(node) for function in ast.walk(tree) if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        found += [(name.split(".")[0], id(node) not in later) for name in names]
    return found


def test_the_pack_imports_what_the_host_requires_and_optional_things_late():
    required = {environment.requirement_name(line) for line in (host.find_host() / "requirements.txt").read_text(encoding="utf-8").splitlines()}
    seen = set()
    for path in CODE:
        for name, at_once in imports(path):
            seen.add(name)
            if name in OPTIONAL:
                assert not at_once, path
            elif name not in sys.stdlib_module_names | HOSTS_OWN:
                assert PACKAGES.get(name, name) in required, (path, name)
    assert {"torch", "PIL", "av", "uniseg", "folder_paths"} <= seen


def test_what_is_asked_of_pip_the_host_asks_for_too():
    required = {environment.requirement_name(line) for line in (host.find_host() / "requirements.txt").read_text(encoding="utf-8").splitlines()}
    asked = {environment.requirement_name(line) for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if line.strip()}
    assert asked and asked <= required


WATCHED = """
import asyncio, json, os, sys
sys.path.insert(0, sys.argv[1])
import host
found = host.find_host()
host.prepare_in_process(found)
import comfy.sd, comfy.clip_vision, comfy.samplers, comfy.model_patcher, comfy.controlnet, folder_paths, node_helpers, latent_preview, comfy_extras.nodes_video_model
import comfy_api.latest, transformers, torchvision, aiohttp.web
from transformers import AutoTokenizer, AutoModelForCausalLM

seen = []
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request")
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate", "shutil.rmtree", "shutil.move", "shutil.copyfile", "tempfile.mkstemp", "tempfile.mkdtemp")

def watch(event, arguments):
    if event in STARTS + CHANGES:
        seen.append([event, repr(arguments)])
    elif event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
        seen.append([event, repr(arguments)])
    elif event == "import" and arguments[0] in ("sentencex", "uniseg", "insightface", "accelerate", "onnxruntime"):
        seen.append([event, arguments[0]])

sys.addaudithook(watch)
import pack
loaded = pack.load_pack()
extension = asyncio.run(loaded.comfy_entrypoint())
nodes = asyncio.run(extension.get_node_list())
for node in nodes:
    node.GET_SCHEMA()
seen.append(["loaded", len(nodes)])
{more}
print(json.dumps(seen))
"""


def watched(more: str = "") -> list:
    """What a process does while it loads the pack, once the host itself is loaded."""
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", WATCHED.replace("{more}", more), str(ROOT / "tools")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_loading_the_pack_writes_nothing_starts_nothing_and_reaches_no_network(tmp_path):
    more = f"open({str(tmp_path / 'x')!r}, 'w').close(); import subprocess; subprocess.run([sys.executable, '-c', ''])"
    seen = watched(more)
    (loaded,) = (at for at, (event, _) in enumerate(seen) if event == "loaded")
    assert seen[:loaded] == [] and seen[loaded][1] > 25
    assert {event for event, _ in seen[loaded + 1 :]} >= {"open", "subprocess.Popen"}  # the watch is awake
