"""Consistent self-attention on a real UNet, under the host's own sampling."""

import comfy.model_base
import comfy.model_patcher
import comfy.supported_models
import pytest
import torch
from fabula.host.consistent_attention import KEY, apply
from fabula.host.encode_story import empty_latents, encode_story
from fabula.host.render import sample

PANELS, SIZE, STEPS = 3, 128, 3
RATE = 0.5


def patch(model, schedule="always", start=0.0, end=1.0, seed=0, rate=RATE):
    return apply(model, rate, schedule, start, end, seed)


@pytest.fixture()
def run(clip, story):
    """Samples the story; `negative` and `latent` may be replaced, `seed` is the noise's."""

    def sampled(model, seed=1, sampler="euler", latents=None, cfg=3.0, **kwargs):
        positive, negative = encode_story(clip, story, SIZE, SIZE)
        latent = latents or empty_latents(PANELS, SIZE, SIZE)
        with torch.inference_mode():
            return sample(model, positive, kwargs.get("negative", negative), latent, seed, STEPS, cfg, sampler)

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
    changed = empty_latents(PANELS, SIZE, SIZE)
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
    first, later = up[: len(up) // STEPS], up[len(up) // STEPS:]
    assert all(q[1] == k[1] for q, k in first)
    assert 0 < sum(k[1] > q[1] for q, k in later) <= len(later)


def test_a_sampler_that_calls_twice_a_step_stays_in_its_step(model, run):
    watch = Watch(patch(model, schedule="storydiffusion"))
    run(watch.model, sampler="heun")
    up = watch.self_attention("output")
    calls = 2 * STEPS - 1  # the last step of Heun is Euler's
    assert all(q[1] == k[1] for q, k in up[: len(up) // calls])
    assert any(k[1] > q[1] for q, k in up[len(up) // calls:])


def test_the_range_in_percent_is_kept(model, run):
    assert torch.equal(run(patch(model, start=1.0)), run(model))
    assert not torch.equal(run(patch(model, start=0.3)), run(patch(model)))


def test_an_error_while_sampling_leaves_the_model_usable(model, run):
    expected, patched = run(model), patch(model)
    broken = patched.clone()

    def fail(*_):
        raise RuntimeError("stopped")

    broken.set_model_attn1_output_patch(fail)
    with pytest.raises(RuntimeError, match="stopped"):
        run(broken)
    assert KEY not in patched.model_options["transformer_options"]
    assert torch.equal(run(model), expected)


def test_other_attention_patches_are_kept(model, run):
    calls = []

    def another(n, context, value, options):
        calls.append(context.shape)
        return n, context, value

    net = patch(model)
    net.set_model_attn1_patch(another)
    assert torch.equal(run(net), run(patch(model)))
    assert any(shape[1] > 64 for shape in calls)


@pytest.mark.parametrize("latents", [2, 4])
def test_more_or_fewer_latents_than_panels_are_refused(model, run, latents):
    with pytest.raises(ValueError, match=f"3 panels.*latent_image.*{latents} latents.*Fabula_EncodeStory"):
        run(patch(model), latents=empty_latents(latents, SIZE, SIZE))


def test_a_model_of_another_family_is_refused():
    config = comfy.supported_models.SD3({
        "input_size": None, "patch_size": 2, "in_channels": 16, "depth": 2, "pos_embed_max_size": 32, "adm_in_channels": 64,
        "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 128}},
    })
    config.set_inference_dtype(torch.float32, None)
    dit = comfy.model_patcher.ModelPatcher(comfy.model_base.SD3(config), torch.device("cpu"), torch.device("cpu"))
    with pytest.raises(ValueError, match="Fabula_ConsistentAttention: input 'model'.*SDXL"):
        patch(dit)
