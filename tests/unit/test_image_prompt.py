"""IP-Adapter's image prompts against their formulas, written anew in float64, and against the names in the published files."""

import math

import pytest
import torch

from fabula.motion.image_prompt import ImagePrompt, Sizes, attend, clean, sizes_of

# Outputs of the cross attentions' keys in the order of the files: input blocks, output blocks, middle.
SD15 = (320, 320, 640, 640, 1280, 1280, 1280, 1280, 1280, 640, 640, 640, 320, 320, 320, 1280)
SDXL = (640,) * 4 + (1280,) * 20 + (1280,) * 30 + (640,) * 6 + (1280,) * 10


def layer_names(layers, context):
    return {f"ip_adapter.{2 * number + 1}.to_{part}_ip.weight": (width, context) for number, width in enumerate(layers) for part in "kv"}


def base_names(features, context, tokens=4):
    return {"image_proj.proj.weight": (tokens * context, features), "image_proj.proj.bias": (tokens * context,), "image_proj.norm.weight": (context,), "image_proj.norm.bias": (context,)}


def full_names(features, context):
    return {"image_proj.proj.0.weight": (features, features), "image_proj.proj.0.bias": (features,), "image_proj.proj.2.weight": (context, features),
            "image_proj.proj.2.bias": (context,), "image_proj.proj.3.weight": (context,), "image_proj.proj.3.bias": (context,)}


def plus_names(features, context, width, depth=4, tokens=16):
    found = {"latents": (1, tokens, width), "proj_in.weight": (width, features), "proj_in.bias": (width,), "proj_out.weight": (context, width), "proj_out.bias": (context,),
             "norm_out.weight": (context,), "norm_out.bias": (context,)}
    for number in range(depth):
        attention = {"norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,), "norm2.bias": (width,), "to_q.weight": (width, width),
                     "to_kv.weight": (2 * width, width), "to_out.weight": (width, width)}
        forward = {"0.weight": (width,), "0.bias": (width,), "1.weight": (4 * width, width), "3.weight": (width, 4 * width)}
        found |= {f"layers.{number}.0.{name}": shape for name, shape in attention.items()} | {f"layers.{number}.1.{name}": shape for name, shape in forward.items()}
    return {f"image_proj.{name}": shape for name, shape in found.items()}


FILES = {  # names and shapes, and what they tell
    "ip-adapter_sd15": (base_names(1024, 768), SD15, 768, Sizes("base", 1024, 768, 4, SD15)),
    "ip-adapter_sdxl": (base_names(1280, 2048), SDXL, 2048, Sizes("base", 1280, 2048, 4, SDXL)),
    "ip-adapter-plus_sd15": (plus_names(1280, 768, 768), SD15, 768, Sizes("plus", 1280, 768, 16, SD15, 768, 4, 768)),
    "ip-adapter-plus_sdxl_vit-h": (plus_names(1280, 2048, 1280), SDXL, 2048, Sizes("plus", 1280, 2048, 16, SDXL, 1280, 4, 1280)),
    "ip-adapter-full-face_sd15": (full_names(1280, 768), SD15, 768, Sizes("full", 1280, 768, 0, SD15)),
}


@pytest.mark.parametrize("name", FILES)
def test_the_published_files_fit_by_name_and_shape(name):
    projection, layers, context, sizes = FILES[name]
    wanted = projection | layer_names(layers, context)
    assert len(layers) in (16, 70)
    assert sizes_of({name: torch.empty(shape, device="meta") for name, shape in wanted.items()}) == sizes
    model = ImagePrompt(sizes, device="meta")
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == wanted
    assert sizes.space == ("pooled" if sizes.kind == "base" else "penultimate")


SMALL = (32, 64, 128)


def file_of(kind, context=24):
    projection = {"base": base_names(40, context), "plus": plus_names(40, context, 128, 2, 5), "full": full_names(40, context)}[kind]
    return {name: torch.zeros(shape) for name, shape in (projection | layer_names(SMALL, context)).items()}


def test_names_of_other_writers_and_what_is_not_of_it():
    file = file_of("base")
    other = {name.replace("ip_adapter.", "adapter_modules."): tensor for name, tensor in file.items()} | {"unet.conv_in.weight": torch.empty(1)}
    assert set(clean(other)) == set(file) == set(clean(file))


def without(name):
    return {key: tensor for key, tensor in file_of("base").items() if key != name}


FACES = {
    "LoRAs": file_of("base") | {"ip_adapter.0.to_q_lora.down.weight": torch.empty(4, 4)},
    "plus": file_of("full") | {"image_proj.perceiver_resampler.proj_in.weight": torch.empty(4, 4)},
    "portrait": {name: tensor for name, tensor in file_of("full").items() if ".proj.3" not in name} | {"image_proj.norm.weight": torch.empty(24)},
}


@pytest.mark.parametrize("file", FACES.values(), ids=FACES)
def test_adapters_of_faces_are_refused_by_name(file):
    with pytest.raises(ValueError, match="FaceID"):
        sizes_of(file)


@pytest.mark.parametrize(("file", "words"), [
    ({}, "no keys and values"), (without("ip_adapter.3.to_k_ip.weight"), "no keys and values"), (without("image_proj.proj.weight"), "base, plus and full are"),
])
def test_weights_of_another_kind_are_refused(file, words):
    with pytest.raises(ValueError, match=words):
        sizes_of(file)


