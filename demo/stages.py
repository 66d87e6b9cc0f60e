"""The stages of training the demo, from nothing to the files in demo/weights."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import torch

from ..host import demo_models
from ..host.id_encoder import attention_layers
from . import latents, models, sizes, vocabulary, weights, workers
from . import train as diffusion
from . import train_identity as identity
from . import train_reader as reading
from . import train_vae as autoencoder
from .dataset import Encoders, make_shard
from .reader import load_reader
from .samples import save_samples
from .workers import DEVICE

VAE_STEPS, DECODER_STEPS, UNET_STEPS, READER_STEPS, IDENTITY_STEPS = 1600, 1600, 40000, 800, 4600


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


def train_identity(folder: Path, seed: int = 1, steps: int = IDENTITY_STEPS, characters: int = identity.CHARACTERS) -> None:
    tokenizer = demo_models.tokenizer()
    kept = vocabulary.kept_tokens(tokenizer.clip_l)
    net = diffusion.Net(len(kept) + 1)
    net.load_state_dict(shipped_weights())
    texts = identity.Texts(tokenizer, vocabulary.rows_of_tokens(kept))

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
