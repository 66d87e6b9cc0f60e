"""AnimateDiff's motion modules against their formulas, written anew in float64, and against the names in the published files."""

import math

import pytest
import torch

from fabula.motion.motion_module import MotionModule, TemporalTransformer, clean, layout, sinusoids
from fabula.motion.windows import windows

CHANNELS, POSITIONS, HEADS = 64, 12, 8
SD15, SDXL = (320, 640, 1280, 1280), (320, 640, 1280)


def places(widths, mid):
    """Where the families have modules: two residual blocks on each level down, three up, of the widths in reverse."""
    found = {("down", level, number): width for level, width in enumerate(widths) for number in range(2)}
    found |= {("up", level, number): width for level, width in enumerate(reversed(widths)) for number in range(3)}
    return found | ({("mid", 0, 0): widths[-1]} if mid else {})


FILES = {"v1": (SD15, False, 24, 20), "v2": (SD15, True, 32, 21), "v3": (SD15, False, 32, 20), "SDXL": (SDXL, False, 32, 15)}


def names_of(block, width, positions):
    """The names and shapes in the files, of one module."""
    own = {"norm.weight": (width,), "norm.bias": (width,), "proj_in.weight": (width, width), "proj_in.bias": (width,), "proj_out.weight": (width, width), "proj_out.bias": (width,)}
    inner = {"ff.net.0.proj.weight": (8 * width, width), "ff.net.0.proj.bias": (8 * width,), "ff.net.2.weight": (width, 4 * width), "ff.net.2.bias": (width,),
             "ff_norm.weight": (width,), "ff_norm.bias": (width,)}
    for number in (0, 1):
        at = f"attention_blocks.{number}."
        inner |= {at + f"to_{name}.weight": (width, width) for name in "qkv"}
        inner |= {at + "to_out.0.weight": (width, width), at + "to_out.0.bias": (width,), at + "pos_encoder.pe": (1, positions, width)}
        inner |= {f"norms.{number}.weight": (width,), f"norms.{number}.bias": (width,)}
    own |= {f"transformer_blocks.0.{name}": shape for name, shape in inner.items()}
    return {f"{block}.temporal_transformer.{name}": shape for name, shape in own.items()}


def names_of_a_file(widths, mid, positions):
    found = {}
    for level, width in enumerate(widths):
        for number in range(2):
            found |= names_of(f"down_blocks.{level}.motion_modules.{number}", width, positions)
    for level, width in enumerate(reversed(widths)):
        for number in range(3):
            found |= names_of(f"up_blocks.{level}.motion_modules.{number}", width, positions)
    return found | (names_of("mid_block.motion_modules.0", widths[-1], positions) if mid else {})


@pytest.mark.parametrize("version", FILES)
def test_the_published_files_fit_by_name_and_shape(version):
    widths, mid, positions, count = FILES[version]
    wanted = names_of_a_file(widths, mid, positions)
    module = MotionModule(places(widths, mid), positions, device="meta")
    assert {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()} == wanted
    assert sum(name.endswith("temporal_transformer.norm.weight") for name in wanted) == count
    file = {name: torch.empty(shape, device="meta") for name, shape in wanted.items()}
    assert layout(file) == (places(widths, mid), positions)


def test_prefixes_of_trainers_and_other_weights_are_left_out():
    own = names_of("mid_block.motion_modules.0", 32, 24)
    file = {f"module.{name}": torch.empty(shape) for name, shape in own.items()} | {"module.conv_in.weight": torch.empty(1), "epoch": torch.empty(1)}
    assert set(clean(file)) == set(own)
    assert set(clean({f"motion_model.unet.{name}": torch.empty(1) for name in own})) == set(own)


@pytest.mark.parametrize("names", [[], ["down_blocks.0.motion_modules.0.norm.weight"], ["mid_block.motion_modules.0.temporal_transformer.norm.weight"]])
def test_weights_of_another_kind_are_refused(names):
    with pytest.raises(ValueError, match="no temporal transformers"):
        layout({name: torch.empty(32) for name in names})
    with pytest.raises(ValueError, match="'conv_in.weight' belongs to no motion module"):
        layout({"conv_in.weight": torch.empty(1)})


@pytest.fixture(scope="module")
def transformer():
    torch.manual_seed(0)
    found = TemporalTransformer(CHANNELS, POSITIONS).eval()
    for name, tensor in found.state_dict().items():
        if not name.endswith("pe"):
            tensor.copy_(torch.randn_like(tensor) * (0.2 if tensor.ndim > 1 else 0.5) + float("norm" in name and name.endswith("weight")))
    return found.requires_grad_(False)


def layer_norm(x, weights, name):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
    return (x - mean) / (variance + 1e-5).sqrt() * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def positions_of(frames):
    """Sines at even channels, cosines at odd ones, of t / 10000^(channel / channels)."""
    found = torch.zeros(frames, CHANNELS, dtype=torch.float64)
    for t in range(frames):
        for pair in range(0, CHANNELS, 2):
            angle = t / 10000 ** (pair / CHANNELS)
            found[t, pair], found[t, pair + 1] = math.sin(angle), math.cos(angle)
    return found


def attended(x, weights, at):
    """Self attention of (frames, channels) with positions, head by head."""
    x = x + positions_of(len(x))
    q, k, v = (linear(x, weights, at + f"to_{name}") for name in "qkv")
    size = CHANNELS // HEADS
    heads = []
    for head in range(HEADS):
        own = slice(head * size, (head + 1) * size)
        scores = q[:, own] @ k[:, own].T / math.sqrt(size)
        heads.append(torch.softmax(scores, 1) @ v[:, own])
    return linear(torch.cat(heads, 1), weights, at + "to_out.0")


