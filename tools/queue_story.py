"""Sends a story to a ComfyUI server, and fetches what it draws.

    python3 queue_story.py --server http://127.0.0.1:8188 --workflow workflows/api/demo_story.json \
        --characters mia.txt --panels story.txt --style "Comic book" --seed 7 --output pages/

A command, a module, and code to copy: it stands alone, with Python 3.10 and aiohttp, which every ComfyUI has. `docs/api.md` explains it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

try:
    import aiohttp
    from yarl import URL  # comes with aiohttp
except ImportError as missing:
    if __name__ != "__main__":
        raise
    sys.exit(f"queue_story.py needs aiohttp ({missing}): run it with ComfyUI's Python, or pip install aiohttp.")

IDLE = 10.0  # seconds without news, after which the server is asked whether the prompt is still there
STEPS = 20  # taken for those of a sampler that does not say


class HostError(RuntimeError):
    """The server cannot be reached, or did not do what was asked. `answer`: what it said, where it said something."""

    def __init__(self, message: str, answer: dict | None = None):
        super().__init__(message)
        self.answer = answer or {}


class Refused(HostError):
    """Nothing of the workflow was run."""


class Failed(HostError):
    """The run ended early: a node raised an error, or somebody interrupted it."""


# The workflow: {"<node id>": {"class_type": ..., "inputs": {name: a value, or ["<node id>", output]}, "_meta": {"title": ...}}}


def read_workflow(path: Path | str) -> dict:
    """A workflow in API form. Raises: OSError; ValueError where the file is something else."""
    try:
        workflow = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    nodes = list(workflow.values()) if isinstance(workflow, dict) else []
    if not nodes or not all(isinstance(node, dict) and "class_type" in node and "inputs" in node for node in nodes):
        raise ValueError(f"{path} is not a workflow in API form; in ComfyUI, export it with `Export (API)`.")
    return workflow


def title(workflow: dict, node_id: str) -> str:
    node = workflow.get(node_id, {})  # a node may put others in its place while it runs
    return node.get("_meta", {}).get("title") or node.get("class_type", node_id)


def where(workflow: dict, node_id: str) -> str:
    return f'node {node_id} "{title(workflow, node_id)}" ({workflow.get(node_id, {}).get("class_type", "?")})'


def find(workflow: dict, name: str) -> list[str]:
    """The ids of all nodes of which `name` is the class type, the title or the id. Raises: ValueError where there is none."""
    found = [key for key, node in workflow.items() if name in (key, node["class_type"], title(workflow, key))]
    if not found:
        raise ValueError(f'The workflow has no node "{name}". It has {", ".join(where(workflow, key) for key in workflow)}.')
    return found


def change(workflow: dict, name: str, **inputs: object) -> None:
    """Sets inputs of the one node that `name` means. Raises: ValueError where there is none, or more than one."""
    found = find(workflow, name)
    if len(found) > 1:
        raise ValueError(f'"{name}" may be {" or ".join(where(workflow, key) for key in found)}. Give the title or the id of the one that you mean.')
    workflow[found[0]]["inputs"].update(inputs)


def set_seed(workflow: dict, seed: int) -> None:
    """The seed of every sampler. Consistent Attention, which draws tokens, has one of its own: `change` it."""
    for node in workflow.values():
        for name in ("seed", "noise_seed"):
            given = node["inputs"].get(name)  # a link is a list
            if isinstance(given, int) and (name == "noise_seed" or "latent_image" in node["inputs"]):
                node["inputs"][name] = seed


def only(workflow: dict, *names: str) -> dict:
    """The part of `workflow` that these nodes need: with the one that saves the pages, nothing else is drawn. Raises: ValueError."""
    left, needed = [key for name in names for key in find(workflow, name)], set()
    while left:
        key = left.pop()
        if key in workflow and key not in needed:
            needed.add(key)
            left += [str(value[0]) for value in workflow[key]["inputs"].values() if isinstance(value, list) and value]
    return {key: node for key, node in workflow.items() if key in needed}


# What the server says of it.


def refusal(answer: dict, workflow: dict) -> str:
    """Why the server does not run a workflow, a line for each node and input."""
    lines = []
    for key, found in answer.get("node_errors", {}).items():
        for each in found["errors"]:
            name, details = each.get("extra_info", {}).get("input_name"), each.get("details")
            told = each["message"] if details in (None, "", name) else f"{each['message']} ({details})"
            lines.append(f"{where(workflow, key)}{f', input {name}' if name else ''}: {told}")
    error = answer.get("error") or {}
    return "\n".join(lines) or " ".join(filter(None, [error.get("message", "The server refused the workflow."), error.get("details")]))


def failure(entry: dict, workflow: dict) -> str | None:
    """Why a prompt that has ended came to nothing, with the node; None where all is well. `entry`: of the server's history."""
    if entry["status"]["status_str"] == "success":
        return None
    for kind, data in entry["status"]["messages"]:
        if kind == "execution_error":
            return f"{where(workflow, data['node_id'])}: {data['exception_message'].strip().removeprefix(data['node_type'] + ': ')}"
        if kind == "execution_interrupted":
            return f"{where(workflow, data['node_id'])}: the run was interrupted."
    return "The workflow did not finish."


