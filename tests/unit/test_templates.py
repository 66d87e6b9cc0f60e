"""The shipped workflows as files: what a reader of the graph relies on."""

import json
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).resolve().parents[2] / "workflows").glob("*.json"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def graph(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_its_links_go_from_left_to_right(graph):
    left = {node["id"]: node["pos"][0] for node in graph["nodes"]}
    assert graph["links"] and all(left[source] <= left[target] for _, source, _, target, _, _ in graph["links"])


def test_it_says_what_it_is_for(graph):
    notes = [node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "MarkdownNote"]
    assert any(note.startswith("**") and len(note) > 60 for note in notes) and len(graph["groups"]) > 2


def test_its_stories_are_right(graph):
    from fabula.story.script import parse_story

    stories = [node for node in graph["nodes"] if node["type"] == "Fabula_Story"]
    assert stories
    for node in stories:
        if not any(each["name"] == "panels" and each["link"] for each in node["inputs"]):
            characters, panels, style, negative = node["widgets_values"]
            assert len(parse_story(characters, panels, style, negative).panels) >= 2
