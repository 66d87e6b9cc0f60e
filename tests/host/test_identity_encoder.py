"""PhotoMaker's encoders in the host, against the formulas written anew in float64."""

import comfy.clip_model
import comfy.model_management
import comfy.ops
import numpy as np
import pytest
import torch
from fabula.host import id_encoder
from fabula.identity.checkpoint import read_checkpoint
from fabula.identity.encoder import IdentityEncoder, Sizes
from fabula.identity.preprocessing import prepare_photo
from PIL import Image

HIDDEN, INTERMEDIATE, LAYERS, PATCH, SIDE = 128, 256, 2, 14, 4  # SIDE: patches along the photo
FIRST, SECOND, FACES, RESAMPLER = 96, 160, 32, 2
WIDTH = FIRST + SECOND


def shapes(version):
    """The official names of V1 and V2, in small."""
    vision = {
        "embeddings.class_embedding": (HIDDEN,), "embeddings.patch_embedding.weight": (HIDDEN, 3, PATCH, PATCH),
        "embeddings.position_embedding.weight": (SIDE * SIDE + 1, HIDDEN), **norm("pre_layrnorm", HIDDEN), **norm("post_layernorm", HIDDEN),
    }
    for layer in range(LAYERS):
        at = f"encoder.layers.{layer}."
        for part in "qkv":
            vision.update(linear(f"{at}self_attn.{part}_proj", HIDDEN, HIDDEN))
        vision.update(linear(f"{at}self_attn.out_proj", HIDDEN, HIDDEN))
        vision.update({**norm(f"{at}layer_norm1", HIDDEN), **norm(f"{at}layer_norm2", HIDDEN)})
        vision.update({**linear(f"{at}mlp.fc1", HIDDEN, INTERMEDIATE), **linear(f"{at}mlp.fc2", INTERMEDIATE, HIDDEN)})
    found = {f"vision_model.{name}": shape for name, shape in vision.items()}
    found.update({"visual_projection.weight": (FIRST, HIDDEN), "visual_projection_2.weight": (SECOND, HIDDEN)})
    for mlp, wide in (("mlp1", 2 * WIDTH), ("mlp2", WIDTH)):
        found.update({**norm(f"fuse_module.{mlp}.layernorm", wide), **linear(f"fuse_module.{mlp}.fc1", wide, WIDTH), **linear(f"fuse_module.{mlp}.fc2", WIDTH, WIDTH)})
    found.update(norm("fuse_module.layer_norm", WIDTH))
    if version == "v2":
        at = "qformer_perceiver."
        found.update({**linear(f"{at}token_proj.0", FACES, 4 * FACES), **linear(f"{at}token_proj.2", 4 * FACES, 2 * WIDTH), **norm(f"{at}token_norm", WIDTH)})
        at += "perceiver_resampler."
        found.update({**linear(f"{at}proj_in", HIDDEN, WIDTH), **linear(f"{at}proj_out", WIDTH, WIDTH), **norm(f"{at}norm_out", WIDTH)})
        for layer in range(RESAMPLER):
            found.update({**norm(f"{at}layers.{layer}.0.norm1", WIDTH), **norm(f"{at}layers.{layer}.0.norm2", WIDTH), **norm(f"{at}layers.{layer}.1.0", WIDTH)})
            found.update({f"{at}layers.{layer}.0.{name}.weight": shape for name, shape in
                          (("to_q", (WIDTH, WIDTH)), ("to_kv", (2 * WIDTH, WIDTH)), ("to_out", (WIDTH, WIDTH)))})
            found.update({f"{at}layers.{layer}.1.1.weight": (4 * WIDTH, WIDTH), f"{at}layers.{layer}.1.3.weight": (WIDTH, 4 * WIDTH)})
    return found


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def weights(version, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes(version).items():
        value = torch.randn(shape, generator=generator) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.1)
        found[name] = (value + 1 if "norm" in name and name.endswith("weight") else value).to(dtype)
    return found