def made(kind, context=24):
    torch.manual_seed(3)
    model = ImagePrompt(sizes_of(file_of(kind, context))).eval().requires_grad_(False)
    for name, tensor in model.state_dict().items():
        tensor.copy_(torch.randn_like(tensor) * (0.2 if tensor.ndim > 1 else 0.5))
    return model, {name.removeprefix("image_proj."): tensor.double() for name, tensor in model.state_dict().items()}


def features(tokens, seed=4):
    return torch.randn(3, tokens, 40, generator=torch.Generator().manual_seed(seed))


def norm(x, weights, name):
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def heads_attend(q, k, v, heads):
    """softmax(q k' / sqrt(d)) v, head by head: (tokens, channels)."""
    size = q.shape[-1] // heads
    parts = [slice(head * size, (head + 1) * size) for head in range(heads)]
    return torch.cat([torch.softmax(q[:, own] @ k[:, own].T / math.sqrt(size), -1) @ v[:, own] for own in parts], -1)


def test_base_is_one_linear_layer_and_a_norm():
    model, weights = made("base")
    x = features(1)
    wanted = torch.stack([norm(linear(row[0].double(), weights, "proj").reshape(4, 24), weights, "norm") for row in x])
    assert torch.allclose(model.tokens(x).double(), wanted, atol=1e-5)


def test_full_is_a_small_net_for_each_token():
    model, weights = made("full")
    x = features(7)
    wanted = norm(linear(gelu(linear(x.double(), weights, "proj.0")), weights, "proj.2"), weights, "proj.3")
    assert wanted.shape == (3, 7, 24) and torch.allclose(model.tokens(x).double(), wanted, atol=1e-5)


def test_plus_is_the_resampler():
    """Latents attend to the picture's tokens and to themselves, in heads of 64, then a feed forward; both with residuals."""
    model, weights = made("plus")
    x = features(7)
    wanted = []
    for row in x.double():
        seen, latents = linear(row, weights, "proj_in"), weights["latents"][0]
        for number in range(2):
            at = f"layers.{number}."
            normed, own = norm(seen, weights, at + "0.norm1"), norm(latents, weights, at + "0.norm2")
            kv = linear(torch.cat([normed, own]), weights, at + "0.to_kv")
            k, v = kv[:, :128], kv[:, 128:]
            latents = latents + linear(heads_attend(linear(own, weights, at + "0.to_q"), k, v, 2), weights, at + "0.to_out")
            hidden = linear(norm(latents, weights, at + "1.0"), weights, at + "1.1")
            latents = latents + linear(gelu(hidden), weights, at + "1.3")
        wanted.append(norm(linear(latents, weights, "proj_out"), weights, "norm_out"))
    assert torch.allclose(model.tokens(x).double(), torch.stack(wanted), atol=2e-4)


def test_each_layer_has_keys_and_values_of_its_own_in_the_order_of_the_file():
    model, _ = made("base")
    tokens = model.tokens(features(1))
    for number, width in enumerate(SMALL):
        k, v = model.keys_values(number, tokens)
        file = model.state_dict()
        assert k.shape == (3, 4, width)
        assert torch.allclose(k, tokens @ file[f"ip_adapter.{2 * number + 1}.to_k_ip.weight"].T, atol=1e-5)
        assert torch.allclose(v, tokens @ file[f"ip_adapter.{2 * number + 1}.to_v_ip.weight"].T, atol=1e-5)


def attention(q, k, v):
    return torch.stack([heads_attend(*each, 2) for each in zip(q, k, v)])


@pytest.fixture()
def inputs():
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(2, tokens, 8, generator=generator, dtype=torch.float64) for tokens in (6, 5, 5, 3, 3)]


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 2.0])
def test_decoupled_adds_a_second_attention(inputs, weight):
    q, k, v, prompt_k, prompt_v = inputs
    wanted = attention(q, k, v) + weight * attention(q, prompt_k, prompt_v)
    assert torch.allclose(attend(q, k, v, (prompt_k, prompt_v), weight, attention, False), wanted, atol=1e-12)


def test_in_one_softmax_text_and_prompt_share_what_there_is(inputs):
    q, k, v, prompt_k, prompt_v = inputs
    wanted = []
    for row in range(2):
        heads = []
        for head in (slice(0, 4), slice(4, 8)):
            text, prompt = ((q[row, :, head] @ keys[row, :, head].T / 2).exp() for keys in (k, prompt_k))
            heads.append((text @ v[row, :, head] + prompt @ prompt_v[row, :, head]) / (text.sum(1) + prompt.sum(1))[:, None])
        wanted.append(torch.cat(heads, 1))
    wanted, alone = torch.stack(wanted), attention(q, k, v)
    for weight in (0.0, 0.25, 1.0):
        found = attend(q, k, v, (prompt_k, prompt_v), weight, attention, True)
        assert torch.allclose(found, (1 - weight) * alone + weight * wanted, atol=1e-12)


@pytest.mark.parametrize("one_softmax", [False, True])
def test_another_attention_to_the_text_is_called_for_the_text_alone(inputs, one_softmax):
    q, k, v, prompt_k, prompt_v = inputs
    called = []

    def other(q, k, v):
        called.append(k.shape[1])
        return attention(q, k, v) * 2

    found = attend(q, k, v, (prompt_k, prompt_v), 0.0, attention, one_softmax, other)
    assert called == [5] and torch.allclose(found, attention(q, k, v) * 2, atol=1e-12)