def formula(transformer, clip, attended=attended):
    """One clip, (frames, channels, height, width), pixel by pixel."""
    weights = {name: tensor.double() for name, tensor in transformer.state_dict().items()}
    block = {name.removeprefix("transformer_blocks.0."): tensor for name, tensor in weights.items()}
    clip = clip.double()
    groups = clip.reshape(len(clip), 32, -1)  # each frame by itself
    normed = (groups - groups.mean(-1, keepdim=True)) / (groups.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()
    normed = normed.reshape(clip.shape) * weights["norm.weight"][:, None, None] + weights["norm.bias"][:, None, None]
    out = clip.clone()
    for row in range(clip.shape[2]):
        for column in range(clip.shape[3]):
            x = linear(normed[:, :, row, column], weights, "proj_in")
            for number in (0, 1):
                x = x + attended(layer_norm(x, block, f"norms.{number}"), block, f"attention_blocks.{number}.")
            hidden, gate = linear(layer_norm(x, block, "ff_norm"), block, "ff.net.0.proj").chunk(2, -1)
            x = x + linear(hidden * gate * 0.5 * (1 + torch.erf(gate / math.sqrt(2))), block, "ff.net.2")
            out[:, :, row, column] += linear(x, weights, "proj_out")
    return out


def clips(count, frames, seed=1):
    return torch.randn(count * frames, CHANNELS, 2, 3, generator=torch.Generator().manual_seed(seed))


def test_positions_are_sines_and_cosines():
    assert torch.allclose(sinusoids(POSITIONS, CHANNELS)[0].double(), positions_of(POSITIONS), atol=1e-5)


@pytest.mark.parametrize("frames", [1, 5, POSITIONS])
@pytest.mark.parametrize("grad", [False, True], ids=["fused", "in training"])
def test_a_temporal_transformer_is_its_formula_for_each_clip_of_a_batch(transformer, frames, grad):
    x = clips(2, frames)
    wanted = torch.cat([formula(transformer, clip) for clip in x.split(frames)])
    with torch.set_grad_enabled(grad):
        found = transformer(x, frames)
    assert found.shape == x.shape and torch.allclose(found.double(), wanted, atol=2e-4)
    assert not torch.allclose(found, x, atol=0.1)


def test_many_pixels_are_attended_part_by_part(transformer, monkeypatch):
    x = clips(2, 4)
    whole = transformer(x, 4)
    monkeypatch.setattr("fabula.motion.motion_module._ROWS", 5)
    assert torch.allclose(transformer(x, 4), whole, atol=1e-5)


def test_frames_see_each_other_and_clips_do_not(transformer):
    x = clips(2, 4)
    changed = x.clone()
    changed[1] += torch.randn_like(changed[1])
    difference = (transformer(changed, 4) - transformer(x, 4)).abs().amax((1, 2, 3))
    assert (difference[:4] > 1e-3).all() and not difference[4:].any()


def test_pixels_do_not_see_each_other_but_through_their_frame_s_norm(transformer):
    x = clips(1, 4)
    changed = x.clone()
    changed[:, :, 1] = changed[:, :, 1].flip(-1)  # a group's mean and variance stay
    difference = (transformer(changed, 4) - transformer(x, 4)).abs().amax((0, 1))
    assert difference[0].max() < 1e-4 < difference[1, 0]


def test_at_its_start_with_no_way_out_a_clip_stays_as_it_is(transformer):
    still = TemporalTransformer(CHANNELS, POSITIONS)
    still.load_state_dict(transformer.state_dict())
    torch.nn.init.zeros_(still.proj_out.weight)
    torch.nn.init.zeros_(still.proj_out.bias)
    x = clips(2, 3)
    assert torch.equal(still(x, 3), x)


def test_windows_attend_within_themselves_and_are_blended(transformer):
    frames, length, overlap = 9, 4, 2

    def windowed(x, weights, at):
        out, total = torch.zeros_like(x), torch.zeros(frames, 1, dtype=x.dtype)
        for start in (0, 2, 4, 5):  # steps of length - overlap; the last ends with the last frame
            pyramid = torch.tensor([1.0, 2.0, 2.0, 1.0], dtype=x.dtype)[:, None]
            out[start:start + length] += pyramid * attended(x[start:start + length], weights, at)
            total[start:start + length] += pyramid
        return out / total

    x = clips(2, frames)
    wanted = torch.cat([formula(transformer, clip, windowed) for clip in x.split(frames)])
    found = transformer(x, frames, windows(frames, length, overlap))
    assert torch.allclose(found.double(), wanted, atol=2e-4) and not torch.allclose(found, transformer(x, frames), atol=1e-2)


def test_windows_reach_beyond_the_positions_that_there_are(transformer):
    frames = 3 * POSITIONS
    found = transformer(clips(1, frames), frames, windows(frames, POSITIONS, 4))
    assert torch.isfinite(found).all()
    with pytest.raises(RuntimeError):
        transformer(clips(1, frames), frames)


def test_half_precision_stays_so_and_is_near(transformer):
    x = clips(1, 4)
    half = TemporalTransformer(CHANNELS, POSITIONS).to(torch.bfloat16)
    half.load_state_dict(transformer.state_dict())
    with torch.no_grad():
        found = half(x.bfloat16(), 4, windows(4, 3, 1))
    wanted = transformer(x, 4, windows(4, 3, 1))
    assert found.dtype == torch.bfloat16 and (found - wanted).abs().mean() < 0.05 * wanted.abs().mean()
