"""Motion for a real Wan 2.1 image-to-video network of the host's, in small, and films of its clips."""

import comfy.clip_vision
import comfy.ldm.wan.vae
import comfy.model_base
import comfy.model_patcher
import comfy.sample
import comfy.sd
import comfy.supported_models
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_wan import WanFirstLastFrameToVideo
from fabula.host.motion_predictor import Transition
from fabula.host.motion_wan import CHANNELS, TOKENS, apply_motion_to_wan
from fabula.motion.interpolation import interpolate
from fabula.nodes.motion import JoinTransitions, PlanTransitions
from fabula.nodes.video_models import ApplyMotionToWan, KeyframePairs
from host_differences import WAN_VAE_OF_ANY_WIDTH, here
from nodes import VAEDecode

FRAMES, LATENT_FRAMES = 13, 4
WAN = {
    "image_model": "wan2.1", "model_type": "i2v", "in_dim": 36, "out_dim": 16, "dim": 48, "ffn_dim": 96, "num_heads": 2, "num_layers": 2, "freq_dim": 32,
    "text_dim": 32, "text_len": 16, "patch_size": (1, 2, 2), "window_size": (-1, -1), "qk_norm": True, "cross_attn_norm": True, "eps": 1e-6,
}
CPU = torch.device("cpu")


def wan(**options):
    sizes = {**WAN, **options}
    config = comfy.supported_models.WAN21_I2V(dict(sizes))
    config.unet_config = {**sizes, "dtype": torch.float32}
    torch.manual_seed(2)
    model = comfy.model_base.WAN21(config, image_to_video=True)
    for name, value in model.diffusion_model.state_dict().items():
        random = torch.randn_like(value)
        value.copy_(random * 0.2 if value.ndim > 1 else (1 + 0.1 * random if name.endswith("weight") else 0.1 * random))
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


@pytest.fixture(scope="module")
def i2v():
    return wan()


@pytest.fixture(scope="module")
def flf2v():
    return wan(flf_pos_embed_token_number=2 * TOKENS)


@pytest.fixture(scope="module")
def picture():
    """(257, 1280): of one picture."""
    return torch.randn(TOKENS, CHANNELS, generator=torch.Generator().manual_seed(4))


def motion_of(features):
    return Transition.of(features, "penultimate", torch.zeros(TOKENS, CHANNELS))


def still(picture):
    return motion_of(picture.expand(FRAMES, -1, -1))


def run(model, picture=None, batch=1, cfg=3.0, latent_frames=LATENT_FRAMES, copies=1):
    """With `copies` of what CLIP sees in a picture for all frames, as WanImageToVideo (1) and WanFirstLastFrameToVideo (2) give it."""
    made = torch.Generator().manual_seed(5)
    texts = torch.randn(2, 1, 7, WAN["text_dim"], generator=made)
    shared = {"concat_latent_image": torch.randn(1, 16, latent_frames, 4, 6, generator=made)}
    if picture is not None:
        seen = comfy.clip_vision.Output()
        seen.penultimate_hidden_states = picture[None].repeat(1, copies, 1)
        shared["clip_vision_output"] = seen
    latent = torch.zeros(batch, 16, latent_frames, 4, 6)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(6))
    positive, negative = ([[text, dict(shared)]] for text in texts)
    return comfy.sample.sample(model, noise, 2, cfg, "euler", "simple", positive, negative, latent, disable_pbar=True, seed=1)


