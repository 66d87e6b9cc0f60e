"""Features between keyframes: interpolation, the predictor around it, and its files."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from fabula.motion.checkpoint import load, save
from fabula.motion.interpolation import MODES, interpolate
from fabula.motion.predictor import MotionPredictor, Sizes

SMALL = Sizes("penultimate", tokens=5, channels=12, width=32, layers=2, heads=4)


def keyframes(batch=2, seed=0, tokens=5, channels=12):
    generator = torch.Generator().manual_seed(seed)
    return tuple(3 * torch.randn(batch, tokens, channels, generator=generator) for _ in range(2))


def trained(sizes=SMALL):
    """With weights that are not at their start."""
    torch.manual_seed(1)
    predictor = MotionPredictor(sizes).eval()
    torch.nn.init.normal_(predictor.head.weight, std=0.3)
    predictor.mean.normal_()
    predictor.std.uniform_(0.5, 2)
    return predictor


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frames", [2, 3, 16, 33])
def test_keyframes_are_the_ends_bit_for_bit(mode, frames):
    start, end = keyframes()
    found = interpolate(start, end, frames, mode)
    assert found.shape == (2, frames, 5, 12) and torch.equal(found[:, 0], start) and torch.equal(found[:, -1], end)


def test_linear_is_the_paper_s_formula():
    start, end = (each.double() for each in keyframes())
    found = interpolate(start, end, 7)
    for i in range(1, 8):
        assert torch.allclose(found[:, i - 1], start + (i - 1) / 6 * (end - start), atol=1e-12)


def test_slerp_turns_evenly_and_its_length_is_linear():
    start, end = torch.zeros(1, 1, 2), torch.zeros(1, 1, 2)
    start[0, 0, 0], end[0, 0, 1] = 2.0, 4.0
    found = interpolate(start, end, 5, "slerp")[0, :, 0]
    assert torch.allclose(found.norm(dim=-1), torch.linspace(2, 4, 5), atol=1e-5)
    assert torch.allclose(torch.atan2(found[:, 1], found[:, 0]), torch.linspace(0, math.pi / 2, 5), atol=1e-5)


@pytest.mark.parametrize("end", [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
def test_slerp_without_a_plane_is_linear(end):
    start, end = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[end]])
    found = interpolate(start, end, 5, "slerp")
    assert torch.isfinite(found).all() and torch.allclose(found, interpolate(start, end, 5), atol=1e-5)


def test_eased_is_slow_at_its_ends():
    start, end = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    steps = interpolate(start, end, 9, "eased").flatten().diff()
    assert steps[0] < 0.5 / 8 and steps[-1] < 0.5 / 8 and steps[3] > 1 / 8 and (steps > 0).all()


@pytest.mark.parametrize("frames", [1, 0, -3])
def test_fewer_than_two_frames_are_no_transition(frames):
    with pytest.raises(ValueError, match="too few"):
        interpolate(*keyframes(), frames)


def test_a_mode_that_is_not_there():
    with pytest.raises(ValueError, match="no interpolation 'cubic'. Choose one of: linear, slerp, eased"):
        interpolate(*keyframes(), 4, "cubic")


def test_untrained_it_is_linear_interpolation():
    start, end = keyframes()
    assert torch.equal(MotionPredictor(SMALL)(start, end, 9), interpolate(start, end, 9))


@pytest.mark.parametrize("frames", [2, 5, 16, 40])
def test_the_ends_are_exact_for_any_weights_and_any_length(frames):
    start, end = keyframes()
    predictor = trained()
    found = predictor(start, end, frames)
    assert torch.equal(found[:, 0], start) and torch.equal(found[:, -1], end)
    assert frames == 2 or not torch.allclose(found, interpolate(start, end, frames))
    predictor.head.weight.data.fill_(torch.inf)
    found = predictor(start, end, frames)
    assert torch.equal(found[:, 0], start) and torch.equal(found[:, -1], end)


def test_strength_scales_what_was_learned():
    start, end = keyframes()
    predictor, straight = trained(), interpolate(*keyframes(), 9)
    full, half = predictor(start, end, 9) - straight, predictor(start, end, 9, 0.5) - straight
    assert torch.equal(predictor(start, end, 9, 0.0), straight) and torch.allclose(half, full / 2, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_features_of_half_precision_stay_so(dtype):
    start, end = (each.to(dtype) for each in keyframes())
    found = trained()(start, end, 5)
    assert found.dtype == dtype and torch.equal(found[:, 0], start) and torch.equal(found[:, -1], end)


def test_all_frames_and_tokens_see_each_other():
    start, end = keyframes(batch=1)
    predictor = trained()
    before = predictor(start, end, 6)
    changed = end.clone()
    changed[0, 3] += 1
    learned = lambda a, b: predictor(a, b, 6) - interpolate(a, b, 6)  # noqa: E731
    difference = (learned(start, changed) - learned(start, end)).abs().amax(-1)[0]
    assert (difference[1:-1] > 0).all() and before.shape == (1, 6, 5, 12)


def test_a_frame_depends_on_its_time_not_on_the_number_of_frames():
    """Frame 4 of 9 and frame 8 of 17 are the same moment; attention sees other neighbours, so it is near and not equal."""
    start, end = keyframes()
    predictor = trained()
    assert (predictor(start, end, 9)[:, 4] - predictor(start, end, 17)[:, 8]).abs().mean() < 0.2 * (predictor(start, end, 9) - interpolate(start, end, 9)).abs().mean()


def test_the_paper_s_size():
    sizes = Sizes("projected", 16, 768)
    assert (sizes.width, sizes.layers, sizes.heads) == (1024, 8, 16)
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in MotionPredictor(sizes).parameters())
    assert 100e6 < count < 106e6


@pytest.mark.parametrize(("changed", "words"), [
    ({"heads": 12, "width": 1024}, "a width of 1024 cannot be divided among 12 heads"), ({"space": "hidden"}, "no feature space 'hidden'"), ({"tokens": 0}, "at least 1"),
])
def test_sizes_that_cannot_be(changed, words):
    with pytest.raises(ValueError, match=words):
        Sizes(**{"space": "pooled", "tokens": 1, "channels": 8, "width": 32, "layers": 1, "heads": 4, **changed})


def test_features_of_another_shape_are_named():
    start, end = keyframes(tokens=4)
    with pytest.raises(ValueError, match=r"start is of shape \(2, 4, 12\), but the predictor reads \(batch, 5, 12\), CLIP's penultimate features"):
        MotionPredictor(SMALL)(start, end, 4)


def test_a_file_holds_all_there_is_to_know(tmp_path):
    predictor = trained()
    save(predictor, tmp_path / "walk.safetensors", {"steps": "600"})
    again = load(tmp_path / "walk.safetensors")
    assert again.sizes == SMALL and torch.equal(again(*keyframes(), 7), predictor(*keyframes(), 7)) and not again.training
    assert [file.name for file in tmp_path.iterdir()] == ["walk.safetensors"]


def test_files_that_are_refused(tmp_path):
    path = tmp_path / "walk.safetensors"
    save(trained(), path)
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}  # the file itself is written over
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="walk.safetensors cannot be read"):
        load(path)
    save_file(tensors, path)
    with pytest.raises(ValueError, match="no motion predictor"):
        load(path)
    for changed, words in (({"version": "2"}, "version 2, newer"), ({"sizes": json.dumps({"space": "pooled"})}, "damaged"), ({"sizes": "{"}, "damaged")):
        save_file(tensors, path, metadata={"format": "fabula_motion_predictor", "version": "1", "sizes": "{}", **changed})
        with pytest.raises(ValueError, match=words):
            load(path)
    save_file({name: tensor for name, tensor in tensors.items() if name != "std"}, path,
              metadata={"format": "fabula_motion_predictor", "version": "1", "sizes": json.dumps({"space": "penultimate", "tokens": 5, "channels": 12, "width": 32, "layers": 2, "heads": 4})})
    with pytest.raises(ValueError, match="(?s)damaged.*std"):
        load(path)


def test_the_table_of_attention_is_never_held_whole():
    """Torch's own encoder layer holds it where nothing is trained; of 81 frames of 257 tokens it would take gigabytes."""
    predictor = trained(Sizes("penultimate", 64, 8, width=32, layers=1, heads=4))
    frames, ends = 16, keyframes(1, tokens=64, channels=8)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as watched, torch.inference_mode():
        predictor(*ends, frames)
    largest = max(event.self_cpu_memory_usage for event in watched.events())
    assert frames * 64 * 32 * 4 <= largest < 4 * (frames * 64) ** 2  # bytes: of what is read at least, and of one head's table
