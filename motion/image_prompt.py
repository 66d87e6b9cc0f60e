"""IP-Adapter: CLIP's features of a picture as a few tokens, and their keys and values for each cross attention of an image UNet.

Source: Ye et al., *IP-Adapter*, arXiv 2308.06721, section 3.2, and the layouts of the published weights: base (4 tokens of the pooled features), plus (a resampler
over the penultimate layer's tokens) and full (a small net over each of these). Names are those of the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HEAD = 64  # width of a head of the resampler
KINDS = {"base": "pooled", "plus": "penultimate", "full": "penultimate"}
"""Which of CLIP's features each reads."""


@dataclass(frozen=True)
class Sizes:
    """features, context: widths of CLIP's features and of the text that the UNet attends to. tokens: that a picture becomes; 0: as many as it has features. width, depth:
    of the resampler. layers: outputs of each cross attention's keys, in the order of the file."""

    kind: str
    features: int
    context: int
    tokens: int
    layers: tuple[int, ...]
    width: int = 0
    depth: int = 0
    inner: int = 0

    @property
    def space(self) -> str:
        return KINDS[self.kind]


class ImagePrompt(nn.Module):
    """An image prompt of any published size: `tokens` once a picture, `keys_values` once a layer."""

    def __init__(self, sizes: Sizes, operations: ModuleType | type = nn, **factory: Any) -> None:
        super().__init__()
        self.sizes = sizes
        project = {"base": _Base, "plus": Resampler, "full": _Full}[sizes.kind]
        self.image_proj = project(sizes, operations, **factory)
        # Only odd numbers: in between stand the self attentions, which have none.
        self.ip_adapter = nn.ModuleDict({str(2 * number + 1): _KeysValues(sizes.context, width, operations, **factory) for number, width in enumerate(sizes.layers)})

    def tokens(self, features: Tensor) -> Tensor:
        """(pictures, tokens, features) of CLIP to (pictures, prompt tokens, context)."""
        return self.image_proj(features)

    def keys_values(self, layer: int, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, prompt tokens, context) to keys and values (rows, prompt tokens, channels) of the layer, counted from 0 as in the file."""
        pair = self.ip_adapter[str(2 * layer + 1)]
        return pair.to_k_ip(tokens), pair.to_v_ip(tokens)


Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def attend(q: Tensor, k: Tensor, v: Tensor, prompt: tuple[Tensor, Tensor], weight: float, attention: Attention, one_softmax: bool, text: Attention | None = None) -> Tensor:
    """Cross attention to a text, k and v, and to a prompt's own keys and values, all (rows, tokens, channels).

    Decoupled, as IP-Adapter (equation 5): text + weight x prompt, each with its own softmax. In one softmax, as StoryDiffusion writes it (section 3.2: keys and values of the
    text and the predicted tokens together), weight goes from the text alone, 0, to that, 1. text: the attention to the text alone, where it is another one.
    """
    alone = (text or attention)(q, k, v)
    if not one_softmax:
        return alone + weight * attention(q, *prompt)
    return torch.lerp(alone, attention(q, torch.cat([k, prompt[0]], dim=1), torch.cat([v, prompt[1]], dim=1)), weight)


def clean(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's weights by the names of `ImagePrompt`; `adapter_modules`, as some files call the layers, becomes `ip_adapter`."""
    renamed = {key.replace("adapter_modules.", "ip_adapter.", 1) if key.startswith("adapter_modules.") else key: tensor for key, tensor in weights.items()}
    return {key: tensor for key, tensor in renamed.items() if key.startswith(("image_proj.", "ip_adapter."))}


