"""A story's panels as one conditioning row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from comfy.sd import CLIP

from ..story.model import Panel, Story
from ..story.styles import apply_style
from . import story_rows
from .prompt_tokens import chunks_of, even_chunks, tokenize
from .prompt_words import Words, find_words

NODE = "Fabula_EncodeStory"
ENCODERS = ({"l"}, {"g"}, {"h"}, {"l", "g"})  # of SD1.5, the SDXL refiner, SD2.1, SDXL, as the host calls them
Conditioning = list
_PUNCTUATION = str.maketrans("\uff0c\u3001\uff0d\u2013\u2014", ",,---")  # as Chinese and Japanese keyboards and word processors write commas and dashes


def encode_story(clip: CLIP | None, story: Story, width: int, height: int, panels: Sequence[int] | None = None,
                 images_per_panel: int = 1) -> tuple[Conditioning, Conditioning]:
    """Encodes every panel with its style, and the negative prompt once a panel; or only `panels`, counted from 0; each as
    often as it shall be drawn.

    Returns: positive and negative; each entry's cond is (panels, 77 x chunks, channels), its pooled output
    (panels, channels). All rows have one length: prompts of fewer chunks are repeated.
    """
    check_clip(clip, NODE)
    texts = panel_texts(story)
    positives = [tokenize_panel(clip, NODE, story, panel, positive) for panel, (positive, _) in zip(story.panels, texts)]
    negatives = [tokenize(clip, negative) for _, negative in texts]
    words = find_words(clip, story, [positive for positive, _ in texts], positives)
    chunks = even_chunks(clip, [*positives, *negatives])  # over the whole story: a panel asked for alone is encoded just the same
    rows = Rows(story, range(len(story.panels)) if panels is None else panels, width, height, images_per_panel)
    return encode_rows(clip, NODE, positives, words, rows, chunks), encode_rows(clip, NODE, negatives, None, rows, chunks)


def check_clip(clip: CLIP | None, node: str) -> None:
    """Raises: ValueError where there is no text encoder, or one of another family."""
    if clip is None:
        raise ValueError(
            f"{node}: input 'clip' is empty: the checkpoint has no text encoder in it. Use the CLIP of a full SDXL or SD1.5 "
            "checkpoint, or load one with CLIPLoader or DualCLIPLoader."
        )
    encoders = clip.tokenize("")
    if set(encoders) not in ENCODERS:
        raise ValueError(
            f"{node}: input 'clip' is of another model family: it has the text encoders {', '.join(encoders)}. Fabula works with SDXL, SD1.5 and "
            "SD2.1: use the CLIP of such a checkpoint."
        )


def panel_texts(story: Story) -> list[tuple[str, str]]:
    """Each panel's prompt and negative prompt, both in its style."""
    return [_styled(story, panel, panel.prompt) for panel in story.panels]


def _styled(story: Story, panel: Panel, prompt: str) -> tuple[str, str]:
    negative = ", ".join(part for part in (story.negative, panel.options.negative) if part)
    return apply_style(panel.options.style or story.style, prompt, negative, story.styles)


def tokenize_panel(clip: CLIP, node: str, story: Story, panel: Panel, positive: str) -> dict:
    """A panel's styled prompt as tokens, with its `prompt_2` for SDXL's second encoder."""
    tokens = tokenize(clip, positive)
    if panel.options.prompt_2:
        if "g" not in tokens:
            raise ValueError(
                f"{node}: panel {panel.number} of input 'story' has prompt_2=, but input 'clip' has no second text encoder as SDXL's. Delete it, "
                "or use an SDXL checkpoint."
            )
        second, _ = _styled(story, panel, panel.options.prompt_2)
        tokens["g"] = tokenize(clip, second)["g"]
    return tokens


@dataclass(frozen=True)
class Rows:
    """What the rows of a batch are: panels of a story, from 0, each so many times, and the size of their pictures in pixels."""

    story: Story
    panels: Sequence[int]
    width: int
    height: int
    images_per_panel: int = 1

    def pick(self, each: Sequence | Mapping) -> list:
        """What the rows get of something that there is for each panel of the story, or of the rows."""
        return [each[panel] for panel in self.panels for _ in range(self.images_per_panel)]


