"""A real ComfyUI server in a process of its own, with a base directory of its own, on a free loopback port."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import environment
import host
from queue_story import refusal

LOG_LINES = 60  # shown when the server fails


class ServerError(RuntimeError):
    """The server did not start, or refused what was asked."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`with Server() as server:` starts ComfyUI with this checkout as its only custom node, and always stops it. Another `pack` may take its place, or None."""

    def __init__(
        self, folder: Path | None = None, pack_name: str = "fabula", timeout: float = 180, arguments: tuple[str, ...] = (), pack: Path | None = host.ROOT,
    ):
        self._kept, self._pack = folder, pack
        self._pack_name, self._timeout, self._arguments = pack_name, timeout, arguments
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Server:
        self.folder = self._kept or Path(tempfile.mkdtemp(prefix="fabula-"))
        try:
            for name in ("custom_nodes", "input", "output", "temp", "user", "models"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            pack = self.folder / "custom_nodes" / self._pack_name
            if self._pack is not None and not pack.exists():
                host.link_folder(self._pack, pack)
            for attempt in (1, 2):  # a port found free may be taken a moment later
                self._start()
                if self._answers():
                    return self
                if attempt == 2 or "address already in use" not in self.log().lower():
                    raise ServerError(f"ComfyUI did not start. The end of its log:\n{self.log()}")
                self._stop()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self._stop()
        if self._kept is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        found = host.find_host()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        variables = dict(os.environ)
        if host.needs_shim():
            shim = host.write_shim(self.folder / "shim")
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(shim), variables.get("PYTHONPATH")]))
        probe = "import torch; print(torch.cuda.is_available() or torch.backends.mps.is_available())"
        python = str(environment.python())
        on_cpu = subprocess.run([python, "-c", probe], capture_output=True, text=True).stdout.strip() != "True"
        command = [
            python, str(found / "main.py"), "--listen", "127.0.0.1", "--port", str(self.port),
            "--base-directory", str(self.folder), "--disable-auto-launch",
            # An extra_model_paths.yaml beside the host's main.py may name custom nodes of the user's.
            "--disable-all-custom-nodes", "--whitelist-custom-nodes", self._pack_name,
            "--database-url", "sqlite:///:memory:",
            *(["--cpu"] if on_cpu else []), *self._arguments,
        ]
        self._log_file = open(self.folder / "comfyui.log", "wb")
        self.process = subprocess.Popen(command, cwd=found, stdout=self._log_file, stderr=subprocess.STDOUT, env=variables)

    def _stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log_file.close()
        self.process = None

    def _answers(self) -> bool:
        end = time.monotonic() + self._timeout
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.get_json("/system_stats")
                return True
            except (OSError, ValueError):
                time.sleep(0.1)
        return False

    def log(self) -> str:
        """The last lines that the host wrote."""
        text = (self.folder / "comfyui.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-LOG_LINES:])

    def get_json(self, path: str):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def post_json(self, path: str, data: dict) -> tuple[int, dict]:
        """Status and body, also where the host refuses."""
        body = json.dumps(data).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}")

    def queue(self, workflow: dict, client_id: str = "") -> str:
        """Queues a workflow in API form. Returns its prompt id; raises ServerError where the host refuses it."""
        status, answer = self.post_json("/prompt", {"prompt": workflow, "client_id": client_id or str(uuid.uuid4())})
        if answer.get("node_errors") and status == 200:
            # The host queues the branches that are sound and keeps quiet about the others: here it is all or nothing.
            self.post_json("/queue", {"delete": [answer["prompt_id"]]})
            self.post_json("/interrupt", {"prompt_id": answer["prompt_id"]})
        if status != 200 or answer.get("node_errors"):
            raise ServerError(refusal(answer, workflow))
        return answer["prompt_id"]

    def history(self, prompt_id: str) -> dict | None:
        """What the host says of a finished prompt; None while it is not finished."""
        return self.get_json(f"/history/{prompt_id}").get(prompt_id)

    def wait(self, prompt_id: str, timeout: float = 600) -> dict:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            entry = self.history(prompt_id)
            if entry:
                return entry
            if self.process.poll() is not None:
                raise ServerError(f"ComfyUI has ended. The end of its log:\n{self.log()}")
            time.sleep(0.2)
        raise ServerError(f"The workflow was not done after {timeout:.0f} s. The end of the host's log:\n{self.log()}")

    def view(self, image: dict) -> bytes:
        """A picture by the entry that the history has of it: filename, subfolder, type."""
        query = urllib.parse.urlencode({k: image[k] for k in ("filename", "subfolder", "type")})
        with urllib.request.urlopen(f"{self.url}/view?{query}", timeout=60) as answer:
            return answer.read()


def failure(entry: dict) -> str | None:
    """The error of a finished prompt as `node: message`; None where it went well."""
    if entry["status"]["status_str"] == "success":
        return None
    for kind, data in entry["status"]["messages"]:
        if kind == "execution_error":
            message = data["exception_message"].strip()
            return message if message.startswith(data["node_type"]) else f"{data['node_type']}: {message}"
    return "The workflow did not finish."
