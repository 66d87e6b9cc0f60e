"""AnimateDiff's motion modules in real UNets of the host's, in small: there while the net runs, and gone without a trace."""

import comfy.model_base
import comfy.model_patcher
import comfy.model_sampling
import comfy.ops
import folder_paths
import pytest
import torch
from animatediff_nets import CPU, SD15, module_of, near, parts_of, run, sd15, with_little_memory, write
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.ldm.modules.diffusionmodules.util import make_beta_schedule
from comfy.patcher_extension import WrappersMP
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras import nodes_model_advanced
from fabula.host import folders, motion_module
from fabula.host.consistent_attention import Options
from fabula.host.consistent_attention import apply as share
from fabula.host.motion_module import load_motion_module, spots
from fabula.nodes.animatediff import LoadMotionModule

FRAMES = 4


@pytest.fixture(scope="module")
def net():
    return sd15()


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, folders.MOTION_MODULES, ([str(tmp_path)], folders.WEIGHT_SUFFIXES))
    return tmp_path


def load(net, name="mm.safetensors", length=16, overlap=4, schedule="unchanged"):
    return load_motion_module(net, name, length, overlap, schedule)


@pytest.fixture()
def animated(net, folder):
    write(module_of(net), folder / "mm.safetensors")
    return load(net)


def unet(**config):
    return UNetModel(image_size=32, in_channels=4, out_channels=4, model_channels=320, use_spatial_transformer=True, legacy=False, device=torch.device("meta"),
                     operations=comfy.ops.disable_weight_init, **config)


XL = {"num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
      "transformer_depth_middle": 10, "num_head_channels": 64, "num_heads": -1, "use_linear_in_transformer": True, "adm_in_channels": 2816, "num_classes": "sequential",
      "context_dim": 2048}
SD = {**{name: SD15[name] for name in ("num_res_blocks", "transformer_depth", "transformer_depth_middle", "transformer_depth_output")}, "channel_mult": [1, 2, 4, 4],
      "num_heads": 8, "num_head_channels": -1, "context_dim": 768}
# Of each place: the block's number, and behind which of its layers. Blocks with an attention have it second.
BEHIND_SD15 = {"down": {(0, 0): (1, 1), (0, 1): (2, 1), (1, 0): (4, 1), (1, 1): (5, 1), (2, 0): (7, 1), (2, 1): (8, 1), (3, 0): (10, 0), (3, 1): (11, 0)},
               "up": {(level, number): (3 * level + number, int(level > 0)) for level in range(4) for number in range(3)}}
BEHIND_XL = {"down": {(0, 0): (1, 0), (0, 1): (2, 0), (1, 0): (4, 1), (1, 1): (5, 1), (2, 0): (7, 1), (2, 1): (8, 1)},
             "up": {(level, number): (3 * level + number, int(level < 2)) for level in range(3) for number in range(3)}}


@pytest.mark.parametrize(("config", "behind", "down", "count"), [(SD, BEHIND_SD15, (320, 640, 1280, 1280), 21), (XL, BEHIND_XL, (320, 640, 1280), 16)], ids=["SD1.5", "SDXL"])
def test_modules_stand_behind_each_residual_block_and_its_attention(config, behind, down, count):
    made = unet(**config)
    found = spots(made)
    assert len(found) == count and found["mid", 0, 0].blocks is made.middle_block and found["mid", 0, 0].after == 1
    for part, blocks in (("down", made.input_blocks), ("up", made.output_blocks)):
        for (level, number), (block, after) in behind[part].items():
            spot = found[part, level, number]
            assert (spot.blocks, spot.after) == (blocks[block], after)
            assert spot.channels == (down if part == "down" else down[::-1])[level]


def test_a_net_without_a_middle_has_none_there():
    made = unet(**{**XL, "transformer_depth_middle": -2})
    assert made.middle_block is None and len(spots(made)) == 15


def changed_frames(net, frame=2):
    """Which frames change when the noise of one does."""
    latent = torch.zeros(FRAMES, 4, 8, 8)
    other = latent.clone()
    other[frame] = 1.0
    return ((run(net, latent=other) - run(net, latent=latent)).abs().amax((1, 2, 3)) > 1e-4).tolist()


def test_frames_see_each_other_with_the_module_and_only_then(net, animated):
    assert changed_frames(net) == [False, False, True, False] and changed_frames(animated) == [True] * FRAMES