class Reference:
    """The formulas, float64: CLIP's vision tower, V1's projections, V2's resampler, the fuse module."""

    def __init__(self, state):
        self.w = {name: value.double() for name, value in state.items()}

    def linear(self, x, name):
        y = x @ self.w[f"{name}.weight"].T
        return y + self.w[f"{name}.bias"] if f"{name}.bias" in self.w else y

    def norm(self, x, name):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return x * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    @staticmethod
    def attend(q, k, v, heads):
        q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) for x in (q, k, v))
        weights = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
        return (weights @ v).transpose(1, 2).reshape(q.shape[0], q.shape[2], -1)

    def see(self, pixels):
        at = "vision_model."
        n = len(pixels)
        cut = pixels.double().reshape(n, 3, SIDE, PATCH, SIDE, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(n, SIDE * SIDE, -1)
        x = cut @ self.w[f"{at}embeddings.patch_embedding.weight"].reshape(HIDDEN, -1).T
        x = torch.cat([self.w[f"{at}embeddings.class_embedding"].expand(n, 1, -1), x], 1) + self.w[f"{at}embeddings.position_embedding.weight"]
        x = self.norm(x, f"{at}pre_layrnorm")
        for layer in range(LAYERS):
            own = f"{at}encoder.layers.{layer}."
            y = self.norm(x, f"{own}layer_norm1")
            q, k, v = (self.linear(y, f"{own}self_attn.{part}_proj") for part in "qkv")
            x = x + self.linear(self.attend(q, k, v, HIDDEN // 64), f"{own}self_attn.out_proj")
            y = self.linear(self.norm(x, f"{own}layer_norm2"), f"{own}mlp.fc1")
            x = x + self.linear(y * torch.sigmoid(1.702 * y), f"{own}mlp.fc2")
        return x, self.norm(x[:, 0], f"{at}post_layernorm")

    def tokens(self, pixels, faces=None):
        seen, pooled = self.see(pixels)
        if faces is None:
            return torch.cat([self.linear(pooled, "visual_projection"), self.linear(pooled, "visual_projection_2")], -1)
        at = "qformer_perceiver."
        x = self.linear(gelu(self.linear(faces.double(), f"{at}token_proj.0")), f"{at}token_proj.2").reshape(len(pixels), 2, WIDTH)
        x = latents = self.norm(x, f"{at}token_norm")
        at += "perceiver_resampler."
        seen = self.linear(seen, f"{at}proj_in")
        for layer in range(RESAMPLER):
            own = f"{at}layers.{layer}."
            a, b = self.norm(seen, f"{own}0.norm1"), self.norm(latents, f"{own}0.norm2")
            k, v = self.linear(torch.cat([a, b], 1), f"{own}0.to_kv").chunk(2, -1)
            latents = latents + self.linear(self.attend(self.linear(b, f"{own}0.to_q"), k, v, WIDTH // 128), f"{own}0.to_out")
            latents = latents + self.linear(gelu(self.linear(self.norm(latents, f"{own}1.0"), f"{own}1.1")), f"{own}1.3")
        return (x + self.norm(self.linear(latents, f"{at}proj_out"), f"{at}norm_out")).flatten(0, 1)

    def fuse(self, text, tokens):
        at = "fuse_module."
        h = self.mlp(torch.cat([text.double(), tokens], -1), f"{at}mlp1") + text
        return self.norm(self.mlp(h, f"{at}mlp2") + h, f"{at}layer_norm")

    def mlp(self, x, name):
        return self.linear(gelu(self.linear(self.norm(x, f"{name}.layernorm"), f"{name}.fc1")), f"{name}.fc2")


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def photos(count=3):
    generator = np.random.default_rng(1)
    return [Image.fromarray(generator.integers(0, 256, (90, 70 + 20 * n, 3), dtype=np.uint8)) for n in range(count)]


def encoder(state):
    return id_encoder.make_encoder(read_checkpoint(state))


@pytest.fixture(params=["v1", "v2"])
def version(request):
    return request.param


def faces_for(version, count=3):
    return 20 * torch.randn(count, FACES, generator=torch.Generator().manual_seed(2)) if version == "v2" else None


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 2e-3), (torch.float8_e4m3fn, 2e-3)])
def test_both_versions_are_the_formulas(version, dtype, limit, monkeypatch):
    monkeypatch.setattr(comfy.model_management, "text_encoder_dtype", lambda *_: dtype)
    state = weights(version, dtype)
    ours, reference, faces = encoder(state), Reference(state), faces_for(version)
    pixels = torch.stack([prepare_photo(photo, PATCH * SIDE) for photo in photos()])
    wanted = reference.tokens(pixels, faces)
    found = ours.encode(photos(), faces)
    assert found.shape == (3 * ours.sizes.id_tokens, WIDTH) and ours.version == version
    scale = wanted.abs().max()
    assert (found - wanted).abs().max() <= limit * scale
    text = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(3))
    places = list(range(2, 2 + len(found)))
    fused = ours.fuse(text, places, found, 1.0)
    target = reference.fuse(text[places], wanted)
    assert (fused[places] - target).abs().max() <= limit * target.abs().max()


def test_nothing_that_is_passed_in_is_changed_and_other_rows_stay(version):
    ours, faces = encoder(weights(version)), faces_for(version)
    text, given = torch.randn(12, WIDTH), photos()
    before = text.clone(), [photo.tobytes() for photo in given], None if faces is None else faces.clone()
    tokens = ours.encode(given, faces)
    kept = tokens.clone()
    fused = ours.fuse(text, range(3, 3 + len(tokens)), tokens, 1.0)
    assert torch.equal(text, before[0]) and [photo.tobytes() for photo in given] == before[1] and torch.equal(tokens, kept)
    assert faces is None or torch.equal(faces, before[2])
    others = [row for row in range(12) if not 3 <= row < 3 + len(tokens)]
    assert torch.equal(fused[others], text[others]) and not torch.equal(fused[3], text[3])


def test_each_photo_has_its_own_tokens(version):
    ours, faces = encoder(weights(version)), faces_for(version)
    together = ours.encode(photos(), faces)
    for number, photo in enumerate(photos()):
        alone = ours.encode([photo], None if faces is None else faces[number:number + 1])
        n = ours.sizes.id_tokens
        assert torch.allclose(alone, together[n * number:n * (number + 1)], atol=1e-5)


def test_strength_goes_from_the_words_to_the_person():
    ours = encoder(weights("v1"))
    text, tokens = torch.randn(5, WIDTH), ours.encode(photos(2))
    none, half, full = (ours.fuse(text, [1, 2], tokens, strength) for strength in (0.0, 0.5, 1.0))
    assert torch.equal(none, text)
    assert torch.allclose(half, (none + full) / 2, atol=1e-5)


def test_the_host_counts_and_frees_it():
    ours = encoder(weights("v2"))
    size = sum(value.numel() * value.element_size() for value in ours.patcher.model.state_dict().values())
    assert ours.patcher.model_size() == size > 10**6
    ours.encode(photos(1), faces_for("v2", 1))
    loaded = [each.model for each in comfy.model_management.current_loaded_models]
    assert any(each is ours.patcher for each in loaded)
    comfy.model_management.unload_all_models()
    assert not any(each.model is ours.patcher for each in comfy.model_management.current_loaded_models)


def test_weights_that_are_missing_or_do_not_fit(version):
    state = weights(version)
    del state["vision_model.encoder.layers.1.mlp.fc2.bias"]
    with pytest.raises(RuntimeError, match="fc2.bias"):
        encoder(state)


def test_photos_are_prepared_as_transformers_does():
    """Its processor is the official one. A level of 255 is up to 0.015."""
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor()
    for size in ((512, 300), (225, 337), (1000, 333)):
        photo = Image.fromarray(np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8))
        wanted = torch.as_tensor(np.asarray(processor(photo, return_tensors="pt")["pixel_values"][0]))
        assert (prepare_photo(photo) - wanted).abs().max() < 0.2 and (prepare_photo(photo) - wanted).abs().mean() < 0.01


@pytest.mark.parametrize(("version", "tensors", "parameters"), [("v1", 407, 326_273_024), ("v2", 463, 543_395_840)])
def test_the_official_files_fit_in_name_and_shape(version, tensors, parameters, monkeypatch):
    official = {"HIDDEN": 1024, "INTERMEDIATE": 4096, "LAYERS": 24, "SIDE": 16, "FIRST": 768, "SECOND": 1280, "FACES": 512, "RESAMPLER": 4, "WIDTH": 2048}
    for name, value in official.items():
        monkeypatch.setitem(globals(), name, value)
    state = {name: torch.empty(shape, device="meta") for name, shape in shapes(version).items()}
    assert len(state) == tensors and sum(value.numel() for value in state.values()) == parameters
    with torch.device("meta"):
        tower = comfy.clip_model.CLIPVision(id_encoder.vision_config(Sizes.of(state)), torch.float32, "meta", comfy.ops.manual_cast)
        model = IdentityEncoder(Sizes.of(state), tower, comfy.ops.manual_cast)
    assert {name: value.shape for name, value in model.state_dict().items()} == {name: value.shape for name, value in state.items()}
    assert Sizes.of(state).image_size == 224 and Sizes.of(state).id_tokens == (2 if version == "v2" else 1)
