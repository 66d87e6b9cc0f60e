"""Keyframes to predicted features and on to a real SVD network of the host's, in small."""

import comfy.model_management
import comfy.utils
import folder_paths
import pytest
import torch
from fabula.host import motion_predictor, motion_training, sight
from fabula.host.motion_svd import motion_to_svd
from fabula.host.render import sample
from fabula.host.transition_latents import transition_latents
from fabula.motion.checkpoint import save
from fabula.motion.image_prompt import ImagePrompt
from fabula.motion.image_prompt import Sizes as ImagePromptSizes
from fabula.motion.interpolation import interpolate
from fabula.motion.predictor import MotionPredictor, Sizes
from fabula.nodes.motion import LoadMotionPredictor, MotionToSVD, PredictMotion, TrainMotionPredictor, TransitionLatents
from host_differences import LAYERS_CAN_BE_INTERRUPTED, here
from safetensors import safe_open
from safetensors.torch import save_file
from small_clip import clip_vision_of

FRAMES, WIDTH = 5, 32
CLIP = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 1, "image_size": 28, "patch_size": 14, "num_channels": 3,
    "projection_dim": 1024, "hidden_act": "gelu", "model_type": "clip_vision_model", "layer_norm_eps": 1e-5,
}


@pytest.fixture(scope="module")
def clip_vision(tmp_path_factory):
    return clip_vision_of(CLIP, tmp_path_factory.mktemp("clip"))


@pytest.fixture()
def keyframes():
    return torch.rand(3, 64, 96, 3, generator=torch.Generator().manual_seed(7))


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "fabula_motion", ([str(tmp_path)], {".safetensors"}))
    return tmp_path


def predict(clip_vision, keyframes, name="linear", **options):
    (predictor,) = LoadMotionPredictor.execute(name).args
    return PredictMotion.execute(predictor, clip_vision, keyframes, options.pop("frames", FRAMES), options.pop("strength", 1.0), **options).args


@pytest.mark.parametrize(("space", "shape"), [("pooled", (1, 1024)), ("penultimate", (5, 64))])
def test_each_transition_goes_from_keyframe_to_keyframe(clip_vision, keyframes, space, shape):
    seen = [clip_vision.encode_image(keyframe[None]) for keyframe in keyframes]
    ends = [(each.image_embeds[:, None] if space == "pooled" else each.penultimate_hidden_states)[0] for each in seen]
    motion, total = predict(clip_vision, keyframes, space=space)
    assert total == 2 * (FRAMES - 1) + 1 and [each.index for each in motion] == [0, 1]
    for number, each in enumerate(motion):
        assert each.features.shape == (FRAMES, *shape) and each.nothing.shape == shape and each.frames == FRAMES
        assert bool(each.nothing.any()) == (space != "pooled")  # as image prompts of the base kind were trained
        assert torch.allclose(each.features, interpolate(ends[number], ends[number + 1], FRAMES), atol=1e-5)


def test_modes_differ_and_strength_goes_from_linear_to_them(clip_vision, keyframes):
    found = {name: predict(clip_vision, keyframes, name)[0][0].features for name in ("linear", "slerp", "eased")}
    assert not torch.allclose(found["linear"], found["slerp"]) and not torch.allclose(found["linear"], found["eased"])
    for name in ("slerp", "eased"):
        assert torch.allclose(predict(clip_vision, keyframes, name, strength=0.0)[0][0].features, found["linear"], atol=1e-6)


def test_a_trained_predictor_is_loaded_and_used(clip_vision, keyframes, folder):
    torch.manual_seed(1)
    model = MotionPredictor(Sizes("pooled", 1, 1024, width=WIDTH, layers=1, heads=2)).eval()
    torch.nn.init.normal_(model.head.weight, std=0.5)
    save(model, folder / "walk.safetensors")
    assert motion_predictor.names() == ["linear", "slerp", "eased", "walk.safetensors"]
    straight = predict(clip_vision, keyframes)[0][1].features
    learned = predict(clip_vision, keyframes, "walk.safetensors")[0][1].features
    with torch.inference_mode():
        wanted = model(straight[None, 0], straight[None, -1], FRAMES)[0]
    assert torch.allclose(learned, wanted, atol=1e-5) and not torch.allclose(learned, straight)
    assert torch.equal(learned[[0, -1]], straight[[0, -1]])
    with pytest.raises(ValueError, match="Fabula_PredictMotion: input 'predictor' .walk.safetensors. reads CLIP's pooled features. Set input 'space' to pooled"):
        predict(clip_vision, keyframes, "walk.safetensors", space="penultimate")
    save(MotionPredictor(Sizes("pooled", 1, 768, width=WIDTH, layers=1, heads=2)), folder / "other.safetensors")
    with pytest.raises(ValueError, match="inputs 'clip_vision' and 'space' give 1 tokens of 1024 channels, but input 'predictor' .other.safetensors. reads 1 of 768"):
        predict(clip_vision, keyframes, "other.safetensors")


