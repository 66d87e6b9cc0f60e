"""The coloured text fields of `Fabula_Story`, in both of the frontend's renderers."""

import json

import pytest

CAST = '[Mia] a girl in a red coat alias="Mimi" # the hero\n[Bob] a man with a grey beard'
PANELS = """## a harbour at dusk
[Mia] waves at [Bob] seed=7 # She waves. Mia: "Look!"
// [Bob] sleeps
[NC] rain on an empty bench
[Bob] reads a newspaper on a bench beside the water while the seagulls cry and the last boats come home # Evening came."""
KEY_A, KEY_Z, CONTROL = 65, 90, 2

HELPERS = """
window.fabulaTest = {
  get node() { return app.graph.nodes.find((node) => node.type === "Fabula_Story"); },
  widget(name) { return this.node.widgets.find((widget) => widget.name === name); },
  part(name, selector) { return this.widget(name).element.parentNode.querySelector(selector); },
  spans(name) {
    return [...this.part(name, ".fabula-colours").querySelectorAll("span[class^=fabula]")].map((span) => [span.className, span.textContent]);
  },
  isShown(name) {
    const field = this.widget(name).element;
    const { left, top, width, height } = field.getBoundingClientRect();
    return width > 100 && height > 20 && document.elementFromPoint(left + width / 2, top + height / 2) === field;
  },
};
"""


class Frontend:
    """What a user does in the page, and what is seen there."""

    def __init__(self, page):
        self.page = page
        page.run(HELPERS)

    def use(self, renderer: str, palette: str = "dark") -> None:
        self.page.run(
            "const settings = app.extensionManager.setting;"
            "await settings.set('Comfy.VueNodes.Enabled', renderer === 'nodes 2.0');"
            "await settings.set('Comfy.ColorPalette', palette);",
            renderer=renderer, palette=palette,
        )

    def add_story(self, characters: str = CAST, panels: str = PANELS) -> None:
        self.page.run(
            "app.graph.clear(); await new Promise((done) => setTimeout(done, 200));"
            "const node = LiteGraph.createNode('Fabula_Story'); node.pos = [0, 0]; app.graph.add(node);"
            "node.setSize([620, 520]); app.canvas.ds.scale = 1.2; app.canvas.ds.offset = [200, 120]; app.canvas.setDirty(true, true);"
        )
        self.set("characters", characters)
        self.set("panels", panels)
        self.settle()

    def settle(self) -> None:
        """Until both fields are on the screen, and the server has been asked what is wrong."""
        for name in ("characters", "panels"):
            self.page.wait("fabulaTest.isShown(name)", name=name)
        self.page.run("await new Promise((done) => setTimeout(done, 900))")

    def set(self, name: str, text: str) -> None:
        self.page.run("fabulaTest.widget(name).value = text", name=name, text=text)

    def value(self, name: str) -> str:
        return self.page.run("return fabulaTest.widget(name).value", name=name)

    def shown(self, name: str) -> str:
        """The text of the coloured layer."""
        return self.page.run(
            "return [...fabulaTest.part(name, '.fabula-colours').children].map((row) => row.textContent).join('\\n')", name=name
        )

    def spans(self, name: str) -> list[list[str]]:
        return self.page.run("return fabulaTest.spans(name)", name=name)

    def part(self, name: str, selector: str) -> str:
        """The text of an element, "" where it is hidden."""
        return self.page.run("const part = fabulaTest.part(name, selector); return part.hidden ? '' : part.textContent",
                             name=name, selector=selector)

    def click_into(self, name: str) -> None:
        box = self.page.run("return fabulaTest.part(name, 'textarea').getBoundingClientRect().toJSON()", name=name)
        self.page.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.wait("document.activeElement === fabulaTest.part(name, 'textarea')", name=name)

    def prompt(self) -> dict:
        """The inputs of the node, as they are sent to the server."""
        prompt = json.loads(self.page.run("return JSON.stringify((await app.graphToPrompt()).output)"))
        return next(node["inputs"] for node in prompt.values() if node["class_type"] == "Fabula_Story")


@pytest.fixture(scope="session")
def session(frontend):
    return Frontend(frontend)


