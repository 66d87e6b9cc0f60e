"""The stages of training the demo, from nothing to the files in demo/weights."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import torch

from ..host import demo_models
from . import latents, models, sizes, vocabulary, weights
from . import train as diffusion
from . import train_reader as reading
from . import train_vae as autoencoder
from .dataset import Encoders, make_shard
from .reader import load_reader
from .samples import save_samples

VAE_STEPS, DECODER_STEPS, UNET_STEPS, READER_STEPS = 1600, 1600, 40000, 800


def train_vae(folder: Path, seed: int = 1, steps: int = VAE_STEPS) -> None:
    started = time.time()
    trained = autoencoder.train(folder, steps, seed=seed)
    export_vae(trained, {"seed": str(seed), "steps": str(steps), "minutes": f"{(time.time() - started) / 60:.0f}"})


def export_vae(trained: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    vae = demo_models.autoencoder_module(sizes.VAE)
    vae.load_state_dict(trained)
    pixels = autoencoder.draw_pool(200, seed=9).float() / 127.5 - 1
    with torch.no_grad():
        encoded = torch.cat([vae.encode(part) for part in pixels.split(20)])
    mean, std = encoded.mean((0, 2, 3)), encoded.std((0, 2, 3))
    weights.save(weights.BASE["vae"], latents.fold_statistics(trained, mean, std), {**metadata, **_machine()})


def train_decoder(folder: Path, seed: int = 1, steps: int = DECODER_STEPS) -> None:
    before = weights.metadata(weights.BASE["vae"])
    vae = _trained_vae()
    trained = autoencoder.train_decoder(vae, folder, steps, seed=seed)
    weights.save(weights.BASE["vae"], trained, {**before, **_machine(), "decoder_seed": str(seed), "decoder_steps": str(steps)})


def _trained_vae() -> torch.nn.Module:
    vae = demo_models.autoencoder_module(sizes.VAE)
    vae.load_state_dict(weights.load(weights.BASE["vae"]))
    return vae


def make_shards(folder: Path, numbers: range) -> None:
    """Draws and encodes shard after shard: two of single pictures for each one of strips."""
    vae = _trained_vae().to(memory_format=torch.channels_last)
    tokenizer = demo_models.tokenizer()

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return vae.encode(pixels.contiguous(memory_format=torch.channels_last)).float() * latents.SDXL_SCALE

    def tokens(text: str) -> list[list[int]]:
        found = tokenizer.tokenize_with_weights(text)
        return [[int(token) for token, _ in found[key][0]] for key in "lg"]

    (folder / "shards").mkdir(exist_ok=True)
    for number in numbers:
        for kind, index in (("square", 2 * number), ("square", 2 * number + 1), ("strip", number)):
            started = time.monotonic()
            path = make_shard(kind, index, folder / "shards", Encoders(encode, tokens))
            print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)


def train_unet(folder: Path, seed: int = 1, steps: int = UNET_STEPS, from_shipped: bool = False) -> None:
    """`from_shipped` goes on from demo/weights/base where `folder` holds no checkpoint."""
    tokenizer = demo_models.tokenizer()
    kept = vocabulary.kept_tokens(tokenizer.clip_l)
    empty = torch.tensor([[int(t) for t, _ in tokenizer.tokenize_with_weights("")[key][0]] for key in "lg"])

    first, trained = shipped_net() if from_shipped else (None, 0)

    def on_save(net: diffusion.Net, step: int) -> None:
        export_unet(net, kept, {"seed": str(seed), "steps": str(trained + step)})
        save_samples(folder / f"samples_{step:06d}.png")

    diffusion.train(folder, kept, vocabulary.rows_of_tokens(kept), empty, steps, seed=seed, first=first, on_save=on_save)


def shipped_net() -> tuple[dict[str, torch.Tensor], int]:
    """The shipped weights under the trainer's names, and the steps they were trained for."""
    unet, text = weights.load(weights.BASE["unet"]), weights.load(weights.BASE["text"])
    named = {f"unet.{k}": v for k, v in unet.items() if not k.startswith("latent_rgb.")}
    named.update({f"text.{k}": v for k, v in text.items()})
    return named, int(weights.metadata(weights.BASE["unet"])["steps"])


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
    return {"machine": f"{platform.machine()}, {torch.get_num_threads()} CPU threads", "torch": torch.__version__}


def train_reader(folder: Path, seed: int = 1, steps: int = READER_STEPS) -> None:
    reader = reading.train(folder, steps, seed=seed)
    weights.save(weights.READER, reader.state_dict(), {"seed": str(seed), "steps": str(steps), **_machine()})
    pixels, labels, parts = reading.draw_examples(500, seed + 1)
    for name, share in reading.accuracy(load_reader(), pixels.float() / 255, labels, parts).items():
        print(f"held-out drawings, {name} right: {share:.3f}")