def test_the_model_itself_stays_as_it_was(net, animated):
    before, parts = run(net), parts_of(net)
    moved = run(animated)
    assert moved.isfinite().all() and not torch.allclose(moved, before, atol=1e-2)
    assert parts_of(net) == parts and torch.equal(run(net), before) and torch.equal(run(animated), moved)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_error_in_the_net_leaves_nothing_behind(net, folder, version):
    write(module_of(net, *((24, False) if version == "v1" else (32, True))), folder / "mm.safetensors")
    before, parts = run(net), parts_of(net)

    def fails(q, k, v, options):
        inside.append(parts_of(net) != parts)
        raise RuntimeError("no memory")

    inside = []
    broken = load(net)
    broken.set_model_attn2_replace(fails, "output", 4)
    with pytest.raises(RuntimeError, match="no memory"):
        run(broken)
    assert inside == [True] and parts_of(net) == parts and torch.equal(run(net), before)


def test_what_others_have_put_into_norms_stays(net, folder):
    write(module_of(net, 24, False), folder / "mm.safetensors")
    norm, called = net.model.diffusion_model.out[0], []
    norm.forward = lambda x, own=norm.forward: called.append(x.ndim) or own(x)
    try:
        own = norm.forward
        run(load(net))
        assert norm.forward is own and set(called) == {5}
    finally:
        del norm.forward


def test_with_no_way_out_the_clip_is_that_of_the_model_bit_for_bit(net, folder):
    still = module_of(net)
    for place in still.channels:
        torch.nn.init.zeros_(still.at(place).proj_out.weight)
    write(still, folder / "mm.safetensors")
    assert torch.equal(run(load(net)), run(net))


def test_only_v1_normalises_frames_together(net, folder):
    """By the way out that gives nothing: what is left is the norms of the residual blocks."""
    for version, sizes in (("v1", (24, False)), ("v3", (32, False)), ("v2", (32, True))):
        still = module_of(net, *sizes)
        for place in still.channels:
            torch.nn.init.zeros_(still.at(place).proj_out.weight)
        write(still, folder / f"{version}.safetensors")
    assert torch.equal(run(load(net, "v3.safetensors")), run(net)) and torch.equal(run(load(net, "v2.safetensors")), run(net))
    assert changed_frames(load(net, "v1.safetensors")) == [True] * FRAMES
    with torch.inference_mode():  # of frames that are all alike, the mean and the variance are each frame's
        x, timestep, context = torch.ones(FRAMES, 4, 8, 8) * torch.randn(1, 4, 8, 8), torch.full((FRAMES,), 500.0), torch.ones(FRAMES, 7, 24)
        wanted = net.model.diffusion_model(x, timestep, context)
        with motion_module.inserted(net.model.diffusion_model, module_of(net, 24, False, 0.0), FRAMES, None, True):
            found = net.model.diffusion_model(x, timestep, context)
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.fixture()
def apart(monkeypatch):
    """Positive and negative one after the other, as the host does where memory is short."""
    monkeypatch.setattr(comfy.model_base.BaseModel, "memory_required", lambda *args, **kwargs: 1e18)
    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "memory_required", lambda *args, **kwargs: 0)


def together(net):
    """How many conditionings a call of the net gets, and the result."""
    seen, watched = [], net.clone()
    watched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watch", lambda executor, *given, **more: seen.append(len(given[5]["cond_or_uncond"])) or executor(*given, **more))
    return run(watched), set(seen)


def test_positive_and_negative_together_or_apart_are_the_same(animated, request):
    found, how = together(animated)
    request.getfixturevalue("apart")
    again, how_again = together(animated)
    assert how == {2} and how_again == {1} and near(found, again)


def test_longer_clips_are_cut_into_windows(net, folder):
    write(module_of(net, 8), folder / "mm.safetensors")
    found = run(load(net, length=6, overlap=2), 20)
    assert found.isfinite().all() and not torch.allclose(found, run(net, 20), atol=1e-2)
    assert run(load(net, length=64, overlap=2), 9).isfinite().all()  # no window is longer than what the module tells apart
    whole = run(load(net, length=0), 8)
    assert torch.equal(whole, run(load(net, length=8), 8)) and not torch.allclose(whole, run(load(net, length=6, overlap=2), 8), atol=1e-3)
    with pytest.raises(ValueError, match="Fabula_LoadMotionModule: the latent has 9 frames, but mm.safetensors tells only 8 apart.*'context_length'"):
        run(load(net, length=0), 9)
    with pytest.raises(ValueError, match="input 'context_overlap' is 8, but must be smaller than the windows, which are of 8"):
        load(net, length=16, overlap=8)


