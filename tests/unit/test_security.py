"""What the pack's code may not do, read off the source of every file that is shipped: whoever adds a way to write, to run or to reach anything has to say so here."""

import ast
from functools import cache
from pathlib import Path

import archive
import pytest

ROOT = Path(archive.ROOT)
if not (ROOT / ".git").exists():
    pytest.skip("only git says what is shipped, and this is no git checkout", allow_module_level=True)

# Run what a file or a text says; other programs; the network. `aiohttp` is the host's server, for answering (below).
MODULES = {
    "pickle", "_pickle", "cPickle", "pickletools", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code", "codeop", "runpy", "importlib", "imp", "pkgutil",
    "subprocess", "multiprocessing", "pty", "ctypes", "cffi", "signal", "webbrowser", "pip", "ensurepip", "venv",
    "socket", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "websockets", "websocket", "ftplib", "smtplib", "telnetlib", "xmlrpc", "huggingface_hub", "aiohttp",
}
ANSWERING = {"host/script_check.py": "aiohttp.web"}
CALLS = {
    "eval", "exec", "compile", "__import__", "breakpoint", "input", "os.system", "os.popen", "os.fork", "os.startfile", "os.kill", "os.putenv", "torch.hub.load",
    "torch.hub.load_state_dict_from_url", "torch.hub.download_url_to_file", "torch.utils.cpp_extension.load", "asyncio.open_connection", "asyncio.create_subprocess_exec",
    "asyncio.create_subprocess_shell", "builtins.eval", "builtins.exec", "yaml.load", "yaml.unsafe_load",
}
# What reads files that could hold code, and what keeps it from running.
SAFELY = {"torch.load": ("weights_only", {True}, True), "numpy.load": ("allow_pickle", {False}, False), "comfy.utils.load_torch_file": ("safe_load", {True}, True)}
WRITING = {
    "save_file", "write_bytes", "write_text", "mkdir", "makedirs", "rename", "renames", "unlink", "remove", "rmdir", "removedirs", "rmtree", "copyfile", "copy2", "copytree", "move", "symlink",
    "symlink_to", "hardlink_to", "link", "touch", "truncate", "chmod", "mkstemp", "mkdtemp", "TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile", "tofile", "savez", "savetxt", "extractall",
    "extract", "save", "save_to", "save_images",
}
OPENING = {"open", "ZipFile", "TarFile", "fdopen", "FileIO"}  # they write by their mode
# (file, function): where what it writes goes.
WRITERS = {
    ("comic/book.py", "write_pdf"): "the path that host/comic_file.py gives",
    ("comic/book.py", "write_cbz"): "the path that host/comic_file.py gives",
    ("demo/weights.py", "save"): "demo/weights; only the demo's trainers call it, which are not shipped",
    ("host/caption_film.py", "save_to"): "the path that the host's SaveVideo gives, by the host's temp folder",
    ("host/character_file.py", "save"): "models/fabula_characters, by `save_path`",
    ("host/character_file.py", "_jpeg"): "memory",
    ("host/comic_file.py", "save_book"): "the output folder, by `save_path`",
    ("host/motion_features.py", "read_features"): "fabula_motion in the user folder",
    ("host/motion_features.py", "_encode"): "fabula_motion in the user folder",
    ("host/motion_training.py", "save"): "the path that `train_predictor` gives; what is deleted is the state kept in the user folder",
    ("host/motion_training.py", "train_predictor"): "models/fabula_motion, by `save_path`",
    ("motion/checkpoint.py", "save"): "the path that host/motion_training.py gives",
    ("motion/files.py", "claimed"): "an empty file at one of the paths that it is given; what is deleted is that one",
    ("motion/files.py", "written"): "beside the path that it is given, then there",
    ("motion/text_track.py", "add_track"): "a path in the temp folder of host/caption_film.py",
    ("motion/training.py", "keep"): "the path that host/motion_training.py gives, in the user folder",
    ("nodes/character.py", "execute"): "models/fabula_characters, by host/character_file.py",
    ("nodes/comic.py", "execute"): "the output folder, by the host's own helper",
}