def test_predictors_that_are_refused(folder):
    (folder / "torn.safetensors").write_bytes(b"no tensors")
    for name, words in (("torn.safetensors", "torn.safetensors cannot be read"), ("none", "'none', which is not in models/fabula_motion. There are: linear")):
        with pytest.raises(ValueError, match=f"Fabula_LoadMotionPredictor: input 'predictor_name'.*{words}"):
            LoadMotionPredictor.execute(name)


def test_wrong_keyframes_are_named(clip_vision, keyframes, vae):
    with pytest.raises(ValueError, match="Fabula_PredictMotion: input 'keyframes' has 1 picture"):
        predict(clip_vision, keyframes[:1])
    with pytest.raises(ValueError, match="Fabula_PredictMotion: input 'frames' is 1"):
        predict(clip_vision, keyframes, frames=1)
    with pytest.raises(ValueError, match="Fabula_PredictMotion: input 'clip_vision' is empty"):
        predict(None, keyframes)
    with pytest.raises(ValueError, match="Fabula_TransitionLatents: input 'keyframes' has 1 picture"):
        transition_latents("Fabula_TransitionLatents", vae, keyframes[:1], 4)
    with pytest.raises(ValueError, match="Fabula_TransitionLatents: input 'keyframes' has pictures of 94 x 62 pixels, but both must be multiples of 8; 88 x 56 is near"):
        transition_latents("Fabula_TransitionLatents", vae, keyframes[:, :62, :94], 4)
    motion = predict(clip_vision, keyframes)[0][1]
    with pytest.raises(ValueError, match="Fabula_MotionToSVD: input 'keyframes' has 2 pictures, too few for transition 2"):
        motion_to_svd(motion, vae, keyframes[:2], 64, 64, 6, 127, 0.0)
    with pytest.raises(ValueError, match="Fabula_MotionToSVD: input 'width' is 100, but must be a multiple of 8; 96 is near"):
        motion_to_svd(motion, vae, keyframes, 100, 64, 6, 127, 0.0)
    with pytest.raises(ValueError, match="Fabula_MotionToSVD: input 'motion' has penultimate features"):
        motion_to_svd(predict(clip_vision, keyframes, space="penultimate")[0][0], vae, keyframes, 64, 64, 6, 127, 0.0)


def test_a_latent_a_transition_whose_ends_are_held(vae, keyframes):
    (latents,) = TransitionLatents.execute(vae, keyframes, FRAMES).args
    assert len(latents) == 2
    for number, latent in enumerate(latents):
        samples, mask = latent["samples"], latent["noise_mask"]
        assert samples.shape == (FRAMES, 4, 8, 12) and mask.shape == (FRAMES, 1, 8, 12)
        assert torch.allclose(samples[[0]], vae.encode(keyframes[[number]]), atol=1e-5) and torch.allclose(samples[[-1]], vae.encode(keyframes[[number + 1]]), atol=1e-5)
        assert mask[:, 0, 0, 0].tolist() == [0, 1, 1, 1, 0]


def test_held_frames_come_out_of_the_sampler_as_they_went_in(vae, keyframes, model, clip):
    from fabula.host.encode_story import encode_story
    from fabula.story.script import parse_story

    (latents,) = TransitionLatents.execute(vae, keyframes, FRAMES).args
    conditioning = encode_story(clip, parse_story("", "[NC] a house", "(No style)", ""), 96, 64)
    found = sample(model, *conditioning, latents[0], 1, 4, 3.0)
    assert torch.allclose(found[[0, -1]], latents[0]["samples"][[0, -1]], atol=1e-4) and not torch.allclose(found[1:-1], latents[0]["samples"][1:-1], atol=0.1)


