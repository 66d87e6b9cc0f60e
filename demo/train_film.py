"""Trains the demo's decoder of predicted motion: AnimateDiff's motion module and IP-Adapter's image prompt, beside the frozen demo model.

As the authors say of theirs, the two are trained together, by the denoising loss of clips whose every frame attends to its own picture's features. Here these are the true
ones: the CLIP vision tower is frozen, and the predictor, which is trained apart, has to give what it would see.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..host.demo_models import size_embedding, training_sigmas
from ..host.image_prompt import FramePrompt, layers
from ..host.motion_module import inserted, spots
from ..motion.image_prompt import ImagePrompt, Sizes
from ..motion.motion_module import MotionModule
from . import sizes, workers
from .checkpoint import Checkpoint
from .clips import FRAMES
from .train import Net, plain_attention
from .workers import DEVICE

STRIDES = {1: 2, 2: 4}  # every how many frames, and how many clips a step
NOTHING = 0.1  # of the clips see no pictures, and no text
SILENT = 0.4  # of the clips have no text
AVERAGE = 0.999


class Decoder(nn.Module):
    """What is trained. nothing: what CLIP sees in a black picture, (tokens, channels)."""

    def __init__(self, net: Net, features: int, nothing: Tensor) -> None:
        super().__init__()
        channels = {place: spot.channels for place, spot in spots(net.unet).items()}
        narrowest = min(channels.values())
        # At the full resolution one module is enough, on the way up: it costs as much there as all others together.
        self.motion = MotionModule({place: width for place, width in channels.items() if width > narrowest or place[0] == "up" and place[2] == 0}, FRAMES)
        widths = tuple(width for _, width in layers(net.unet))
        # Of the "full" kind: each patch of the picture stays a token of its own, so that what stands where is soon learned.
        self.prompt = ImagePrompt(Sizes("full", features, sizes.UNET["context_dim"], 0, widths))
        self.register_buffer("nothing", nothing.clone())  # not of inference mode, that it can be loaded again
        for place in self.motion.channels:  # as AnimateDiff's begin: still pictures
            nn.init.zeros_(self.motion.at(place).proj_out.weight)
            nn.init.zeros_(self.motion.at(place).proj_out.bias)
        with torch.no_grad():  # as IP-Adapter's begin: like the text
            for pair, attention in zip(self.prompt.ip_adapter.values(), cross_attentions(net.unet)):
                pair.to_k_ip.weight.copy_(attention.to_k.weight)
                pair.to_v_ip.weight.copy_(attention.to_v.weight)

    def forward(self, net: Net, noisy: Tensor, timestep: Tensor, rows: Tensor, lengths: list[int], features: Tensor) -> Tensor:
        """The UNet's v. noisy (clips, frames, 4, h, w), timestep (clips,), rows and lengths of each clip's text, features (clips, frames, tokens, channels)."""
        clips, frames = noisy.shape[:2]
        context, pooled = net.text(rows, lengths)
        y = torch.cat([pooled, size_embedding(noisy.shape[-2] * 8, noisy.shape[-1] * 8).to(pooled).expand(clips, -1)], dim=1)
        tokens = self.prompt.tokens(features.flatten(0, 1))
        # One "conditioning" of all rows: nothing of them is a negative.
        shown = FramePrompt(self.prompt, tokens, tokens[0], 1.0, False, None)
        replaced = {key: shown.layer(number, None) for number, (key, _) in enumerate(layers(net.unet))}
        options = {"optimized_attention_override": plain_attention, "cond_or_uncond": [0], "patches_replace": {"attn2": replaced}}
        with inserted(net.unet, self.motion, frames):
            each = [value.repeat_interleave(frames, 0) for value in (timestep.float(), context, y)]
            return net.unet(noisy.flatten(0, 1), *each, transformer_options=options).unflatten(0, (clips, frames))


def cross_attentions(unet: nn.Module) -> list[nn.Module]:
    """In the order of `layers`."""
    parts = {"input": unet.input_blocks, "output": unet.output_blocks, "middle": [unet.middle_block]}
    return [[block for layer in parts[name][number] if hasattr(layer, "transformer_blocks") for block in layer.transformer_blocks][index].attn2
            for (name, number, index), _ in layers(unet)]


def train(folder: Path, net: Net, latents: Tensor, features: Tensor, texts: tuple[Tensor, list[int]], empty: tuple[Tensor, list[int]], nothing: Tensor, steps: int,
          seed: int = 1, rate: float = 1e-3, on_save: Callable[[Decoder, int, str], None] | None = None) -> None:
    """Trains until `steps`, resuming from `folder`/film.pt.

    latents (clips, FRAMES, 4, h, w), features (clips, FRAMES, tokens, channels); texts: rows (clips, 2, 77) and lengths, empty: of the empty one. `on_save(average decoder, steps,
    minutes)` is called with each checkpoint.
    """
    torch.manual_seed(seed)
    net.to(DEVICE).requires_grad_(False).eval()
    decoder = Decoder(net, features.shape[-1], nothing).to(DEVICE)
    average = torch.optim.swa_utils.AveragedModel(decoder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE))
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
    checkpoint = Checkpoint(folder / "film.pt", decoder=decoder, average=average, optimiser=optimiser)
    generator = torch.Generator().manual_seed(seed + 1000 * checkpoint.steps)
    sigmas, losses = training_sigmas(), []
    for step in range(checkpoint.steps, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * min(1.0, (steps - step) / (steps / 2))
        stride = 1 + step % 2
        count = STRIDES[stride]
        which = torch.randint(len(latents), (count,), generator=generator)
        clean, seen = latents[which, ::stride].float(), features[which, ::stride].float()
        rows, lengths = texts[0][which].clone(), [texts[1][number] for number in which.tolist()]
        for number in range(count):
            drawn = float(torch.rand(1, generator=generator))
            if drawn < NOTHING:
                seen[number] = nothing
            if drawn < NOTHING + SILENT:
                rows[number], lengths[number] = empty[0][0], empty[1][0]
        # Nearer to the noise, where it is decided what stands where.
        timestep = (len(sigmas) * torch.rand(count, generator=generator) ** 0.6).long().clamp_max(len(sigmas) - 1)
        sigma = sigmas[timestep][:, None, None, None, None]
        noise = torch.randn(clean.shape, generator=generator)
        signal, spread = (sigma.square() + 1).rsqrt(), sigma * (sigma.square() + 1).rsqrt()
        with workers.half_precision():
            predicted = decoder(net, (signal * clean + spread * noise).to(DEVICE), timestep.to(DEVICE), rows.to(DEVICE), lengths, seen.to(DEVICE))
        loss = F.mse_loss(predicted.float(), (signal * noise - spread * clean).to(DEVICE))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        average.update_parameters(decoder)
        losses.append(loss.item())
        if step % 50 == 49:
            print(f"step {step + 1}/{steps}: loss {sum(losses) / len(losses):.4f}, {checkpoint.minutes} min", flush=True)
            losses.clear()
        if step % 250 == 249 or step == steps - 1:
            checkpoint.save(step + 1)
            if on_save:
                on_save(average.module, step + 1, checkpoint.minutes)