class Names(ast.NodeVisitor):
    """The calls and the imports of a file, by full names: `from os import system as s; s()` is os.system."""

    def __init__(self, tree: ast.Module):
        self.known: dict[str, str] = {}
        self.imports: list[tuple[str, int]] = []
        self.calls: list[tuple[str, ast.Call, str]] = []
        self.mentioned: set[str] = set()
        self._within = ["<module>"]
        self.visit(tree)

    def visit_Import(self, node):
        for each in node.names:
            self.known[each.asname or each.name.split(".")[0]] = each.name if each.asname else each.name.split(".")[0]
            self.imports.append((each.name, node.lineno))

    def visit_ImportFrom(self, node):
        for each in node.names:
            self.known[each.asname or each.name] = f"{node.module or ''}.{each.name}"
            if not node.level:
                self.imports.append((f"{node.module}.{each.name}", node.lineno))

    def visit_FunctionDef(self, node):
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Call(self, node):
        self.calls.append((self.full(node.func), node, self._within[-1]))
        self.generic_visit(node)

    def visit_Name(self, node):
        self.mentioned.add(self.known.get(node.id, node.id))

    def visit_Attribute(self, node):
        self.mentioned.add(self.full(node))
        self.generic_visit(node)

    def full(self, node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{self.full(node.value)}.{node.attr}"
        return self.known.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


@cache
def sources() -> dict[str, Names]:
    names = [name for name in archive.shipped() if name.endswith(".py")]
    assert len(names) > 90 and {"__init__.py", "nodes/__init__.py", "host/folders.py"} <= set(names)
    return {name: Names(ast.parse((ROOT / name).read_text(encoding="utf-8"))) for name in names}


def calls():
    return [(file, *call) for file, names in sources().items() for call in names.calls]


def opens_for_writing(name: str, call: ast.Call) -> bool:
    """`open(path, mode)`, `path.open(mode)`, `av.open(path, mode)`, `ZipFile(path, mode)`: not for reading alone, as far as the text says."""
    if name.rsplit(".", 1)[-1] not in OPENING:
        return False
    method_of_a_path = name.endswith(".open") and name.split(".")[0] not in ("av", "PIL", "io", "os", "zipfile", "tarfile", "builtins")
    modes = [each.value for each in call.keywords if each.arg == "mode"] + call.args[0 if method_of_a_path else 1 :][:1]
    if not modes:
        return False
    mode = modes[0].value if isinstance(modes[0], ast.Constant) else "w"  # not known: perhaps
    return not isinstance(mode, str) or bool(set(mode) & set("wax+"))


def writes(name: str, call: ast.Call) -> bool:
    last = name.rsplit(".", 1)[-1]
    replaces = name == "os.replace" or (last == "replace" and "." in name and len(call.args) == 1 and not call.keywords)  # text.replace has two
    return replaces or last in WRITING or name == "shutil.copy" or opens_for_writing(name, call)


def test_no_module_is_imported_that_runs_code_or_programs_or_reaches_a_network():
    found = [(file, name, line) for file, names in sources().items() for name, line in names.imports if name.split(".")[0] in MODULES and ANSWERING.get(file) != name]
    assert not found


def test_nothing_evaluates_text_or_starts_a_program():
    assert not [(file, name, call.lineno) for file, name, call, _ in calls() if name in CALLS or name.startswith(("os.exec", "os.spawn", "os.posix_spawn"))]
    assert not [(file, CALLS & names.mentioned) for file, names in sources().items() if CALLS & names.mentioned]  # not by another name either


def test_files_that_could_hold_code_are_read_as_data_alone():
    found = {}
    for file, name, call, _ in calls():
        if name in SAFELY:
            keyword, allowed, needed = SAFELY[name]
            given = [each.value.value for each in call.keywords if each.arg == keyword and isinstance(each.value, ast.Constant)]
            assert (given or not needed) and set(given) <= allowed and all(each.arg for each in call.keywords), (file, call.lineno)
            found[name] = file
    assert {"torch.load", "comfy.utils.load_torch_file"} <= found.keys()  # else this test looks for names that are not used any more


def test_models_of_transformers_are_read_in_one_place_without_network_or_code():
    readers = {(file, within) for file, name, _, within in calls() if name.endswith("from_pretrained")}
    assert readers == {("host/language_model.py", "__init__")}
    text = (ROOT / "host" / "language_model.py").read_text(encoding="utf-8")
    assert '"local_files_only": True, "trust_remote_code": False' in text and "use_safetensors=True" in text and text.count("**options") == 2


def test_every_place_that_writes_is_known():
    found = {(file, within) for file, name, call, within in calls() if writes(name, call)}
    assert found - WRITERS.keys() == set(), "a new place that writes: where to? Then put it into WRITERS"
    assert WRITERS.keys() - found == set(), "these write no more"


@pytest.mark.parametrize("line", [
    "open(path, 'w')", "open(path, mode='ab')", "path.open('r+')", "Path(x).write_text('a')", "av.open(path, 'w')", "import os; os.replace(a, b)", "part.replace(path)",
    "from os import replace as r; r(a, b)", "picture.save(path)", "from safetensors.torch import save_file; save_file(a, b)", "import zipfile; zipfile.ZipFile(p, 'x')", "open(path, mode)",
])
def test_writing_is_seen(line):
    assert any(writes(name, call) for name, call, _ in Names(ast.parse(line)).calls)


@pytest.mark.parametrize("line", ["open(path)", "open(path, 'rb')", "path.open()", "from PIL import Image; Image.open(path)", "av.open(path)", "'a'.replace('b', 'c')", "re.compile('x')"])
def test_reading_is_not_taken_for_writing(line):
    names = Names(ast.parse(line))
    assert not any(writes(name, call) or name in CALLS for name, call, _ in names.calls)
