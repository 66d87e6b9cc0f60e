"""The pack in a real ComfyUI server, over HTTP."""

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from host_differences import CHOICES_ARE_CHECKED, here
from PIL import Image, ImageFont
from server import Server, ServerError, failure

WORKFLOW = Path(__file__).resolve().parents[2] / "workflows" / "api" / "demo_story.json"


@pytest.fixture()
def workflow():
    """The shipped workflow, with fewer steps."""
    nodes = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    for node in nodes.values():
        if node["class_type"] == "KSampler":
            node["inputs"]["steps"] = 3
    return nodes


@pytest.fixture()
def nodes_by_kind(workflow):
    return {node["class_type"]: node["inputs"] for node in workflow.values()}


def pictures(server, entry, workflow, prefix):
    return [
        Image.open(io.BytesIO(server.view(image)))
        for node_id, output in entry["outputs"].items()
        if workflow[node_id]["inputs"].get("filename_prefix") == prefix
        for image in output["images"]
    ]


def test_the_shipped_workflow_runs_to_pictures(server, workflow):
    entry = server.wait(server.queue(workflow))
    assert failure(entry) is None
    with_, without, pages = (pictures(server, entry, workflow, f"fabula/{name}") for name in ("with", "without", "page"))
    assert len(with_) == len(without) == 6 and len(pages) == 1
    assert all(picture.size == (256, 256) for picture in with_ + without)
    assert all(a.tobytes() != b.tobytes() for a, b in zip(with_, without))
    assert all(max(high - low for low, high in picture.getextrema()) > 60 for picture in with_)


def test_the_demo_s_film_goes_through_its_panels(server):
    """Four panels and what is between them: each panel is in the film as it is, and shown once."""
    nodes = json.loads((WORKFLOW.parent / "demo_film.json").read_text(encoding="utf-8"))
    for node in nodes.values():
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = 2
        if node["class_type"] == "Fabula_CaptionFilm":
            node["inputs"]["mode"] = "subtitles"
    keyframes = next(key for key, node in nodes.items() if node["class_type"] == "ImageFromBatch")
    nodes["keyframes"] = {"class_type": "SaveImage", "inputs": {"images": [keyframes, 0], "filename_prefix": "keyframes"}}
    entry = server.wait(server.queue(nodes))
    assert failure(entry) is None
    saved = next(output["images"] for key, output in entry["outputs"].items() if nodes[key]["class_type"] == "SaveVideo")
    with av.open(io.BytesIO(server.view(saved[0]))) as film:
        stream = film.streams.video[0]
        frames = [np.asarray(frame.to_image(), dtype=float) for frame in film.decode(stream)]
        assert (stream.width, stream.height, stream.average_rate) == (256, 256, 12) and film.streams.subtitles
    keyframes = [np.asarray(Image.open(io.BytesIO(server.view(each))).convert("RGB"), dtype=float) for each in entry["outputs"]["keyframes"]["images"]]
    assert len(frames) == 37 and len(keyframes) == 4
    for number, keyframe in enumerate(keyframes):
        off = [np.abs(frame - keyframe).mean() for frame in frames]
        assert np.argmin(off) == 12 * number and off[12 * number] < 8  # lossy


def fails(server, workflow):
    return failure(server.wait(server.queue(workflow)))


def test_an_empty_story_is_refused_and_the_server_goes_on(server, workflow, nodes_by_kind):
    good = nodes_by_kind["Fabula_Story"]["panels"]
    nodes_by_kind["Fabula_Story"]["panels"] = "  \n"
    assert fails(server, workflow).startswith("Fabula_Story cannot read the story.\npanels:")
    nodes_by_kind["Fabula_Story"]["panels"] = good
    assert fails(server, workflow) is None


