"""Styles: a few words around every prompt of a story, and what to keep out of it.

The names are those of StoryDiffusion's demo; the words are our own. Weights such as
`(ink:1.1)` are in the host's prompt syntax. Templates are short, since all of a panel has to share 75 tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PLACE = "{prompt}"
NO_STYLE = "(No style)"


@dataclass(frozen=True)
class Style:
    """`template` holds the prompt's place once, as `{prompt}`; `negative` is added ahead of the user's own."""

    template: str
    negative: str


STYLES: dict[str, Style] = {
    NO_STYLE: Style(PLACE, ""),
    "Japanese Anime": Style(
        "anime film still of {prompt}, clean cel shading, (crisp line work:1.1), painted background, vivid colours",
        "photo, 3d render, realistic skin, blurry, deformed hands, extra fingers, text, watermark",
    ),
    "Digital/Oil Painting": Style(
        "oil painting of {prompt}, visible brush strokes, rich layered colour, warm directional light",
        "photo, anime, flat colours, line drawing, blurry, deformed, text, watermark",
    ),
    "Pixar/Disney Character": Style(
        "family animation film still of {prompt}, appealing rounded 3d characters, expressive faces, soft studio light",
        "photo, live action, flat drawing, sketch, grim, deformed, text, watermark",
    ),
    "Photographic": Style(
        "photograph of {prompt}, 35mm lens, natural light, shallow depth of field, fine detail",
        "drawing, painting, cartoon, anime, 3d render, plastic skin, deformed, text, watermark",
    ),
    "Comic book": Style(
        "comic book panel of {prompt}, (bold ink outlines:1.1), flat colours, halftone shading, dynamic composition",
        "photo, 3d render, realistic, blurry, deformed, speech balloon, text, watermark",
    ),
    "Line art": Style(
        "(line drawing:1.1) of {prompt}, black ink on white paper, even confident strokes, no shading",
        "colour, photo, painting, 3d render, grey wash, blurry, deformed, text, watermark",
    ),
    "Black and White Film Noir": Style(
        "(black and white:1.1) film noir still of {prompt}, hard side light, deep shadows, fine film grain",
        "colour, bright daylight, cartoon, anime, 3d render, deformed, text, watermark",
    ),
    "Isometric Rooms": Style(
        "(isometric view:1.1) of {prompt}, small cutaway room, tidy miniature detail, soft even light, plain backdrop",
        "photo, fisheye, close-up, cluttered background, blurry, deformed, text, watermark",
    ),
}


def find_style(name: str, styles: Mapping[str, Style] = STYLES) -> Style:
    """Raises ValueError, with the names there are, for a style that there is not."""
    if name not in styles:
        known = ", ".join(f'"{known}"' for known in styles)
        raise ValueError(f'style: there is no style called "{name}". Choose one of: {known}.')
    return styles[name]


def apply_style(name: str, prompt: str, negative: str, styles: Mapping[str, Style] = STYLES) -> tuple[str, str]:
    """The prompt and the negative prompt in a style; "(No style)" gives both back unchanged."""
    style = find_style(name, styles)
    styled = style.template.replace(PLACE, prompt)
    return styled, ", ".join(part for part in (style.negative, negative) if part)
