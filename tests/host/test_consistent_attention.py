"""Consistent self-attention on a real UNet, under the host's own sampling."""

import copy

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sample
import comfy.supported_models
import pytest
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy_extras import nodes_hypertile
from fabula.attention.schedule import Schedule
from fabula.demo import sizes
from fabula.host import demo_models
from fabula.host.consistent_attention import Options, apply
from fabula.host.encode_story import empty_latents, encode_story
from fabula.host.render import sample

PANELS, SIZE, STEPS = 3, 128, 3
RATE = 0.5


def patch(model, schedule="always", start=0.0, end=1.0, seed=0, rate=RATE, mode="batch", subject="off", **more):
    return apply(model, Options(mode, rate, schedule=schedule, start_percent=start, end_percent=end, seed=seed, subject=subject, **more))


@pytest.fixture()
def run(clip, story):
    """Samples the story; `positive`, `negative` and `latents` may be replaced, `seed` is the noise's."""

    def sampled(model, seed=1, sampler="euler", latents=None, cfg=3.0, denoise=1.0, **conditioning):
        both = dict(zip(("positive", "negative"), encode_story(clip, story, SIZE, SIZE)))
        latent = latents or empty_latents(range(PANELS), SIZE, SIZE)
        with torch.inference_mode():
            return sample(model, **{**both, **conditioning}, latent=latent, seed=seed, steps=STEPS, cfg=cfg, sampler=sampler, denoise=denoise)

    return sampled


class Watch:
    """Notes every attention call: block, step, keys a query sees, and which conditionings were in the batch."""

    def __init__(self, model):
        self.model = model.clone()
        self.calls = []
        options = self.model.model_options["transformer_options"]
        options["optimized_attention_override"] = self._attend

    def _attend(self, host, q, k, v, *args, **kwargs):
        options = kwargs.get("transformer_options") or {}
        if "block" in options:  # the VAE and the text encoders attend too
            own = k.shape[1] >= q.shape[1] and k.shape[1] != 77
            self.calls.append((options["block"][0], q.shape, k.shape, tuple(options["cond_or_uncond"]), own))
        return host(q, k, v, *args, **kwargs)

    def self_attention(self, part):
        return [(q, k) for block, q, k, _, own in self.calls if block == part and own]


def test_the_patch_changes_the_pictures_and_leaves_the_model_as_it_was(model, run):
    before = run(model)
    options = str(model.model_options)
    patched = run(patch(model))
    assert (patched - before).abs().max() > 1e-3
    assert torch.equal(run(model), before)
    assert str(model.model_options) == options


def test_the_same_seed_gives_the_same_pictures_and_another_gives_others(model, run):
    first = run(patch(model, seed=5))
    torch.rand(10)
    assert torch.equal(run(patch(model, seed=5)), first)
    assert not torch.equal(run(patch(model, seed=6)), first)


def test_one_patched_model_can_be_sampled_again_and_cloned(model, run):
    patched = patch(model)
    first = run(patched)
    assert torch.equal(run(patched), first)
    assert torch.equal(run(patched.clone()), first)


def test_up_blocks_see_the_others_samples_and_their_own_tokens_once_and_nothing_else_does(model, run):
    watch = Watch(patch(model))
    run(watch.model)
    for part in ("input", "middle"):
        assert watch.self_attention(part) and all(q[1] == k[1] for q, k in watch.self_attention(part))
    up = watch.self_attention("output")
    assert {q[1] for q, _ in up} == {16, 64}
    for q, k in up:
        assert k[1] == q[1] + (PANELS - 1) * round(RATE * q[1])


def test_without_the_patch_no_layer_sees_more_than_its_own_tokens(model, run):
    watch = Watch(model)
    run(watch.model)
    assert all(q[1] == k[1] for part in ("input", "middle", "output") for q, k in watch.self_attention(part))


def test_a_change_in_one_panel_reaches_the_others_only_through_the_patch(model, run):
    changed = empty_latents(range(PANELS), SIZE, SIZE)
    changed["batch_index"] = [0, 1, 77]  # other noise for the last panel
    for net, reaches in ((model, False), (patch(model), True)):
        same = torch.equal(run(net)[0], run(net, latents=changed)[0])
        assert same is not reaches


