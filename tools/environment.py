"""The project's own virtual environment, `.venv`: torch, the host's requirements, and pytest for the tests.

Standard library only: this runs on a machine that has nothing but Python.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PINNED = ("torch==2.13.0", "torchvision==0.28.0")
# ComfyUI 0.3.75 imports `requests` without asking for it.
FORGOTTEN = ("requests",)
# torchaudio serves only the host's audio nodes, and its wheels are tied to one build of torch.
LEFT_OUT = ("torch", "torchvision", "torchaudio")
TESTS = ("pytest", "hypothesis", "uniseg", "sentencex")


def python() -> Path:
    """The environment's interpreter."""
    return VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def run_inside(script: str | Path, extras: tuple[str, ...] = ()) -> None:
    """Returns at once inside the environment; elsewhere makes it, runs `script` in it and exits with its code."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        stop_like_ctrl_c()
        return
    ensure(extras)
    sys.exit(call([str(python()), str(script), *sys.argv[1:]]))


def call(command: list[str], folder: Path | None = None) -> int:
    """Runs `command` to its end and returns its exit code. Interrupting this process does not cut it short: the
    terminal's Ctrl-C reaches it too, SIGTERM is handed on, and it needs its time to stop the server it started."""
    with subprocess.Popen(command, cwd=folder) as child:
        previous = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        try:
            while True:
                try:
                    code = child.wait()
                    return code if code >= 0 else 128 - code  # ended by a signal: as shells count it
                except KeyboardInterrupt:
                    continue
        finally:
            signal.signal(signal.SIGTERM, previous)


def stop_like_ctrl_c() -> None:
    """Lets SIGTERM raise KeyboardInterrupt, so that `with` blocks end and no server is left running."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would cut the tidying short
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)


def ensure(extras: tuple[str, ...] = ()) -> Path:
    """Makes the environment and installs what is missing; seconds, or less, when nothing is. Returns `python()`."""
    if sys.version_info < (3, 10):
        raise SystemExit(f"Fabula needs Python 3.10 or newer; this is {sys.version.split()[0]}.")
    if not python().exists():
        _make()
    import host

    wanted = [*PINNED, *host_requirements(host.find_host() / "requirements.txt"), *FORGOTTEN]
    _install("requirements", wanted)
    if extras:
        _install("extras", [*extras, *PINNED])
    return python()


def host_requirements(file: Path) -> list[str]:
    """The lines of the host's requirements.txt, less the packages of LEFT_OUT."""
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and requirement_name(line) not in LEFT_OUT]


def requirement_name(line: str) -> str:
    """`Pillow >= 9 ; python_version > "3"` to `pillow`."""
    for end, character in enumerate(line):
        if not (character.isalnum() or character in "-_."):
            return line[:end].lower()
    return line.lower()


def stamp_of(packages: list[str]) -> str:
    return hashlib.sha256("\n".join([sys.version, *packages]).encode()).hexdigest()


def _make() -> None:
    _say("making .venv")
    try:
        venv.create(VENV, with_pip=True, clear=VENV.exists())  # what is there has no working Python
    except (subprocess.CalledProcessError, OSError) as error:
        message = f"The virtual environment cannot be made ({error}). On Debian, install python3-venv."
        raise SystemExit(message) from error


def _has_pip() -> bool:
    return subprocess.run([str(python()), "-m", "pip", "--version"], capture_output=True).returncode == 0


def _install(name: str, packages: list[str]) -> None:
    stamp = VENV / f"fabula-{name}.stamp"
    if stamp.exists() and stamp.read_text() == stamp_of(packages):
        return
    _say(f"installing {len(packages)} {name} into .venv, once" + ("; torch is large" if name == "requirements" else ""))
    pip("install", *packages)
    stamp.write_text(stamp_of(packages))


def pip(*arguments: str) -> None:
    """Runs the environment's pip; shows what it printed only when it fails."""
    if not _has_pip():  # making it was interrupted, or the Python that it was made with is gone
        _make()
    command = [str(python()), "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        raise SystemExit(f"{done.stdout[-6000:]}\npip {arguments[0]} failed with code {done.returncode}, see above.")


def _say(text: str) -> None:
    print(f"[fabula] {text}", file=sys.stderr, flush=True)
