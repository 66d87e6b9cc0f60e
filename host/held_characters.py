"""Saved characters in a run: their pictures beside the panels, held at what they are and noised to each step.

The host's own inpainting does the holding: where a noise mask is 0, it puts the clean latent with the step's noise in
the place of what the sampler has, before every call of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from ..attention.cast import EVERYBODY
from ..attention.tokens import keyed_generator
from .panel_rows import every, pick
from .story_rows import StoryRows


@dataclass(frozen=True)
class Encoded:
    """Conditioning of some pictures: cross_attn (pictures, tokens, channels) and pooled (pictures, channels) or None."""

    cross_attn: torch.Tensor
    pooled: torch.Tensor | None

    def first(self, count: int) -> Encoded:
        return Encoded(self.cross_attn[:count], None if self.pooled is None else self.pooled[:count])


@dataclass(frozen=True)
class HeldCharacter:
    """A FABULA_CHARACTER: its name, clean latents (pictures, channels, height, width) as the host's LATENT has them,
    and the conditioning that they were drawn with. words: for each picture, the places of the words that describe the
    character among the tokens of its prompt; empty where nobody knows."""

    name: str
    latents: torch.Tensor
    positive: Encoded
    negative: Encoded
    words: tuple[tuple[int, ...], ...] = ()

    def first(self, count: int) -> HeldCharacter:
        return replace(
            self, latents=self.latents[:count], positive=self.positive.first(count), negative=self.negative.first(count),
            words=self.words[:count],
        )


@dataclass(frozen=True)
class Batch:
    """Everything of one sampling that has rows. The first `panels` rows are the batch that the host was given."""

    story: StoryRows
    panels: int
    conds: dict[str, list[dict]]
    noise: torch.Tensor
    latent_image: torch.Tensor
    denoise_mask: torch.Tensor | None

    def only_panels(self, callback: Callable | None) -> Callable | None:
        """`callback` without the rows that the host does not know of."""
        if callback is None or len(self.noise) == self.panels:
            return callback
        return lambda step, x0, x, total_steps: callback(step, x0[:self.panels], x[:self.panels], total_steps)


def join(batch: Batch, characters: Sequence[HeldCharacter], seed: int, device: torch.device, node: str) -> Batch:
    """`batch` with the pictures of `characters` as further rows; `device` is where sampling happens.

    Raises: ValueError where a character is not in the story, or was drawn by another model or at another size.
    """
    known: dict[str, HeldCharacter] = {}
    for character in characters:
        if known.setdefault(character.name, character) is not character:
            raise ValueError(
                f"{node}: input 'character' is [{character.name}] in two nodes that follow each other, each time with other pictures. "
                "Connect one of them to both nodes."
            )
    for number, character in enumerate(known.values()):
        name = _name_in_story(character, batch.story, node)
        _check_fit(character, batch, node)
        batch = _join_one(batch, replace(character, name=name), keyed_generator(seed, -1 - number), device)
    return batch


def _join_one(batch: Batch, character: HeldCharacter, generator: torch.Generator, device: torch.device) -> Batch:
    count, rows = len(character.latents), len(batch.noise)
    cast = batch.story.cast.hold(character.name, count)
    # Also where sampling goes on from an earlier sampler without new noise: the pictures are clean then, too.
    noise = torch.randn(character.latents.shape, generator=generator)
    mask = batch.denoise_mask
    if mask is None:
        mask = torch.ones(rows, 1, *batch.noise.shape[2:], device=device)
    return replace(
        batch,
        story=StoryRows(
            cast, (*batch.story.panels, *range(len(cast.panels) - count, len(cast.panels))), (*batch.story.seeds, *[None] * count),
            (*batch.story.words, *[{character.name: places} if places else {} for places in character.words or [()] * count]),
            (*batch.story.variants, *[0] * count),
        ),
        conds={
            kind: [_extend(entry, character.positive if kind == "positive" else character.negative, rows) for entry in entries]
            for kind, entries in batch.conds.items()
        },
        noise=torch.cat([batch.noise, noise.to(batch.noise)]),
        latent_image=torch.cat([batch.latent_image, character.latents.to(batch.latent_image)]),
        denoise_mask=torch.cat([mask, mask.new_zeros(count, *mask.shape[1:])]),
    )


def _extend(entry: dict, held: Encoded, rows: int) -> dict:
    """A conditioning entry of `rows` rows with those of `held` after them; what else it has goes by row number."""
    entry = dict(entry)
    if "cross_attn" in entry:
        # Keys that all come equally often change nothing in attention: prompts of any two lengths fit.
        length = math.lcm(entry["cross_attn"].shape[1], held.cross_attn.shape[1])
        parts = every(entry["cross_attn"], range(rows)), held.cross_attn.to(entry["cross_attn"])
        entry["cross_attn"] = torch.cat([part.repeat(1, length // part.shape[1], 1) for part in parts])
    if isinstance(entry.get("mask"), torch.Tensor) and entry["mask"].ndim > 2:
        entry["mask"] = pick(entry["mask"], range(rows + len(held.cross_attn)))
    if entry.get("pooled_output") is not None and held.pooled is not None:
        entry["pooled_output"] = torch.cat([every(entry["pooled_output"], range(rows)), held.pooled.to(entry["pooled_output"])])
    return entry


def _name_in_story(character: HeldCharacter, story: StoryRows, node: str) -> str:
    names = [name for name in story.cast.characters if name != EVERYBODY]
    if not names:
        return EVERYBODY
    if character.name not in names:
        known = ", ".join(f"[{name}]" for name in names)
        raise ValueError(
            f"{node}: input 'character' is [{character.name}], but the story has {known}. Give the character in Fabula_Story the "
            "name that it was saved with, or save it under the other name."
        )
    return character.name


def _check_fit(character: HeldCharacter, batch: Batch, node: str) -> None:
    saved, wanted = tuple(character.latents.shape[1:]), tuple(batch.latent_image.shape[1:])
    if saved[0] != wanted[0]:
        raise ValueError(
            f"{node}: input 'character': [{character.name}] has latents of {saved[0]} channels, but this model's have {wanted[0]}. "
            "It was saved with a model of another family: draw and save it again with this one."
        )
    if saved[1:] != wanted[1:]:
        raise ValueError(
            f"{node}: input 'character': [{character.name}] was drawn at {saved[2] * 8} x {saved[1] * 8} pixels, but the story is drawn at "
            f"{wanted[2] * 8} x {wanted[1] * 8}. Draw the story at the character's size; or save the character anew at this one, or scale its pictures to it where they are your own."
        )
    if not torch.isfinite(character.latents).all():
        raise ValueError(
            f"{node}: input 'character': [{character.name}] holds values that are not numbers (NaN or infinite). The run or the VAE that "
            "it comes from was broken: save it again."
        )
    encoded = character.positive
    for entries in batch.conds.values():
        for entry in entries:
            channels = entry["cross_attn"].shape[-1] if "cross_attn" in entry else None
            if channels not in (None, encoded.cross_attn.shape[-1]):
                raise ValueError(
                    f"{node}: input 'character': [{character.name}] was saved with a text encoder of {encoded.cross_attn.shape[-1]} channels, "
                    f"but this story's has {channels}: a model of another family. Draw and save it again with this one."
                )
