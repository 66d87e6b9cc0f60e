"""A story's panels as one conditioning row each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy.sd import CLIP

from ..story.model import Panel, Story
from ..story.styles import apply_style
from . import story_rows
from .prompt_tokens import pad_chunks, tokenize
from .prompt_words import find_words

NODE = "Fabula_EncodeStory"
ENCODERS = ({"l"}, {"g"}, {"h"}, {"l", "g"})  # of SD1.5, the SDXL refiner, SD2.1, SDXL, as the host calls them
Conditioning = list


def encode_story(clip: CLIP | None, story: Story, width: int, height: int, panels: Sequence[int] | None = None,
                 images_per_panel: int = 1) -> tuple[Conditioning, Conditioning]:
    """Encodes every panel with its style, and the negative prompt once a panel; or only `panels`, counted from 0; each as
    often as it shall be drawn.

    Returns: positive and negative; each entry's cond is (panels, 77 x chunks, channels), its pooled output
    (panels, channels). All rows have the length of the story's longest prompt: shorter ones get empty 77-token chunks.
    """
    if clip is None:
        raise ValueError(
            f"{NODE}: input 'clip' is empty: the checkpoint has no text encoder in it. Use the CLIP of a full SDXL or SD1.5 "
            "checkpoint, or load one with CLIPLoader or DualCLIPLoader."
        )
    encoders = clip.tokenize("")
    if set(encoders) not in ENCODERS:
        raise ValueError(
            f"{NODE}: input 'clip' is of another model family: it has the text encoders {', '.join(encoders)}. Fabula works with SDXL, SD1.5 and "
            "SD2.1: use the CLIP of such a checkpoint."
        )
    panels = range(len(story.panels)) if panels is None else panels
    texts = [_texts(story, panel) for panel in story.panels]
    positives = [_tokenize(clip, panel, positive, story) for panel, (positive, _) in zip(story.panels, texts)]
    negatives = [tokenize(clip, negative) for _, negative in texts]
    words = find_words(clip, story, [positive for positive, _ in texts], positives)
    pad_chunks(clip, [*positives, *negatives])  # over the whole story: a panel asked for alone is encoded just the same
    positives, negatives = ([prompts[panel] for panel in panels for _ in range(images_per_panel)] for prompts in (positives, negatives))
    size = {"width": width, "height": height, "crop_w": 0, "crop_h": 0, "target_width": width, "target_height": height}
    described = {**size, story_rows.KEY: story_rows.describe(story, panels, words, images_per_panel)}
    undescribed = {**size, story_rows.KEY: story_rows.describe(story, panels, None, images_per_panel)}
    return _encode_rows(clip, positives, described), _encode_rows(clip, negatives, undescribed)


def _texts(story: Story, panel: Panel, prompt: str | None = None) -> tuple[str, str]:
    """The panel's prompt, or another one, and its negative prompt, both in its style."""
    negative = ", ".join(part for part in (story.negative, panel.options.negative) if part)
    return apply_style(panel.options.style or story.style, panel.prompt if prompt is None else prompt, negative, story.styles)


def _tokenize(clip: CLIP, panel: Panel, positive: str, story: Story) -> dict:
    tokens = tokenize(clip, positive)
    if panel.options.prompt_2:
        if "g" not in tokens:
            raise ValueError(
                f"{NODE}: panel {panel.number} of input 'story' has prompt_2=, but input 'clip' has no second text encoder as SDXL's. Delete it, "
                "or use an SDXL checkpoint."
            )
        second, _ = _texts(story, panel, panel.options.prompt_2)
        tokens["g"] = tokenize(clip, second)["g"]
    return tokens


def _encode_rows(clip: CLIP, prompts: list[dict], extra: dict) -> Conditioning:
    known: dict[str, list] = {}
    rows = []
    for prompt in prompts:
        key = repr(prompt)
        if key not in known:
            known[key] = clip.encode_from_tokens_scheduled(prompt)
        rows.append(known[key])
    entries = []
    # More than one entry a prompt where the user schedules the text encoder's weights; the n-th ones belong together.
    for parts in zip(*rows):
        conds = [cond for cond, _ in parts]
        if len({c.shape[1:] for c in conds}) > 1:
            raise ValueError(
                f"{NODE}: input 'clip' gives rows of different sizes ({', '.join(str(tuple(c.shape)) for c in conds)}), "
                "which cannot be one batch. Use the CLIP of an SDXL or SD1.5 checkpoint."
            )
        options = {**parts[0][1], **extra}
        pooled = [options_of["pooled_output"] for _, options_of in parts if options_of.get("pooled_output") is not None]
        if len(pooled) == len(parts):
            options["pooled_output"] = torch.cat(pooled)
        entries.append([torch.cat(conds), options])
    return entries


def chosen_panels(story: Story, text: str, id_length: int) -> list[int]:
    """The panels, from 0, of a choice such as `4,7-9`, with the anchors of their characters ahead; all for an empty one.

    Raises: ValueError for what is no choice of the story's panels.
    """
    if not text.strip():
        return list(range(len(story.panels)))
    chosen: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            numbers = range(int(first), int(last or first) + 1)
        except ValueError:
            numbers = range(0)
        if not numbers or numbers[0] < 1 or numbers[-1] > len(story.panels):
            raise ValueError(
                f"{NODE}: input 'panels' is {text!r}, but {part.strip()!r} is no panel, or run of panels, from 1 to "
                f"{len(story.panels)}. Write numbers and runs with commas between them: 4,7-9."
            )
        chosen.update(dict.fromkeys(number - 1 for number in numbers))
    cast = story_rows.describe(story, ()).cast
    ahead = cast.needed(chosen, cast.anchors(id_length))
    return [*ahead, *(panel for panel in chosen if panel not in ahead)]


def empty_latents(panels: Sequence[int], width: int, height: int, images_per_panel: int = 1, story_panels: int = 0) -> dict:
    """One empty latent a picture, (panels x images_per_panel, 4, height / 8, width / 8), numbered so that a panel keeps its
    noise, its first picture also that which it has as the only one. `story_panels`: how many there are in the whole story.

    Raises: ValueError for a size that is not a multiple of 8.
    """
    for name, size in (("width", width), ("height", height)):
        if size % 8:
            raise ValueError(f"{NODE}: input '{name}' is {size}, but must be a multiple of 8; {size // 8 * 8} is near.")
    numbers = [panel + variant * story_panels for panel in panels for variant in range(images_per_panel)]
    return {"samples": torch.zeros(len(numbers), 4, height // 8, width // 8), "batch_index": numbers}