@pytest.fixture(params=["classic", "nodes 2.0"])
def page(session, request):
    session.use(request.param)
    session.add_story()
    return session


@pytest.mark.parametrize("palette", ["dark", "light"])
def test_both_fields_are_coloured(page, picture, palette):
    page.page.run("await app.extensionManager.setting.set('Comfy.ColorPalette', palette)", palette=palette)
    page.set("panels", PANELS + "\n[Maya] runs seed=x\n[Mia]")
    page.settle()
    picture()
    assert page.shown("characters") == CAST
    assert page.shown("panels") == page.value("panels")
    assert page.spans("characters") == [
        ["fabula-name", "[Mia]"], ["fabula-option", 'alias="Mimi"'], ["fabula-note", "# the hero"], ["fabula-name", "[Bob]"]
    ]
    spans = page.spans("panels")
    for kind in ("scene", "name", "option", "caption", "speaker", "speech", "comment", "nobody"):
        assert any(name == f"fabula-{kind}" for name, _ in spans), kind
    assert ["fabula-unknown fabula-wrong", "[Maya]"] in spans


def test_both_layers_break_their_lines_at_the_same_places(page):
    page.set("panels", "\n".join(f"[Mia] {'walks on and on, ' * number}# {'字' * number} سارة تمشي" for number in range(40)) + "\n\n")
    page.settle()
    heights = page.page.run(
        "return ['textarea', '.fabula-colours'].map((layer) => fabulaTest.part('panels', layer))"
        ".map((layer) => [layer.clientWidth, layer.scrollHeight])"
    )
    assert heights[0] == heights[1]
    page.page.run("fabulaTest.part('panels', 'textarea').scrollTop = 200; await new Promise(requestAnimationFrame)")
    page.page.wait("fabulaTest.part('panels', '.fabula-colours').scrollTop === 200")


def test_typing_changes_the_widget_the_prompt_and_the_saved_workflow(page):
    page.click_into("panels")
    page.page.press("a", KEY_A, CONTROL)
    page.page.run("fabulaTest.part('panels', 'textarea').select()")
    page.page.type("[Mia] runs 走る # Away!")
    assert page.value("panels") == page.shown("panels") == "[Mia] runs 走る # Away!"
    assert page.prompt()["panels"] == "[Mia] runs 走る # Away!" and page.prompt()["characters"] == CAST
    saved = page.page.run("return app.graph.serialize().nodes[0].widgets_values")
    assert saved[:2] == [CAST, "[Mia] runs 走る # Away!"] and len(saved) == 4
    page.page.press("z", KEY_Z, CONTROL)
    page.page.wait("fabulaTest.widget('panels').value === text", text=PANELS)
    assert page.shown("panels") == PANELS


def test_what_is_wrong_is_underlined_and_said(page):
    page.set("panels", "[Mia] waves\n[Maya] runs seed=x\n[Mia] sits")
    page.settle()
    assert ["fabula-unknown fabula-wrong", "[Maya]"] in page.spans("panels")
    assert ["fabula-option fabula-wrong", "seed=x"] in page.spans("panels")
    assert page.part("panels", ".fabula-jump") == "2 mistakes"
    assert page.part("panels", ".fabula-message").startswith("Line 2: ")
    assert page.part("characters", ".fabula-message") == ""
    page.page.run("fabulaTest.part('panels', '.fabula-jump').click()")
    assert page.page.run("return fabulaTest.part('panels', 'textarea').selectionStart") == len("[Mia] waves\n")
    page.set("panels", "[Mia] waves\n[Mia] runs")
    page.settle()
    assert page.part("panels", ".fabula-jump") == page.part("panels", ".fabula-message") == ""
    assert not any("wrong" in kind for kind, _ in page.spans("panels"))


def test_a_character_that_is_added_is_known_in_the_panels(page):
    page.set("panels", "[Maya] runs")
    page.settle()
    assert page.spans("panels") == [["fabula-unknown fabula-wrong", "[Maya]"]]
    page.set("characters", CAST + "\n[Maya] a woman")
    page.settle()
    assert page.spans("panels") == [["fabula-name", "[Maya]"]]


