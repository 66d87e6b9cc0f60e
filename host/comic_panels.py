"""A story's pictures as panels for a page: its captions and speech, and where its characters are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageChops, ImageDraw

from ..comic.panel import Balloon, ComicPanel
from ..story.model import Panel, Story
from .images import to_images
from .panel_masks import mask_of_each

NODE = "Fabula_ComicPage"


def comic_panels(pictures: Sequence[Image.Image], story: Story | None, masks: Sequence[torch.Tensor] = (), boxes: Sequence = ()) -> list[ComicPanel]:
    """One for each picture.

    Args:
        masks: (batch, height, width) or (height, width) each, white where characters, or their faces, are: in all one a panel, one for each
            character of each panel (and one for a panel of nobody), or one for all.
        boxes: of faces; a box, or a list of them, for each picture: what the host's nodes give as BOUNDING_BOX.

    Raises: ValueError for another number of pictures, masks or boxes.
    """
    panels = story.panels if story else [Panel(number, "", "", (), line=0) for number in range(1, len(pictures) + 1)]
    if len(panels) != len(pictures):
        raise ValueError(
            f"{NODE}: input 'images' has {len(pictures)} pictures, but input 'story' has {len(panels)} panels. "
            "Connect one picture of each panel of this very story, or leave 'story' open for a page without captions. Of Encode Story's "
            "'images_per_panel' pick one a panel first, with ImageFromBatch; where its 'panels' chose some, draw the others as well."
        )
    shown = [mask for batch in masks for mask in to_images(batch.reshape(-1, *batch.shape[-2:], 1))]
    of_each = mask_of_each(shown, [(panel.number, panel.characters) for panel in panels], NODE, "masks") if shown else {}
    faces = _face_masks(boxes, pictures)
    return [
        _panel(picture, panel, {who: of_each[panel.number, who] for who in (*panel.characters, None) if (panel.number, who) in of_each}, face)
        for picture, panel, face in zip(pictures, panels, faces)
    ]


def _panel(picture: Image.Image, panel: Panel, masks: dict[str | None, Image.Image], face: Image.Image | None) -> ComicPanel:
    kept = [*masks.values(), *([] if face is None else [face])]
    everybody = None
    for mask in kept:
        everybody = mask if everybody is None else ImageChops.lighter(everybody, mask.resize(everybody.size))
    alone = len(panel.characters) == 1
    balloons = tuple(
        Balloon(
            speech.text, speech.speaker, masks.get(speech.speaker) or (everybody if alone else None),
            outside=speech.speaker not in panel.characters,
        )
        for speech in panel.speech
    )
    crop = panel.options.crop
    return ComicPanel(picture, panel.caption, balloons, panel.prompt, everybody, crop[0] / crop[1] if crop else None)


def _face_masks(boxes: Sequence, pictures: Sequence[Image.Image]) -> list[Image.Image | None]:
    if len(boxes) == 1 < len(pictures) and isinstance(boxes[0], (list, tuple)):
        boxes = boxes[0]  # one list for the whole batch
    if not boxes:
        return [None] * len(pictures)
    if len(boxes) != len(pictures):
        raise ValueError(
            f"{NODE}: input 'face_boxes' has boxes of {len(boxes)} pictures, but there are {len(pictures)}. Give it one box, or one list of boxes, "
            "a picture."
        )
    masks = []
    for own, picture in zip(boxes, pictures):
        mask = Image.new("L", picture.size)
        for box in own if isinstance(own, (list, tuple)) else [own]:
            try:
                left, top, width, height = (float(box[side]) for side in ("x", "y", "width", "height"))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{NODE}: input 'face_boxes' has {str(box)[:80]}, which is no box. Give boxes with x, y, width and height.") from error
            ImageDraw.Draw(mask).rectangle((left, top, left + max(0.0, width - 1), top + max(0.0, height - 1)), fill=255)
        masks.append(mask)
    return masks
