"""The trainers of the demo's film: a few steps each on a few clips, stopped and resumed, and their files in the nodes that read them."""

import pytest
import torch
from fabula.demo import clip_dataset, models, stages, train_vision, weights
from fabula.host import folders, image_prompt_file, motion_module
from fabula.host.motion_predictor import load_predictor
from fabula.motion.training import Settings
from safetensors.torch import load_file


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    """Where nothing of the repository's own weights is written."""
    for name in ("VISION", "MOTION_MODULE", "IMAGE_PROMPT", "PREDICTOR"):
        path = getattr(weights, name)
        monkeypatch.setattr(weights, name, tmp_path / path.parent.name / path.name)
    monkeypatch.setattr(clip_dataset, "SHARD", 4)
    return tmp_path


def test_vision_then_clips_then_film_and_predictor(folder, monkeypatch, capsys):
    import folder_paths

    monkeypatch.setattr(train_vision, "BATCH", 4)
    pool = train_vision.draw_pool(6, 0, folder / "pool", 112, 32)
    monkeypatch.setattr(train_vision, "draw_pool", lambda *_: pool)
    for steps in (2, 3):
        stages.train_vision(folder, steps=steps)
    assert weights.metadata(weights.VISION)["steps"] == "3"
    tower = models.load_clip_vision()

    stages.make_clips(folder, range(1))
    clips = clip_dataset.load_shards(folder / "clips")
    assert clips.latents.shape == (4, 13, 4, 32, 32) and len(clips.kinds) == len(clips.texts) == 4
    features = stages.clip_features(folder / "clips", clips.pixels)
    seen = tower.encode_image(clips.pixels[1].permute(0, 2, 3, 1).float() / 255)["penultimate_hidden_states"]
    assert torch.equal(features[1], seen.half())

    for steps in (1, 2):
        stages.train_film(folder, steps=steps)
    assert "going on from" in capsys.readouterr().out and weights.metadata(weights.MOTION_MODULE)["steps"] == "2"
    stages.train_predictor(folder, steps=2)
    assert "linear" in capsys.readouterr().out

    for name, path in ((folders.MOTION_MODULES, weights.MOTION_MODULE), (folders.IMAGE_PROMPTS, weights.IMAGE_PROMPT), (folders.MOTION, weights.PREDICTOR)):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, name, ([str(path.parent)], {".safetensors"}))
        folder_paths.filename_list_cache.pop(name, None)
    model = models.load_model()
    animated = motion_module.load_motion_module(model, weights.MOTION_MODULE.name, 16, 4, "auto")
    assert animated.get_model_object("model_sampling").sigmas.equal(model.get_model_object("model_sampling").sigmas)  # the file says that it was trained so
    prompt = image_prompt_file.load_image_prompt(weights.IMAGE_PROMPT.name).model
    assert prompt.sizes.space == "penultimate" and prompt.tokens(seen.float()).shape == (13, 65, 128)
    assert load_predictor("test", weights.PREDICTOR.name).predict(seen[0], seen[-1], 5, 1.0).shape == (5, 65, 160)


def test_the_film_is_learned_from_windows_that_run_forwards(folder, monkeypatch):
    given = {}
    monkeypatch.setattr(stages, "train", lambda *arguments, **_: given.update({type(each): each for each in arguments}) or 1 / 0)
    monkeypatch.setattr(stages.clip_dataset, "load_shards", lambda _: clip_dataset.Clips(torch.zeros(1), torch.zeros(3, 13, 3, 112, 112), [], []))
    monkeypatch.setattr(stages, "clip_features", lambda *_: torch.zeros(3, 13, 65, 160))
    with pytest.raises(ZeroDivisionError):
        stages.train_predictor(folder, steps=1)
    assert given[Settings].backwards == 0


def test_what_is_shipped_has_its_size():
    """12 MB of motion and 3 MB of CLIP vision, as the house allows."""
    motion = [weights.MOTION_MODULE, weights.IMAGE_PROMPT, weights.PREDICTOR]
    assert sum(path.stat().st_size for path in motion) < 12e6 and weights.VISION.stat().st_size < 3e6
    assert all(tensor.dtype == torch.float16 for path in (*motion, weights.VISION) for tensor in load_file(path).values() if tensor.is_floating_point())
