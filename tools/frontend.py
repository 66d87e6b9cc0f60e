"""The host's frontend in a browser: workflows are opened, looked at and read back."""

from __future__ import annotations

from chromium import Chromium, Page

READY = "window.app?.graph && window.LiteGraph?.registered_node_types.Fabula_Story"
SETTINGS = {"Comfy.TutorialCompleted": True}  # of the server, ahead of the first page: else the templates stand over the canvas
EDGE, TOP = 60, 180  # pixels of the window around a whole graph, and above it, where the frontend has its tabs


class FrontendPage:
    def __init__(self, page: Page) -> None:
        self.page, self.nodes_2 = page, False

    @classmethod
    def open(cls, browser: Chromium, server) -> FrontendPage:
        """The frontend of a running server, ready to be used."""
        server.post_json("/settings", SETTINGS)
        page = browser.open(server.url)
        page.wait(READY, timeout=180)
        return cls(page)

    def use(self, nodes_2: bool) -> None:
        """Nodes 2.0, or the classic canvas."""
        self.nodes_2 = nodes_2
        self.page.run("await app.extensionManager.setting.set('Comfy.VueNodes.Enabled', nodes_2)", nodes_2=nodes_2)

    def window(self, width: int, height: int) -> None:
        self.page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def tidy(self) -> None:
        """No map over the graph, and texts at every size."""
        self.page.run(
            "const settings = app.extensionManager.setting;"
            "for (const name of ['Comfy.Minimap.Visible', 'Comfy.Graph.CanvasMenu', 'Comfy.Graph.CanvasInfo']) await settings.set(name, false);"
            "await settings.set('LiteGraph.Canvas.MinFontSizeForLOD', 0);"
        )

    def bare(self) -> None:
        """Nothing but the graph."""
        self.tidy()
        self.page.run(
            "await app.extensionManager.command.execute('Workspace.ToggleFocusMode');"
            "const style = document.createElement('style');"
            "style.textContent = '.actionbar, .p-panel, .p-toast, .p-message, .workflow-tabs-container, .p-floatlabel { display: none !important }';"
            "document.head.append(style);"
        )

    def load(self, name: str, workflow: dict) -> None:
        """Opens a workflow as a file dropped on the canvas; the dialog about files that are not there is closed."""
        self.page.run("await app.loadGraphData(workflow, true, true, name)", workflow=workflow, name=name)
        self.page.wait("app.graph.nodes.length === count", count=len(workflow["nodes"]))
        self.settle()
        self.close_dialogs()

    def close_dialogs(self) -> None:
        self.page.run("document.querySelectorAll('.p-dialog-close-button, [role=dialog] [aria-label=Close]').forEach((button) => button.click())")
        self.settle()

    def settle(self, milliseconds: int = 700) -> None:
        self.page.run("await new Promise((done) => setTimeout(done, milliseconds))", milliseconds=milliseconds)

    def show_all(self) -> None:
        self.page.run(
            "const boxes = [...app.graph.groups].map((group) => [...group.boundingRect]);"
            "const left = Math.min(...boxes.map((box) => box[0])), top = Math.min(...boxes.map((box) => box[1]));"
            "const right = Math.max(...boxes.map((box) => box[0] + box[2])), bottom = Math.max(...boxes.map((box) => box[1] + box[3]));"
            "const window = app.canvas.canvas.getBoundingClientRect();"
            "const scale = Math.min((window.width - 2 * edge) / (right - left), (window.height - upper - edge) / (bottom - top));"
            "app.canvas.ds.scale = scale;"
            "app.canvas.ds.offset = [window.width / scale / 2 - (left + right) / 2, upper / scale - top];"
            "app.canvas.setDirty(true, true);",
            edge=EDGE, upper=TOP,
        )
        self.settle(1500)

    def prompt(self) -> dict:
        """The open workflow as the frontend would queue it."""
        return self.page.run("return (await app.graphToPrompt()).output")
