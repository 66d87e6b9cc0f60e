"""The two forms of a workflow: the one that the queue takes (`workflows/api`), and the one that the browser opens."""

from __future__ import annotations

import uuid
from graphlib import TopologicalSorter

from .graph import Node, Note, Output, Workflow
from .layout import Box, place

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
VIEW = {"scale": 0.6, "offset": [150, 270]}  # how it opens: clear of the frontend's bars
OPTIONAL = 7  # LiteGraph's shape of a socket that may stay open


class Input:
    """An input as the host describes it (`/object_info`)."""

    def __init__(self, name: str, spec: list, optional: bool) -> None:
        kind, self.options = spec[0], spec[1] if len(spec) > 1 else {}
        self.name, self.optional = name, optional
        self.choices = kind if isinstance(kind, list) else self.options.get("options", []) if kind == "COMBO" else None
        self.type = "COMBO" if self.choices is not None else kind
        self.is_widget = self.type in WIDGETS and not self.options.get("forceInput")

    @property
    def default(self) -> object:
        if "default" in self.options:
            return float(self.options["default"]) if self.type == "FLOAT" else self.options["default"]
        if self.choices:
            return self.choices[0]
        return {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}[self.type]

    def added_values(self) -> list:
        """Of the widgets that the frontend adds behind this one: what a seed does after a run, the button of an upload."""
        if self.options.get("control_after_generate"):
            return ["fixed"]
        return ["image"] if self.options.get("image_upload") else []


def inputs_of(node: Node, host_nodes: dict) -> list[Input]:
    """In the host's order. Raises ValueError where the description names what the host has not, or leaves out what it needs."""
    if node.kind not in host_nodes:
        raise ValueError(f"{node.title}: the host has no node '{node.kind}'.")
    info = host_nodes[node.kind]
    inputs = [Input(name, spec, part == "optional") for part in ("required", "optional") for name, spec in info["input"].get(part, {}).items()]
    unknown = set(node.inputs) - {each.name for each in inputs}
    missing = {each.name for each in inputs if not each.optional and not each.is_widget} - set(node.inputs)
    if unknown or missing:
        raise ValueError(f"{node.title} ({node.kind}): unknown inputs {sorted(unknown)}, missing inputs {sorted(missing)}.")
    return inputs


def api_form(workflow: Workflow, host_nodes: dict) -> dict:
    """As `Export (API)` of the frontend writes it: every widget has its value, also those that the description leaves at their defaults."""
    nodes = {}
    for node in workflow.nodes:
        values = {}
        for each in inputs_of(node, host_nodes):
            value = node.inputs.get(each.name)
            if isinstance(value, Output):
                values[each.name] = [str(value.node.key), value.slot]
            elif each.is_widget:
                values[each.name] = each.default if value is None else value
        nodes[str(node.key)] = {"inputs": values, "class_type": node.kind, "_meta": {"title": node.title}}
    return nodes


def browser_form(workflow: Workflow, host_nodes: dict, versions: dict[str, str]) -> dict:
    """Format 0.4, which the frontend saves. versions: by the id of a pack in the registry, `comfy-core` for the host's own nodes."""
    inputs = {node: inputs_of(node, host_nodes) for node in workflow.nodes}
    sockets = {node: sorted(inputs[node], key=lambda each: each.is_widget) for node in workflow.nodes}  # those of widgets last, as the frontend has them
    links = []
    for node in workflow.nodes:
        for slot, each in enumerate(sockets[node]):
            source = node.inputs.get(each.name)
            if isinstance(source, Output):
                kind = host_nodes[source.node.kind]["output"][source.slot]
                links.append([len(links) + 1, source.node.key, source.slot, node.key, slot, kind])
    boxes, frames = place(workflow, {node: (len([i for i in sockets[node] if not i.is_widget]), len(host_nodes[node.kind]["output"]), widgets(inputs[node])) for node in workflow.nodes})
    waits = {node: {value.node for value in node.inputs.values() if isinstance(value, Output)} for node in workflow.nodes}
    order = {node: number for number, node in enumerate(TopologicalSorter(waits).static_order())}
    key = len(workflow.nodes)
    made = []
    for group in (group for column in workflow.columns for group in column):
        for member in group.members:
            if isinstance(member, Note):
                key += 1
                made.append(_note(member, key, boxes[member], len(order) + key))
            else:
                made.append(_node(member, boxes[member], order[member], inputs[member], sockets[member], host_nodes[member.kind], links, versions))
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"fabula/{workflow.name}")), "revision": 0,
        "last_node_id": key, "last_link_id": len(links),
        "nodes": sorted(made, key=lambda node: node["id"]), "links": links,
        "groups": [
            {"id": number, "title": group.title, "bounding": list(box), "color": group.colour, "font_size": 24, "flags": {}}
            for number, (group, box) in enumerate(frames.items(), start=1)
        ],
        "config": {}, "extra": {"ds": VIEW}, "version": 0.4,
    }


def widgets(inputs: list[Input]) -> list[bool]:
    """One for each of a node's widgets in their order: whether it is a text of several lines."""
    found = []
    for each in (each for each in inputs if each.is_widget):
        found += [bool(each.options.get("multiline"))] + [False] * len(each.added_values())
    return found


def _node(node: Node, box: Box, order: int, inputs: list[Input], sockets: list[Input], info: dict, links: list[list], versions: dict[str, str]) -> dict:
    pack = "fabula" if node.kind.startswith("Fabula_") else "comfy-core"
    properties: dict[str, object] = {"cnr_id": pack, "ver": versions[pack], "Node name for S&R": node.kind}
    if node.downloads:
        properties["models"] = [{"name": each.name, "url": each.url, "directory": each.folder} for each in node.downloads]
    values = []
    for each in (each for each in inputs if each.is_widget):
        value = node.inputs.get(each.name)
        values += [("" if each.type == "STRING" else each.default) if isinstance(value, Output) else each.default if value is None else value, *each.added_values()]
    into = {link[4]: link[0] for link in links if link[3] == node.key}
    out = [[link[0] for link in links if link[1] == node.key and link[2] == slot] for slot in range(len(info["output"]))]
    return {
        "id": node.key, "type": node.kind, "title": node.title, "pos": [box.x, box.y], "size": [box.width, box.height], "flags": {}, "order": order, "mode": 0,
        "inputs": [
            {
                "name": each.name, "type": each.type, **({"shape": OPTIONAL} if each.optional else {}),
                **({"widget": {"name": each.name}} if each.is_widget else {}), "link": into.get(slot),
            }
            for slot, each in enumerate(sockets)
        ],
        "outputs": [
            {"name": name, "type": kind, **({"shape": 6} if is_list else {}), "slot_index": slot, "links": out[slot] or None}
            for slot, (name, kind, is_list) in enumerate(zip(info["output_name"], info["output"], info["output_is_list"]))
        ],
        "properties": properties, "widgets_values": values,
    }


def _note(note: Note, key: int, box: Box, order: int) -> dict:
    return {
        "id": key, "type": "MarkdownNote", "title": "Note", "pos": [box.x, box.y], "size": [box.width, box.height], "flags": {}, "order": order, "mode": 0,
        "inputs": [], "outputs": [], "properties": {}, "widgets_values": [note.text], "color": "#432", "bgcolor": "#653",
    }
