"""A story's panels as conditioning rows in which the characters' class tokens are the persons of their photos."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy.sd import CLIP

from ..identity.class_tokens import TriggerError
from ..identity.merging import start_merge_step, switch_sigma
from ..story.model import Mention, Story
from . import encode_story as plain
from .id_encoder import IdEncoder
from .identity_prompts import NODE, Prompt, TriggerReader, class_word_error, owners
from .prompt_tokens import pad_chunks, tokenize
from .prompt_words import find_words
from .references import References

Conditioning = list
_JUST_AFTER = 1e-5  # percent / 100: at the very border both phases would act


def encode_identity(clip: CLIP, encoder: IdEncoder, references: References, story: Story, trigger_word: str, width: int, height: int,
                    panels: Sequence[int], images_per_panel: int = 1) -> tuple[Conditioning, Conditioning, Conditioning]:
    """Encodes every panel of `panels` (from 0) three ways.

    Returns: merged, text only, negative; as of `encode_story`, all of equally many chunks. Panels of nobody with photos are alike in the first two.

    Raises: ValueError where the photos, the story and the models do not fit each other.
    """
    plain.check_clip(clip, NODE)
    reader = TriggerReader(clip, trigger_word)
    identities = _encode_photos(encoder, references, story)
    counts = {name: len(tokens) for name, tokens in identities.items()}
    texts = [plain.texts(story, panel) for panel in story.panels]
    merged, bare, who = [], [], []
    for panel, (text, _) in zip(story.panels, texts):
        who.append(owners(reader, panel, text, counts))
        if who[-1] and panel.options.prompt_2:
            raise ValueError(f"{NODE}: panel {panel.number} of input 'story' has prompt_2= and a character with photos: both encoders must have the same class word. Delete prompt_2=.")
        try:
            merged.append(_read(clip, reader, story, panel, text, [counts[name] for name in who[-1]]))
            bare.append(_read(clip, reader, story, panel, text, [0] * len(who[-1])))
        except TriggerError as error:
            raise class_word_error(panel, reader.word, error) from error
    negatives = [tokenize(clip, negative) for _, negative in texts]
    prompts = [text for text, _ in texts]

    def words(encoded: Sequence[Prompt], photos: bool):
        def read(number: int, text: str, mention: Mention | None) -> dict:
            names = who[number] if mention is None else [mention.tag] if mention.tag in counts else []
            return reader.read(text, [counts[name] if photos else 0 for name in names][:reader.count(text)]).tokens

        return find_words(clip, story, prompts, [prompt.tokens for prompt in encoded], read)

    found = words(merged, photos=True), words(bare, photos=False)
    pad_chunks(clip, [*(prompt.tokens for prompt in (*merged, *bare)), *negatives])
    size = (story, panels, width, height, images_per_panel)
    both = [plain.encode_rows(clip, [prompt.tokens for prompt in each], own, *size) for each, own in zip((merged, bare), found)]
    rows = [panel for panel in panels for _ in range(images_per_panel)]
    fused = _fuse(both[0], encoder, references, identities, [merged[row] for row in rows], [who[row] for row in rows])
    return fused, both[1], plain.encode_rows(clip, negatives, None, *size)


def delayed(text_only: Conditioning, merged: Conditioning, style_strength: float, sigmas: torch.Tensor | None) -> Conditioning:
    """The text alone first, then the merged prompts. With the `sigmas` of the sampling the text acts up to and with step
    `start_merge_step`; without, for `style_strength` percent of the host's range."""
    if sigmas is None:
        share = style_strength / 100
        ends, starts = {"end_percent": share}, {"start_percent": min(1.0, share + _JUST_AFTER)}
    else:
        levels = [float(sigma) for sigma in sigmas]
        switch = switch_sigma(levels, start_merge_step(style_strength, len(levels) - 1))
        if switch is None:
            return text_only
        ends, starts = {"timestep_end": switch}, {"timestep_start": switch}
    return [
        *([cond, {**options, **ends}] for cond, options in text_only),
        *([cond, {**options, **starts}] for cond, options in merged),
    ]


def _encode_photos(encoder: IdEncoder, references: References, story: Story) -> dict[str, torch.Tensor]:
    """Each character's identity tokens; photos are encoded once, however many panels show them."""
    names = {character.tag for character in story.characters}
    unknown = [name for name in references if name not in names]
    if unknown:
        raise ValueError(
            f"{NODE}: input 'references' has photos of [{unknown[0]}], but the story has {', '.join(f'[{name}]' for name in names) or 'no characters'}. "
            "Write the name as in the story."
        )
    identities = {}
    for name, reference in references.items():
        if encoder.sizes.faces and (reference.faces is None or reference.faces.shape[1] != encoder.sizes.faces):
            raise ValueError(
                f"{NODE}: input 'id_encoder' is PhotoMaker V2, which needs a face embedding of {encoder.sizes.faces} numbers for each photo of [{name}]. "
                "Connect face_embeds to its Fabula_CharacterReference, or load PhotoMaker V1."
            )
        identities[name] = encoder.encode(reference.photos, reference.faces if encoder.sizes.faces else None)
    return identities


def _read(clip: CLIP, reader: TriggerReader, story: Story, panel, text: str, copies: Sequence[int]) -> Prompt:
    if copies:
        return reader.read(text, copies)
    return Prompt(plain.tokenize_panel(clip, panel, text, story), [])


def _fuse(conditioning: Conditioning, encoder: IdEncoder, references: References, identities: dict[str, torch.Tensor], prompts: Sequence[Prompt],
          who: Sequence[Sequence[str]]) -> Conditioning:
    fused = []
    for cond, options in conditioning:
        if any(who) and cond.shape[-1] != encoder.sizes.width:
            raise ValueError(
                f"{NODE}: input 'clip' gives embeddings of {cond.shape[-1]} channels, but input 'id_encoder' fuses {encoder.sizes.width}. PhotoMaker is for "
                "SDXL: use the CLIP of an SDXL checkpoint."
            )
        rows = []
        for row, prompt, names in zip(cond, prompts, who):
            for run, name in zip(prompt.runs, names):
                row = encoder.fuse(row, run, identities[name], references[name].strength)
            rows.append(row)
        fused.append([torch.stack(rows), options])
    return fused