def svd_inputs(clip_vision, keyframes, vae, features=None, augmentation=0.0):
    motion = predict(clip_vision, keyframes)[0][0]
    if features is not None:
        motion = motion_predictor.Transition.of(features(motion.features), "pooled", motion.nothing)
    return MotionToSVD.execute(motion, vae, keyframes, 64, 64, 6, 127, augmentation).args


def run(svd, inputs, seed=1):
    return sample(svd, inputs[0], inputs[1], inputs[2], seed, 3, 2.5, scheduler="karras")


def test_svd_gets_one_row_a_frame_and_the_whole_apart(clip_vision, keyframes, vae, svd):
    positive, negative, latent = svd_inputs(clip_vision, keyframes, vae)
    assert positive[0][0].shape == negative[0][0].shape == (FRAMES, 1, 1024) and latent["samples"].shape == (FRAMES, 4, 8, 8)
    assert positive[0][1]["time_conditioning"].shape == (1, 2, 1024) and not negative[0][0].any()
    assert positive[0][1]["concat_latent_image"].shape == (1, 4, 8, 8)
    assert torch.isfinite(run(svd, (positive, negative, latent))).all()


def test_a_frame_s_row_changes_that_frame_most(clip_vision, keyframes, vae, svd):
    """Also the first: without the row for the whole, the temporal layers would read it for all."""
    before = run(svd, svd_inputs(clip_vision, keyframes, vae))
    for frame in (0, 2):
        def turned(features, frame=frame):
            features = features.clone()
            features[frame] = -features[frame]
            return features

        inputs = svd_inputs(clip_vision, keyframes, vae, turned)
        inputs[0][0][1]["time_conditioning"] = svd_inputs(clip_vision, keyframes, vae)[0][0][1]["time_conditioning"]
        changed = (run(svd, inputs) - before).abs().mean((1, 2, 3))
        others = torch.cat([changed[:frame], changed[frame + 1:]])
        assert changed.argmax() == frame and changed[frame] > 2 * others.max()


def test_noise_on_the_start_frame_repeats(clip_vision, keyframes, vae):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = (svd_inputs(clip_vision, keyframes, vae, augmentation=0.3)[0][0][1]["concat_latent_image"] for _ in range(2))
    plain = svd_inputs(clip_vision, keyframes, vae)[0][0][1]["concat_latent_image"]
    assert torch.equal(first, second) and not torch.allclose(first, plain) and torch.equal(torch.get_rng_state(), state)


@pytest.fixture()
def user(tmp_path, monkeypatch, folder):
    """Videos of a square that moves, the host's folders beside them."""
    from PIL import Image, ImageDraw

    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path / "user"))
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path))
    (tmp_path / "videos").mkdir()
    for video in range(4):
        pictures = [Image.new("RGB", (56, 56), (40 * video, 90, 60)) for _ in range(12)]
        for number, image in enumerate(pictures):
            ImageDraw.Draw(image).rectangle((4 * number, 20, 4 * number + 12, 40), fill=(250, 240, 30))
        pictures[0].save(tmp_path / "videos" / f"{video}.webp", save_all=True, append_images=pictures[1:], duration=250, lossless=True)
    return tmp_path


def test_a_predictor_is_trained_kept_and_judged(clip_vision, keyframes, user, monkeypatch):
    options = {"frames": 6, "fps": 4.0, "batch_size": 4, "width": WIDTH, "layers": 1, "heads": 2}
    encoded = []
    encode = sight.encode_pictures
    monkeypatch.setattr(sight, "encode_pictures", lambda *given: encoded.append(1) or encode(*given))
    with torch.inference_mode():  # as the host runs nodes
        output = TrainMotionPredictor.execute("videos", clip_vision, 3, "walk", **options)
        predictor, loss = output.args
        again = TrainMotionPredictor.execute("videos", clip_vision, 3, "walk", **options)
    text = output.ui.as_dict()["text"][0]
    assert text.startswith("walk_00001_.safetensors\n8 windows used") and "linear: " in text and "linear interpolation." in text
    assert again.ui.as_dict()["text"][0].startswith("walk_00002_.safetensors\n8 windows used") and "\n4 videos were encoded before\n" in again.ui.as_dict()["text"][0]
    assert len(encoded) == 8
    assert loss.shape == (1, 400, 640, 3) and motion_predictor.names()[3:] == ["walk_00001_.safetensors", "walk_00002_.safetensors"]
    motion = predict(clip_vision, keyframes, "walk_00001_.safetensors")[0][0]
    assert torch.isfinite(motion.features).all() and predictor.space == "pooled"


