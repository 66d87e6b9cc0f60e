"""The shipped workflows in the real frontend: they open whole, are laid out, and run from the Run button."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from frontend import FrontendPage
from host_differences import CODEC_HAS_SETTINGS, here
from write_thumbnails import SIZE as THUMBNAIL

FOLDER = Path(__file__).resolve().parents[2] / "workflows"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
FRONTEND_S_OWN = {("PreviewAny", "preview")}  # widgets that are no inputs of the node

BOXES = """return app.graph.nodes.map((node) => {
  const [x, y, width, height] = node.boundingRect;
  return { title: node.title, x, y, width, height };
})"""
BOXES_NODES_2 = """const { scale, offset } = app.canvas.ds;
const canvas = app.canvas.canvas.getBoundingClientRect();
return app.graph.nodes.map((node) => {
  const { left, top, width, height } = document.querySelector(`[data-node-id="${node.id}"]`).getBoundingClientRect();
  return { title: node.title, x: (left - canvas.left) / scale - offset[0], y: (top - canvas.top) / scale - offset[1], width: width / scale, height: height / scale };
})"""
GROUPS = "return app.graph.groups.map((group) => { const [x, y, width, height] = group.boundingRect; return { title: group.title, x, y, width, height }; })"


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes 2.0"])
def opened(request, frontend):
    page = FrontendPage(frontend)
    page.use(nodes_2=request.param)
    page.tidy()
    yield page
    page.use(nodes_2=False)
    page.page.run("app.graph.clear()")


def workflow(name: str, folder: Path = FOLDER) -> dict:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_whole_laid_out_and_as_the_queue_gets_it(name, opened, picture):
    opened.page.errors.clear()
    opened.load(name, workflow(name))
    opened.show_all()
    picture()
    stand_in_their_groups_and_not_on_one_another(opened)
    unknown = opened.page.run("return app.graph.nodes.filter((node) => !LiteGraph.registered_node_types[node.type]).map((node) => node.type)")
    assert not unknown, "red nodes"
    assert queued(opened.prompt()) == queued(workflow(name, FOLDER / "api"))
    ours = [(text, file) for text, file in opened.page.errors if "/extensions/fabula/" in text + file]
    assert not ours


def queued(prompt: dict) -> dict:
    """Without what the frontend alone knows, and what this host has otherwise than the one on which the files were written."""
    others = {("SaveVideo", name) for name in ("format", "codec")} if here(CODEC_HAS_SETTINGS) else set()
    return {
        key: (node["class_type"], node["_meta"]["title"], {
            name: value for name, value in node["inputs"].items() if (node["class_type"], name.split(".")[0]) not in FRONTEND_S_OWN | others
        })
        for key, node in prompt.items()
    }


def stand_in_their_groups_and_not_on_one_another(opened):
    nodes = opened.page.run(BOXES_NODES_2 if opened.nodes_2 else BOXES)
    groups = opened.page.run(GROUPS)
    for one, other in combinations(nodes, 2):
        assert not overlap(one, other), (one, other)
    for one, other in combinations(groups, 2):
        assert not overlap(one, other), (one, other)
    for node in nodes:
        assert any(inside(node, group) for group in groups), node


def overlap(one: dict, other: dict) -> bool:
    return all(one[at] + 1 < other[at] + other[size] and other[at] + 1 < one[at] + one[size] for at, size in (("x", "width"), ("y", "height")))


def inside(node: dict, group: dict) -> bool:
    return all(group[at] <= node[at] + 1 and node[at] + node[size] <= group[at] + group[size] + 1 for at, size in (("x", "width"), ("y", "height")))


DIALOG = """window.fabulaDialog = {
  word(text) { return [...document.querySelectorAll("[role=dialog] *")].find((each) => each.childElementCount === 0 && each.textContent.trim() === text); },
  get pictures() { return [...document.querySelectorAll("[role=dialog] img")]; },
};"""


def test_the_template_browser_shows_them_with_their_pictures(opened, picture):
    page = opened.page
    page.run(DIALOG)
    page.run("await app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.wait("Boolean(fabulaDialog.word('fabula'))")
    page.run("fabulaDialog.word('fabula').click()")
    page.wait("names.every((name) => fabulaDialog.word(name))", names=NAMES)
    page.wait("fabulaDialog.pictures.length > 3 && fabulaDialog.pictures.every((each) => each.naturalWidth === width)", width=THUMBNAIL[0])
    picture()
    page.run("fabulaDialog.word(name).scrollIntoView(); fabulaDialog.word(name).click()", name="film_animatediff")
    page.wait("app.graph.nodes.some((node) => node.type === 'Fabula_ApplyMotion')")
    opened.close_dialogs()


def test_the_demo_runs_from_the_run_button_to_pictures(opened, picture):
    page = opened.page
    opened.load("demo_story", workflow("demo_story"))
    seed = 3 if opened.nodes_2 else 1  # not what the host remembers
    page.run("app.graph.nodes.filter((node) => node.type === 'KSampler').forEach((node) => { node.widgets.find((each) => each.name === 'seed').value = seed; })", seed=seed)
    x, y = page.run(
        "const button = [...document.querySelectorAll('button')].find((each) => each.textContent.trim() === 'Run');"
        "const { left, top, width, height } = button.getBoundingClientRect(); return [left + width / 2, top + height / 2];"
    )
    page.click(x, y)
    shown = "app.nodeOutputs[app.graph.nodes.find((node) => node.title === title).id]?.images?.length"
    assert page.wait(shown, timeout=300, title="Panels, with") == 6
    assert page.wait(shown, timeout=60, title="Page") == 1
    opened.show_all()
    picture()
