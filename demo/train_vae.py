"""Trains the demo's VAE on drawings of the demo world."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from ..host.demo_models import autoencoder_module, initialise
from . import fast_norm, sizes, workers
from .checkpoint import Checkpoint
from .drawing import draw_picture
from .workers import DEVICE
from .world import random_pair, random_single

CROP = 128
LATENT_WEIGHT = 1e-6
NOISE = 0.15  # deviations of the latent that the decoder learns to forgive


def draw_pool(count: int, seed: int) -> torch.Tensor:
    """`count` drawings as a (count, 3, 256, 256) uint8 tensor."""
    rng = Random(seed)
    pictures = (random_pair(rng, rng.random() < 0.5) if rng.random() < 0.3 else random_single(rng) for _ in range(count))
    return torch.stack([torch.from_numpy(np.array(draw_picture(p)[0])).permute(2, 0, 1) for p in pictures])


def _edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def reconstruct(vae, images: torch.Tensor, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Encodes and decodes `images` (batch, 3, height, width) in -1..1. Returns the decoded images and the latents.

    Instead of a KL term the decoder learns to forgive up to `noise` standard deviations, which is what a diffusion
    model's inexact latents need, and the latents are held small.
    """
    latent = vae.quant_conv(vae.encoder(images)).float().chunk(2, 1)[0]
    return decode_noisy(vae, latent, noise), latent


def decode_noisy(vae, latent: torch.Tensor, noise: float) -> torch.Tensor:
    level = noise * latent.std().detach() * torch.rand(len(latent), 1, 1, 1, device=latent.device)
    return vae.decoder(vae.post_quant_conv(latent + level * torch.randn_like(latent))).float()


def picture_loss(decoded: torch.Tensor, target: torch.Tensor, edges: bool) -> torch.Tensor:
    coarse = F.l1_loss(F.avg_pool2d(decoded, 8), F.avg_pool2d(target, 8))
    loss = F.l1_loss(decoded, target) + coarse + F.mse_loss(decoded, target)
    if edges:
        loss = loss + 0.5 * sum(F.l1_loss(a, b) for a, b in zip(_edges(decoded), _edges(target)))
    return loss


