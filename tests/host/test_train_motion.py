"""The command line, in processes of its own: `tools/train_motion.py` with a real ComfyUI and a small real CLIP."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import comfy.clip_vision
import pytest
import torch
import wheels
from fabula.motion.checkpoint import load
from PIL import Image, ImageDraw
from safetensors import safe_open

TOOL = Path(wheels.__file__).with_name("train_motion.py")
ACCELERATE = ("accelerate==1.15.0", "97eacca0b73e45cb867dbf8c5d5d4dc32219544300e0c8992c7334dc2ef33cec")
CLIP = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 1, "image_size": 28, "patch_size": 14, "num_channels": 3,
    "projection_dim": 64, "hidden_act": "gelu", "model_type": "clip_vision_model", "layer_norm_eps": 1e-5,
}


def write_video(path, colour):
    pictures = [Image.new("RGB", (56, 56), (colour, 90, 60)) for _ in range(12)]
    for number, image in enumerate(pictures):
        ImageDraw.Draw(image).rectangle((4 * number, 20, 4 * number + 12, 40), fill=(250, 240, 30))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=250, lossless=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with videos, one of them torn, and a CLIP vision model as other programs keep it."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("train")
    for name in ("clip", "videos"):
        (folder / name).mkdir()
    (folder / "clip" / "config.json").write_text(json.dumps(CLIP))
    made = comfy.clip_vision.ClipVisionModel(folder / "clip" / "config.json")
    torch.manual_seed(5)
    weights = {name: torch.randn_like(value) * (0.1 if value.ndim > 1 else 0.5) if value.is_floating_point() else value for name, value in made.get_sd().items()}
    save_file(weights, folder / "clip" / "model.safetensors")
    for number in range(4):
        write_video(folder / "videos" / f"{number}.webp", 40 * number)
    (folder / "videos" / "torn.mp4").write_bytes(b"no video")
    return folder


def command(world, output, *more, videos="videos", resume="kept", launcher=()):
    small = ("--frames", "6", "--batch", "3", "--width", "16", "--layers", "1", "--heads", "2")
    return [sys.executable, *launcher, str(TOOL), str(world / videos), "--clip-vision", str(world / "clip"), "--output", str(world / output),
            "--resume-folder", str(world / resume), *small, *more]


def call(*given, environment=None, **options):
    return subprocess.run(command(*given, **options), capture_output=True, text=True, timeout=900, env={**os.environ, **(environment or {})})


def test_it_reports_trains_judges_and_writes_once(world):
    done = call(world, "new/walk.safetensors", "--steps", "9", "--plot", str(world / "loss.png"))
    assert done.returncode == 0, done.stderr
    for words in ("8 windows used; left out: ", "torn.mp4 cannot be read", "step 9 of 9: loss ", "predictor: ", "linear: ", "slerp: ", "eased: ", "hold: ", "linear interpolation."):
        assert words in done.stdout, words
    model = load(world / "new" / "walk.safetensors")
    assert (model.sizes.channels, model.sizes.width, model.sizes.layers) == (64, 16, 1) and Image.open(world / "loss.png").size == (640, 400)
    assert not list((world / "kept").glob("*.training"))

    again = call(world, "new/walk.safetensors", "--steps", "9")
    assert again.returncode == 2 and re.search("--output is .*walk.safetensors, which exists. Choose another name, or say --overwrite", again.stderr)
    before = (world / "new" / "walk.safetensors").read_bytes()
    over = call(world, "new/walk.safetensors", "--steps", "4", "--overwrite")
    assert over.returncode == 0 and "4 videos were encoded before" in over.stdout and (world / "new" / "walk.safetensors").read_bytes() != before


def test_what_came_meanwhile_is_not_overwritten(world):
    names = ("late.safetensors", "late.png")
    with subprocess.Popen(command(world, names[0], "--steps", "40", "--plot", str(world / names[1])), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            if "windows used" in line:
                for name in names:
                    (world / name).write_bytes(b"somebody's")
                break
        told, errors = child.communicate(timeout=100)
    assert child.returncode == 0 and "late_2.safetensors" in told and "late_2.png" in told, errors
    assert all((world / name).read_bytes() == b"somebody's" for name in names) and load(world / "late_2.safetensors") and Image.open(world / "late_2.png")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no Ctrl-C to one process alone")
def test_ctrl_c_keeps_it_and_the_next_run_goes_on(world):
    reached = []
    for _ in range(2):
        with subprocess.Popen(command(world, "long.safetensors", "--steps", "100000", resume="long"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            for line in child.stdout:
                if line.startswith("step "):
                    reached.append(int(line.split()[1]))
                    child.send_signal(signal.SIGINT)
                    break
            told = child.communicate(timeout=100)[1]
        assert child.returncode == 130 and "stopped. What was encoded and trained is kept: the same command goes on" in told and "Traceback" not in told
        kept, = (world / "long").glob("*.training")
        reached.append(len(torch.load(kept, weights_only=True)["losses"]))
    assert reached[0] <= reached[1] < reached[2] <= reached[3]  # told, kept, and on
    assert not (world / "long.safetensors").exists()


@pytest.mark.parametrize(("more", "options", "words"), [
    ((), {"videos": "clip"}, r"^tools/train_motion.py: CLIPS_FOLDER: .*clip has no videos"), (("--heads", "3"), {}, "tools/train_motion.py: a width of 16 cannot be divided among 3 heads"),
    (("--clip-vision", "no_such"), {}, "tools/train_motion.py: --clip-vision: no_such is no file, and not in models/clip_vision"),
    (("--space", "projected", "--image-prompt", "no_such"), {}, "tools/train_motion.py: input 'image_prompt_name' is 'no_such', which is not in models/ipadapter"),
])
def test_what_is_wrong_is_named_without_a_traceback(world, more, options, words):
    done = call(world, "wrong.safetensors", "--steps", "2", *more, **options)
    assert done.returncode == 1 and re.search(words, done.stderr, re.MULTILINE) and "Traceback" not in done.stderr, done.stderr


@pytest.fixture(scope="module")
def accelerate():
    """On a path of its own, not installed: Python reads it out of the wheel."""
    try:
        return {"PYTHONPATH": os.pathsep.join([str(wheels.fetch(*ACCELERATE)), os.environ.get("PYTHONPATH", "")]), "OMP_NUM_THREADS": "1"}
    except SystemExit:
        pytest.skip(f"{ACCELERATE[0]}, by which processes train together, cannot be had here")


def test_two_processes_train_what_one_does(world, accelerate):
    one = call(world, "one.safetensors", "--steps", "12", "--rate", "0.003", resume="one")
    launcher = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
    two = call(world, "two.safetensors", "--steps", "12", "--rate", "0.003", resume="two", launcher=launcher, environment=accelerate)
    assert one.returncode == two.returncode == 0, two.stderr
    assert two.stdout.count("step 12 of 12: loss ") == 1  # told once, by the main one
    losses = [float(safe_open(world / f"{name}.safetensors", "pt").metadata()["loss"]) for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert "2 processes train together" in two.stdout and "processes" not in one.stdout
    weights = [load(world / f"{name}.safetensors").state_dict() for name in ("one", "two")]
    one, two = (each["head.weight"] for each in weights)
    assert one.abs().max() > 1e-5 and (one - two).norm() < 0.01 * one.norm()
