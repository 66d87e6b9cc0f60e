"""SVD from both ends, on a real SVD network of the host's, in small."""

import comfy.sample
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_video_model import VideoTriangleCFGGuidance
from fabula.host.motion_predictor import Transition
from fabula.host.motion_svd import END_LATENT, motion_to_svd
from fabula.host.two_way_svd import two_way_svd
from fabula.motion.interpolation import interpolate
from fabula.nodes.video_models import KeyframePairs, TwoWaySVD

FRAMES, SIZE = 6, 64


@pytest.fixture(scope="module")
def keyframes():
    return torch.rand(2, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="module")
def noise():
    return torch.randn(FRAMES, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(8))


def inputs(vae, keyframes, mirrored=False):
    """Positive, negative and latent of Fabula_MotionToSVD."""
    ends = torch.randn(2, 1, 1024, generator=torch.Generator().manual_seed(9))
    if mirrored:
        keyframes, ends = keyframes.flip(0), ends.flip(0)
    return motion_to_svd(Transition.of(interpolate(*ends, FRAMES), "pooled", torch.zeros(1, 1024)), vae, keyframes, SIZE, SIZE, 6, 127, 0.0)


def run(model, given, noise, cfg=2.5, sampler="euler"):
    positive, negative, latent = given
    return comfy.sample.sample(model, noise, 3, cfg, sampler, "karras", positive, negative, latent["samples"], disable_pbar=True, seed=1)


def with_other(given, key):
    """The positive with another picture's latent under `key`."""
    positive, negative, latent = given
    other = torch.randn(positive[0][1][key].shape, generator=torch.Generator().manual_seed(3))
    return [[positive[0][0], {**positive[0][1], key: other}]], negative, latent


def predict(model, given, noise):
    """The film at one high sigma, by the positive alone."""
    found = []

    def first(arguments):
        found.append(arguments["denoised"].clone())
        return arguments["denoised"]

    watched = model.clone()
    watched.set_model_sampler_post_cfg_function(first)
    run(watched, given, noise, cfg=1.0)
    return found[0]


def test_the_last_frame_answers_to_the_end_picture_and_the_first_to_the_start(svd, vae, keyframes, noise):
    """Of one prediction: with more steps the temporal layers carry both through the film."""
    given, patched = inputs(vae, keyframes), two_way_svd(svd, "linear")
    before = predict(patched, given, noise)
    single = {key: (predict(patched, with_other(given, key), noise) - before).abs().mean((1, 2, 3)) for key in (END_LATENT, "concat_latent_image")}
    assert single[END_LATENT][0] == 0 and single[END_LATENT][-1] > 0 and (single[END_LATENT].diff() > 0).all()
    assert single["concat_latent_image"][-1] == 0 and (single["concat_latent_image"].diff() < 0).all()
    whole = (run(patched, with_other(given, END_LATENT), noise) - run(patched, given, noise)).abs().mean((1, 2, 3))
    assert whole[-1] > 10 * whole[0]


@pytest.mark.parametrize("fusion", ["linear", "smooth"])
def test_swapped_keyframes_give_the_mirrored_film(svd, vae, keyframes, noise, fusion):
    there = run(two_way_svd(svd, fusion), inputs(vae, keyframes), noise)
    back = run(two_way_svd(svd, fusion), inputs(vae, keyframes, mirrored=True), noise.flip(0))
    assert torch.allclose(there, back.flip(0), atol=2e-4) and not torch.allclose(there, back, atol=0.05)
    one_way = run(svd, inputs(vae, keyframes), noise), run(svd, inputs(vae, keyframes, mirrored=True), noise.flip(0)).flip(0)
    assert (one_way[0] - one_way[1]).abs().mean() > 100 * (there - back.flip(0)).abs().mean()


def test_without_the_patch_nothing_differs(svd, vae, keyframes, noise):
    given = inputs(vae, keyframes)
    before = run(svd, given, noise)
    two_way = run(two_way_svd(svd, "linear"), given, noise)
    assert torch.equal(run(svd, given, noise), before) and not torch.allclose(two_way, before, atol=1e-2)
    assert torch.equal(run(svd, with_other(given, END_LATENT), noise), before)
    bare = [[[each[0][0], {key: value for key, value in each[0][1].items() if key != END_LATENT}]] for each in given[:2]]
    assert torch.equal(run(svd, (*bare, given[2]), noise), before)
    assert not svd.wrappers.get(WrappersMP.CALC_COND_BATCH)


