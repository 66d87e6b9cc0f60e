"""IP-Adapter with tokens of each frame's own, in real UNets of the host's, in small."""

import comfy.context_windows
import comfy.model_base
import comfy.model_patcher
import comfy.ops
import comfy.sample
import comfy.samplers
import folder_paths
import pytest
import torch
from animatediff_nets import CONTEXT, CPU, FEATURES, conditioning, module_of, near, prompt_of, run, sd15, with_little_memory, write
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from comfy_extras.nodes_custom_sampler import Guider_DualCFG
from fabula.host import folders, image_prompt
from fabula.host.consistent_attention import Options
from fabula.host.consistent_attention import apply as share
from fabula.host.image_prompt import MODES, apply_motion, layers
from fabula.host.image_prompt_file import load_image_prompt, project
from fabula.host.motion_module import load_motion_module
from fabula.host.motion_predictor import Transition
from fabula.motion.interpolation import interpolate
from fabula.nodes.animatediff import ApplyMotion
from fabula.nodes.motion import LoadMotionPredictor, PredictMotion
from host_differences import WINDOWS_ADD_A_FRAME, WINDOWS_ASK_FOR_NOISE, WINDOWS_TAKE_ONE_TIME, here
from small_clip import clip_vision_of

FRAMES, TOKENS = 4, 5
CLIP = {
    "hidden_size": FEATURES, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 1, "image_size": 28, "patch_size": 14, "num_channels": 3,
    "projection_dim": 32, "hidden_act": "gelu", "model_type": "clip_vision_model", "layer_norm_eps": 1e-5,
}


@pytest.fixture(scope="module")
def net():
    return sd15()


@pytest.fixture(scope="module")
def clip_vision(tmp_path_factory):
    return clip_vision_of(CLIP, tmp_path_factory.mktemp("clip"))


@pytest.fixture()
def folder(net, tmp_path, monkeypatch):
    for name in (folders.MOTION_MODULES, folders.IMAGE_PROMPTS):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, name, ([str(tmp_path)], folders.WEIGHT_SUFFIXES))
    for kind, features in (("plus", FEATURES), ("full", FEATURES), ("base", 32)):
        write(prompt_of(net, kind, features), tmp_path / f"{kind}.safetensors")
    return tmp_path


def transition(space="penultimate", frames=FRAMES, changed=None):
    generator = torch.Generator().manual_seed(8)
    shape = (1, 32) if space == "pooled" else (TOKENS, FEATURES)
    features, black = torch.randn(frames, *shape, generator=generator), torch.randn(*shape, generator=generator)
    if changed is not None:
        features[changed] += 1
    return Transition.of(features, space, black)


def apply(net, motion, name="plus.safetensors", weight=1.0, mode="decoupled", start=0.0, end=1.0):
    return apply_motion(net, motion, name, weight, mode, start, end)


def changed(one, two):
    return ((one - two).abs().amax((1, 2, 3)) > 1e-4).tolist()


def unet(**config):
    return UNetModel(image_size=32, in_channels=4, out_channels=4, model_channels=320, use_spatial_transformer=True, legacy=False, device=torch.device("meta"),
                     operations=comfy.ops.disable_weight_init, **config)


XL = {"num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
      "transformer_depth_middle": 10, "num_head_channels": 64, "num_heads": -1, "use_linear_in_transformer": True, "adm_in_channels": 2816, "num_classes": "sequential",
      "context_dim": 2048}


def test_layers_are_in_the_order_of_the_files(net):
    """By the host's own count of cross attentions, t: 0 to 5 input, 6 middle, 7 to 15 output; the file has the middle last."""
    found = layers(net.model.diffusion_model)
    called = []

    def note(q, k, v, options):
        called.append((*options["block"], options["block_index"]))
        return q

    noted = net.clone()
    for name, number, _ in (key for key, _ in found):
        noted.set_model_attn2_replace(note, name, number)
    run(noted, cfg=1.0, steps=1)
    of_file = [2 * t + 1 if t < 6 else 31 if t == 6 else 2 * (t - 1) + 1 for t in range(16)]
    assert [key for key, _ in found] == [called[of_file.index(2 * number + 1)] for number in range(16)] and called[6] == ("middle", 0, 0)
    assert [width for _, width in found] == [32] * 4 + [64] * 2 + [64] * 3 + [32] * 6 + [64]