def test_cond_never_sees_uncond(model, run, clip, story):
    seen = []
    net = patch(model)
    net.set_model_sampler_post_cfg_function(lambda args: (seen.append(args["cond_denoised"].clone()), args["denoised"])[1])
    _, negative = encode_story(clip, story, SIZE, SIZE)
    other = [[negative[0][0] * -3, negative[0][1]]]
    run(net, negative=negative)
    run(net, negative=other)
    assert torch.equal(seen[0], seen[STEPS])  # the first step's input is the same noise


def test_batched_and_split_conditionings_agree(model, run, monkeypatch):
    together = Watch(patch(model))
    expected = run(together.model)
    assert {len(labels) for *_, labels, _ in together.calls} == {2}
    monkeypatch.setattr(model.model, "memory_required", lambda *a, **k: 1e15)  # as if memory were short
    apart = Watch(patch(model))
    got = run(apart.model)
    assert {len(labels) for *_, labels, _ in apart.calls} == {1}
    assert (got - expected).abs().max() < 1e-3 * expected.abs().max()


def test_cfg_one_sends_cond_alone(model, run):
    watch = Watch(patch(model))
    run(watch.model, cfg=1.0)
    assert {labels for *_, labels, _ in watch.calls} == {(0,)}
    assert any(k[1] > q[1] for q, k in watch.self_attention("output"))


def test_the_official_schedule_leaves_the_first_step_plain(model, run):
    watch = Watch(patch(model, schedule="storydiffusion"))
    run(watch.model)
    up = watch.self_attention("output")
    layers = len(up) // STEPS
    assert all(q[1] == k[1] for q, k in up[:layers])
    seen = [k[1] > q[1] for q, k in up[layers:]]
    names = up_layers(model)
    assert len(names) == layers
    assert seen == [Schedule("storydiffusion", 0).is_on(step, name) for step in range(1, STEPS) for name in names]
    assert any(seen) and not all(seen)


def up_layers(model):
    """(output block, transformer block) of every self-attention of the up path, in the order that the net runs them."""
    parts = model.get_model_object("diffusion_model").output_blocks
    counts = [sum(hasattr(block, "attn1") for block in part.modules()) for part in parts]
    return [(number, index) for number, count in enumerate(counts) for index in range(count)]


def test_a_call_between_two_steps_belongs_to_the_first_of_them(model, run):
    watch = Watch(patch(model, schedule="storydiffusion"))
    run(watch.model, sampler="dpm_2")  # each step but the last calls the model again, midway
    up = watch.self_attention("output")
    one_call = len(up) // (2 * STEPS - 1)
    assert all(q[1] == k[1] for q, k in up[: 2 * one_call])  # both calls of the warm-up step are plain
    assert any(k[1] > q[1] for q, k in up[2 * one_call:])


def test_the_range_in_percent_is_kept(model, run):
    for limits, on in (({"end": 0.3}, [True, False, False]), ({"start": 0.3}, [False, True, True])):
        watch = Watch(patch(model, **limits))
        run(watch.model)
        up = watch.self_attention("output")
        layers = len(up) // STEPS
        assert [k[1] > q[1] for q, k in up] == [step for step in on for _ in range(layers)]
    with pytest.raises(ValueError, match="'start_percent' is 0.6 and 'end_percent' is 0.4"):
        patch(model, start=0.6, end=0.4)


@pytest.mark.parametrize("subject", ["off", "auto"])
def test_a_range_that_no_step_falls_into_changes_not_a_bit(model, run, subject):
    assert torch.equal(run(patch(model, start=0.45, end=0.46, subject=subject)), run(model))
    assert not torch.equal(run(patch(model, start=0.45, end=0.9, subject=subject)), run(model))