def test_panels_and_characters_are_counted(page):
    assert page.part("characters", ".fabula-count") == "2 characters"
    assert page.part("panels", ".fabula-count") == "3 panels"
    page.set("panels", "[Mia] waves")
    assert page.part("panels", ".fabula-count") == "1 panel"


def test_a_workflow_that_is_loaded_shows_its_texts(page):
    page.page.run(
        "const saved = JSON.parse(JSON.stringify(app.graph.serialize())); app.graph.clear(); await app.loadGraphData(saved)"
    )
    page.settle()
    assert (page.value("characters"), page.value("panels")) == (CAST, PANELS)
    assert (page.shown("characters"), page.shown("panels")) == (CAST, PANELS)


def test_a_copy_has_the_texts_and_a_field_of_its_own(page):
    page.page.run(
        "const { node } = fabulaTest; const copy = node.clone(); copy.pos = [700, 0]; app.graph.add(copy);"
        "copy.widgets[1].value = 'a bench'"
    )
    assert page.value("panels") == PANELS
    assert page.page.run("return app.graph.nodes[1].widgets.slice(0, 2).map((widget) => widget.value)") == [CAST, "a bench"]


def test_a_field_with_a_link_is_not_judged(page):
    page.set("panels", "[Maya] runs")
    page.page.run(
        "const text = LiteGraph.createNode('PrimitiveStringMultiline'); text.pos = [-450, 0]; app.graph.add(text);"
        "text.connect(0, fabulaTest.node, fabulaTest.node.findInputSlot('characters'))"
    )
    page.page.run("await new Promise((done) => setTimeout(done, 900))")
    assert page.spans("panels") == [["fabula-name", "[Maya]"]]
    assert page.part("panels", ".fabula-message") == ""
    assert page.page.run("return fabulaTest.part('characters', 'textarea').readOnly")
    assert isinstance(page.prompt()["characters"], list)
    page.page.run("fabulaTest.node.disconnectInput(fabulaTest.node.findInputSlot('characters'))")
    page.settle()
    assert page.spans("panels") == [["fabula-unknown fabula-wrong", "[Maya]"]]
    assert not page.page.run("return fabulaTest.part('characters', 'textarea').readOnly")


def test_a_very_long_text_is_shown_without_colours_and_stays_quick(page):
    page.set("panels", "\n".join(["[Mia] walks with [Bob] # They walk."] * 10_000))
    assert page.page.run("return fabulaTest.part('panels', '.fabula-colours').hidden")
    assert page.part("panels", ".fabula-count") == "10000 panels"
    page.page.run("fabulaTest.part('panels', 'textarea').select()")
    page.click_into("panels")
    took = page.page.run("const start = performance.now(); document.execCommand('insertText', false, 'x'); return performance.now() - start")
    assert took < 1000
    page.set("panels", PANELS)
    assert page.shown("panels") == PANELS


def test_the_text_stays_when_the_renderer_changes(session):
    session.use("classic")
    session.add_story()
    for renderer in ("nodes 2.0", "classic"):
        session.use(renderer)
        session.settle()
        assert session.value("panels") == session.shown("panels") == PANELS


def test_a_node_that_is_removed_asks_nothing_more(session):
    session.use("classic")
    session.add_story()
    session.page.run(
        "window.fabulaAsked = 0; const { fetch } = window;"
        "window.fetch = (url, ...rest) => { window.fabulaAsked += String(url).includes('fabula/check'); return fetch(url, ...rest) }"
    )
    session.set("panels", "[Mia] runs")
    session.page.run("app.graph.clear(); await new Promise((done) => setTimeout(done, 900))")
    assert session.page.run("return window.fabulaAsked") == 0


def test_no_file_of_the_pack_has_written_an_error(session):
    session.page.run("return 0")  # reads what the page has said up to now
    # The frontend itself asks its registry for each node's pack, which has no answer without a network.
    errors = [error for error in session.page.errors if "api.comfy.org" not in error[1]]
    assert [error for error in errors if "fabula" in " ".join(error).lower()] == []