def test_sdxl_s_seventy_layers():
    found = layers(unet(**XL))
    blocks = [("input", n) for n, count in ((4, 2), (5, 2), (7, 10), (8, 10)) for _ in range(count)]
    blocks += [("output", n) for n, count in ((0, 10), (1, 10), (2, 10), (3, 2), (4, 2), (5, 2)) for _ in range(count)] + [("middle", 0)] * 10
    assert [key[:2] for key, _ in found] == blocks and len(found) == 70 and found[4][0] == ("input", 7, 0) and found[-1][0] == ("middle", 0, 9)
    assert [width for _, width in found] == [640] * 4 + [1280] * 50 + [640] * 6 + [1280] * 10
    assert len(layers(unet(**{**XL, "transformer_depth_middle": -2}))) == 60


@pytest.mark.parametrize("kind", ["base", "plus", "full"])
@pytest.mark.parametrize("mode", MODES)
def test_a_frame_s_features_change_that_frame_alone(net, folder, kind, mode):
    space = "pooled" if kind == "base" else "penultimate"
    found = run(apply(net, transition(space), f"{kind}.safetensors", mode=mode))
    assert found.isfinite().all() and changed(found, run(net)) == [True] * FRAMES
    assert changed(found, run(apply(net, transition(space, changed=2), f"{kind}.safetensors", mode=mode))) == [False, False, True, False]


def test_with_a_motion_module_its_neighbours_follow(net, folder):
    write(module_of(net), folder / "mm.safetensors")
    animated = load_motion_module(net, "mm.safetensors", 16, 4, "unchanged")
    found = run(apply(animated, transition()))
    assert changed(found, run(apply(animated, transition(changed=2)))) == [True] * FRAMES and changed(found, run(animated)) == [True] * FRAMES


@pytest.mark.parametrize("mode", MODES)
def test_without_weight_nothing_is_done(net, folder, mode):
    before = run(net)
    assert torch.equal(run(apply(net, transition(), weight=0.0, mode=mode)), before)
    assert not torch.allclose(run(apply(net, transition(), weight=0.1, mode=mode)), before, atol=1e-4) and torch.equal(run(net), before)


def test_the_negative_sees_nothing(net, folder):
    """A black picture, or no features at all for the base kind."""
    motion = transition()
    other = Transition.of(motion.features, motion.space, motion.nothing + 1)
    assert not torch.allclose(run(apply(net, motion)), run(apply(net, other)), atol=1e-3)
    assert torch.equal(run(apply(net, motion), cfg=1.0), run(apply(net, other), cfg=1.0))


def test_the_negative_is_the_negative_also_where_a_guider_sends_it_first(net, folder):
    """With the negative in the middle too, dual guidance is plain guidance."""
    patched = apply(net, transition())
    positive, negative = conditioning(5), conditioning(6)
    guider = Guider_DualCFG(patched)
    guider.set_conds(positive, negative, negative)
    guider.set_cfg(2.5, 1.7)
    latent = torch.zeros(FRAMES, 4, 8, 8)
    sigmas = comfy.samplers.calculate_sigmas(patched.get_model_object("model_sampling"), "normal", 2)
    with torch.inference_mode():
        found = guider.sample(comfy.sample.prepare_noise(latent, 1), latent, comfy.samplers.sampler_object("euler"), sigmas, seed=1)
    assert near(found, run(patched))


def test_positive_and_negative_apart_give_the_same(net, folder, monkeypatch):
    patched = apply(net, transition())
    expected, seen = run(patched), []
    patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "watch", lambda executor, *given, **more: seen.append(given[5]["cond_or_uncond"]) or executor(*given, **more))
    monkeypatch.setattr(comfy.model_base.BaseModel, "memory_required", lambda *args, **kwargs: 1e18)
    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "memory_required", lambda *args, **kwargs: 0)
    assert near(run(patched), expected) and [0] in seen and [1] in seen and max(map(len, seen)) == 1


