"""Consistent self-attention beside what else users do to a model: each still has its effect."""

import gc

import comfy.lora
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.supported_models
import pytest
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras import nodes_freelunch, nodes_pag
from fabula.demo import sizes
from fabula.host import attention_patch, demo_models
from fabula.host.consistent_attention import Options, apply
from fabula.host.encode_story import empty_latents, encode_story
from fabula.host.render import sample
from host_differences import FREEU_IS_V3, here

PANELS, SIZE, STEPS = 3, 128, 3
CPU = torch.device("cpu")


def patch(model, **options):
    return apply(model, Options(**{"mode": "batch", "schedule": "always", **options}))


@pytest.fixture()
def run(clip, story):
    conditioning = encode_story(clip, story, SIZE, SIZE)

    def sampled(model, cfg=3.0):
        with torch.inference_mode():
            return sample(model, *conditioning, empty_latents(range(PANELS), SIZE, SIZE), 1, STEPS, cfg)

    return sampled


def lora_of(model, name):
    """A LoRA of rank 2 in the file's usual keys, for one linear layer."""
    torch.manual_seed(5)
    weight = dict(model.model.named_parameters())[f"diffusion_model.{name}.weight"]
    key = "lora_unet_" + name.replace(".", "_")
    file = {f"{key}.lora_up.weight": torch.randn(weight.shape[0], 2), f"{key}.lora_down.weight": torch.randn(2, weight.shape[1])}
    return comfy.lora.load_lora(file, {key: f"diffusion_model.{name}.weight"})


TO_K = "output_blocks.0.1.transformer_blocks.0.attn1.to_k"


@pytest.fixture()
def with_lora(model):
    net = model.clone()
    assert net.add_patches(lora_of(model, TO_K), 1.0)
    return net


def test_a_lora_before_or_after_it_is_the_same_as_its_weights_merged(model, run, with_lora):
    after = patch(model)
    after.add_patches(lora_of(model, TO_K), 1.0)
    own = {name: tensor.clone() for name, tensor in model.model.diffusion_model.state_dict().items()}
    weight = own[f"{TO_K}.weight"]
    merged = demo_models.load_model(sizes.UNET, {**own, f"{TO_K}.weight": comfy.lora.calculate_weight(
        [(1.0, *with_lora.patches[f"diffusion_model.{TO_K}.weight"][0][1:])], weight.clone(), TO_K)})
    expected = run(patch(merged))
    assert torch.allclose(run(patch(with_lora)), expected, atol=1e-5) and torch.allclose(run(after), expected, atol=1e-5)
    assert not torch.allclose(expected, run(patch(model)), atol=1e-3)


def test_weights_that_stay_outside_the_device_give_the_same_pictures(with_lora, run, monkeypatch):
    expected = run(patch(with_lora))
    load, forced = comfy.model_patcher.ModelPatcher.load, []

    def with_little_memory(self, *args, **kwargs):
        forced.append(self)
        return load(self, *args, **{**kwargs, "lowvram_model_memory": 1, "full_load": False})  # what --lowvram leads to

    comfy.model_management.unload_all_models()
    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "load", with_little_memory)
    found = run(patch(with_lora))
    assert forced and any(getattr(m, "comfy_cast_weights", False) for m in with_lora.model.modules())
    comfy.model_management.unload_all_models()
    assert torch.allclose(found, expected, atol=1e-5)


def test_freeu_and_sharing_both_have_their_effect(clip):
    net = tiny(comfy.supported_models.SD15, SD15)  # FreeU knows layers by SD's channel counts
    node = nodes_freelunch.FreeU
    free = (node.execute if here(FREEU_IS_V3) else node().patch)(net, 1.3, 1.4, 0.9, 0.2)[0]
    conditioning = [[torch.randn(PANELS, 77, 24, generator=torch.Generator().manual_seed(2)), {}]]

    def run(model):
        with torch.inference_mode():
            return sample(model, conditioning, conditioning, {"samples": torch.zeros(PANELS, 4, 16, 16)}, 1, STEPS, 1.0)

    pictures = [run(net), run(free), run(patch(net)), run(patch(free))]
    assert all(not torch.allclose(a, b, atol=1e-4) for i, a in enumerate(pictures) for b in pictures[:i])


def test_perturbed_attention_guidance_is_kept_and_its_own_pass_shares_too(model, run):
    guided = nodes_pag.PerturbedAttentionGuidance.execute(model, 2.0)[0]
    both = run(patch(guided))
    assert not torch.allclose(both, run(patch(model)), atol=1e-3) and not torch.allclose(both, run(guided), atol=1e-3)


@pytest.mark.parametrize("kind", ["attn1", "attn2"])
def test_a_whole_up_block_that_a_guidance_replaces_for_its_own_pass_is_replaced_there(model, run, kind):
    called = []

    def perturbed(q, k, v, extra_options):
        called.append((q.shape, v.shape))
        return v if kind == "attn1" else q * 0

    def guidance(args):
        options = comfy.model_patcher.set_model_options_patch_replace(args["model_options"].copy(), perturbed, kind, "output", 0)
        (found,) = comfy.samplers.calc_cond_batch(args["model"], [args["cond"]], args["input"], args["sigma"], options)
        return args["denoised"] + 0.5 * (args["cond_denoised"] - found)

    net = patch(model)
    net.set_model_sampler_post_cfg_function(guidance)
    assert not torch.allclose(run(net), run(patch(model)), atol=1e-3)
    assert len(called) == STEPS and all(q[0] == PANELS and (q == v or kind == "attn2") for q, v in called)


