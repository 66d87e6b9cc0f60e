"""The nodes as the host sees them."""

import asyncio

import fabula
import pytest
import torch
from PIL import Image

CONTRACT = {
    "Fabula_Story": ["characters", "panels", "style", "negative"],
    "Fabula_EncodeStory": ["clip", "story", "width", "height"],
    "Fabula_ConsistentAttention": [
        "model", "sampling_rate", "id_length", "mode", "tile_size", "schedule", "start_percent", "end_percent", "seed",
    ],
    "Fabula_ComicPage": ["images", "layout", "page_width", "font", "font_size", "seed", "story"],
    "Fabula_LoadDemo": [],
}


@pytest.fixture(scope="module")
def nodes():
    extension = asyncio.run(fabula.comfy_entrypoint())
    asyncio.run(extension.on_load())
    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}


def test_ids_and_inputs_are_the_public_contract(nodes):
    assert {id: [i.id for i in node.GET_SCHEMA().inputs] for id, node in nodes.items()} == CONTRACT


def test_every_input_and_output_has_a_tooltip(nodes):
    for id, node in nodes.items():
        schema = node.GET_SCHEMA()
        assert all(socket.tooltip for socket in [*schema.inputs, *schema.outputs]), id


def test_a_bad_story_lists_all_its_mistakes(nodes):
    with pytest.raises(ValueError, match="(?s)Fabula_Story.*line 1.*Bob.*line 2.*Eve"):
        nodes["Fabula_Story"].execute("[Mia] a girl", "[Bob] waves\n[Eve] runs", "(No style)", "")
    with pytest.raises(ValueError, match="Fabula_Story.*\n.*panels"):
        nodes["Fabula_Story"].execute("[Mia] a girl", "", "(No style)", "")


def test_the_story_node_counts_and_captions(nodes):
    story, count, captions = nodes["Fabula_Story"].execute("[Mia] a girl", "[Mia] waves # Hello!\n[Mia] runs", "(No style)", "").result
    assert (count, captions.splitlines()[0], len(story.panels)) == (2, "Hello!", 2)


def page(nodes, images, story, **changed):
    inputs = {"layout": "grid", "page_width": 600, "font": "(built-in)", "font_size": 20, "seed": 0, **changed}
    return nodes["Fabula_ComicPage"].execute([images], *([value] for value in inputs.values()), story=[story]).result[0]


def test_a_page_shows_every_panel(nodes, story):
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    pages = page(nodes, colours[:, None, None, :].expand(3, 64, 64, 3), story)
    assert len(pages) == 1 and pages[0].shape[2] == 600
    picture = Image.fromarray((pages[0][0] * 255).byte().numpy())
    shown = {colour for _, colour in picture.getcolors(1 << 24)}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= shown


@pytest.mark.parametrize("count", [2, 4])
def test_more_or_fewer_pictures_than_panels_are_refused(nodes, story, count):
    with pytest.raises(ValueError, match=f"Fabula_ComicPage: input 'images' has {count} pictures.*3 panels"):
        page(nodes, torch.zeros(count, 64, 64, 3), story)


def test_a_caption_that_the_font_cannot_draw_is_named(nodes):
    from fabula.story.script import parse_story

    with pytest.raises(ValueError, match="(?s)Fabula_ComicPage.*font.*U\\+72D0"):
        page(nodes, torch.zeros(1, 64, 64, 3), parse_story("", "[NC] a fox # 狐", "(No style)", ""))
