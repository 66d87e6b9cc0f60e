"""The stages of training the demo, from nothing to the files in demo/weights."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ..host import demo_models
from ..host.id_encoder import attention_layers
from ..motion.checkpoint import save
from ..motion.predictor import Sizes
from ..motion.training import Settings, train
from . import latents, models, sizes, vocabulary, weights, workers
from . import train as diffusion
from . import train_film as film
from . import train_identity as identity
from . import train_reader as reading
from . import train_vae as autoencoder
from . import train_vision as vision
from . import clip_dataset
from .dataset import Encoders, make_shard
from .reader import load_reader
from .samples import save_samples
from .workers import DEVICE

VAE_STEPS, DECODER_STEPS, UNET_STEPS, READER_STEPS, IDENTITY_STEPS = 1600, 1600, 40000, 800, 4600
VISION_STEPS, FILM_STEPS, PREDICTOR_STEPS = 2000, 5400, 3000


def train_vae(folder: Path, seed: int = 1, steps: int = VAE_STEPS) -> None:
    trained, minutes = autoencoder.train(folder, steps, seed=seed)
    export_vae(trained, {"seed": str(seed), "steps": str(steps), "minutes": minutes})


def export_vae(trained: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    vae = demo_models.autoencoder_module(sizes.VAE)
    vae.load_state_dict(trained)
    pixels = autoencoder.draw_pool(200, seed=9).float() / 127.5 - 1
    with torch.no_grad():
        encoded = torch.cat([vae.encode(part) for part in pixels.split(20)])
    mean, std = encoded.mean((0, 2, 3)), encoded.std((0, 2, 3))
    weights.save(weights.BASE["vae"], latents.fold_statistics(vae.state_dict(), mean, std), {**metadata, **_machine()})


def train_decoder(folder: Path, seed: int = 1, steps: int = DECODER_STEPS) -> None:
    before = weights.metadata(weights.BASE["vae"])
    trained, minutes = autoencoder.train_decoder(_trained_vae(), folder, steps, seed=seed)
    details = {"decoder_seed": str(seed), "decoder_steps": str(steps), "decoder_minutes": minutes}
    weights.save(weights.BASE["vae"], trained, {**before, **details, **_machine()})


def _trained_vae() -> torch.nn.Module:
    vae = demo_models.autoencoder_module(sizes.VAE)
    vae.load_state_dict(weights.load(weights.BASE["vae"]))
    return vae


def _latents_of(vae: torch.nn.Module):
    """A function from pixels (batch, 3, height, width) in -1..1 to latents of unit variance."""
    vae.to(DEVICE, memory_format=torch.channels_last)

    @torch.no_grad()
    def encode(pixels: torch.Tensor) -> torch.Tensor:
        with workers.half_precision():
            return vae.encode(pixels.to(DEVICE, memory_format=torch.channels_last)).float().cpu() * latents.SDXL_SCALE

    return encode


def make_shards(folder: Path, numbers: range) -> None:
    """Draws and encodes shard after shard: two of single pictures for each one of strips."""
    encode, tokenizer = _latents_of(_trained_vae()), demo_models.tokenizer()

    def tokens(text: str) -> list[list[int]]:
        found = tokenizer.tokenize_with_weights(text)
        return [[int(token) for token, _ in found[key][0]] for key in "lg"]

    (folder / "shards").mkdir(exist_ok=True)
    for number in numbers:
        for kind, index in (("square", 2 * number), ("square", 2 * number + 1), ("strip", number)):
            started = time.monotonic()
            path = make_shard(kind, index, folder / "shards", Encoders(encode, tokens))
            print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)


def train_unet(folder: Path, seed: int = 1, steps: int = UNET_STEPS, from_shipped: bool = False, peak: float = diffusion.PEAK) -> None:
    """`peak` is the learning rate before it falls. `from_shipped` goes on from demo/weights/base where `folder` holds no checkpoint."""
    tokenizer = demo_models.tokenizer()
    kept = vocabulary.kept_tokens(tokenizer.clip_l)
    empty = torch.tensor([[int(t) for t, _ in tokenizer.tokenize_with_weights("")[key][0]] for key in "lg"])

    first, trained, spent = shipped_net(folder) if from_shipped else (None, 0, 0)

    def on_save(net: diffusion.Net, step: int, minutes: str) -> None:
        export_unet(net, kept, {"seed": str(seed), "steps": str(trained + step), "minutes": str(spent + int(minutes))})
        save_samples(folder / f"samples_{step:06d}.png")

    diffusion.train(folder, kept, vocabulary.rows_of_tokens(kept), empty, steps, seed=seed, peak=peak, first=first, on_save=on_save)


def shipped_net(folder: Path) -> tuple[dict[str, torch.Tensor], int, int]:
    """The shipped weights under the trainer's names, and the steps and minutes that they had when training in `folder`
    began to go on from them: it replaces them with each checkpoint."""
    start = folder / "shipped.json"
    if not start.exists():
        details = weights.metadata(weights.BASE["unet"])
        start.write_text(json.dumps({"steps": int(details["steps"]), "minutes": int(details["minutes"].split()[0])}))
    before = json.loads(start.read_text())
    return shipped_weights(), before["steps"], before["minutes"]


def shipped_weights() -> dict[str, torch.Tensor]:
    """The weights in demo/weights/base by the names of `train.Net`."""
    unet, text = weights.load(weights.BASE["unet"]), weights.load(weights.BASE["text"])
    named = {f"unet.{k}": v for k, v in unet.items() if not k.startswith("latent_rgb.")}
    return {**named, **{f"text.{k}": v for k, v in text.items()}}


def export_unet(net: diffusion.Net, kept: list[int], metadata: dict[str, str]) -> None:
    vae = models.load_vae()
    pixels = autoencoder.draw_pool(40, seed=9).float() / 127.5 - 1
    with torch.no_grad():
        encoded = vae.first_stage_model.encode(pixels.to(vae.vae_dtype)).float() * latents.SDXL_SCALE
    rgb = {f"latent_rgb.{k}": v for k, v in latents.fit_rgb(encoded, pixels).items()}
    details = {**metadata, **_machine()}
    weights.save(weights.BASE["unet"], {**net.unet.state_dict(), **rgb}, details)
    weights.save(weights.BASE["text"], net.text.state_dict(), {**details, "kept_tokens": json.dumps(kept)})


def _machine() -> dict[str, str]:
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{platform.machine()}, {os.cpu_count()} CPU cores"
    return {"machine": device, "torch": torch.__version__}


def train_reader(folder: Path, seed: int = 1, steps: int = READER_STEPS) -> None:
    reader, minutes = reading.train(folder, steps, seed=seed)
    weights.save(weights.READER, reader.state_dict(), {"seed": str(seed), "steps": str(steps), "minutes": minutes, **_machine()})
    pixels, labels, parts = reading.draw_examples(500, "held out")
    for name, share in reading.accuracy(load_reader(), pixels.float() / 255, labels, parts).items():
        print(f"held-out drawings, {name} right: {share:.3f}")


def _shipped_model() -> tuple[diffusion.Net, identity.Texts]:
    """The shipped diffusion model under the trainer's names, and what makes prompts of its token rows."""
    tokenizer = demo_models.tokenizer()
    kept = vocabulary.kept_tokens(tokenizer.clip_l)
    net = diffusion.Net(len(kept) + 1)
    net.load_state_dict(shipped_weights())
    return net, identity.Texts(tokenizer, vocabulary.rows_of_tokens(kept))