@dataclass(frozen=True)
class Saved:
    """A file in the server's output folder, and the node that wrote it."""

    node_id: str
    filename: str
    subfolder: str


def saved_files(entry: dict, workflow: dict) -> list[Saved]:
    """Pictures, films and books that a prompt has saved. Previews are left out."""
    found = []
    for key, output in entry["outputs"].items():
        listed = [each for several in output.values() if isinstance(several, list) for each in several]
        files = [each for each in listed if isinstance(each, dict) and each.get("type") == "output" and "filename" in each]
        found += [Saved(key, each["filename"], each.get("subfolder", "")) for each in files]
        if workflow[key]["class_type"] == "Fabula_SaveComic":  # it tells of a PDF or CBZ in words: "2 pages: stories/mia_00001_.pdf"
            paths = [PurePosixPath(text.split(": ", 1)[1].replace("\\", "/")) for text in output.get("text", ())]
            found += [Saved(key, path.name, "" if len(path.parts) == 1 else str(path.parent)) for path in paths]
    return found


def keep(folder: Path | str, name: str, data: bytes) -> Path:
    """Writes `data` into `folder`. A file called `name` that is there already stays, and the new one gets a number."""
    last = PurePosixPath(name.replace("\\", "/")).name  # whatever the server says, it goes nowhere else
    path = Path(folder, re.sub(r'[<>:"|?*]', "_", last))  # which Windows has not in names
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        free = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        with contextlib.suppress(FileExistsError), open(free, "xb") as file:
            file.write(data)
            break
    return free


@dataclass(frozen=True)
class Progress:
    percent: float = 0.0  # of the whole run: an estimate that never falls
    node: str = ""  # title of the node that runs
    step: int = 0
    steps: int = 0  # of that node; 0 where it does not tell
    ahead: int = 0  # prompts that the server does first


class Meter:
    """The server's messages on one prompt as percent of the whole. A sampler counts by its steps, any other node as one step."""

    def __init__(self, workflow: dict):
        self._workflow, self._weights, self.now = workflow, {}, Progress()
        for key, node in workflow.items():
            steps = node["inputs"].get("steps")
            self._weights[key] = max(1, steps if isinstance(steps, int) else STEPS) if "latent_image" in node["inputs"] else 1
        self._done = dict.fromkeys(workflow, 0.0)

    def read(self, event: dict) -> bool:
        """Whether this message has changed `now`."""
        before, data = self.now, event["data"]
        if event["type"] == "execution_cached":  # their results are those of an earlier prompt
            self._done.update((key, 1.0) for key in data["nodes"] if key in self._done)
        elif event["type"] == "progress_state":
            for key, state in data["nodes"].items():
                key = state.get("real_node_id", key)
                part = 1.0 if state["state"] == "finished" else state["value"] / (state["max"] or 1)
                if key in self._done:  # what runs once for each transition has been at its end before
                    self._done[key] = max(self._done[key], min(part, 1.0))
                if state["state"] == "running":
                    steps = int(state["max"]) if state["max"] > 1 else 0
                    self.now = Progress(0.0, title(self._workflow, key), int(state["value"]) if steps else 0, steps)
        percent = 100 * sum(weight * self._done[key] for key, weight in self._weights.items()) / sum(self._weights.values())
        self.now = replace(self.now, percent=percent)
        return self.now != before