def alike(found, wanted):
    return (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("batch", [1, 2])
def test_the_same_tokens_for_each_frame_are_what_the_model_does(i2v, picture, batch):
    stock, other = run(i2v, picture, batch), run(i2v, -picture, batch)
    patched = ApplyMotionToWan.execute(i2v, still(picture)).args[0]
    assert alike(run(patched, picture, batch), stock) and not torch.allclose(stock, other, atol=1e-2)
    assert alike(run(patched, -picture, batch), stock)  # the conditioning's own picture is not read
    assert alike(run(patched, None, batch), stock)


def test_first_last_frame_models_get_both_places(flf2v, picture):
    stock = run(flf2v, picture, copies=2)
    patched = apply_motion_to_wan(flf2v, still(picture))
    for copies in (1, 2, 3):  # the host mixes up text and picture at 3
        assert alike(run(patched, picture, copies=copies), stock)
    assert not torch.allclose(run(flf2v, picture, copies=1), stock, atol=1e-3)


def changes(model, picture, frames, **options):
    """(latent frames,) of how much each latent frame answers to the features of some frames."""
    features = picture.repeat(FRAMES, 1, 1)
    features[frames] = -features[frames]
    patched, turned = apply_motion_to_wan(model, still(picture)), apply_motion_to_wan(model, motion_of(features))
    return (run(turned, picture, **options) - run(patched, picture, **options)).abs().mean((0, 1, 3, 4))


@pytest.mark.parametrize(("frames", "latent_frame"), [([0], 0), ([1, 2, 3, 4], 1), ([9, 10, 11, 12], 3)])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_frame_s_tokens_change_its_own_latent_frame_most(i2v, picture, frames, latent_frame, batch):
    changed = changes(i2v, picture, frames, batch=batch)
    others = changed[torch.arange(LATENT_FRAMES) != latent_frame]
    assert changed.argmax() == latent_frame and changed[latent_frame] > 5 * others.max()


def test_positive_and_negative_may_come_apart(i2v, picture, monkeypatch):
    patched = apply_motion_to_wan(i2v, motion_of(interpolate(picture, -picture, FRAMES)))
    together = run(patched, picture)
    monkeypatch.setattr(i2v.model, "memory_required", lambda *_, **__: 1e15)  # as if memory were short
    assert alike(run(patched, picture), together)
    assert torch.isfinite(run(patched, picture, cfg=1.0)).all()


def test_nothing_stays_patched(i2v, picture):
    before = run(i2v, picture)
    moved = run(apply_motion_to_wan(i2v, motion_of(interpolate(picture, -picture, FRAMES))), picture)
    assert torch.equal(run(i2v, picture), before) and not torch.allclose(moved, before, atol=1e-2)
    assert not i2v.object_patches and not i2v.wrappers.get(WrappersMP.DIFFUSION_MODEL)


def test_given_twice_the_last_counts_and_other_patches_are_called(i2v, picture):
    calls = []
    name = "diffusion_model.blocks.0.cross_attn.forward"
    under = i2v.clone()
    before = under.get_model_object(name)
    under.add_object_patch(name, lambda *given, **named: calls.append(given[0].shape) or before(*given, **named))
    once = apply_motion_to_wan(under, still(-picture))
    over = once.clone()
    patched = over.get_model_object(name)
    over.add_object_patch(name, lambda *given, **named: patched(*given, **named))
    alone = run(apply_motion_to_wan(i2v, still(picture)), picture)
    for model in (once, over):
        calls.clear()
        assert alike(run(apply_motion_to_wan(model, still(picture)), picture), alone)
        assert calls and all(shape[0] == 2 * LATENT_FRAMES for shape in calls)


def test_what_does_not_fit_is_named(i2v, picture, model):
    with pytest.raises(ValueError, match="Fabula_ApplyMotionToWan: input 'model' is a SDXL that reads no image tokens. Load an image-to-video model of Wan 2.1"):
        ApplyMotionToWan.execute(model, still(picture))
    with pytest.raises(ValueError, match="Fabula_ApplyMotionToWan: input 'model' is a WAN21 that reads no image tokens"):
        apply_motion_to_wan(wan(model_type="t2v"), still(picture))
    with pytest.raises(ValueError, match=r"Fabula_ApplyMotionToWan: input 'motion' has pooled features, \(1, 1024\) a frame, but Wan reads 257 rows of 1280"):
        apply_motion_to_wan(i2v, Transition.of(torch.zeros(FRAMES, 1, 1024), "pooled", torch.zeros(1, 1024)))
    with pytest.raises(ValueError, match=r"Fabula_ApplyMotionToWan: input 'motion': 14 frames do not fill .* such as 13. Set Fabula_PredictMotion's 'frames' to it"):
        apply_motion_to_wan(i2v, motion_of(picture.expand(14, -1, -1)))
    with pytest.raises(ValueError, match="input 'motion' has 13 frames, which are 4 latent frames, but the sampler's latent has 5. .* to 13, or .*'frames' to 17"):
        run(apply_motion_to_wan(i2v, still(picture)), picture, latent_frames=5)


@pytest.fixture(scope="module")
def wan_vae():
    module = comfy.ldm.wan.vae.WanVAE(dim=8 if here(WAN_VAE_OF_ANY_WIDTH) else 96, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True])
    torch.manual_seed(3)
    weights = {name: torch.randn_like(value) * 0.1 if value.ndim > 3 else torch.ones_like(value) * float(name.endswith("gamma")) for name, value in module.state_dict().items()}
    return comfy.sd.VAE(sd=weights)


def test_a_film_of_first_last_frame_clips(flf2v, wan_vae, picture):
    """What workflows/api/film_wan_flf.json says, a transition after the other as the host does with lists."""
    keyframes = torch.rand(3, 32, 48, 3, generator=torch.Generator().manual_seed(7))
    frames, total, _ = PlanTransitions.execute(keyframes, 0.5, 16.0, "Wan (4n + 1)").args
    assert (frames, total) == (9, 17)
    text = [[torch.randn(1, 7, WAN["text_dim"], generator=torch.Generator().manual_seed(5)), {}]]
    clips = []
    for start, end in zip(*KeyframePairs.execute(keyframes).args):
        given = WanFirstLastFrameToVideo.execute(text, text, wan_vae, 48, 32, frames, 1, start_image=start, end_image=end).args
        noise = torch.randn(given[2]["samples"].shape, generator=torch.Generator().manual_seed(6))
        moved = apply_motion_to_wan(flf2v, motion_of(interpolate(picture, -picture, frames)))
        latent = comfy.sample.sample(moved, noise, 2, 3.0, "euler", "simple", *given[:2], given[2]["samples"], disable_pbar=True, seed=1)
        clips += VAEDecode().decode(wan_vae, {"samples": latent})
    film, count = JoinTransitions.execute(clips, [keyframes]).args
    assert count == total and film.shape == (17, 32, 48, 3) and torch.isfinite(film).all()
    assert torch.equal(film[[0, 8, 16]], keyframes) and not torch.allclose(film[4], film[12])