def train_identity(folder: Path, seed: int = 1, steps: int = IDENTITY_STEPS, characters: int = identity.CHARACTERS) -> None:
    net, texts = _shipped_model()

    def on_save(encoder: torch.nn.Module, lora: identity.Lora, step: int, minutes: str) -> None:
        details = {"seed": str(seed), "steps": str(step), "minutes": minutes, **_machine()}
        weights.save(weights.PHOTOMAKER, photomaker_file(encoder, lora), details)

    identity.train(folder, net, texts, _latents_of(_trained_vae()), steps, seed=seed, characters=characters, on_save=on_save)


def photomaker_file(encoder: torch.nn.Module, lora: identity.Lora) -> dict[str, torch.Tensor]:
    """In the flat layout of PhotoMaker's files, the LoRA by the names of diffusers."""
    layers = attention_layers(models.load_model())
    names = {weight.removeprefix("diffusion_model.").removesuffix(".weight"): name for name, weight in layers.items()}
    updates = {
        f"lora_weights.{names[own]}_lora.{part}.weight": layer.weight
        for number, own in enumerate(lora.names) for part, layer in (("down", lora.down[number]), ("up", lora.up[number]))
    }
    return {**{f"id_encoder.{name}": value for name, value in encoder.state_dict().items()}, **updates}


