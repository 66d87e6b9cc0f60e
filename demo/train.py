"""Trains the demo's SDXL-shaped diffusion model with its two text encoders, from scratch, on drawings.

v-prediction with zero terminal SNR; no picture is ever trained together with another one: attention sees one
picture at a time, of which some show a character twice (twins, strips of two panels).
"""

from __future__ import annotations

import functools
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from ..host.demo_models import initialise, size_embedding, text_encoder_module, training_sigmas, unet_module
from . import sizes, workers
from .checkpoint import Checkpoint
from .dataset import Shards
from .workers import DEVICE

BATCH = {"square": 32, "strip": 12}
STRIP_SHARE = 0.35  # of the steps
AVERAGE_EVERY = 4  # steps
PEAK = 8e-4  # learning rate
EMPTY_CAPTIONS = 0.1
UNKNOWN_WORDS = 0.01


class TextEncoders(torch.nn.Module):
    """SDXL's pair in small, with only the token rows in use. tokens (batch, 2, 77) rows to (batch, 77, 128), (batch, 64)."""

    def __init__(self, rows: int):
        super().__init__()
        pair = text_encoder_module(sizes.CLIP_L, sizes.CLIP_G)
        self.encoders = torch.nn.ModuleDict({"l": pair.clip_l.transformer, "g": pair.clip_g.transformer})
        for encoder in self.encoders.values():
            encoder.set_input_embeddings(torch.nn.Embedding(rows, sizes.CLIP_L["hidden_size"]))
        self.requires_grad_(True)

    def forward(self, tokens: torch.Tensor, lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        ends = torch.tensor(lengths, device=tokens.device) - 1
        parts = [_encode_text(self.encoders[key], tokens[:, i], ends) for i, key in enumerate("lg")]
        return torch.cat([hidden for hidden, _ in parts], dim=-1), parts[1][1]


def _encode_text(encoder, rows: torch.Tensor, ends: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The host's CLIP text model, layer by layer: its own forward adds in place, which autograd does not allow.
    Returns the penultimate layer's output and the projected pooled one."""
    model = encoder.text_model
    x = encoder.get_input_embeddings()(rows) + model.embeddings.position_embedding.weight
    future = x.new_full((x.shape[1], x.shape[1]), -torch.inf).triu(1)
    layers = model.encoder.layers
    for number, layer in enumerate(layers):
        x = x + layer.self_attn(layer.layer_norm1(x), future, functools.partial(plain_attention, None))
        x = x + layer.mlp(layer.layer_norm2(x))
        if number == len(layers) - 2:
            penultimate = x
    pooled = model.final_layer_norm(x)[torch.arange(len(x), device=x.device), ends]
    return penultimate, encoder.text_projection(pooled)


class Net(torch.nn.Module):
    def __init__(self, rows: int):
        super().__init__()
        self.unet = unet_module(sizes.UNET)
        self.text = TextEncoders(rows)
        initialise(self.unet, zero=("out.2.weight", "proj_out.weight", "out_layers.3.weight"))
        initialise(self.text)
        for encoder in self.text.encoders.values():
            torch.nn.init.normal_(encoder.get_input_embeddings().weight, std=0.5)

    def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        context, pooled = self.text(tokens, lengths)
        height, width = noisy.shape[-2] * 8, noisy.shape[-1] * 8
        y = torch.cat([pooled, size_embedding(height, width).to(pooled).expand(len(pooled), -1)], dim=1)
        options = {"optimized_attention_override": plain_attention}
        return self.unet(noisy, timestep, context, y, transformer_options=options)


def plain_attention(_host, q, k, v, heads, mask=None, **_):
    """Attention as two batched products: in bf16 on a CPU its backward pass is quicker than the fused kernel's."""
    b, n, c = q.shape
    d = c // heads
    q, k, v = (t.reshape(b, -1, heads, d).transpose(1, 2).reshape(b * heads, -1, d) for t in (q, k, v))
    scores = torch.baddbmm(q.new_empty(1, 1, 1), q, k.transpose(1, 2), beta=0, alpha=d**-0.5)
    if mask is not None:
        scores = scores + mask.to(scores.dtype)
    return torch.bmm(scores.softmax(-1).to(v.dtype), v).view(b, heads, n, d).transpose(1, 2).reshape(b, n, c)


def prompt_rows(tokens: torch.Tensor, rows: torch.Tensor, empty: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, list[int]]:
    """Token ids (batch, 2, 77) to rows of the small table; some captions become empty, some words unknown.
    Also returns how many tokens each caption has, end token included."""
    drop = torch.rand(len(tokens), generator=generator) < EMPTY_CAPTIONS
    tokens = torch.where(drop[:, None, None], empty, tokens.long())
    lengths = ((tokens[:, 0] == 49407).int().argmax(-1) + 1).tolist()
    mapped = rows[tokens]
    unknown = (torch.rand(tokens.shape[0], 1, 77, generator=generator) < UNKNOWN_WORDS) & (tokens < 49406)
    return torch.where(unknown, 0, mapped), lengths


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up, plateau, then a linear fall over the last third."""
    return peak * min(1.0, (step + 1) / 300) * min(1.0, max(0.0, (steps - step) / (steps / 3)))


def train(folder: Path, kept: list[int], rows: torch.Tensor, empty: torch.Tensor, steps: int, seed: int = 1,
          peak: float = PEAK, first: dict[str, torch.Tensor] | None = None, on_save=None) -> None:
    """Trains until `steps`, resuming from `folder`/train.pt; without that file from the weights `first`, if given, or
    from nothing. `on_save(average_net, steps, minutes)` is called with each checkpoint."""
    torch.manual_seed(seed)
    workers.start()
    net = Net(len(kept) + 1)
    if first:
        net.load_state_dict(first)
    net.to(DEVICE)
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999**AVERAGE_EVERY))
    optimiser = torch.optim.AdamW(net.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    checkpoint = Checkpoint(folder / "train.pt", net=net, average=average, optimiser=optimiser)
    start = checkpoint.steps
    shared = torch.Generator().manual_seed(seed + start)
    generator = torch.Generator().manual_seed(1000 * (seed + start) + workers.RANK)
    shards = {kind: Shards(kind, folder / "shards") for kind in BATCH}
    sigmas = training_sigmas()
    started, losses = time.monotonic(), []
    for step in range(start, steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, peak)
        kind = "strip" if torch.rand(1, generator=shared) < STRIP_SHARE else "square"
        latents, tokens = shards[kind].batch(BATCH[kind] // workers.COUNT, generator)
        prompt, lengths = prompt_rows(tokens, rows, empty, generator)
        timestep = torch.randint(len(sigmas), (len(latents),), generator=generator)
        sigma = sigmas[timestep][:, None, None, None].to(DEVICE)
        latents, noise = latents.to(DEVICE), torch.randn(latents.shape, generator=generator).to(DEVICE)
        signal, spread = (sigma.square() + 1).rsqrt(), sigma * (sigma.square() + 1).rsqrt()
        noisy = signal * latents + spread * noise
        with workers.half_precision():
            predicted = net(noisy, timestep.float().to(DEVICE), prompt.to(DEVICE), lengths)
        loss = F.mse_loss(predicted.float(), signal * noise - spread * latents)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        workers.average_gradients(net.parameters())
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        if workers.RANK == 0 and step % AVERAGE_EVERY == 0:
            average.update_parameters(net)
        losses.append(loss.item())
        if workers.RANK == 0 and step % 100 == 99:
            pace = (step + 1 - start) / (time.monotonic() - started)
            print(f"step {step + 1}/{steps}: loss {sum(losses) / len(losses):.4f}, {pace:.2f} steps/s, {len(shards['square'].latents)} + {len(shards['strip'].latents)} pictures", flush=True)
            losses.clear()
        if step % 1000 == 999 or step == steps - 1:
            workers.wait()
            for each in shards.values():
                each.refresh()
            if workers.RANK != 0:
                continue
            checkpoint.save(step + 1)
            if on_save:
                on_save(average.module, step + 1, checkpoint.minutes)
