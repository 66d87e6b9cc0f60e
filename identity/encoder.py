"""PhotoMaker's encoders: photos into identity tokens, and these into the class tokens of a prompt.

Source: Li et al., *PhotoMaker: Customizing Realistic Human Photos via Stacked ID Embedding*, arXiv 2312.04461, section 3.2, and the layouts of the
published V1 and V2 weights. Layers are made by `operations` (torch.nn, or what a host offers in its place), and named as in the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

HEAD = 128  # width of an attention head of V2's resampler


@dataclass(frozen=True)
class Sizes:
    """Read off a file's weights, so that an encoder of any size fits.

    hidden, intermediate, layers, patch, tokens: of the CLIP vision tower (tokens: patches and the class token). first, second: widths that
    the photos are projected to, those of the two text encoders. V2: faces (width of a face embedding), id_tokens a photo, resampler (layers).
    """

    hidden: int
    intermediate: int
    layers: int
    patch: int
    tokens: int
    first: int
    second: int
    faces: int = 0
    id_tokens: int = 1
    resampler: int = 0

    @property
    def width(self) -> int:
        """Of an identity token, and of the text embeddings that it is fused with."""
        return self.first + self.second

    @property
    def heads(self) -> int:
        return max(1, self.hidden // 64)  # as in all CLIP towers

    @property
    def image_size(self) -> int:
        return self.patch * round((self.tokens - 1) ** 0.5)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Sizes:
        """Of an encoder's weights by their official names."""
        patch = weights["vision_model.embeddings.patch_embedding.weight"]
        count = _count(weights, "vision_model.encoder.layers.")
        first, second = (weights[f"visual_projection{name}.weight"].shape[0] for name in ("", "_2"))
        tower = (
            patch.shape[0], weights["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0], count, patch.shape[-1],
            weights["vision_model.embeddings.position_embedding.weight"].shape[0], first, second,
        )
        if "qformer_perceiver.token_proj.0.weight" not in weights:
            return cls(*tower)
        faces = weights["qformer_perceiver.token_proj.0.weight"].shape[1]
        id_tokens = weights["qformer_perceiver.token_proj.2.weight"].shape[0] // (first + second)
        return cls(*tower, faces, id_tokens, _count(weights, "qformer_perceiver.perceiver_resampler.layers."))


class IdentityEncoder(nn.Module):
    """V1, or V2 where `sizes` has faces.

    Args:
        vision_model: a CLIP vision tower; called with pixels, it gives a tuple of the last hidden states, (photos, tokens, hidden), and,
            as its third, the pooled output, (photos, hidden).
    """

    def __init__(self, sizes: Sizes, vision_model: nn.Module, operations: ModuleType | type = nn, **factory: Any) -> None:
        super().__init__()
        self.sizes = sizes
        self.vision_model = vision_model
        self.visual_projection = operations.Linear(sizes.hidden, sizes.first, bias=False, **factory)
        self.visual_projection_2 = operations.Linear(sizes.hidden, sizes.second, bias=False, **factory)
        self.fuse_module = FuseModule(sizes.width, operations, **factory)
        if sizes.faces:
            self.qformer_perceiver = FaceTokens(sizes, operations, **factory)

    def forward(self, pixels: Tensor, faces: Tensor | None = None) -> Tensor:
        """Photos (photos, 3, image_size, image_size), normalised, and for V2 face embeddings (photos, faces), as the recogniser gives them, to
        identity tokens (photos, id_tokens, width)."""
        seen = self.vision_model(pixels)
        if not self.sizes.faces:
            pooled = seen[2]
            return torch.cat([self.visual_projection(pooled), self.visual_projection_2(pooled)], dim=-1)[:, None]
        return self.qformer_perceiver(faces, seen[0])


class FuseModule(nn.Module):
    """A class token's text embedding and an identity token into one."""

    def __init__(self, width: int, operations: ModuleType | type = nn, **factory: Any) -> None:
        super().__init__()
        self.mlp1 = _MLP(2 * width, width, operations, **factory)
        self.mlp2 = _MLP(width, width, operations, **factory)
        self.layer_norm = operations.LayerNorm(width, **factory)

    def forward(self, text: Tensor, identity: Tensor) -> Tensor:
        """(tokens, width) each, to (tokens, width)."""
        fused = self.mlp1(torch.cat([text, identity], dim=-1)) + text
        return self.layer_norm(self.mlp2(fused) + fused)


class FaceTokens(nn.Module):
    """V2: a face embedding as `id_tokens` tokens, which a resampler fills with what CLIP saw of the photo."""

    def __init__(self, sizes: Sizes, operations: ModuleType | type = nn, **factory: Any) -> None:
        super().__init__()
        self._shape = (sizes.id_tokens, sizes.width)
        self.token_proj = nn.Sequential(
            operations.Linear(sizes.faces, 4 * sizes.faces, **factory), nn.GELU(), operations.Linear(4 * sizes.faces, sizes.id_tokens * sizes.width, **factory),
        )
        self.token_norm = operations.LayerNorm(sizes.width, **factory)
        self.perceiver_resampler = _Resampler(sizes, operations, **factory)

    def forward(self, faces: Tensor, seen: Tensor) -> Tensor:
        """(photos, faces) and (photos, tokens, hidden) to (photos, id_tokens, width)."""
        tokens = self.token_norm(self.token_proj(faces).reshape(-1, *self._shape))
        return tokens + self.perceiver_resampler(tokens, seen)


class _MLP(nn.Module):
    def __init__(self, wide: int, width: int, operations: ModuleType | type, **factory: Any) -> None:
        super().__init__()
        self.layernorm = operations.LayerNorm(wide, **factory)
        self.fc1 = operations.Linear(wide, width, **factory)
        self.fc2 = operations.Linear(width, width, **factory)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(self.layernorm(x))))