def test_only_a_part_of_the_sampling(net, folder):
    """Both halves by themselves are something else than all and than none; nothing is left where the range lies behind the end."""
    none, whole = run(net, steps=4), run(apply(net, transition()), steps=4)
    first, last = (run(apply(net, transition(), start=start, end=end), steps=4) for start, end in ((0.0, 0.5), (0.5, 1.0)))
    found = [none, whole, first, last]
    assert all(not torch.allclose(a, b, atol=1e-3) for number, a in enumerate(found) for b in found[:number])
    with pytest.raises(ValueError, match="Fabula_ApplyMotion: input 'start_percent' is 0.7 and 'end_percent' is 0.2"):
        apply(net, transition(), start=0.7, end=0.2)


@pytest.mark.parametrize("block", [("output", 4), ("output", 4, 0)], ids=["a block", "a layer"])
def test_what_another_pack_has_set_there_is_called(net, folder, block):
    calls = []

    def other(q, k, v, options):
        calls.append(k.shape[1])
        return q * 0.5

    before = net.clone()
    before.set_model_attn2_replace(other, *block)
    found = run(apply(before, transition()))
    assert set(calls) == {7} and not torch.allclose(found, run(apply(net, transition())), atol=1e-3) and not torch.allclose(found, run(before), atol=1e-3)


def test_two_behind_each_other_both_act(net, folder):
    first, twice = apply(net, transition()), apply(apply(net, transition()), transition("pooled"), "base.safetensors")
    assert len({id(each.model) for each in twice.get_additional_models_with_key(image_prompt.KEY)}) == 2
    found = run(twice)
    assert not torch.allclose(found, run(first), atol=1e-3) and not torch.allclose(found, run(apply(net, transition("pooled"), "base.safetensors")), atol=1e-3)


def test_with_consistent_attention_and_a_lora_all_have_their_effect(net, folder):
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    options = Options(mode="batch", schedule="always", sampling_rate=1.0)
    patched = apply(net, transition())
    with_lora = patched.clone()
    assert with_lora.add_patches({key: ("diff", (torch.randn(64, CONTEXT, generator=torch.Generator().manual_seed(1)),))}, 1.0)
    found = [run(patched), run(share(patched, options)), run(share(net, options)), run(with_lora), run(share(with_lora, options))]
    assert all(not torch.allclose(a, b, atol=1e-3) for number, a in enumerate(found) for b in found[:number])
    assert torch.equal(found[1], run(apply(share(net, options), transition())))
    for mode in ("window", "anchors"):
        with pytest.raises(ValueError, match=f"Fabula_ApplyMotion: the rows.*'mode' {mode}"):
            run(share(patched, Options(mode=mode, schedule="always", id_length=1, tile_size=2)))


@pytest.fixture()
def six(net, folder):
    """A model for clips of six frames, and its result without windows. Without a motion module windows change nothing, if each frame gets its own tokens."""
    patched = apply(net, transition(frames=6))
    return patched, run(patched, 6)


@pytest.mark.parametrize("one_ahead", [False, True] if here(WINDOWS_ADD_A_FRAME) else [False])
def test_the_host_s_windows_get_their_frames(six, monkeypatch, one_ahead):
    patched, expected = six
    more = {"freenoise": False} if here(WINDOWS_ASK_FOR_NOISE) else {}
    more |= {"causal_window_fix": one_ahead} if here(WINDOWS_ADD_A_FRAME) else {}
    windowed = ContextWindowsManualNode.execute(patched, 4, 2, "standard_static", 1, False, "pyramid", 0, **more).args[0]
    own, asked = comfy.context_windows.IndexListContextHandler.set_step, []
    one = None if here(WINDOWS_TAKE_ONE_TIME) else 1  # it is the same in all rows
    monkeypatch.setattr(comfy.context_windows.IndexListContextHandler, "set_step", lambda self, times, options: asked.append(1) or own(self, times[:one], options))
    assert near(run(windowed, 6), expected) and asked
    for frames in (5, 8):
        with pytest.raises(ValueError, match=f"Fabula_ApplyMotion: the latent has {frames} frames, but input 'motion' 6"):
            run(windowed, frames)