def sigmas_of(net):
    return net.get_model_object("model_sampling").sigmas


def schedule(name, last):
    products = torch.cumprod(1 - make_beta_schedule(name, 1000, linear_start=0.00085, linear_end=last), 0)
    return ((1 - products) / products).sqrt().float()


LINEAR, SQRT = ("linear", 0.020), ("sqrt_linear", 0.012)


@pytest.mark.parametrize(("chosen", "notes", "wanted"), [
    ("auto", None, SQRT), ("auto", {"noise_schedule": "unchanged"}, None), ("auto", {"noise_schedule": "linear (AnimateDiff-SDXL)"}, LINEAR), ("unchanged", None, None),
    ("linear (AnimateDiff-SDXL)", {"noise_schedule": "unchanged"}, LINEAR), ("sqrt_linear (AnimateDiff)", None, SQRT),
])
def test_the_noise_is_that_of_the_motion_module(net, folder, chosen, notes, wanted):
    write(module_of(net), folder / "mm.safetensors", metadata=notes)
    own, before = sigmas_of(net).clone(), run(net)
    patched = LoadMotionModule.execute(net, "mm.safetensors", beta_schedule=chosen).args[0]
    assert torch.allclose(sigmas_of(patched), own if wanted is None else schedule(*wanted)) and (wanted is None or not torch.allclose(sigmas_of(patched), own))
    run(patched)
    assert torch.equal(sigmas_of(net), own) and torch.equal(run(net), before)
    assert net.model.model_sampling.sigmas is sigmas_of(net)


def test_sdxl_has_a_schedule_of_its_own_and_keeps_what_else_its_sampling_is(model, folder):
    write(module_of(model), folder / "mm.safetensors")
    sampling = load(model, schedule="auto").get_model_object("model_sampling")
    before = model.get_model_object("model_sampling")
    assert type(sampling) is type(before) and sampling.zsnr == before.zsnr and sampling.zsnr
    wanted = comfy.model_sampling.rescale_zero_terminal_snr_sigmas(schedule(*LINEAR))
    assert torch.allclose(sampling.sigmas, wanted, rtol=1e-3)


def test_few_steps_of_lcm_stay_few(net, folder):
    write(module_of(net), folder / "mm.safetensors")
    (distilled,) = nodes_model_advanced.ModelSamplingDiscrete().patch(net, "lcm", False)
    sampling = load(distilled, schedule="auto").get_model_object("model_sampling")
    assert len(sampling.sigmas) == 50 and torch.allclose(sampling.sigmas, schedule(*SQRT)[19::20])
    assert int(sampling.timestep(sampling.sigmas[-1])) == 999


def test_a_sampling_without_such_noise_is_refused(net, folder):
    write(module_of(net), folder / "mm.safetensors")
    (flow,) = nodes_model_advanced.ModelSamplingContinuousEDM().patch(net, "edm", 80.0, 0.002)
    with pytest.raises(ValueError, match="input 'model' has no noise schedule of SD's. Set input 'beta_schedule' to unchanged"):
        load(flow, schedule="auto")
    assert load(flow)


@pytest.mark.parametrize(("name", "prefix"), [("mm.ckpt", "module."), ("mm.pth", ""), ("mm.bin", "")])
def test_files_of_torch_and_half_precision_are_read(net, folder, name, prefix):
    module = module_of(net).half()
    weights = {prefix + key: tensor for key, tensor in module.state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 3} if name.endswith("ckpt") else weights, folder / name)
    write(module, folder / "mm.safetensors", torch.float32)
    assert torch.equal(run(load(net, name)), run(load(net)))
    assert {each.dtype for each in load(net, name).get_additional_models_with_key(motion_module.KEY)[0].model.parameters()} == {torch.float16}


