"""Names of files never lead out of their folders, whichever node takes them: a workflow may come from anybody."""

import asyncio
from pathlib import Path

import fabula
import folder_paths
import pytest
import torch
from comfy_api.latest import io
from fabula.demo import models, weights
from fabula.host import folders, id_encoder, language_model
from fabula.host.encode_story import empty_latents, encode_story

SAVERS = ("Fabula_SaveCharacter", "Fabula_SaveComic", "Fabula_TrainMotionPredictor")
LOADERS = {
    "Fabula_LoadCharacter": (folders.CHARACTERS, "character_name"), "Fabula_LoadPhotoMaker": (id_encoder.FOLDER, "photomaker_name"),
    "Fabula_LoadMotionPredictor": (folders.MOTION, "predictor_name"), "Fabula_LoadMotionModule": (folders.MOTION_MODULES, "motion_module_name"),
    "Fabula_PredictMotion": (folders.IMAGE_PROMPTS, "image_prompt_name"), "Fabula_ApplyMotion": (folders.IMAGE_PROMPTS, "image_prompt_name"),
    "Fabula_TrainMotionPredictor": (folders.IMAGE_PROMPTS, "image_prompt_name"), "Fabula_ComicPage": (folders.FONTS, "font"),
    "Fabula_CaptionFilm": (folders.FONTS, "font"), "Fabula_StoryDirector": (language_model.FOLDER, "model_name"),
}
OTHERS = {  # texts, and choices out of a list that is no folder's: they name no file
    "Fabula_Story": {"characters", "panels", "style", "negative"}, "Fabula_SplitStory": {"text", "characters"}, "Fabula_EncodeStory": {"panels"},
    "Fabula_EncodeIdentity": {"trigger_word", "panels"}, "Fabula_ConsistentAttention": {"mode", "schedule", "subject"}, "Fabula_SaveCharacter": {"character"},
    "Fabula_PictureCharacter": {"character"}, "Fabula_CharacterReference": {"character"}, "Fabula_FaceEmbeds": {"face", "without_face"},
    "Fabula_ComicPage": {"layout", "captions", "paper", "rows", "text_direction"}, "Fabula_SaveComic": {"format"}, "Fabula_PredictMotion": {"space"},
    "Fabula_TrainMotionPredictor": {"space", "clips_folder"},  # a folder to read from, anywhere
    "Fabula_PlanTransitions": {"decoder"}, "Fabula_CaptionFilm": {"mode", "panels", "places"}, "Fabula_TwoWaySVD": {"fusion"},
    "Fabula_LoadMotionModule": {"beta_schedule"}, "Fabula_ApplyMotion": {"mode"}, "Fabula_StoryDirector": {"text", "characters", "language"},
}


@pytest.fixture(scope="module")
def nodes():
    extension = asyncio.run(fabula.comfy_entrypoint())
    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}


@pytest.fixture()
def place(tmp_path, monkeypatch):
    """The host's folders, in one of the test's own."""
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "host" / "output"))
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path / "host" / "user"))
    for name in {name for name, _ in LOADERS.values()}:
        suffixes = folder_paths.folder_names_and_paths[name][1]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, name, ([str(tmp_path / "host" / "models" / name)], suffixes))
        (tmp_path / "host" / "models" / name).mkdir(parents=True)
        folder_paths.filename_list_cache.pop(name, None)
    (tmp_path / "host" / "output").mkdir()
    yield tmp_path
    for name in {name for name, _ in LOADERS.values()}:
        folder_paths.filename_list_cache.pop(name, None)