def save_sheet(vae, images: torch.Tensor, path: Path) -> float:
    """Originals above, reconstructions below. Returns the mean absolute error on 0..255."""
    images = images.to(DEVICE)
    with torch.no_grad():
        decoded = vae.decoder(vae.post_quant_conv(vae.quant_conv(vae.encoder(images)).chunk(2, 1)[0])).clamp(-1, 1)
    rows = [torch.cat(list(t), dim=2) for t in (images, decoded)]
    sheet = ((torch.cat(rows, dim=1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    Image.fromarray(sheet).save(path)
    return float((decoded - images).abs().mean() * 127.5)


def train(folder: Path, steps: int, batch: int = 8, seed: int = 1, rate: float = 1e-3, pool_size: int = 3000) -> tuple[dict[str, torch.Tensor], str]:
    """Trains until `steps`, resuming from `folder`/vae.pt. Returns the averaged weights and the minutes that they took."""
    pool = draw_pool(pool_size, seed)
    held_out = draw_pool(5, seed + 1).float() / 127.5 - 1
    torch.manual_seed(seed)
    vae = autoencoder_module(sizes.VAE)
    initialise(vae)
    vae.to(DEVICE, memory_format=torch.channels_last)
    average = _average(vae)
    fast_norm.install(vae)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=rate, weight_decay=0.0, betas=(0.9, 0.99))
    checkpoint = Checkpoint(folder / "vae.pt", vae=vae, average=average, optimiser=optimiser)
    torch.manual_seed(seed + checkpoint.steps)
    for step in range(checkpoint.steps, steps):
        full = step >= steps * 0.85  # the middle attention meets the whole picture's tokens
        picked = pool[torch.randint(len(pool), (batch // 4 if full else batch,))].to(DEVICE).float() / 127.5 - 1
        if not full:
            y, x = torch.randint(0, 256 - CROP + 1, (2,)).tolist()
            picked = picked[..., y : y + CROP, x : x + CROP]
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * min(1.0, (steps - step) / (0.5 * steps))
        with workers.half_precision():
            noise = NOISE if step > steps * 0.2 else 0.0
            decoded, latent = reconstruct(vae, picked.contiguous(memory_format=torch.channels_last), noise)
        # Early on, the cheapest way to even edges would be plain grey.
        loss = picture_loss(decoded, picked, edges=step > steps * 0.2) + LATENT_WEIGHT * latent.square().mean()
        _descend(optimiser, vae, loss)
        average.update_parameters(vae)
        if step % 50 == 49:
            error = F.l1_loss(decoded, picked) * 127.5
            print(f"step {step + 1}/{steps}: l1 {error:.2f}/255, latent std {latent.std():.2f}, {checkpoint.minutes} min", flush=True)
        if step % 500 == 499 or step == steps - 1:
            checkpoint.save(step + 1)
            print(f"held out: l1 {save_sheet(average.module, held_out, folder / 'vae_sheet.png'):.2f}/255", flush=True)
    return average.module.state_dict(), checkpoint.minutes


def train_decoder(vae, folder: Path, steps: int, batch: int = 2, seed: int = 1, rate: float = 6e-4, pool_size: int = 3000) -> tuple[dict[str, torch.Tensor], str]:
    """Sharpens the decoder of a trained `vae` on whole pictures, resuming from `folder`/decoder.pt. The encoder stays,
    so that what was trained on its latents stays valid. Returns the averaged weights and the minutes that they took."""
    pool, held_out = draw_pool(pool_size, seed + 2), draw_pool(5, seed + 1).float() / 127.5 - 1
    vae.requires_grad_(False).to(DEVICE, memory_format=torch.channels_last)
    with torch.no_grad(), workers.half_precision():
        parts = (part.to(DEVICE).float() / 127.5 - 1 for part in pool.split(20))
        latents = torch.cat([vae.encode(p.contiguous(memory_format=torch.channels_last)).float() for p in parts])
    trained = torch.nn.ModuleList([vae.decoder, vae.post_quant_conv]).requires_grad_(True)
    average = _average(vae)
    fast_norm.install(vae)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=rate, weight_decay=0.0, betas=(0.9, 0.99))
    checkpoint = Checkpoint(folder / "decoder.pt", vae=vae, average=average, optimiser=optimiser)
    torch.manual_seed(seed + checkpoint.steps)
    errors = []
    for step in range(checkpoint.steps, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * min(1.0, (steps - step) / (0.6 * steps))
        picked = torch.randint(len(pool), (batch,))
        target = pool[picked].to(DEVICE).float() / 127.5 - 1
        with workers.half_precision():
            decoded = decode_noisy(vae, latents[picked.to(DEVICE)], NOISE)
        _descend(optimiser, trained, picture_loss(decoded, target, edges=True))
        average.update_parameters(vae)
        errors.append(float(F.l1_loss(decoded.detach(), target)) * 127.5)
        if step % 50 == 49:
            print(f"step {step + 1}/{steps}: l1 {sum(errors) / len(errors):.2f}/255, {checkpoint.minutes} min", flush=True)
            errors.clear()
        if step % 500 == 499 or step == steps - 1:
            checkpoint.save(step + 1)
            print(f"held out: l1 {save_sheet(average.module, held_out, folder / 'decoder_sheet.png'):.2f}/255", flush=True)
    return average.module.state_dict(), checkpoint.minutes


def _average(module: torch.nn.Module) -> torch.optim.swa_utils.AveragedModel:
    return torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))


def _descend(optimiser: torch.optim.Optimizer, module: torch.nn.Module, loss: torch.Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimiser.step()