class Lines:
    """Prints progress: a line a node, and while one takes long, at each twentieth of the whole or every ten seconds."""

    def __init__(self):
        self._start = self._told = time.monotonic()
        self._last = None

    def __call__(self, now: Progress) -> None:
        time_now, mark = time.monotonic(), (now.ahead, now.node, now.percent // 5 if now.steps else 0)
        if mark == self._last and time_now - self._told < 10:
            return
        self._last, self._told = mark, time_now
        what = f"waiting, {now.ahead} ahead" if now.ahead else now.node or ("done" if now.percent == 100 else "begins")
        print(f"  {time_now - self._start:5.1f} s {now.percent:3.0f} %  {what}{f', step {now.step}/{now.steps}' if now.steps else ''}", flush=True)


class ComfyClient:
    """`async with ComfyClient("http://127.0.0.1:8188") as client: entry = await client.run(workflow)`.

    `server` may be https, have a path, as behind a proxy, and a name and password; `headers` go with every request. All methods raise HostError.
    """

    def __init__(self, server: str, headers: dict[str, str] | None = None):
        try:
            self.url = URL(server)
        except ValueError:
            self.url = URL()
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise ValueError(f"{server!r} is no address of a server. Give one such as http://127.0.0.1:8188.")
        self._headers, self._named = headers, self.url.with_user(None)

    async def __aenter__(self) -> ComfyClient:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=300)  # a film may take long to come, but shall come
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def run(self, workflow: dict, tell: Callable[[Progress], None] = lambda now: None) -> dict:
        """Queues `workflow`, tells its progress, and returns what the server's history has of it when all is drawn.

        Whatever ends this early, such as cancelling the task, takes the prompt out of the server's queue, or interrupts it.

        Raises: Refused, Failed.
        """
        # Both ids are new. The prompt's is ours, to cancel it even before the server has answered; of two websockets with one client id only the later
        # would get messages.
        prompt_id, client_id, queued, entry, meter = str(uuid.uuid4()), str(uuid.uuid4()), False, None, Meter(workflow)
        try:
            while entry is None:
                async with self._session.ws_connect(self.url / "ws", params={"clientId": client_id}, max_msg_size=0) as socket:
                    if not queued:  # now that no message can be missed
                        queued = True
                        await self.queue(workflow, prompt_id, client_id)
                    entry = await self._follow(socket, prompt_id, meter, tell)
                if entry is None:  # the connection was lost; the run goes on
                    await asyncio.sleep(1)
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise HostError(f"{self._named} cannot be reached ({error}). Is ComfyUI running there, and if there is a proxy, does it pass websockets on (/ws)?") from error
        except (Refused, Failed):
            raise
        except BaseException:
            if queued:
                await self.cancel(prompt_id)
            raise
        problem = failure(entry, workflow)
        if problem:
            raise Failed(problem, entry)
        tell(Progress(100.0))
        return entry

    async def _follow(self, socket: aiohttp.ClientWebSocketResponse, prompt_id: str, meter: Meter, tell: Callable[[Progress], None]) -> dict | None:
        """The history's entry when the prompt has ended; None where the connection ends first."""
        look = True
        while True:
            if look:
                ahead = await self.ahead(prompt_id)
                entry = await self.history(prompt_id)  # afterwards: it may end in between
                if entry is not None:
                    return entry
                if ahead is None:
                    raise Failed("The server knows nothing of the prompt any more: it was taken out of the queue, or the server was started anew.")
                if ahead:
                    tell(Progress(ahead=ahead))
            try:
                message = await socket.receive(IDLE)
            except asyncio.TimeoutError:
                look = True
                continue
            event = json.loads(message.data) if message.type == aiohttp.WSMsgType.TEXT else None
            look = event is not None and event.get("type") == "status"  # the queue has changed
            if event is None and message.type != aiohttp.WSMsgType.BINARY:  # which is a preview
                return None
            data = event.get("data") if event else None
            # A server tells of others' prompts too, and packs tell of what they like.
            if isinstance(data, dict) and data.get("prompt_id") == prompt_id and meter.read(event):
                tell(meter.now)

    async def queue(self, workflow: dict, prompt_id: str | None = None, client_id: str | None = None) -> str:
        """Queues `workflow`, all or nothing, and returns its prompt id; `run` does this, and waits. Raises: Refused."""
        await self.check(workflow)
        prompt_id = prompt_id or str(uuid.uuid4())  # since 0.25 ComfyUI takes a canonical UUID only
        data = {"prompt": workflow, "prompt_id": prompt_id, "client_id": client_id or prompt_id}
        answer = await self._json("POST", "prompt", accept=(200, 400), json=data)
        if answer.get("error") or answer.get("node_errors"):
            await self.cancel(prompt_id)  # the server runs the branches that are sound, and keeps quiet about the others
            raise Refused(refusal(answer, workflow), answer)
        return prompt_id

    async def check(self, workflow: dict) -> None:
        """Whether the server's Fabula has the nodes, inputs and choices. ComfyUI itself lets inputs pass that no node has, and 0.3.75 any choice.
        Raises: Refused."""
        problems, known = [], {}
        for key, node in workflow.items():
            kind = node["class_type"]
            if not kind.startswith("Fabula_"):
                continue
            if kind not in known:
                known[kind] = (await self._json("GET", f"object_info/{kind}")).get(kind)
            if known[kind] is None:
                problems.append(f"{where(workflow, key)}: the server has no such node. Is Fabula there, and new enough?")
                continue
            inputs = known[kind]["input"].get("required", {}) | known[kind]["input"].get("optional", {})
            for name, value in node["inputs"].items():
                if name not in inputs:
                    problems.append(f"{where(workflow, key)}: no input {name}. There are {', '.join(inputs)}.")
                    continue
                choices = inputs[name][0] if isinstance(inputs[name][0], list) else inputs[name][1].get("options")
                if choices is not None and not isinstance(value, list) and value not in choices:
                    problems.append(f"{where(workflow, key)}, input {name}: there is no {value!r}. Choose one of: {', '.join(map(str, choices))}.")
        if problems:
            raise Refused("\n".join(problems))

    async def upload(self, path: Path | str) -> str:
        """Puts a picture into the server's input folder, over no other. Returns its name there, for LoadImage."""
        form = aiohttp.FormData()
        form.add_field("image", Path(path).read_bytes(), filename=Path(path).name)
        return (await self._json("POST", "upload/image", data=form))["name"]

    async def fetch(self, file: Saved) -> bytes:
        return await self._ask("GET", "view", params={"filename": file.filename, "subfolder": file.subfolder, "type": "output"})

    async def history(self, prompt_id: str) -> dict | None:
        """What the server says of a prompt that has ended; None of any other."""
        return (await self._json("GET", f"history/{prompt_id}")).get(prompt_id)

    async def ahead(self, prompt_id: str) -> int | None:
        """How many prompts the server does before this one; 0 while it runs, None where it neither waits nor runs."""
        queue = await self._json("GET", "queue")
        if any(item[1] == prompt_id for item in queue["queue_running"]):
            return 0
        number = next((item[0] for item in queue["queue_pending"] if item[1] == prompt_id), None)
        return None if number is None else len(queue["queue_running"]) + sum(item[0] < number for item in queue["queue_pending"])

    async def cancel(self, prompt_id: str, patience: float = 10.0) -> bool:
        """Takes this prompt and no other out of the queue, or interrupts it. False where it could not, or the node has not stopped in `patience` seconds."""
        end = time.monotonic() + patience
        with contextlib.suppress(HostError):
            while time.monotonic() < end:  # an interrupt that comes just as a prompt begins is lost on the server
                await self._ask("POST", "queue", json={"delete": [prompt_id]})
                if await self.ahead(prompt_id) is None:
                    return True
                await self._ask("POST", "interrupt", json={"prompt_id": prompt_id})
                await asyncio.sleep(0.2)
        return False

    async def _ask(self, method: str, path: str, accept: tuple[int, ...] = (200,), **request: object) -> bytes:
        try:
            async with self._session.request(method, self.url / path, **request) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise HostError(f"{self._named} does not answer ({error or type(error).__name__}).") from error
        if answer.status not in accept:
            raise HostError(f"{self._named} answers /{path} with {answer.status} {answer.reason}. {body[:200].decode(errors='replace')}".strip())
        return body

    async def _json(self, method: str, path: str, **request: object) -> dict:
        try:
            return json.loads(await self._ask(method, path, **request))
        except ValueError as error:
            raise HostError(f"{self._named} answers /{path} with something else than JSON. Is that a ComfyUI?") from error