def test_the_host_trains_again_where_a_video_was_added(user):
    before = TrainMotionPredictor.fingerprint_inputs(clips_folder="videos", steps=3)
    assert before == TrainMotionPredictor.fingerprint_inputs(clips_folder="videos") and len(before) == 4
    (user / "videos" / "0.webp").rename(user / "videos" / "other.webp")
    assert TrainMotionPredictor.fingerprint_inputs(clips_folder="videos") != before
    assert TrainMotionPredictor.fingerprint_inputs(clips_folder="none") == []  # told when it runs


def test_a_predictor_of_an_image_prompt_s_tokens_is_trained_and_used(clip_vision, keyframes, user, monkeypatch, caplog):
    (user / "prompts").mkdir()
    for name, width in (("base.safetensors", 1024), ("other.safetensors", 64)):
        torch.manual_seed(2)
        save_file(ImagePrompt(ImagePromptSizes("base", width, 16, 2, (8,))).state_dict(), user / "prompts" / name)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "ipadapter", ([str(user / "prompts")], {".safetensors"}))
    options = {"frames": 6, "width": WIDTH, "layers": 1, "heads": 2, "space": "projected"}
    (predictor, _) = TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", image_prompt_name="base.safetensors", **options).args
    assert (predictor.space, predictor.patcher.model.sizes.tokens, predictor.patcher.model.sizes.channels) == ("projected", 2, 16)
    with safe_open(user / "walk_00001_.safetensors", "pt") as file:
        assert file.metadata()["seen"] == "projected base.safetensors"
    motion = predict(clip_vision, keyframes, "walk_00001_.safetensors", space="projected", image_prompt_name="base.safetensors")[0][0]
    assert motion.features.shape == (FRAMES, 2, 16) and not torch.equal(motion.features[2], motion.features[0])
    assert "was trained on" not in caplog.text
    (user / "prompts" / "base.safetensors").rename(user / "prompts" / "same size.safetensors")
    predict(clip_vision, keyframes, "walk_00001_.safetensors", space="projected", image_prompt_name="same size.safetensors")
    assert "walk_00001_.safetensors was trained on the features 'projected base.safetensors', and gets 'projected same size.safetensors'" in caplog.text
    for name, words in (("", "input 'image_prompt_name' is empty"), ("other.safetensors", "gives features of 1024 channels, but input 'image_prompt_name' .other.safetensors. reads 64")):
        with pytest.raises(ValueError, match=f"^Fabula_TrainMotionPredictor: .*{words}"):
            TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", image_prompt_name=name, **options)


def test_an_interrupted_training_goes_on(clip_vision, user, monkeypatch):
    options = {"frames": 6, "fps": 4.0, "batch_size": 4, "width": WIDTH, "layers": 1, "heads": 2}
    steps = []

    def count(self, step, *given):
        steps.append(step)
        if len(steps) == 2 + 4:  # four videos were counted before
            comfy.model_management.interrupt_current_processing(True)

    monkeypatch.setattr(comfy.utils.ProgressBar, "update_absolute", count)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        TrainMotionPredictor.execute("videos", clip_vision, 5, "walk", **options)
    assert not list(user.glob("walk*"))
    steps.clear()
    TrainMotionPredictor.execute("videos", clip_vision, 5, "walk", **options)
    assert steps == [3, 4, 5] and not list((user / "user").rglob("*.training"))


@pytest.mark.parametrize(("clips_folder", "options", "words"), [
    ("", {}, "input 'clips_folder' is empty"), ("none", {}, "is no folder"), ("empty", {}, "has no videos"), ("videos", {"frames": 40}, "no window of 40 frames"),
    ("videos", {"heads": 3}, "cannot be divided among 3 heads"),
])
def test_trainings_that_are_refused(clip_vision, user, clips_folder, options, words):
    (user / "empty").mkdir()
    with pytest.raises(ValueError, match=f"Fabula_TrainMotionPredictor: .*{words}"):
        TrainMotionPredictor.execute(clips_folder, clip_vision, 3, "walk", **{"frames": 6, "fps": 4.0, "width": WIDTH, "layers": 1, "heads": 2, **options})


SMALL = {"frames": 6, "fps": 4.0, "batch_size": 4, "width": WIDTH, "layers": 1, "heads": 2}