def encode_rows(clip: CLIP, node: str, prompts: Sequence[dict], words: Sequence[Words] | None, rows: Rows, chunks: int, known: dict[str, list] | None = None,
                change: Callable[[int, torch.Tensor], torch.Tensor] | None = None) -> Conditioning:
    """One conditioning row for each of `rows`, of the prompts of all panels. words: where each panel's prompt describes whom; None: it does not. chunks: how long each row becomes.
    known: what has been encoded already, for more than one call. change: what becomes of a panel's cond, (tokens, channels)."""
    known = {} if known is None else known
    encoded = {}
    for panel in dict.fromkeys(rows.panels):
        prompt = prompts[panel]
        key = repr(prompt)
        if key not in known:
            known[key] = clip.encode_from_tokens_scheduled(prompt)
        changed = [(cond if change is None else change(panel, cond[0])[None], options) for cond, options in known[key]]
        encoded[panel] = [(cond.repeat(1, chunks // chunks_of(prompt), 1), options) for cond, options in changed]
    size = {"width": rows.width, "height": rows.height, "crop_w": 0, "crop_h": 0, "target_width": rows.width, "target_height": rows.height}
    extra = {**size, story_rows.KEY: story_rows.describe(rows.story, rows.panels, words, rows.images_per_panel)}
    entries = []
    # More than one entry a prompt where the user schedules the text encoder's weights; the n-th ones belong together.
    for parts in zip(*rows.pick(encoded)):
        conds = [cond for cond, _ in parts]
        if len({c.shape[1:] for c in conds}) > 1:
            raise ValueError(
                f"{node}: input 'clip' gives rows of different sizes ({', '.join(str(tuple(c.shape)) for c in conds)}), "
                "which cannot be one batch. Use the CLIP of an SDXL or SD1.5 checkpoint."
            )
        options = {**parts[0][1], **extra}
        pooled = [options_of["pooled_output"] for _, options_of in parts if options_of.get("pooled_output") is not None]
        if len(pooled) == len(parts):
            options["pooled_output"] = torch.cat(pooled)
        entries.append([torch.cat(conds), options])
    return entries


def chosen_panels(story: Story, text: str, id_length: int, node: str = NODE) -> list[int]:
    """The panels, from 0, of a choice such as `4,7-9`, with the anchors of their characters ahead; all for an empty one.

    Raises: ValueError for what is no choice of the story's panels.
    """
    if not text.strip():
        return list(range(len(story.panels)))
    chosen = list(dict.fromkeys(named_panels(story, text, node)))
    cast = story_rows.describe(story, ()).cast
    ahead = cast.needed(chosen, cast.anchors(id_length))
    return [*ahead, *(panel for panel in chosen if panel not in ahead)]


def named_panels(story: Story, text: str, node: str = NODE) -> list[int]:
    """The panels, from 0, that a choice such as `4,7-9` names, in its order. Raises: ValueError for what is no choice of the story's panels."""
    named: list[int] = []
    for part in text.translate(_PUNCTUATION).split(","):
        first, _, last = part.partition("-")
        try:
            numbers = range(int(first), int(last or first) + 1)
        except ValueError:
            numbers = range(0)
        if not numbers or numbers[0] < 1 or numbers[-1] > len(story.panels):
            raise ValueError(
                f"{node}: input 'panels' is {text!r}, but {part.strip()!r} is no panel, or run of panels, from 1 to "
                f"{len(story.panels)}. Write numbers and runs with commas between them: 4,7-9."
            )
        named += [number - 1 for number in numbers]
    return named


def empty_latents(panels: Sequence[int], width: int, height: int, images_per_panel: int = 1, story_panels: int = 0, node: str = NODE) -> dict:
    """One empty latent a picture, (panels x images_per_panel, 4, height / 8, width / 8), numbered so that a panel keeps its
    noise, its first picture also that which it has as the only one. `story_panels`: how many there are in the whole story.

    Raises: ValueError for a size that is not a multiple of 8.
    """
    for name, size in (("width", width), ("height", height)):
        if size % 8:
            raise ValueError(f"{node}: input '{name}' is {size}, but must be a multiple of 8; {size // 8 * 8} is near.")
    numbers = [panel + variant * story_panels for panel in panels for variant in range(images_per_panel)]
    return {"samples": torch.zeros(len(numbers), 4, height // 8, width // 8), "batch_index": numbers}