def test_two_patches_share_the_sampling_between_them(model, run):
    first, then = Watch(patch(model, end=0.5, rate=1.0)), Watch(patch(model, start=0.5, rate=0.25))
    both = Watch(patch(patch(model, end=0.5, rate=1.0), start=0.5, rate=0.25))
    for watch in (first, then, both):
        run(watch.model)

    def extra(watch):
        return [k[1] - q[1] for q, k in watch.self_attention("output")]

    assert extra(both) == [a + b for a, b in zip(extra(first), extra(then))]
    assert any(extra(first)) and any(extra(then))


def test_the_range_is_of_the_schedule_that_the_model_has_when_it_samples(model, run):
    patched = patch(model, end=0.5)
    expected, replaced = patched.clone(), patched.clone()
    sampling = copy.deepcopy(model.get_model_object("model_sampling"))
    sampling.set_sigmas(sampling.sigmas * 0.01)  # all of it below the old range's end
    for net in (expected, replaced):
        net.add_object_patch("model_sampling", sampling)
    watch = Watch(replaced)
    run(watch.model)
    up = watch.self_attention("output")
    layers = len(up) // STEPS
    assert all(k[1] > q[1] for q, k in up[:layers]) and all(k[1] == q[1] for q, k in up[-layers:])


@pytest.mark.parametrize("sampler, options", [
    ("euler_ancestral", {}), ("dpmpp_2m_sde", {}), ("heun", {}), ("uni_pc", {}), ("lcm", {}), ("euler", {"denoise": 0.5}),
])
def test_it_works_with_every_kind_of_sampler(model, run, sampler, options):
    plain, patched = run(model, sampler=sampler, **options), run(patch(model), sampler=sampler, **options)
    assert torch.isfinite(patched).all()
    assert (patched - plain).abs().max() > 1e-3


def test_sampling_in_two_parts_is_sampling_in_one(model, clip, story):
    positive, negative = encode_story(clip, story, SIZE, SIZE)
    latent = empty_latents(range(PANELS), SIZE, SIZE)
    noise = comfy.sample.prepare_noise(latent["samples"], 1, latent["batch_index"])

    def part(noise, start, first, last):
        with torch.inference_mode():
            return comfy.sample.sample(
                patch(model, rate=1.0), noise, 4, 3.0, "euler", "normal", positive, negative, start, start_step=first,
                last_step=last, force_full_denoise=last == 4, disable_noise=first > 0, disable_pbar=True, seed=1,
            )

    whole = part(noise, latent["samples"], 0, 4)
    half = part(noise, latent["samples"], 0, 2)
    assert (half - whole).abs().max() > 1
    assert torch.allclose(part(torch.zeros_like(noise), half, 2, 4), whole, atol=1e-2)


def test_a_condition_for_a_part_of_the_picture_is_sampled_too(model, run, clip, story):
    positive, _ = encode_story(clip, story, SIZE, SIZE)
    masked = [*positive, [positive[0][0] * -1, {**positive[0][1], "area": (8, 8, 0, 8), "strength": 1.0}]]
    whole, divided = run(patch(model)), run(patch(model), positive=masked)
    assert torch.isfinite(divided).all() and not torch.equal(whole, divided)


def test_an_error_while_sampling_leaves_the_model_usable(model, run):
    patched, failing = patch(model), []
    patched.set_model_attn1_output_patch(lambda out, options: out if not failing else failing.pop()())
    plain, expected = run(model), run(patched)

    def interrupt():
        raise comfy.model_management.InterruptProcessingException

    failing.append(interrupt)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(patched)
    assert torch.equal(run(patched), expected)
    assert torch.equal(run(model), plain)


def test_other_attention_patches_are_kept(model, run):
    calls = []

    def another(n, context, value, options):
        calls.append(context.shape)
        return n, context * 2, value * 3

    net = model.clone()
    net.set_model_attn1_patch(another)
    before, after = patch(net), patch(model)
    after.set_model_attn1_patch(another)
    assert torch.equal(run(before), run(after)) and calls
    assert not torch.equal(run(before), run(net)) and not torch.equal(run(before), run(patch(model)))


