"""Characters as files in models/fabula_characters: safetensors with what a new story needs to go on with them."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import folder_paths
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .folders import CHARACTERS, save_path
from .held_characters import Encoded, HeldCharacter
from .panel_rows import every
from .story_rows import KEY

FORMAT, VERSION = "fabula_character", "1"
LARGEST_ID_LENGTH = 16  # pictures in a file: what a node can ask for
THUMBNAIL = 256  # pixels, the longer side


def from_run(node: str, samples: dict, positive: list, negative: list, name: str) -> tuple[HeldCharacter, list[int]]:
    """The pictures of a finished run that show `name` alone, with their conditioning, and which rows they are.

    Without a story in the conditioning, all of them. Raises: ValueError where `name` is not in the story or never alone.
    """
    latents = samples["samples"]
    if latents.ndim != 4:
        raise ValueError(f"{node}: input 'samples' is of shape {tuple(latents.shape)}: a video, not pictures.")
    rows, name = _rows_of(node, positive, len(latents), name.strip())
    rows = rows[:LARGEST_ID_LENGTH]
    held = HeldCharacter(
        name, latents[rows], _encoded(node, "positive", positive, rows), _encoded(node, "negative", negative, rows),
        _words(positive, rows, name),
    )
    return held, rows


def _words(positive: list, rows: Sequence[int], name: str) -> tuple[tuple[int, ...], ...]:
    """Where the prompts of some rows describe a character; as `_encoded`, of the last phase."""
    cross_attn, options = _last_phase(positive)
    story = options.get(KEY)
    if story is None:
        return ()
    places = (story.words[story.panels[row]].get(name, ()) for row in rows)
    return tuple(tuple(place for place in each if place < cross_attn.shape[1]) for each in places)


def from_pictures(node: str, latents: torch.Tensor, positive: list, negative: list, name: str) -> HeldCharacter:
    """The user's own pictures, encoded; row i has row i of the conditioning, or its only one."""
    rows = list(range(min(len(latents), LARGEST_ID_LENGTH)))
    if not name.strip():
        raise ValueError(f"{node}: input 'character' is empty. Write the name that the story's tag has, without brackets.")
    return HeldCharacter(
        name.strip().strip("[]"), latents[rows], _encoded(node, "positive", positive, rows), _encoded(node, "negative", negative, rows),
    )


def _rows_of(node: str, positive: list, latents: int, name: str) -> tuple[list[int], str]:
    name = name.strip("[]")
    story = next((options[KEY] for _, options in positive if KEY in options), None)
    if story is None:
        if not name:
            raise ValueError(f"{node}: input 'character' is empty. Write the name that a story's tag will have.")
        return list(range(latents)), name
    if len(story.panels) != latents:
        raise ValueError(
            f"{node}: input 'samples' has {latents} latents, but the story of input 'positive' has {len(story.panels)} panels. "
            "Connect the LATENT that the sampler made of this very conditioning."
        )
    names = [each for each in story.cast.characters if each]
    name = name or (names[0] if len(names) == 1 else name)
    if names and name not in names:
        raise ValueError(f"{node}: input 'character' is {name!r}, but the story has {', '.join(names)}. Write one of them.")
    solo = set(story.cast.solo_panels(name if names else ""))
    # Of several pictures of a panel the first: the others are tellings of their own, where the character looks otherwise.
    rows = [row for row, panel in enumerate(story.panels) if panel in solo and not story.variants[row]]
    if not rows:
        raise ValueError(f"{node}: input 'character': [{name}] is alone in none of the panels. Add a panel that shows nobody else.")
    return rows, name


def _encoded(node: str, kind: str, conditioning: list, rows: Sequence[int]) -> Encoded:
    if not conditioning:
        raise ValueError(f"{node}: input '{kind}' is empty. Connect the conditioning that the pictures were drawn with.")
    cross_attn, options = _last_phase(conditioning)
    pooled = options.get("pooled_output")
    return Encoded(every(cross_attn, rows), None if pooled is None else every(pooled, rows))


def _last_phase(conditioning: list) -> list:
    """The first entry that acts to the end of the sampling: of a delayed merge that with the persons, not that with the words alone."""
    lasting = (entry for entry in conditioning if "timestep_end" not in entry[1] and entry[1].get("end_percent", 1.0) >= 1.0)
    return next(lasting, conditioning[-1])


def save(node: str, character: HeldCharacter, filename_prefix: str, thumbnail: Image.Image | None, prompt: dict | None) -> str:
    """Writes a new file, never over an old one. Returns its name in models/fabula_characters.

    Raises: ValueError for a prefix that leads out of the folder.
    """
    folder = folder_paths.get_folder_paths(CHARACTERS)[0]
    os.makedirs(folder, exist_ok=True)
    into, stem, counter, subfolder = save_path(node, filename_prefix, folder)
    name = os.path.join(subfolder, f"{stem}_{counter:05}_.safetensors")
    metadata = {"format": FORMAT, "version": VERSION, "character": character.name}
    if thumbnail is not None:
        metadata["thumbnail"] = _jpeg(thumbnail)
    if prompt:
        metadata["prompt"] = json.dumps(prompt)
    tensors = {"latents": character.latents}
    if any(character.words):
        tensors["words"] = torch.zeros(character.positive.cross_attn.shape[:2], dtype=torch.bool)
        for picture, places in zip(tensors["words"], character.words):
            picture[list(places)] = True
    for kind, encoded in (("positive", character.positive), ("negative", character.negative)):
        tensors[f"{kind}.cross_attn"] = encoded.cross_attn
        if encoded.pooled is not None:
            tensors[f"{kind}.pooled"] = encoded.pooled
    path = os.path.join(into, os.path.basename(name))
    part = Path(path + ".part")  # a full disk leaves no half a character behind
    try:
        save_file({key: tensor.contiguous().cpu() for key, tensor in tensors.items()}, part, metadata=metadata)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return name


def _jpeg(picture: Image.Image) -> str:
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def load(node: str, name: str) -> HeldCharacter:
    """Raises: ValueError where the file is not there, cut short, or no character."""
    path = folder_paths.get_full_path(CHARACTERS, name)
    if path is None:
        raise ValueError(f"{node}: input 'character_name' is {name!r}, which is not in models/{CHARACTERS}. Save a character first.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{node}: input 'character_name': {name} cannot be read ({error}). The file is cut short or no safetensors: copy or save it again."
        ) from error
    needed = {"latents", "positive.cross_attn", "negative.cross_attn"}
    if metadata.get("format") != FORMAT or not needed <= tensors.keys():
        raise ValueError(
            f"{node}: input 'character_name': {name} is a safetensors file, but no character of Fabula. Choose one that "
            "Fabula_SaveCharacter has written."
        )
    if metadata.get("version") != VERSION:
        raise ValueError(f"{node}: input 'character_name': {name} is of version {metadata.get('version')}, this Fabula reads {VERSION}. Update Fabula.")
    both = (Encoded(tensors[f"{kind}.cross_attn"], tensors.get(f"{kind}.pooled")) for kind in ("positive", "negative"))
    words = tuple(tuple(picture.nonzero()[:, 0].tolist()) for picture in tensors.get("words", ()))
    return HeldCharacter(metadata.get("character", ""), tensors["latents"], *both, words)