def test_where_another_patch_gives_no_token_for_each_query_sharing_steps_aside(model, run, caplog):
    net = model.clone()
    net.set_model_attn1_replace(lambda q, k, v, options: v, "output", 0)
    assert not torch.allclose(run(patch(net)), run(net), atol=1e-4)  # the other layers share
    assert sum("for each query" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("subject", ["off", "auto"])
def test_image_prompts_in_cross_attention_keep_their_rows(model, run, subject):
    """As IP-Adapters do it: a replacement of attn2 that adds something of each row's own."""

    def image_prompt(q, k, v, options):
        out = comfy.ldm.modules.attention.optimized_attention(q, k, v, options["n_heads"], transformer_options=options)
        own = torch.arange(PANELS).repeat(len(options["cond_or_uncond"]))[:, None, None]
        return out + own.to(out) * len(seen.setdefault(options["block"], [0]))

    seen = {}
    net = model.clone()
    net.set_model_attn2_replace(image_prompt, "output", 1)
    shared = run(patch(net, sampling_rate=0.0, subject=subject))
    assert torch.allclose(shared, run(net), atol=1e-5) and seen
    assert torch.allclose(shared[0], run(model)[0], atol=1e-5) and not torch.allclose(shared[1], run(model)[1], atol=1e-3)


@pytest.fixture()
def dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
    gc.collect()  # what it has kept of the model slows down the tests after it


def test_a_compiled_model_gives_the_same_pictures(model, run, dynamo):
    compiled, graphs = patch(model), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    set_torch_compile_wrapper(compiled, backend=backend)  # as the host's TorchCompileModel, with a compiler that every machine has
    assert torch.allclose(run(compiled), run(patch(model)), atol=1e-5)
    assert graphs


# The families' own shapes, with few channels: which blocks have attention, and how deep.
SD15 = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 64, "num_res_blocks": [1, 1], "channel_mult": [1, 2],
    "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1], "transformer_depth_middle": 1, "context_dim": 24,
    "use_spatial_transformer": True, "legacy": False,
}


def tiny(family, config):
    model_config = family({**family.unet_config, **config, "dtype": torch.float32})
    model_config.unet_config.update(family.unet_extra_config, **{k: v for k, v in config.items() if k in family.unet_config})
    model_config.set_inference_dtype(torch.float32, None)
    torch.manual_seed(3)
    base = comfy.model_base.BaseModel(model_config, device=CPU)
    demo_models.initialise(base.diffusion_model)
    for parameter in base.diffusion_model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)
    return comfy.model_patcher.ModelPatcher(base, CPU, CPU)


XL = {"num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "num_head_channels": 64, "num_heads": -1, "use_linear_in_transformer": True,
      "adm_in_channels": 2816, "num_classes": "sequential", "context_dim": 2048}
SD = {"num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4], "num_heads": 8, "num_head_channels": -1, "context_dim": 768,
      "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_output": [1] * 9 + [0] * 3, "transformer_depth_middle": 1}
SHAPES = {  # layers in all, and in the blocks of the lowest resolution
    "SDXL": ({**XL, "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
              "transformer_depth_middle": 10}, 36, 30),
    "SSD-1B": ({**XL, "transformer_depth": [0, 0, 2, 2, 4, 4], "transformer_depth_output": [0, 0, 0, 1, 1, 2, 10, 4, 4],
                "transformer_depth_middle": -1}, 22, 18),
    "Vega": ({**XL, "transformer_depth": [0, 0, 1, 1, 2, 2], "transformer_depth_output": [0, 0, 0, 1, 1, 1, 2, 2, 2],
              "transformer_depth_middle": -1}, 9, 6),
    "SD1.5": (SD, 9, 3),
    "SD2.1": ({**SD, "num_heads": -1, "num_head_channels": 64, "use_linear_in_transformer": True, "context_dim": 1024}, 9, 3),
}


@pytest.mark.parametrize("config, layers, coarse", SHAPES.values(), ids=SHAPES)
def test_every_self_attention_layer_of_the_up_blocks_is_found_in_each_family(config, layers, coarse):
    net = UNetModel(image_size=32, in_channels=4, out_channels=4, model_channels=320, use_spatial_transformer=True, legacy=False,
                    device=torch.device("meta"), operations=comfy.ops.disable_weight_init, **config)
    found = attention_patch.walk(net)
    assert len(found) == layers
    lowest = attention_patch.coarse_blocks(found)
    assert sum(block in lowest for (block, _), _ in found) == coarse


@pytest.mark.parametrize("family, change", [
    (comfy.supported_models.SD15, {}), (comfy.supported_models.SD20, {"use_linear_in_transformer": True}),
    (comfy.supported_models.SD15, {"transformer_depth_middle": -1}),  # as SSD-1B and Vega: no attention in the middle
], ids=["SD1.5", "SD2.1", "no middle attention"])
@pytest.mark.parametrize("size", [(16, 16), (13, 18)])
def test_other_families_and_odd_sizes_share(family, change, size):
    net = tiny(family, {**SD15, **change})
    conditioning = [[torch.randn(PANELS, 77, 24, generator=torch.Generator().manual_seed(2)), {}]]

    def run(model, last):
        latents = torch.zeros(PANELS, 4, *size)
        latents[-1] = last
        with torch.inference_mode():
            return sample(model, conditioning, conditioning, {"samples": latents}, 1, STEPS, 1.0, denoise=0.6)

    assert torch.equal(run(net, 0.0)[0], run(net, 1.0)[0])
    assert not torch.allclose(run(patch(net), 0.0)[0], run(patch(net), 1.0)[0], atol=1e-5)
