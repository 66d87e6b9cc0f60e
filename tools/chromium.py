"""Chromium without a window, driven over its DevTools protocol. Needs aiohttp, which the host brings along."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1400,1000", "--remote-debugging-port=0",
)
TIMEOUT = 60  # seconds, for one answer


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class PageError(RuntimeError):
    """The browser refused a command, or a script in the page threw."""


class Chromium:
    """`with Chromium(program, folder) as browser:` starts it with a profile in `folder`, and always stops it."""

    def __init__(self, program: str, folder: Path):
        self._command = [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        self._port_file = folder / "DevToolsActivePort"
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Chromium:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + TIMEOUT
            while not (self._port_file.exists() and self._port_file.read_text().count("\n")):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise PageError("Chromium did not start.")
                time.sleep(0.1)
            self._session = self._loop.run_until_complete(self._open_session())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._session.close())
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._loop.close()

    async def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    def open(self, url: str) -> Page:
        return Page(self._loop, self._loop.run_until_complete(self._open(url)))

    async def _open(self, url: str) -> aiohttp.ClientWebSocketResponse:
        port = self._port_file.read_text().split()[0]
        async with self._session.put(f"http://127.0.0.1:{port}/json/new?{url}") as answer:
            target = await answer.json()
        return await self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)


class Page:
    """One tab. `errors` holds what it has written to the console as an error, and what it has thrown: (text, file)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse):
        self._loop, self._socket, self._sent = loop, socket, 0
        self.errors: list[tuple[str, str]] = []
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        self._sent += 1
        return self._loop.run_until_complete(self._call({"id": self._sent, "method": method, "params": parameters}))

    async def _call(self, command: dict) -> dict:
        await self._socket.send_json(command)
        while True:
            message = await asyncio.wait_for(self._socket.receive_json(), TIMEOUT)
            if message.get("id") == command["id"]:
                if "error" in message:
                    raise PageError(f"{command['method']}: {message['error']['message']}")
                return message["result"]
            self._keep_error(message)

    def _keep_error(self, event: dict) -> None:
        given = event["params"]
        if event["method"] == "Runtime.exceptionThrown":
            thrown = given["exceptionDetails"]
            text = thrown.get("exception", {}).get("description", thrown["text"])
            self.errors.append((text, thrown.get("url", "")))
        elif event["method"] == "Runtime.consoleAPICalled" and given["type"] == "error":
            frames = given.get("stackTrace", {}).get("callFrames", [])
            text = " ".join(str(part.get("value", part.get("description", ""))) for part in given["args"])
            self.errors.append((text, " ".join(frame["url"] for frame in frames)))
        elif event["method"] == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.errors.append((given["entry"]["text"], given["entry"].get("url", "")))

    def run(self, body: str, **values):
        """What the function body returns, `await` allowed; `values` are constants in it."""
        constants = "".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
        # Held by the page: a promise that nobody holds may be collected before it is settled.
        expression = f"globalThis.lastRun = (async () => {{ {constants} {body} }})()"
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise PageError(done["exceptionDetails"]["exception"].get("description", "a script threw"))
        return done["result"].get("value")

    def wait(self, condition: str, timeout: float = 20, **values):
        """The value of a JavaScript expression as soon as it is true."""
        end = time.monotonic() + timeout
        while not (value := self.run(f"return {condition}", **values)):
            if time.monotonic() > end:
                raise PageError(f"It did not become true in {timeout:.0f} s: {condition}")
            time.sleep(0.1)
        return value

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def hover(self, x: float, y: float) -> None:
        """The pointer comes to rest there; tooltips are for pointers that have moved."""
        for step in (2, 1, 0):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + step, y=y)

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, modifiers=modifiers)

    def type(self, text: str) -> None:
        """As an input method enters it."""
        self.call("Input.insertText", text=text)

    def picture(self) -> bytes:
        """The window, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