def train_vision(folder: Path, seed: int = 1, steps: int = VISION_STEPS) -> None:
    model, minutes = vision.train(folder, steps, seed=seed)
    weights.save(weights.VISION, model.state_dict(), {"seed": str(seed), "steps": str(steps), "minutes": minutes, **_machine()})


def make_clips(folder: Path, numbers: range) -> None:
    encode, side = _latents_of(_trained_vae()), vision.config()["image_size"]
    (folder / "clips").mkdir(exist_ok=True)
    for number in numbers:
        started = time.monotonic()
        path = clip_dataset.make_shard(folder / "clips", number, side, encode)
        print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)


def train_film(folder: Path, seed: int = 1, steps: int = FILM_STEPS) -> None:
    net, texts = _shipped_model()
    clips = clip_dataset.load_shards(folder / "clips")
    features = clip_features(folder / "clips", clips.pixels)
    nothing = _seen(models.load_clip_vision(), torch.zeros(1, *clips.pixels.shape[2:], dtype=torch.uint8))[0]

    def on_save(decoder: film.Decoder, step: int, minutes: str) -> None:
        details = {"seed": str(seed), "steps": str(step), "minutes": minutes, **_machine()}
        weights.save(weights.MOTION_MODULE, decoder.motion.state_dict(), {**details, "noise_schedule": "unchanged"})
        weights.save(weights.IMAGE_PROMPT, decoder.prompt.state_dict(), details)

    film.train(folder, net, clips.latents, features, texts.encode(clips.texts), texts.encode([""]), nothing, steps, seed=seed, on_save=on_save)


def clip_features(folder: Path, pixels: torch.Tensor) -> torch.Tensor:
    """What the shipped CLIP vision tower sees of clips, (clips, frames, tokens, channels) half; kept in `folder` for as long as the tower is the same one."""
    kept = folder / f"features_{len(pixels)}_{weights.VISION.stat().st_mtime_ns}.safetensors"
    if not kept.exists():
        tower = models.load_clip_vision()
        save_file({"features": torch.stack([_seen(tower, clip) for clip in pixels]).half()}, kept)
    return load_file(kept)["features"]


@torch.inference_mode()
def _seen(tower, pixels: torch.Tensor) -> torch.Tensor:
    """(frames, 3, side, side) uint8 to the penultimate features of the shipped tower, as the host gives them."""
    return tower.encode_image(pixels.permute(0, 2, 3, 1).float() / 255)["penultimate_hidden_states"].float().cpu()


def train_predictor(folder: Path, seed: int = 1, steps: int = PREDICTOR_STEPS) -> None:
    clips = clip_dataset.load_shards(folder / "clips")
    features = clip_features(folder / "clips", clips.pixels)
    started, losses = time.monotonic(), []

    def on_step(step: int, loss: float) -> None:
        losses.append(loss)
        if step % 50 == 0:
            print(f"step {step}/{steps}: loss {sum(losses) / len(losses):.4f}, {(time.monotonic() - started) / 60:.0f} min", flush=True)
            losses.clear()

    # Nobody walks backwards in this world, and what is shown at every fourth frame is learned in a tenth of the time.
    settings = Settings(steps=steps, batch=8, rate=6e-4, bf16=True, seed=seed, held_out=0.08, backwards=0.0, strides=(1, 2, 2, 3, 3, 3, 4, 4, 4, 4))
    predictor, log = train(features, torch.arange(len(features)), Sizes("penultimate", *features.shape[2:], **sizes.PREDICTOR), settings, folder / f"predictor_{seed}_{steps}.pt", on_step, DEVICE)
    print(log)
    weights.PREDICTOR.parent.mkdir(parents=True, exist_ok=True)
    save(predictor.half(), weights.PREDICTOR, {"seed": str(seed), "steps": str(steps), "clips": str(len(features)), "errors": repr(log.errors), **_machine()})
