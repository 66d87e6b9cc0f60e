"""Draws the pictures that the template browser shows of each workflow: `python3 tools/write_thumbnails.py [NAME ...]`.

Of the demo's workflows it is what they make; of those for models of one's own, which are not run here, what they look like. Needs Chromium.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment  # noqa: E402

FOLDER = environment.ROOT / "workflows"
FONT = environment.ROOT / "comic" / "fonts" / "ComicNeue-Bold.otf"
SIZE = (720, 480)
WINDOW = (2160, 1440)  # the graph is drawn large, so that its texts can be read, and made smaller
SHOWN = {  # of the demo's workflows: which of the files that they save, by the ends of their prefixes, how many of each, in how many columns
    "demo_story": (("with",), 6, 3), "demo_two_characters": (("two_characters",), 6, 3), "demo_identity": (("both",), 6, 3), "demo_pages": (("grid", "manga", "free"), 1, 3),
    "demo_film": (("story",), 1, 4),
}
FRAMES = range(0, 33, 4)  # of a film


def main() -> int:
    environment.run_inside(__file__)
    names = sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.json"))
    from server import Server

    with Server() as server:
        for name in (name for name in names if name in SHOWN):
            save(name, results(server, name))
        graphs = [name for name in names if name not in SHOWN]
        if graphs:
            for name, picture in zip(graphs, screenshots(server, graphs)):
                save(name, picture)
    return 0


def save(name: str, picture) -> None:
    path = FOLDER / f"{name}.jpg"
    picture.convert("RGB").save(path, quality=85, optimize=True)
    print(f"{path.relative_to(environment.ROOT)}: {path.stat().st_size // 1024} KB")


def results(server, name: str):
    """What a workflow saves, in rows on white."""
    from PIL import Image, ImageOps
    from server import failure

    nodes = json.loads((FOLDER / "api" / f"{name}.json").read_text(encoding="utf-8"))
    entry = server.wait(server.queue(nodes))
    if problem := failure(entry):
        raise SystemExit(problem)
    prefixes, count, columns = SHOWN[name]
    outputs = {nodes[key]["inputs"].get("filename_prefix", "").split("/")[-1]: output.get("images") for key, output in entry["outputs"].items()}
    files = [file for prefix in prefixes for file in outputs[prefix][:count]]
    pictures = [picture for file in files for picture in pictures_of(server.view(file), file["filename"])]
    rows = -(-len(pictures) // columns)
    page, gap = Image.new("RGB", SIZE, "white"), 6
    width, height = (SIZE[0] - gap) // columns - gap, (SIZE[1] - gap) // rows - gap
    for number, picture in enumerate(pictures):
        fitted = ImageOps.fit(picture, (width, height), centering=(0.5, 0.0 if rows == 1 else 0.5))
        page.paste(fitted, (gap + number % columns * (width + gap), gap + number // columns * (height + gap)))
    return page


def pictures_of(data: bytes, name: str) -> list:
    from PIL import Image

    if not name.endswith(".mp4"):
        return [Image.open(io.BytesIO(data))]
    import av

    with av.open(io.BytesIO(data)) as film:
        frames = [frame.to_image() for frame in film.decode(video=0)]
    return [frames[number] for number in FRAMES]


def screenshots(server, names: list[str]):
    """Yields each graph in the classic canvas, whole."""
    from chromium import Chromium, find_chromium
    from frontend import FrontendPage
    from PIL import Image, ImageOps

    program = find_chromium()
    if not program:
        raise SystemExit("There is no Chromium on this machine, in which the graphs would be drawn.")
    with tempfile.TemporaryDirectory() as folder, Chromium(program, Path(folder)) as browser:
        frontend = FrontendPage.open(browser, server)
        frontend.window(*WINDOW)
        frontend.bare()
        for name in names:
            frontend.load(name, json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))
            frontend.show_all()
            picture = Image.open(io.BytesIO(frontend.page.picture()))
            yield named(name, ImageOps.fit(picture, SIZE, Image.Resampling.LANCZOS))


def named(name: str, picture):
    """Its name in large letters below: small graphs look much alike."""
    from PIL import Image, ImageDraw, ImageFont

    band, letters = 90, ImageFont.truetype(str(FONT), 54)
    made = Image.new("RGB", SIZE, "#202020")
    width = round(SIZE[0] * (SIZE[1] - band) / SIZE[1])
    made.paste(picture.convert("RGB").resize((width, SIZE[1] - band), Image.Resampling.LANCZOS), ((SIZE[0] - width) // 2, 0))
    ImageDraw.Draw(made).text((SIZE[0] / 2, SIZE[1] - band / 2), name.replace("_", " "), "white", letters, "mm")
    return made


if __name__ == "__main__":
    sys.exit(main())