@pytest.mark.parametrize("windows", [[[0, 1, 2], [3, 4, 5]], [[5, 4], [3, 0, 2], [1]]])
def test_another_pack_s_windows_get_their_frames(six, windows):
    """As AnimateDiff-Evolved tells of them."""
    patched, expected = six

    def cut(executor, model, conds, x_in, timestep, model_options):
        out = [torch.zeros_like(x_in) for _ in conds]
        for frames in windows:
            told = {"full_length": 6, "context_length": len(frames), "sub_idxs": frames}
            options = {**model_options, "transformer_options": {**model_options["transformer_options"], "ad_params": told}}
            for whole, part in zip(out, executor(model, conds, x_in[frames], timestep[frames], options)):
                whole[frames] = part
        return out

    windowed = patched.clone()
    windowed.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "windows", cut)
    assert near(run(windowed, 6), expected)


def predict(clip_vision, space, name="", frames=FRAMES):
    keyframes = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(7))
    keyframes[1] = torch.linspace(0, 1, 32)[:, None, None]  # something else than noise
    (predictor,) = LoadMotionPredictor.execute("linear").args
    return PredictMotion.execute(predictor, clip_vision, keyframes, frames, 1.0, space, name).args[0][0]


@pytest.mark.parametrize(("name", "space"), [("plus.safetensors", "penultimate"), ("base.safetensors", "pooled")])
def test_projected_features_are_the_prompt_s_tokens(net, folder, clip_vision, name, space):
    """At the keyframes it is the same whether what CLIP sees is projected first or last; between them it is not, for a projection is not linear."""
    plain, projected = predict(clip_vision, space), predict(clip_vision, "projected", name)
    prompt = load_image_prompt(name)
    wanted = project(prompt, plain.features)
    assert torch.allclose(projected.features[[0, -1]], wanted[[0, -1]], atol=1e-5)
    assert torch.allclose(projected.features, interpolate(wanted[0], wanted[-1], FRAMES), atol=1e-5) and not torch.allclose(projected.features, wanted, atol=1e-4)
    with pytest.raises(ValueError, match=f"Fabula_ApplyMotion: input 'motion' has the tokens of {name}, but input 'image_prompt_name' is other.safetensors. Choose the same one"):
        write(prompt.model, folder / "other.safetensors")
        apply(net, projected, "other.safetensors")
    one, two = run(apply(net, plain, name)), run(apply(net, projected, name))
    difference = (one - two).abs().amax((1, 2, 3))
    assert difference[[0, -1]].max() < 1e-3 * two.abs().mean() and difference[1:-1].min() > 3 * difference[[0, -1]].max()


def test_each_transition_gets_a_model_and_the_file_is_read_once(net, folder, monkeypatch):
    read, own = [], image_prompt.load_image_prompt
    monkeypatch.setattr(image_prompt, "load_image_prompt", lambda *given: read.append(given) or own(*given))
    motions = [transition(), transition(changed=1), transition(changed=2)]
    (models,) = ApplyMotion.execute([net], motions, ["plus.safetensors"], [1.0]).args
    assert len(models) == 3 and len(read) == 1
    prompts = {id(each.model) for model in models for each in model.get_additional_models_with_key(image_prompt.KEY)}
    assert len(prompts) == 1 and torch.equal(run(models[1]), run(apply(net, motions[1])))
    (models,) = ApplyMotion.execute([net], motions, ["plus.safetensors"], [1.0, 0.0]).args
    assert torch.equal(run(models[2]), run(net))
    with pytest.raises(ValueError, match="Fabula_ApplyMotion: input 'mode' is 'both'. Choose one of: decoupled, one softmax"):
        ApplyMotion.execute([net], motions, ["plus.safetensors"], [1.0], ["both"])


def test_nothing_is_kept_when_a_run_has_ended_or_failed(net, folder):
    patched = apply(net, transition())
    kept = patched.wrappers[WrappersMP.OUTER_SAMPLE][image_prompt.KEY][0].__self__
    run(patched)
    assert kept._moved is None
    with pytest.raises(ValueError, match="Fabula_ApplyMotion: the latent has 5 frames, but input 'motion' 4. Give Fabula_TransitionLatents, or the empty latent, as many 'frames'"):
        run(patched, 5)
    assert kept._moved is None