class _Resampler(nn.Module):
    def __init__(self, sizes: Sizes, operations: ModuleType | type, **factory: Any) -> None:
        super().__init__()
        width = sizes.width
        self.proj_in = operations.Linear(sizes.hidden, width, **factory)
        self.layers = nn.ModuleList(
            nn.ModuleList([_Attention(width, operations, **factory), _feed_forward(width, operations, **factory)]) for _ in range(sizes.resampler)
        )
        self.proj_out = operations.Linear(width, width, **factory)
        self.norm_out = operations.LayerNorm(width, **factory)

    def forward(self, latents: Tensor, seen: Tensor) -> Tensor:
        seen = self.proj_in(seen)
        for attention, feed_forward in self.layers:
            latents = latents + attention(seen, latents)
            latents = latents + feed_forward(latents)
        return self.norm_out(self.proj_out(latents))


class _Attention(nn.Module):
    """Latents attend to what was seen and to each other."""

    def __init__(self, width: int, operations: ModuleType | type, **factory: Any) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD)
        self.norm1 = operations.LayerNorm(width, **factory)
        self.norm2 = operations.LayerNorm(width, **factory)
        self.to_q = operations.Linear(width, width, bias=False, **factory)
        self.to_kv = operations.Linear(width, 2 * width, bias=False, **factory)
        self.to_out = operations.Linear(width, width, bias=False, **factory)

    def forward(self, seen: Tensor, latents: Tensor) -> Tensor:
        seen, latents = self.norm1(seen), self.norm2(latents)
        query, key, value = (self._split(x) for x in (self.to_q(latents), *self.to_kv(torch.cat([seen, latents], dim=1)).chunk(2, dim=-1)))
        found = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.to_out(found.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(photos, tokens, width) to (photos, heads, tokens, head)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _feed_forward(width: int, operations: ModuleType | type, **factory: Any) -> nn.Sequential:
    return nn.Sequential(
        operations.LayerNorm(width, **factory), operations.Linear(width, 4 * width, bias=False, **factory), nn.GELU(),
        operations.Linear(4 * width, width, bias=False, **factory),
    )


def fuse(text: Tensor, places: Sequence[int], identity: Tensor, module: FuseModule, strength: float = 1.0) -> Tensor:
    """A prompt's embeddings (tokens, width) with identity tokens (len(places), width) fused into the class tokens at `places`: a new tensor, all
    other rows as they were. `strength` goes from the text's own embedding (0) to the fused one (1, as in the paper) and beyond."""
    rows = torch.as_tensor(places, device=text.device)
    own = text[rows]
    fused = module(own.to(identity.dtype), identity).to(text.dtype)
    result = text.clone()
    result[rows] = torch.lerp(own, fused, strength)
    return result


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max((int(name[len(prefix):].split(".")[0]) for name in weights if name.startswith(prefix)), default=-1)