def test_positive_and_negative_may_come_apart(svd, vae, keyframes, noise, monkeypatch):
    given, patched = inputs(vae, keyframes), two_way_svd(svd, "linear")
    together = run(patched, given, noise)
    calls = []

    def count(apply_model, arguments):
        calls.append(arguments["cond_or_uncond"])
        return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])

    patched.set_model_unet_function_wrapper(count)
    assert torch.equal(run(patched, given, noise), together) and all(len(each) == 2 for each in calls) and len(calls) == 2 * 3
    calls.clear()
    monkeypatch.setattr(svd.model, "memory_required", lambda *_, **__: 1e15)  # as if memory were short
    assert torch.allclose(run(patched, given, noise), together, atol=1e-4)
    assert all(len(each) == 1 for each in calls) and len(calls) == 4 * 3
    calls.clear()
    run(patched, given, noise, cfg=1.0)  # the host leaves the negative out
    assert calls == [[0]] * 2 * 3


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_ancestral", "uni_pc"])
def test_other_samplers_and_guidance_by_frame(svd, vae, keyframes, noise, sampler):
    (model,) = VideoTriangleCFGGuidance().patch(two_way_svd(svd, "smooth"), 1.0)
    assert torch.isfinite(run(model, inputs(vae, keyframes), noise, sampler=sampler)).all()


def test_given_twice_the_last_counts_and_other_wrappers_stay(svd, vae, keyframes, noise):
    given, seen = inputs(vae, keyframes), []
    other = svd.clone()
    other.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "other", lambda executor, *given: seen.append(1) or executor(*given))
    twice = two_way_svd(two_way_svd(other, "linear"), "smooth")
    assert torch.equal(run(twice, given, noise), run(two_way_svd(svd, "smooth"), given, noise)) and seen


def test_the_context_s_rows_are_reversed_with_the_film(svd, vae, keyframes, noise):
    """Backwards, the last frame's row is the first: a row changes its own frame most, also in the film's second half, which is mostly the backward prediction."""
    positive, negative, latent = inputs(vae, keyframes)
    patched = two_way_svd(svd, "linear")
    rows = positive[0][0].clone()
    rows[FRAMES - 2] = -rows[FRAMES - 2]
    changed = (predict(patched, ([[rows, positive[0][1]]], negative, latent), noise) - predict(patched, (positive, negative, latent), noise)).abs().mean((1, 2, 3))
    assert changed.argmax() == FRAMES - 2 and changed[FRAMES - 2] > 2 * changed[torch.arange(FRAMES) != FRAMES - 2].max()


def test_what_is_missing_is_named(svd, vae, keyframes, noise, model):
    positive, negative, latent = inputs(vae, keyframes)
    bare = [[negative[0][0], {key: value for key, value in negative[0][1].items() if key != END_LATENT}]]
    with pytest.raises(ValueError, match="Fabula_TwoWaySVD: the sampler's 'positive' or 'negative' has no end picture, .*'model'.* Connect both with Fabula_MotionToSVD"):
        run(TwoWaySVD.execute(svd, "linear").args[0], (positive, bare, latent), noise)
    with pytest.raises(ValueError, match="Fabula_TwoWaySVD: input 'model' is a SDXL, but must be Stable Video Diffusion"):
        TwoWaySVD.execute(model, "linear")
    with pytest.raises(ValueError, match="Fabula_TwoWaySVD: input 'fusion' is 'cubic'"):
        TwoWaySVD.execute(svd, "cubic")


def test_keyframes_in_pairs():
    keyframes = torch.rand(4, 8, 8, 4)
    start, end = KeyframePairs.execute(keyframes).args
    assert len(start) == len(end) == 3 and all(each.shape == (1, 8, 8, 3) for each in start + end)
    assert torch.equal(torch.cat(start), keyframes[:3, ..., :3]) and torch.equal(torch.cat(end), keyframes[1:, ..., :3])
    with pytest.raises(ValueError, match="Fabula_KeyframePairs: input 'keyframes' has 1 picture"):
        KeyframePairs.execute(keyframes[:1])


def test_context_windows_are_refused(svd, vae, keyframes, noise):
    """Each would end at the film's end picture."""
    def cut(executor, model, conds, x_in, timestep, model_options):
        frames = list(range(len(x_in)))
        told = {"transformer_options": {**model_options["transformer_options"], "ad_params": {"sub_idxs": frames, "full_length": len(frames)}}}
        return executor(model, conds, x_in, timestep, {**model_options, **told})

    windowed = svd.clone()
    windowed.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "windows", cut)
    with pytest.raises(ValueError, match="Fabula_TwoWaySVD: something cuts the film into context windows"):
        run(two_way_svd(windowed, "linear"), inputs(vae, keyframes), noise)