def test_files_of_torch_and_half_precision_are_read(net, folder):
    prompt = prompt_of(net).half()
    weights = prompt.state_dict()
    parts = {part: {key.removeprefix(part + "."): tensor for key, tensor in weights.items() if key.startswith(part)} for part in ("image_proj", "ip_adapter")}
    torch.save(parts, folder / "parts.bin")
    torch.save({key.replace("ip_adapter.", "adapter_modules."): tensor for key, tensor in weights.items()}, folder / "modules.pt")
    write(prompt, folder / "half.safetensors", torch.float32)
    expected = run(apply(net, transition(), "half.safetensors"))
    for name in ("parts.bin", "modules.pt"):
        assert torch.equal(run(apply(net, transition(), name)), expected)


class _Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_files_that_are_refused(net, folder, capsys, svd):
    def refused(name, words, motion=None, model=net):
        with pytest.raises(ValueError, match=f"Fabula_ApplyMotion: input .*{words}"):
            apply(model, motion or transition(), name)

    refused("none.bin", "'image_prompt_name' is 'none.bin', which is not in models/ipadapter. There are: base.safetensors")
    (folder / "torn.safetensors").write_bytes(b"no tensors")
    refused("torn.safetensors", "'image_prompt_name': torn.safetensors is no image prompt that can be read")
    torch.save({"image_proj": _Evil()}, folder / "evil.bin")
    refused("evil.bin", "evil.bin is no image prompt")
    assert "run" not in capsys.readouterr().out
    faces = {"image_proj": prompt_of(net).image_proj.state_dict(), "ip_adapter": {**prompt_of(net).ip_adapter.state_dict(), "0.to_q_lora.down.weight": torch.ones(2, 2)}}
    torch.save(faces, folder / "faceid.bin")
    refused("faceid.bin", "faceid.bin is no image prompt.*FaceID")
    refused("plus.safetensors", "'image_prompt_name': plus.safetensors is of another family than input 'model'", model=sd15(channel_mult=[1, 2, 2, 2]))
    refused("plus.safetensors", "'motion' has pooled features of 32 channels, but plus.safetensors reads penultimate ones of 64. Set Fabula_PredictMotion's 'space' to penultimate",
            transition("pooled"))
    refused("base.safetensors", "'motion' has penultimate features.*'space' to pooled")
    write(prompt_of(net, "plus", 48), folder / "vit_l.safetensors")
    refused("vit_l.safetensors", "'motion' has penultimate features of 64 channels, but vit_l.safetensors reads penultimate ones of 48.*CLIP vision model")
    wide = Transition.of(torch.randn(FRAMES, TOKENS, 40), "projected", torch.randn(TOKENS, 40))
    refused("plus.safetensors", f"'motion' has tokens of 40 channels, plus.safetensors makes {CONTEXT}. Use one image prompt in both nodes", wide)
    refused("plus.safetensors", f"is of another family than input 'model': it has 16 layers beside texts of {CONTEXT} channels, the model 16 and 40", model=sd15(context_dim=40))
    refused("plus.safetensors", "'model' is of SD2: image prompts are made for", model=sd15(context_dim=1024))
    refused("plus.safetensors", "'model' is no image UNet: image prompts are made for", model=svd)
    refused("plus.safetensors", "'model' is no image UNet", model=comfy.model_patcher.ModelPatcher(torch.nn.Linear(2, 2), CPU, CPU))


def test_predictions_that_are_refused(folder, clip_vision, net):
    write(prompt_of(net, "plus", 48), folder / "vit_l.safetensors")
    for name, words in (("", "input 'image_prompt_name' is empty, but 'space' is projected"),
                        ("vit_l.safetensors", "input 'clip_vision' gives features of 64 channels, but input 'image_prompt_name' .vit_l.safetensors. reads 48"),
                        ("none", "input 'image_prompt_name' is 'none'. Choose one of: , base.safetensors")):
        with pytest.raises(ValueError, match=f"Fabula_PredictMotion: {words}"):
            predict(clip_vision, "projected", name)


def test_weights_that_stay_outside_the_device_give_the_same(net, folder, monkeypatch):
    patched = apply(net, transition())
    expected = run(patched)
    found, forced = with_little_memory(monkeypatch, lambda: run(patched))
    assert "ImagePrompt" in forced and near(found, expected)