class _Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_files_that_are_refused(net, folder, capsys):
    def refused(name, words):
        with pytest.raises(ValueError, match=f"Fabula_LoadMotionModule: input 'motion_module_name'.*{words}"):
            load(net, name)

    refused("none.ckpt", "'none.ckpt', which is not in models/animatediff_models. There are: none")
    (folder / "torn.safetensors").write_bytes(b"no tensors")
    refused("torn.safetensors", "torn.safetensors is no motion module of AnimateDiff's, or damaged")
    torch.save({"mid_block.motion_modules.0": _Evil()}, folder / "evil.ckpt")
    refused("evil.ckpt", "evil.ckpt is no motion module")
    assert "run" not in capsys.readouterr().out
    torch.save({"conv.weight": torch.ones(1)}, folder / "other.pt")
    refused("other.pt", "other.pt is no motion module")
    whole = module_of(net).state_dict()
    torch.save({key: tensor for key, tensor in whole.items() if "to_q" not in key}, folder / "half.pt")
    refused("half.pt", "half.pt is no motion module.*Missing key")
    wide = sd15(channel_mult=[1, 2, 2, 2])
    write(module_of(wide), folder / "wide.safetensors")
    refused("wide.safetensors", "wide.safetensors is of another family than input 'model'. It has 32/64/64/64 channels, the model 32/32/64/64")
    long = {**SD15, "num_res_blocks": [2, 2, 2], "channel_mult": [1, 1, 2], "transformer_depth": [1] * 6, "transformer_depth_output": [1] * 9}
    write(module_of(net), folder / "mm.safetensors")
    with pytest.raises(ValueError, match="another family"):
        load(sd15(**long))
    with pytest.raises(ValueError, match="Fabula_LoadMotionModule: input 'beta_schedule' is 'cosine'. Choose one of: auto"):
        LoadMotionModule.execute(net, "mm.safetensors", beta_schedule="cosine")


def test_models_that_are_no_image_unets_are_refused(net, folder, svd):
    write(module_of(net), folder / "mm.safetensors")
    for each in (svd, comfy.model_patcher.ModelPatcher(torch.nn.Linear(2, 2), CPU, CPU)):
        with pytest.raises(ValueError, match="Fabula_LoadMotionModule: input 'model' is no image UNet"):
            load(each)
    with pytest.raises(ValueError, match="Fabula_LoadMotionModule: input 'model' is of SD2: motion modules are made for"):
        load(sd15(context_dim=1024))


def test_a_second_module_takes_the_place_of_the_first(net, folder):
    write(module_of(net), folder / "mm.safetensors")
    write(module_of(net, std=0.15), folder / "other.safetensors")
    twice = load(load(net, "other.safetensors"))
    assert torch.equal(run(twice), run(load(net))) and len(twice.get_additional_models_with_key(motion_module.KEY)) == 1


TO_K = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"


def test_a_lora_before_or_after_it_has_its_effect(net, animated):
    difference = torch.randn(64, 24, generator=torch.Generator().manual_seed(1))
    before, after = net.clone(), animated.clone()
    for each in (before, after):
        assert each.add_patches({TO_K: ("diff", (difference,))}, 1.0)
    found = run(load(before))
    assert torch.equal(found, run(after)) and not torch.allclose(found, run(animated), atol=1e-3)


def test_with_consistent_attention_both_have_their_effect(animated, net):
    shared = share(animated, Options(mode="batch", schedule="always", sampling_rate=1.0))
    both = run(shared)
    assert both.isfinite().all() and not torch.allclose(both, run(animated), atol=1e-3)
    assert not torch.allclose(both, run(share(net, Options(mode="batch", schedule="always", sampling_rate=1.0))), atol=1e-3)
    for mode in ("window", "anchors"):
        with pytest.raises(ValueError, match=f"Fabula_LoadMotionModule: the rows.*Fabula_ConsistentAttention with 'mode' {mode}.*Set its 'mode' to batch"):
            run(share(animated, Options(mode=mode, schedule="always", id_length=1, tile_size=2)))


def test_weights_that_stay_outside_the_device_give_the_same(animated, monkeypatch):
    expected = run(animated)
    found, forced = with_little_memory(monkeypatch, lambda: run(animated))
    assert "MotionModule" in forced and near(found, expected)


def test_a_compiled_model_gives_the_same(net, animated, dynamo):
    compiled, graphs = animated.clone(), []
    set_torch_compile_wrapper(compiled, backend=lambda graph, inputs: graphs.append(graph) or graph.forward)
    parts = parts_of(net)
    assert near(run(compiled), run(animated)) and graphs
    assert parts_of(net) == parts


@pytest.fixture()
def dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