def count_encoded(monkeypatch, at=None, then=None):
    """The windows that are encoded, as a list that grows; at the `at`th `then` is called."""
    encoded, encode = [], sight.encode_pictures

    def counted(*given):
        encoded.append(1)
        if len(encoded) == at:
            then()
        return encode(*given)

    monkeypatch.setattr(sight, "encode_pictures", counted)
    return encoded


def test_an_interrupt_while_encoding_loses_one_video_and_a_new_one_costs_itself(clip_vision, user, monkeypatch):
    encoded = count_encoded(monkeypatch, 6, lambda: comfy.model_management.interrupt_current_processing(True))
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL)
    assert len(encoded) == 6  # in the third of four videos, of two windows each
    TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL)
    lost = 2 if here(LAYERS_CAN_BE_INTERRUPTED) else 0  # this was the third video's last window
    so_far = 6 + lost + 2
    assert len(encoded) == so_far
    (user / "videos" / "new.webp").write_bytes((user / "videos" / "1.webp").read_bytes())
    TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL)
    assert len(encoded) == so_far + 2
    TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **{**SMALL, "space": "penultimate"})
    assert len(encoded) == so_far + 2 + 10  # other features


def test_long_windows_are_seen_in_parts(clip_vision, user, monkeypatch):
    from fabula.host import motion_features

    watch = motion_training._HostsWatch()
    whole = motion_features.read_features(sight.Sight(clip_vision, "penultimate"), [user / "videos" / "1.webp"], 12, 4.0, user / "whole", watch).windows
    monkeypatch.setattr(motion_features, "_AT_ONCE", 5)
    sizes, see = [], sight.Sight.see
    monkeypatch.setattr(sight.Sight, "see", lambda self, pictures: sizes.append(len(pictures)) or see(self, pictures))
    parts = motion_features.read_features(sight.Sight(clip_vision, "penultimate"), [user / "videos" / "1.webp"], 12, 4.0, user / "parts", watch).windows
    assert sizes == [5, 5, 2] and parts.shape == whole.shape and torch.allclose(parts.float(), whole.float(), atol=1e-2)


def test_another_image_prompt_of_the_same_name_sees_anew(clip_vision, user, monkeypatch):
    (user / "prompts").mkdir()
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "ipadapter", ([str(user / "prompts")], {".safetensors"}))
    encoded, counts = count_encoded(monkeypatch), []
    for seed in (2, 3, 3):
        torch.manual_seed(seed)
        save_file(ImagePrompt(ImagePromptSizes("base", 1024, 16, 2, (8,))).state_dict(), user / "prompts" / "a.safetensors")
        encoded.clear()
        TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", image_prompt_name="a.safetensors", **{**SMALL, "space": "projected"})
        counts.append(len(encoded))
    nothing = 1  # that the prompt fits the CLIP is seen each time
    assert counts == [8 + nothing, 8 + nothing, nothing]


def test_corrupt_videos_are_told_every_time_and_damaged_features_encoded_anew(clip_vision, user, monkeypatch):
    (user / "videos" / "torn.mp4").write_bytes(b"no video")
    (user / "videos" / "torn.webp").write_bytes((user / "videos" / "1.webp").read_bytes()[:60])
    texts = [TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL).ui.as_dict()["text"][0] for _ in range(2)]
    for text in texts:
        assert "8 windows used" in text and "torn.mp4 cannot be read" in text and "torn.webp cannot be read" in text
    file = next((user / "user").rglob("*.features"))
    file.write_bytes(file.read_bytes()[:100])
    encoded = count_encoded(monkeypatch)
    TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL)
    assert len(encoded) == 2


def test_a_full_disk_keeps_what_was_encoded_and_trained(clip_vision, user, monkeypatch):
    resource = pytest.importorskip("resource", reason="this system has no limit for files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))

    def train(words=None):
        try:
            if not words:
                return TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL)
            with pytest.raises(OSError, match=f"^Fabula_TrainMotionPredictor: .*{words} cannot be written .*File too large.* Make room on its disk"):
                TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    encoded = count_encoded(monkeypatch, 5, fill)  # the third video
    train(r"\.features")
    assert len(encoded) == 6 and len(list((user / "user").rglob("*.features"))) == 2 and not list((user / "user").rglob("*.part"))
    keep, steps = motion_training.save, []
    monkeypatch.setattr(motion_training, "save", lambda *given: fill() or keep(*given))
    train(r"walk_00001_\.safetensors")
    assert len(encoded) == 6 + 4 and len(list((user / "user").rglob("*.training"))) == 1 and not list(user.glob("walk*"))
    monkeypatch.setattr(motion_training, "save", keep)
    monkeypatch.setattr(comfy.utils.ProgressBar, "update_absolute", lambda self, step, *given: steps.append(step))
    train()
    assert steps == [] and [file.name for file in user.glob("walk*")] == ["walk_00001_.safetensors"] and not list((user / "user").rglob("*.training"))