def test_an_unknown_tag_is_named_with_its_line(server, workflow, nodes_by_kind):
    nodes_by_kind["Fabula_Story"]["panels"] = "[Mia] runs\n[Maya] waves"
    message = fails(server, workflow)
    assert "panels, line 2" in message and "Maya" in message and "Mia" in message


def test_more_panels_than_latents_is_refused(server, workflow, nodes_by_kind):
    workflow["20"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 256, "height": 256, "batch_size": 4}}
    workflow["6"]["inputs"]["latent_image"] = ["20", 0]
    message = fails(server, workflow)
    assert "Fabula_ConsistentAttention" in message and "6 panels" in message and "4 latents" in message


def test_a_font_in_the_models_folder_can_be_chosen_and_is_drawn_with(server, workflow, nodes_by_kind):
    fonts = server.folder / "models" / "fabula_fonts"
    fonts.mkdir(parents=True, exist_ok=True)
    (fonts / "own.ttf").write_bytes(ImageFont.load_default(10).path.getvalue())
    choices = server.get_json("/object_info/Fabula_ComicPage")["Fabula_ComicPage"]["input"]["required"]["font"]
    assert "own.ttf" in choices[1]["options"]
    nodes_by_kind["Fabula_ComicPage"]["font"] = "own.ttf"
    assert fails(server, workflow) is None


def test_an_input_out_of_its_range_is_refused_by_the_host(server, workflow, nodes_by_kind):
    nodes_by_kind["Fabula_ConsistentAttention"]["sampling_rate"] = 3.0
    with pytest.raises(ServerError, match="Fabula_ConsistentAttention"):
        server.queue(workflow)


def test_a_choice_that_is_not_there_is_refused_by_the_queue_or_by_the_node(server, workflow, nodes_by_kind):
    nodes_by_kind["Fabula_ConsistentAttention"]["mode"] = "anchor"
    if here(CHOICES_ARE_CHECKED):
        with pytest.raises(ServerError, match="Fabula_ConsistentAttention.*mode"):
            server.queue(workflow)
    else:
        assert fails(server, workflow).startswith("Fabula_ConsistentAttention: input 'mode' is 'anchor'. Choose one of: ")


def test_a_server_that_cannot_start_shows_the_hosts_log():
    with pytest.raises(ServerError, match="(?s)end of its log.*no-such-option"):
        with Server(arguments=("--no-such-option",)):
            pass


def test_the_server_is_stopped_and_its_folder_removed_also_after_an_error():
    with pytest.raises(KeyError):
        with Server() as running:
            folder, process = running.folder, running.process
            assert (folder / "custom_nodes" / "fabula" / "__init__.py").exists()
            raise KeyError
    assert process.poll() is not None
    assert not folder.exists()
    assert WORKFLOW.exists()  # the checkout was linked, not moved


def test_a_character_saved_by_one_story_goes_on_in_the_next(server, workflow, nodes_by_kind):
    nodes_by_kind["Fabula_ConsistentAttention"]["mode"] = "anchors"
    workflow["20"] = {
        "class_type": "Fabula_SaveCharacter",
        "inputs": {"samples": ["6", 0], "positive": ["3", 0], "negative": ["3", 1], "character": "", "filename_prefix": "of_one_story", "images": ["8", 0]},
    }
    entry = server.wait(server.queue(workflow))
    assert failure(entry) is None
    assert entry["outputs"]["20"]["text"] == ["[Mia], 6 pictures: of_one_story_00001_.safetensors"]
    plain = pictures(server, entry, workflow, "fabula/with")

    del workflow["20"]
    workflow["21"] = {"class_type": "Fabula_LoadCharacter", "inputs": {"character_name": "of_one_story_00001_.safetensors"}}
    workflow["4"]["inputs"]["character"] = ["21", 0]
    entry = server.wait(server.queue(workflow))
    assert failure(entry) is None
    held = pictures(server, entry, workflow, "fabula/with")
    assert len(held) == len(plain) == 6 and held[0].tobytes() != plain[0].tobytes()