def test_another_packs_replacement_of_a_layer_is_called_with_the_shared_tokens(model, run):
    seen = {}

    def replacement(q, k, v, options):
        seen.setdefault(options["block"], []).append((q, k, v))
        return optimized_attention(q, k, v, options["n_heads"], transformer_options=options)

    net, layers = model.clone(), up_layers(model)
    net.set_model_attn1_replace(replacement, "output", layers[0][0])  # a whole block
    net.set_model_attn1_replace(replacement, "output", *layers[-1])  # one layer
    assert torch.allclose(run(patch(net, rate=1.0)), run(patch(model, rate=1.0)), atol=1e-5)
    assert set(seen) == {("output", layers[0][0]), ("output", layers[-1][0])}
    for calls in seen.values():
        q, k, v = calls[0]
        tokens, others = q.shape[1], PANELS - 1
        for t in (k, v):
            own, foreign = t[0, others * tokens:], t[0, : tokens]  # the first row's first source is panel 1
            assert torch.equal(foreign, t[1, others * tokens:]) and not torch.equal(foreign, own)


def test_with_hypertile_sharing_steps_aside_in_its_layers_with_one_warning(model, run, caplog):
    tiled = nodes_hypertile.HyperTile.execute(model, 32, 1, 1, False)[0]
    assert not torch.equal(run(tiled), run(model))
    both = Watch(patch(tiled))
    run(both.model)
    assert {q[1] for q, k in both.self_attention("output") if k[1] > q[1]} & {16, 64} == {16}  # its layers have 64 tokens
    assert sum("HyperTile" in record.message for record in caplog.records) == 1


def test_in_a_chain_all_nodes_cut_the_story_up_alike(model):
    with pytest.raises(ValueError, match="Fabula_ConsistentAttention: input 'tile_size' is 4 and 3"):
        patch(patch(model, end=0.5), start=0.5, tile_size=3)


@pytest.mark.parametrize("broken, message", [
    (torch.full((PANELS, 4, 16, 16), float("nan")), "'latent_image'.*NaN.*VAE"), (torch.zeros(PANELS, 4, 2, 16, 16), "'latent_image'.*video"),
])
def test_latents_that_are_no_pictures_are_refused(model, run, broken, message):
    with pytest.raises(ValueError, match="Fabula_ConsistentAttention: .*" + message):
        run(patch(model), latents={"samples": broken})


@pytest.mark.parametrize("latents", [2, 4])
def test_more_or_fewer_latents_than_panels_are_refused(model, run, latents):
    with pytest.raises(ValueError, match=f"3 panels.*latent_image.*{latents} latents.*Fabula_EncodeStory"):
        run(patch(model), latents=empty_latents(range(latents), SIZE, SIZE))


def test_a_model_of_another_family_is_refused():
    config = comfy.supported_models.SD3({
        "input_size": None, "patch_size": 2, "in_channels": 16, "depth": 2, "pos_embed_max_size": 32, "adm_in_channels": 64,
        "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 128}},
    })
    config.set_inference_dtype(torch.float32, None)
    dit = comfy.model_patcher.ModelPatcher(comfy.model_base.SD3(config), torch.device("cpu"), torch.device("cpu"))
    with pytest.raises(ValueError, match="Fabula_ConsistentAttention: input 'model'.*SDXL"):
        patch(dit)


@pytest.mark.parametrize("change", [{"disable_self_attentions": [True] * 3}, {"use_temporal_attention": True}])
def test_unets_without_a_picture_of_their_own_in_each_row_are_refused(change):
    config = {**sizes.UNET, **change}
    if "use_temporal_attention" in change:
        config.update(use_temporal_resblock=True, video_kernel_size=[3, 1, 1], extra_ff_mix_layer=True, use_spatial_context=True,
                      merge_strategy="learned_with_images", merge_factor=0.0)
    net = comfy.model_patcher.ModelPatcher(torch.nn.Module(), torch.device("cpu"), torch.device("cpu"))
    net.model.diffusion_model = demo_models.unet_module(config)
    with pytest.raises(ValueError, match="Fabula_ConsistentAttention: input 'model'.*SDXL"):
        patch(net)