async def draw(options: argparse.Namespace) -> int:
    """Draws the story that the command was given, and returns how many files it has written."""
    workflow = read_workflow(options.workflow)
    texts = {name: getattr(options, name) for name in ("characters", "panels", "negative")}
    inputs = {name: read_text(file) for name, file in texts.items() if file}
    if options.style is not None:
        inputs["style"] = options.style
    if inputs:
        change(workflow, options.story, **inputs)
    if options.seed is not None:
        set_seed(workflow, options.seed)
    for setting in options.set:
        node, name, value = read_setting(setting)
        change(workflow, node, **{name: value})
    if options.only:
        workflow = only(workflow, *options.only)
    check_folder(options.output)  # what cannot be kept need not be drawn
    count = 0
    async with ComfyClient(options.server, dict(map(read_header, options.header))) as client:
        entry = await client.run(workflow, Lines())
        for count, file in enumerate(saved_files(entry, workflow), start=1):
            print(keep(options.output, file.filename, await client.fetch(file)))
    if not count:
        raise ValueError("The workflow ran, but saved nothing: it needs a Save Image, Save Video or Save Comic node.")
    return count


def check_folder(folder: Path | str) -> None:
    """Raises: OSError where nothing can be written into `folder`, which need not be there yet."""
    there = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise OSError(f"--output {folder}: {there} is no folder that can be written to.")