def execute(nodes, node: str, story, model, clip, vae, **chosen):
    """The node, with sound inputs but those that are chosen."""
    positive, negative = encode_story(clip, story, 64, 64)
    latent, pictures = empty_latents(range(3), 64, 64), torch.rand(3, 64, 64, 3)
    sound = {
        "Fabula_SaveCharacter": {"samples": latent, "positive": positive, "negative": negative, "character": "Mia"},
        "Fabula_SaveComic": {"pages": [pictures], "format": ["cbz"]},
        "Fabula_TrainMotionPredictor": {"clips_folder": str(Path(__file__).parent), "steps": 1, "space": "projected" if "image_prompt_name" in chosen else "pooled"},
        "Fabula_LoadPhotoMaker": {"model": model, "lora_strength": 1.0}, "Fabula_LoadMotionModule": {"model": model},
        "Fabula_PredictMotion": {"keyframes": pictures, "frames": 3, "strength": 1.0, "space": "projected"},
        "Fabula_ComicPage": {"images": [pictures], "layout": ["grid"], "page_width": [300], "font_size": [20], "seed": [0]},
        "Fabula_CaptionFilm": {"frames": pictures, "story": story, "fps": 8.0, "mode": "burnt in"},
        "Fabula_StoryDirector": {"text": "a tale", "max_panels": 3, "seed": 0, "max_new_tokens": 9, "temperature": 0.0},
        "Fabula_ApplyMotion": {"model": [model], "weight": [1.0]},
    }.get(node, {})
    if node == "Fabula_TrainMotionPredictor":
        sound["filename_prefix"] = "x"
    if node in ("Fabula_TrainMotionPredictor", "Fabula_PredictMotion"):
        sound["clip_vision"] = models.load_clip_vision()
    if node == "Fabula_PredictMotion":
        sound["predictor"] = nodes["Fabula_LoadMotionPredictor"].execute("linear").result[0]
    if node == "Fabula_ApplyMotion":
        predictor = nodes["Fabula_LoadMotionPredictor"].execute("linear").result[0]
        sound["motion"] = nodes["Fabula_PredictMotion"].execute(predictor, models.load_clip_vision(), pictures[:2], 3, 1.0).result[0]
    lists = nodes[node].GET_SCHEMA().is_input_list
    return nodes[node].execute(**{**sound, **{name: [value] if lists else value for name, value in chosen.items()}})


@pytest.mark.parametrize("name", ["../escaped", "a/../../escaped", "../../../escaped", "{root}/escaped", "{root}/host/escaped"])
@pytest.mark.parametrize("node", SAVERS)
def test_nothing_is_written_outside_the_folder(nodes, place, story, model, clip, vae, node, name):
    before = sorted(place.rglob("*"))
    with pytest.raises(ValueError, match=f"{node}: input 'filename_prefix' is .* leads out of the folder"):
        execute(nodes, node, story, model, clip, vae, filename_prefix=name.format(root=place))
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("node", SAVERS[:2])
def test_folders_within_are_no_way_out(nodes, place, story, model, clip, vae, node):
    execute(nodes, node, story, model, clip, vae, filename_prefix="mine/a/../x")
    (written,) = (path for path in place.rglob("*") if path.is_file())
    assert written.parent.name == "mine" and "host" in written.parts


def real_files(place: Path) -> None:
    """Files outside of the folders that each loader would read if it came to them."""
    from PIL import ImageFont

    (place / "secret.safetensors").write_bytes(weights.PHOTOMAKER.read_bytes())
    (place / "secret.ttf").write_bytes(ImageFont.load_default(10).path.getvalue())
    (place / "secret" / "LLM").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (place / "secret" / "LLM" / name).write_text("{}")


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("node", LOADERS)
def test_nothing_is_read_outside_the_folder(nodes, place, story, model, clip, vae, node, absolute):
    real_files(place)
    folder, name = LOADERS[node]
    file = {folders.FONTS: "secret.ttf", language_model.FOLDER: "secret/LLM"}.get(folder, "secret.safetensors")
    asked = str(place / file) if absolute else f"../../../{file}"
    assert (place / "host" / "models" / folder / asked).exists()
    with pytest.raises(ValueError, match=f"{node}.*{name}'? is .*(not in models|no model in models|Choose one of)"):
        execute(nodes, node, story, model, clip, vae, **{name: asked})


def test_no_node_takes_a_name_that_is_not_tried_here(nodes):
    """Texts and choices of each node: those of files are in the lists above, the others in OTHERS."""
    for node_id, node in nodes.items():
        inputs = {each.id for each in node.define_schema().inputs if isinstance(each, (io.String.Input, io.Combo.Input))}
        tried = {"filename_prefix"} if node_id in SAVERS else set()
        tried |= {LOADERS[node_id][1]} if node_id in LOADERS else set()
        assert inputs == tried | OTHERS.get(node_id, set()), node_id
