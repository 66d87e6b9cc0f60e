"""A story's panels as conditioning rows in which the characters' class tokens are the persons of their photos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import torch
from comfy.sd import CLIP

from ..identity.merging import start_merge_step, switch_sigma
from ..story.model import Panel, Story
from .encode_story import Conditioning, Rows, check_clip, encode_rows, panel_texts, tokenize_panel
from .id_encoder import IdEncoder
from .identity_prompts import MOST_COPIES, NODE, Prompt, TriggerReader
from .prompt_tokens import even_chunks, tokenize
from .prompt_words import Words, find_words
from .references import References

# The host's ranges include both their ends, and two different percents always leave a gap in which a step can fall and have no prompt at all. One percent for
# both phases has neither gap nor, off the percents at which schedulers put their steps, a step with both.
_OFF_THE_STEPS = 3.3e-5

log = logging.getLogger(__name__)


def encode_identity(clip: CLIP, encoder: IdEncoder, references: References, trigger_word: str,
                    rows: Rows) -> tuple[Conditioning, Conditioning, Conditioning]:
    """Encodes the panels three ways: merged, text only, negative; as `encode_story` does, all of equally many chunks. Rows of nobody with photos are
    alike in the first two.

    Raises: ValueError where the photos, the story and the models do not fit each other.
    """
    check_clip(clip, NODE)
    story, reader = rows.story, TriggerReader(clip, trigger_word)
    _check_names(references, story)
    texts, negatives = zip(*panel_texts(story))
    words = find_words(clip, story, texts, [tokenize(clip, text) for text in texts], NODE)
    identities = {name: encoder.encode(reference.photos, _faces(encoder, name, reference)) for name, reference in references.items()}
    merged, bare = ([_read(clip, reader, story, panel, text, own, copies) for panel, text, own in zip(story.panels, texts, words)]
                    for copies in ({name: len(tokens) for name, tokens in identities.items()}, dict.fromkeys(identities, 1)))
    _check_panels(story, merged)
    negatives = [tokenize(clip, negative) for negative in negatives]
    chunks = even_chunks(clip, [*(prompt.tokens for prompt in (*merged, *bare)), *negatives])
    known: dict[str, list] = {}  # panels without photos are the same twice

    def encode(prompts: Sequence[Prompt], change: Callable[[int, torch.Tensor], torch.Tensor] | None = None) -> Conditioning:
        return encode_rows(clip, NODE, [each.tokens for each in prompts], [each.words for each in prompts], rows, chunks, known, change)

    positive = encode(merged, lambda panel, cond: _fuse(cond, encoder, references, identities, merged[panel]))
    return positive, encode(bare), encode_rows(clip, NODE, negatives, None, rows, chunks, known)


def delayed(text_only: Conditioning, merged: Conditioning, style_strength: float, sigmas: torch.Tensor | None) -> Conditioning:
    """The text alone first, then the merged prompts. With the `sigmas` of the sampling the text acts up to and with step
    `start_merge_step`; without, for `style_strength` percent of the host's range."""
    if sigmas is None:
        share = min(1.0, style_strength / 100 + _OFF_THE_STEPS)
        ends, starts = {"end_percent": share}, {"start_percent": share}
    else:
        if any("clip_start_percent" in options for _, options in text_only):
            raise ValueError(
                f"{NODE}: input 'clip' has weights that change during the sampling (a LoRA hook with keyframes), which the host does not combine with an exact "
                "step. Leave input 'sigmas' open, or take the hooks off the clip."
            )
        levels = [float(sigma) for sigma in sigmas]
        switch = switch_sigma(levels, start_merge_step(style_strength, len(levels) - 1))
        if switch is None:
            log.warning(
                "%s: with style_strength %g none of the %d steps of input 'sigmas' is left for the photos: the words alone act. Lower style_strength, or use more "
                "steps.", NODE, style_strength, len(levels) - 1,
            )
            return text_only
        ends, starts = {"timestep_end": switch}, {"timestep_start": switch}
    return [*([cond, {**options, **ends}] for cond, options in text_only), *([cond, {**options, **starts}] for cond, options in merged)]


def _check_names(references: References, story: Story) -> None:
    names = [character.tag for character in story.characters]
    for name in references:
        if name not in names:
            raise ValueError(
                f"{NODE}: input 'references' has photos of [{name}], but the story has {', '.join(f'[{each}]' for each in names) or 'no characters'}. "
                "Write the name as in the story."
            )


def _read(clip: CLIP, reader: TriggerReader, story: Story, panel: Panel, text: str, words: Words, copies: Mapping[str, int]) -> Prompt:
    prompt = reader.read(panel, text, words, copies)
    # Without photos a panel is what Fabula_EncodeStory makes of it, its prompt_2 included.
    return prompt if prompt.runs else Prompt(tokenize_panel(clip, NODE, story, panel, text), prompt.words)


def _faces(encoder: IdEncoder, name: str, reference) -> torch.Tensor | None:
    wanted = encoder.sizes.faces
    if not wanted:
        return None
    if reference.faces is None or reference.faces.shape[1] != wanted:
        raise ValueError(
            f"{NODE}: input 'id_encoder' is PhotoMaker V2, which needs a face embedding of {wanted} numbers for each photo of [{name}]. Connect face_embeds "
            "to its Fabula_CharacterReference, or load PhotoMaker V1."
        )
    return reference.faces


def _check_panels(story: Story, prompts: Sequence[Prompt]) -> None:
    for panel, prompt in zip(story.panels, prompts):
        if prompt.runs and panel.options.prompt_2:
            raise ValueError(
                f"{NODE}: panel {panel.number} of input 'story' has prompt_2= and a character with photos: both text encoders must have the same class "
                "word. Delete prompt_2=."
            )
        for name, places in prompt.runs:
            if len(places) > MOST_COPIES:
                raise ValueError(
                    f"{NODE}: input 'references': the photos of [{name}] take {len(places)} tokens of each prompt, and {MOST_COPIES} is the most. Give fewer photos."
                )


def _fuse(cond: torch.Tensor, encoder: IdEncoder, references: References, identities: Mapping[str, torch.Tensor], prompt: Prompt) -> torch.Tensor:
    """A panel's cond, (tokens, channels), with the persons in its class tokens."""
    if prompt.runs and cond.shape[-1] != encoder.sizes.width:
        raise ValueError(
            f"{NODE}: input 'clip' gives embeddings of {cond.shape[-1]} channels, but input 'id_encoder' fuses {encoder.sizes.width}. PhotoMaker is for "
            "SDXL: use the CLIP of an SDXL checkpoint."
        )
    for name, places in prompt.runs:
        cond = encoder.fuse(cond, places, identities[name], references[name].strength)
    return cond