def read_text(path: Path | str) -> str:
    """Raises: OSError; ValueError where it is no UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8 ({error}). Save it as UTF-8.") from error


def read_header(text: str) -> tuple[str, str]:
    name, colon, value = (part.strip() for part in text.partition(":"))
    if not (name and colon):
        raise ValueError(f'--header "{text}" is not NAME:VALUE, such as "Authorization: Bearer 1234".')
    return name, value


def read_setting(text: str) -> tuple[str, str, object]:
    """`Comic Page.layout=manga` as node, input and value; the value as JSON where it is JSON."""
    left, equals, value = text.partition("=")
    node, _, name = left.rpartition(".")
    if not (equals and node and name):
        raise ValueError(f'--set "{text}" is not NODE.INPUT=VALUE, such as "Comic Page.layout=manga".')
    with contextlib.suppress(ValueError):
        value = json.loads(value)
    return node, name, value


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # titles in letters that a console has not
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="its address; default: %(default)s")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="sent with every request, as a proxy may ask for")
    parser.add_argument("--workflow", required=True, metavar="FILE", help="a workflow in API form")
    parser.add_argument("--story", default="Fabula_Story", metavar="NODE", help="title or id of the story's node, where there are several")
    for name in ("characters", "panels", "negative"):
        parser.add_argument(f"--{name}", metavar="FILE", help=f"text for its input {name}")
    parser.add_argument("--style", help="a style that the server has")
    parser.add_argument("--seed", type=int, help="seed of every sampler")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help='any other input, such as "Comic Page.layout=manga"')
    parser.add_argument("--only", action="append", default=[], metavar="NODE", help="run what this node needs, and nothing else")
    parser.add_argument("--output", default="pages", metavar="FOLDER", help="where the files go; default: %(default)s")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: the server is told
    try:
        count = asyncio.run(draw(options))
        print(f"{count} {'file' if count == 1 else 'files'} in {options.output}")
    except (HostError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the server was told to drop the run.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