def sizes_of(weights: Mapping[str, Tensor]) -> Sizes:
    """Read off cleaned weights. Raises: ValueError for those of another kind."""
    numbers = sorted(int(key.split(".")[1]) for key in weights if key.endswith(".to_k_ip.weight"))
    if not numbers or numbers != [2 * number + 1 for number in range(len(numbers))]:
        raise ValueError("it holds no keys and values of an IP-Adapter")
    layers = tuple(weights[f"ip_adapter.{number}.to_k_ip.weight"].shape[0] for number in numbers)
    context = weights["ip_adapter.1.to_k_ip.weight"].shape[1]
    of_faces = "image_proj.perceiver_resampler.proj_in.weight" in weights or {"image_proj.proj.2.weight", "image_proj.norm.weight"} <= set(weights)
    if of_faces or any("_lora" in key for key in weights):
        raise ValueError("it is an adapter of faces (FaceID), which reads a recogniser's features and not CLIP's")
    if "image_proj.latents" in weights:
        depth = 1 + max(int(key.split(".")[2]) for key in weights if key.startswith("image_proj.layers."))
        width, features = weights["image_proj.proj_in.weight"].shape
        return Sizes("plus", features, context, weights["image_proj.latents"].shape[1], layers, width, depth, weights["image_proj.layers.0.0.to_q.weight"].shape[0])
    if "image_proj.proj.3.weight" in weights:
        return Sizes("full", weights["image_proj.proj.0.weight"].shape[1], context, 0, layers)
    if "image_proj.proj.weight" in weights:
        out, features = weights["image_proj.proj.weight"].shape
        return Sizes("base", features, context, out // context, layers)
    raise ValueError("its image projection is of a kind that is not known: base, plus and full are")


class _KeysValues(nn.Module):
    def __init__(self, context: int, width: int, operations, **factory) -> None:
        super().__init__()
        self.to_k_ip, self.to_v_ip = (operations.Linear(context, width, bias=False, **factory) for _ in range(2))


class _Base(nn.Module):
    def __init__(self, sizes: Sizes, operations, **factory) -> None:
        super().__init__()
        self._tokens = sizes.tokens
        self.proj = operations.Linear(sizes.features, sizes.tokens * sizes.context, **factory)
        self.norm = operations.LayerNorm(sizes.context, **factory)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(self.proj(features[:, 0]).unflatten(-1, (self._tokens, -1)))


class _Full(nn.Module):
    def __init__(self, sizes: Sizes, operations, **factory) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            operations.Linear(sizes.features, sizes.features, **factory), nn.GELU(), operations.Linear(sizes.features, sizes.context, **factory),
            operations.LayerNorm(sizes.context, **factory),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.proj(features)


class Resampler(nn.Module):
    """Learned latents that look at CLIP's tokens, layer by layer."""

    def __init__(self, sizes: Sizes, operations: ModuleType | type = nn, **factory: Any) -> None:
        super().__init__()
        width = sizes.width
        self.latents = nn.Parameter(torch.randn(1, sizes.tokens, width).to(**factory) * width**-0.5)
        self.proj_in = operations.Linear(sizes.features, width, **factory)
        self.layers = nn.ModuleList(
            nn.ModuleList([_PerceiverAttention(width, sizes.inner, operations, **factory), _feed_forward(width, operations, **factory)]) for _ in range(sizes.depth)
        )
        self.proj_out = operations.Linear(width, sizes.context, **factory)
        self.norm_out = operations.LayerNorm(sizes.context, **factory)

    def forward(self, features: Tensor) -> Tensor:
        features = self.proj_in(features)
        latents = self.latents.to(features).expand(len(features), -1, -1)
        for attention, feed_forward in self.layers:
            latents = latents + attention(features, latents)
            latents = latents + feed_forward(latents)
        return self.norm_out(self.proj_out(latents))


class _PerceiverAttention(nn.Module):
    """Latents attend to the features and to themselves."""

    def __init__(self, width: int, inner: int, operations, **factory) -> None:
        super().__init__()
        self.norm1, self.norm2 = (operations.LayerNorm(width, **factory) for _ in range(2))
        self.to_q = operations.Linear(width, inner, bias=False, **factory)
        self.to_kv = operations.Linear(width, 2 * inner, bias=False, **factory)
        self.to_out = operations.Linear(inner, width, bias=False, **factory)

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        features, latents = self.norm1(features), self.norm2(latents)
        q = self.to_q(latents)
        k, v = self.to_kv(torch.cat([features, latents], dim=1)).chunk(2, dim=-1)
        q, k, v = (each.unflatten(-1, (-1, _HEAD)).transpose(1, 2) for each in (q, k, v))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def _feed_forward(width: int, operations, **factory) -> nn.Sequential:
    return nn.Sequential(
        operations.LayerNorm(width, **factory), operations.Linear(width, 4 * width, bias=False, **factory), nn.GELU(),
        operations.Linear(4 * width, width, bias=False, **factory),
    )
