"""Makes the embedded demo story through a real ComfyUI server, panels, a comic page and a film: `python3 tools/demo.py`."""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = [ROOT / "workflows" / "api" / f"demo_{name}.json" for name in ("story", "film")]
ROWS = {"without": "without consistent attention", "with": "with consistent attention"}


class File(NamedTuple):
    suffix: str
    data: bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workflow", type=Path, nargs="+", default=WORKFLOWS, help="workflows in API form; default: the demo's story, and its film")
    parser.add_argument("--seed", type=int, help="seed of every sampler in it")
    parser.add_argument("--output", type=Path, default=ROOT / "output", help="where the demo's folder is made")
    parser.add_argument("--keep", action="store_true", help="keep the server's folder: its log, its own output")
    options = parser.parse_args()
    environment.run_inside(__file__)

    from queue_story import read_workflow, set_seed
    from server import Server, ServerError

    kept = None
    try:
        workflows = [read_workflow(path) for path in options.workflow]
        if options.seed is not None:
            for workflow in workflows:
                set_seed(workflow, options.seed)
        kept = Path(tempfile.mkdtemp(prefix="fabula-")) if options.keep else None
        print("[fabula] starting ComfyUI ...", flush=True)
        with Server(kept) as server:
            started, count, folder = time.monotonic(), 0, None
            for workflow in workflows:  # what they have in common is made once: the host remembers it
                made = asyncio.run(make(server, workflow))
                folder = folder or new_folder(options.output)
                for path in write(made, folder):  # at once: what is finished is kept, whatever comes
                    print(path)
                    count += 1
            seconds = time.monotonic() - started
    except (ServerError, OSError, ValueError) as error:
        print(f"\n[fabula] {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n[fabula] stopped", file=sys.stderr)
        return 130
    finally:
        if kept:
            print(f"[fabula] the server's folder is {kept}")
    print(f"[fabula] {count} files in {seconds:.0f} s, in {folder}")
    return 0


async def make(server, workflow: dict) -> dict[str, list[File]]:
    """Queues `workflow`, shows its progress, and returns the saved pictures and films by the last part of their prefix."""
    from queue_story import ComfyClient, Failed, HostError, Lines, Refused, saved_files
    from server import ServerError

    made: dict[str, list[File]] = {}
    try:
        async with ComfyClient(server.url) as client:
            entry = await client.run(workflow, Lines())
            for file in saved_files(entry, workflow):
                name = workflow[file.node_id]["inputs"].get("filename_prefix", file.node_id).split("/")[-1]
                made.setdefault(name, []).append(File(Path(file.filename).suffix, await client.fetch(file)))
    except (Refused, Failed) as error:
        raise ServerError(str(error)) from error
    except HostError as error:
        raise ServerError(f"{error} The end of its log:\n{server.log()}") from error
    if not made:
        raise ServerError("The workflow ran, but saved nothing: it needs a SaveImage or SaveVideo node.")
    return made


def new_folder(parent: Path) -> Path:
    """`parent`/demo, or demo-2 and so on: nothing is overwritten."""
    number = 1
    while True:
        folder = parent / ("demo" if number == 1 else f"demo-{number}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def write(made: dict[str, list[File]], folder: Path) -> list[Path]:
    """Writes panels, pages, the film and, where there are both kinds of panels, the sheet that compares them. What has the name already stays, and the new one gets another."""
    paths = []
    for name, files in made.items():
        stem = "panel" if name == "with" else name
        for number, file in enumerate(files, start=1):
            numbered = name in ROWS or len(files) > 1
            paths.append(free(folder / f"{stem}{f'_{number}' if numbered else ''}{file.suffix}"))
            paths[-1].write_bytes(file.data)
    if all(made.get(name) for name in ROWS):
        paths.append(free(folder / "sheet.png"))
        sheet(made).save(paths[-1])
    return paths


def free(path: Path) -> Path:
    """`path`, or one with a number where there is such a file."""
    number, found = 2, path
    while found.exists():
        number, found = number + 1, path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def sheet(made: dict[str, list[File]]):
    """Two rows of panels with a title each: without and with consistent attention."""
    from PIL import Image, ImageDraw, ImageFont

    rows = {title: [Image.open(io.BytesIO(file.data)) for file in made[name]] for name, title in ROWS.items()}
    width, height = next(iter(rows.values()))[0].size
    gap, title_height = max(4, width // 32), max(24, height // 7)
    columns = max(map(len, rows.values()))
    page = Image.new("RGB", (columns * (width + gap) + gap, len(rows) * (height + title_height + gap)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(title_height * 0.6)
    for row, (title, panels) in enumerate(rows.items()):
        top = row * (height + title_height + gap)
        pen.text((gap, top + title_height / 2), title, fill="black", font=font, anchor="lm")
        for column, panel in enumerate(panels):
            page.paste(panel, (gap + column * (width + gap), top + title_height))
    return page


if __name__ == "__main__":
    sys.exit(main())