def test_a_predictor_that_came_meanwhile_is_not_overwritten(clip_vision, user, monkeypatch):
    train = motion_training.train_on_videos

    def slow(*given):
        trained = train(*given)
        (user / "walk_00001_.safetensors").write_bytes(b"of another ComfyUI")
        return trained

    monkeypatch.setattr(motion_training, "train_on_videos", slow)
    text = TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL).ui.as_dict()["text"][0]
    assert text.startswith("walk_00002_.safetensors") and (user / "walk_00001_.safetensors").read_bytes() == b"of another ComfyUI"
    assert LoadMotionPredictor.execute("walk_00002_.safetensors")


@pytest.mark.parametrize(("options", "words"), [({"heads": 3}, "divided among 3 heads"), ({"bf16": True}, "has no bf16"), ({"frames": 2}, "nothing between their ends")])
def test_settings_are_refused_before_hours_of_encoding(clip_vision, user, monkeypatch, options, words):
    from fabula.motion import training

    monkeypatch.setattr(training, "has_bf16", lambda device: False)
    encoded = count_encoded(monkeypatch)
    with pytest.raises(ValueError, match=f"^Fabula_TrainMotionPredictor: .*{words}"):
        TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **{**SMALL, **options})
    assert not encoded


def test_features_are_trained_on_as_they_were_read(clip_vision, user, monkeypatch):
    """They may fill half of the memory, and the host's inference mode is no reason for a copy."""
    read, train, given = motion_training.read_features, motion_training.train, []
    monkeypatch.setattr(motion_training, "read_features", lambda *all: given.append(read(*all)) or given[0])
    monkeypatch.setattr(motion_training, "train", lambda windows, *rest: given.append(windows) or train(windows, *rest))
    with torch.inference_mode():
        TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL)
    features, windows = given
    assert windows is features.windows and len(windows) == len(features.clips) == 8 and windows.is_contiguous()


def test_the_host_s_models_leave_the_card_to_the_training(clip_vision, model, user, monkeypatch):
    loaded, train = [], motion_training.train

    def count(*given):
        loaded.append(len(comfy.model_management.current_loaded_models))
        return train(*given)

    monkeypatch.setattr(motion_training, "train", count)
    comfy.model_management.load_model_gpu(model)
    TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL)
    assert loaded == [0]


def test_bf16_reaches_the_training(clip_vision, user, monkeypatch):
    from fabula.motion import training

    assert TrainMotionPredictor.execute("videos", clip_vision, 2, "walk", **SMALL, bf16=True).args[0].space == "pooled"
    monkeypatch.setattr(training, "has_bf16", lambda device: False)
    with pytest.raises(ValueError, match="Fabula_TrainMotionPredictor: bf16 is on, but the device .* has no bf16. Turn it off"):
        TrainMotionPredictor.execute("videos", clip_vision, 3, "walk", **SMALL, bf16=True)
    TrainMotionPredictor.execute("videos", clip_vision, 3, "walk", **SMALL)


def test_features_are_there_for_one_transition_at_a_time(clip_vision, monkeypatch):
    """A film may have hundreds of keyframes, and all that goes from node to node stays in the host's cache."""
    made, own = [], motion_predictor.Predictor.predict
    monkeypatch.setattr(motion_predictor.Predictor, "predict", lambda *given: made.append(given) or own(*given))
    motion, total = predict(clip_vision, torch.rand(9, 32, 32, 3), space="penultimate", frames=64)
    assert not made and [each.frames for each in motion] == [64] * 8 and total == 8 * 63 + 1
    held = {id(tensor.untyped_storage()): tensor.untyped_storage().nbytes() for each in motion for tensor in (each.nothing, *each.predict.args[:2])}
    one = motion[3].features
    assert len(made) == 1 and sum(held.values()) < one.untyped_storage().nbytes()
    assert torch.equal(one, motion[3].features) and torch.equal(one[-1], motion[4].features[0])
