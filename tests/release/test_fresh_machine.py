"""Both commands of the README on a machine that has nothing: `python3 tools/test.py tests/release`; about a quarter of an hour.

What is committed is cloned into a folder with blanks and letters beyond ASCII. Nothing of this environment goes along but PATH and how packages are
reached (pip's settings, proxies, certificates): no home, no language, no cache. Started by root, it all runs as another user, whom file permissions bind.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import environment
import pytest
from PIL import Image

pwd = pytest.importorskip("pwd", reason="Windows has no users of this kind")
PLACE = "Ünï cødé 故事/my fabula"
KEPT = ("PIP_", "SSL_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "OMP_NUM_THREADS")
ANOTHER = "nobody"  # exists wherever there is a root
HOURS = 3600


class Machine(NamedTuple):
    checkout: Path
    home: Path
    variables: dict[str, str]
    user: dict
    uncaptured: Callable  # shows what is printed while it runs, and not only where a test fails

    def run(self, *command: str, timeout: float = HOURS) -> str:
        """What a command says, which is printed too, with its time. Fails the test where the command does."""
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=self.checkout, env=self.variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
            encoding="utf-8", errors="replace", start_new_session=True, **self.user,
        )
        with self.uncaptured():
            print(f"\n$ {' '.join(command)}\n{done.stdout}\n[{time.monotonic() - started:.0f} s, exit code {done.returncode}]", flush=True)
        assert done.returncode == 0, f"{' '.join(command)} failed; the end of what it said:\n{done.stdout[-4000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def machine(pytestconfig):
    if not (environment.ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    folder = Path(tempfile.mkdtemp(prefix="fabula-fresh-"))
    folder.chmod(0o755)  # the other user goes through it
    checkout, home, temporary = folder / PLACE, folder / "home", folder / "tmp 故事"
    try:
        checkout.parent.mkdir()
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(environment.ROOT), str(checkout)], check=True)
        home.mkdir()
        temporary.mkdir()
        variables = {name: value for name, value in os.environ.items() if name.upper().startswith(KEPT) and name != "PIP_CACHE_DIR"}
        settings = Path.home() / ".config" / "pip" / "pip.conf"  # which index this machine reaches
        if settings.exists():
            (home / ".config" / "pip").mkdir(parents=True)
            shutil.copy(settings, home / ".config" / "pip")
        variables |= {"PATH": without_environment(os.environ["PATH"]), "HOME": str(home), "TMPDIR": str(temporary)}
        capture = pytestconfig.pluginmanager.getplugin("capturemanager")
        yield Machine(checkout, home, variables, own(folder), capture.global_and_fixture_disabled)
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def without_environment(path: str) -> str:
    """PATH without `.venv`: `python3` shall be the machine's."""
    return os.pathsep.join(each for each in path.split(os.pathsep) if not Path(each).is_relative_to(environment.VENV))


def own(folder: Path) -> dict:
    """Gives a folder to the other user, where one may; what `subprocess` needs to run as that one."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(ANOTHER)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def check_pictures(folder: Path) -> None:
    expected = {f"{kind}_{number}.png" for kind in ("panel", "without") for number in range(1, 7)} | {"page.png", "sheet.png"}
    assert expected <= {path.name for path in folder.iterdir()}
    for name in expected:
        with Image.open(folder / name) as picture:
            assert max(high - low for low, high in picture.convert("RGB").getextrema()) > 60, name
    (film,) = folder.glob("*.mp4")
    with av.open(str(film)) as opened:
        assert len(list(opened.decode(video=0))) == 37


def test_the_demo_comes_of_nothing_and_overwrites_nothing(machine):
    machine.run("python3", "tools/demo.py")
    first = machine.checkout / "output" / "demo"
    check_pictures(first)
    before = contents(first)
    machine.run("python3", "tools/demo.py")
    check_pictures(machine.checkout / "output" / "demo-2")
    assert contents(first) == before


def test_the_tests_pass(machine):
    said = machine.run("python3", "tools/test.py", "-rs")
    assert said.count(" passed") == (3 if "there is no Chromium" in said else 4)  # layers


def test_git_sees_nothing_that_these_have_left(machine):
    assert machine.run("git", "status", "--porcelain") == ""


def test_nothing_is_left_in_the_home_or_among_temporary_files(machine):
    allowed = {".config", ".cache", ".local", ".pki", ".nv", ".triton"}  # of pip, of Chromium, of libraries: none is this pack's
    assert {path.name for path in machine.home.iterdir()} <= allowed
    assert not list(Path(machine.variables["TMPDIR"]).glob("fabula-*"))


def test_a_checkout_that_may_not_be_written_to_makes_the_demo_elsewhere(machine):
    if os.geteuid() == 0 and not machine.user:
        pytest.skip("nothing binds root")
    for path in (machine.checkout, *machine.checkout.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o555)
    machine.run("python3", "tools/demo.py", "--output", str(machine.home / "pictures"))
    check_pictures(machine.home / "pictures" / "demo")
