"""Where the pictures attend to the characters' words: the cross-attention of the up blocks, read while the net runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from comfy.ldm.modules import attention as host_attention

from ..attention.state import Layer, Run
from ..attention.subject import token_grid
from ..attention.tiles import Scene
from .attention_patch import replace_layers
from .story_rows import KEY, StoryRows

PlacesOfWords = Mapping[tuple[int, str], tuple[int, ...]]
"""Of (panel, character): the places of the words that describe it among the tokens of the prompt."""


def words_by_entry(entries: Iterable[dict], story: StoryRows) -> dict[object, PlacesOfWords]:
    """The words of each conditioning entry whose prompts have any, by the name that the host gives the entry in a run.

    `story`: with saved characters, whose pictures every entry has got.
    """
    held = {key: places for key, places in _words_of(story).items() if key[0] not in story.cast.story_panels}
    return {entry["uuid"]: {**_words_of(entry[KEY]), **held} for entry in entries if KEY in entry and any(entry[KEY].words)}


def _words_of(story: StoryRows) -> PlacesOfWords:
    return {(panel, name): places for panel, own in enumerate(story.words) for name, places in own.items()}


def watch(transformer_options: dict, run: Run, layers: Iterable[tuple[Layer, int]], size: tuple[int, int], words: Mapping[object, PlacesOfWords]) -> None:
    """Tells `run.attended` what the layers of one sampling attend to. What another pack has set for a layer is called by
    ours, not lost."""
    replace_layers(transformer_options, "attn2", [layer for layer, _ in layers], _Watcher(run, size, words).layer)


class _Watcher:
    def __init__(self, run: Run, size: tuple[int, int], words: Mapping[object, PlacesOfWords]):
        self._run, self._size, self._words = run, size, words
        self._columns: dict[tuple, tuple] = {}

    def __deepcopy__(self, memo) -> _Watcher:
        return self  # hosts copy the options that carry it

    def layer(self, layer: Layer, previous):
        """The host's attn2 replacement for one layer: (q, k, v, extra_options) to the layer's output before to_out."""

        def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, extra_options: dict) -> torch.Tensor:
            if self._run.watching:
                self._note(q, k, extra_options)
            if previous is not None:
                return previous(q, k, v, extra_options)
            return host_attention.optimized_attention(
                q, k, v, extra_options["n_heads"], attn_precision=extra_options["attn_precision"], transformer_options=extra_options,
            )

        return attention

    def _note(self, q: torch.Tensor, k: torch.Tensor, extra_options: dict) -> None:
        uuids, scene = extra_options["uuids"], self._run.scene
        grid = token_grid(q.shape[1], *self._size)
        whole_picture = tuple(extra_options["original_shape"][-2:]) == self._size
        if not whole_picture or grid is None or q.shape[0] != len(uuids) * len(scene.panels) or k.shape[0] != q.shape[0]:
            return
        # Where an area is set, the host gives the negative the positive's name.
        for chunk, (uuid, is_negative) in enumerate(zip(uuids, extra_options["cond_or_uncond"])):
            if is_negative or uuid not in self._words:
                continue
            shown, rows, columns = self._columns_of(uuid, scene, k)
            if shown:
                rows = rows + chunk * len(scene.panels)
                precision = host_attention.get_attn_precision(extra_options["attn_precision"], q.dtype) or q.dtype
                attended = attention_to(q[rows].to(precision), k[rows].to(precision), extra_options["n_heads"], columns)
                self._run.attended.note(shown, grid, attended)

    def _columns_of(self, uuid: object, scene: Scene, k: torch.Tensor) -> tuple[tuple[tuple[int, str], ...], torch.Tensor, torch.Tensor]:
        """The (panel, character) pairs of a scene that have words, the row of each, (shown,) int64, and which keys are its
        words, (shown, keys). A panel that stands in several rows is read in the first."""
        key = (uuid, scene, k.shape[1], k.device)
        if key not in self._columns:
            pairs = dict.fromkeys((panel, name) for panel, names in zip(scene.panels, scene.characters) for name in names)
            shown = tuple(pair for pair in pairs if self._words[uuid].get(pair))
            columns = torch.zeros(len(shown), k.shape[1])
            for number, pair in enumerate(shown):
                columns[number, [place for place in self._words[uuid][pair] if place < k.shape[1]]] = 1
            rows = torch.tensor([scene.panels.index(panel) for panel, _ in shown], dtype=torch.int64)
            self._columns[key] = shown, rows.to(k.device), columns.to(k.device)
        return self._columns[key]


def attention_to(q: torch.Tensor, k: torch.Tensor, heads: int, columns: torch.Tensor) -> torch.Tensor:
    """How much each query attends to some keys, averaged over heads.

    Args:
        q: (batch, tokens, channels). k: (batch, keys, channels).
        columns: (batch, keys), 1 for the keys that count.

    Returns: (batch, tokens), float32.
    """
    q, k = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k))
    attended = torch.softmax(q * q.shape[-1] ** -0.5 @ k.transpose(2, 3), dim=-1).mean(1).float()
    return (attended @ columns[:, :, None])[:, :, 0]
