"""Words drawn into a film's pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fabula.comic.subtitles import letter_subtitle
from fabula.comic.typeface import Typeface

FACE = Typeface()
CJK = Typeface(str(Path(__file__).resolve().parents[1] / "data" / "cjk_subset.otf"))
LONG = "It rains on the way to the market, and nobody else is out, except for the baker, who waves from his door. " * 4
SIZES = [(256, 256), (512, 512), (1280, 720), (480, 832)]


def shape(subtitle):
    return subtitle.left, subtitle.top, subtitle.left + subtitle.picture.width, subtitle.top + subtitle.picture.height


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("text", ["She ran.", "One line.\nMia: Where does it lead?\nBob: Away!", LONG, "Donaudampfschifffahrtsgesellschaft" * 4])
def test_the_box_stands_whole_in_the_lower_part_of_the_picture(size, text):
    left, top, right, bottom = shape(letter_subtitle(text, FACE, *size))
    width, height = size
    assert 0 < left and right < width and abs(left - (width - right)) <= 1  # in the middle
    assert top > 0.35 * height and 0.02 * height < height - bottom < 0.06 * height


@pytest.mark.parametrize("size", SIZES)
def test_letters_are_of_the_pictures_size_until_they_have_no_room(size):
    short, long = (letter_subtitle(text, FACE, *size).picture for text in ("Hi", LONG))
    assert 0.08 < short.height / min(size) < 0.14
    assert short.height < long.height < 0.62 * size[1]
    larger, asked = (letter_subtitle("Hi", FACE, *size, letters).picture for letters in (60, 12))
    assert larger.height > short.height >= asked.height
    assert letter_subtitle(LONG, FACE, *size, 400).picture.width < size[0]


@pytest.mark.parametrize("width", range(8, 40))
def test_no_letter_of_a_narrow_picture_stands_out_of_it(width):
    try:
        left, top, right, bottom = shape(letter_subtitle("WWW", FACE, width, 400))
    except ValueError:
        assert width < 36
    else:
        assert 0 <= left and right <= width and bottom <= 400


def edge_contrast(background: np.ndarray) -> float:
    """Luminance of the lettering's light parts over that of its dark ones (WCAG 2's contrast ratio, of percentiles)."""
    height, width = background.shape[:2]
    subtitle = letter_subtitle("HHHH", FACE, width, height, 60)
    picture = Image.fromarray(background)
    picture.paste(subtitle.picture, (subtitle.left, subtitle.top), subtitle.picture)
    inside = np.asarray(picture.crop(shape(subtitle)), dtype=float)[8:-8, 8:-8] / 255
    light = (np.where(inside <= 0.04, inside / 12.92, ((inside + 0.055) / 1.055) ** 2.4) * [0.2126, 0.7152, 0.0722]).sum(-1)
    return (np.percentile(light, 97) + 0.05) / (np.percentile(light, 50) + 0.05)


@pytest.mark.parametrize("background", ["white", "black", "noise"])
def test_it_is_legible_on_anything(background):
    shown = {"white": np.full((256, 512, 3), 255), "black": np.zeros((256, 512, 3)), "noise": np.random.default_rng(0).integers(0, 256, (256, 512, 3))}
    assert edge_contrast(shown[background].astype(np.uint8)) > 4.5  # WCAG 2, AA


@pytest.mark.parametrize("letters", [12, 23, 60])
def test_no_letter_is_cut_off(letters):
    pixels = np.asarray(letter_subtitle("Ågj|Éq\nÇy", FACE, 512, 512, letters).picture)
    light = (pixels[..., :3].min(-1) > 60) & (pixels[..., 3] > 0)
    rows, columns = np.flatnonzero(light.any(1)), np.flatnonzero(light.any(0))
    assert rows[0] > 0 and columns[0] > 0 and rows[-1] < len(light) - 1 and columns[-1] < light.shape[1] - 1


def test_what_has_no_room_or_no_glyph_is_named():
    for size in ((256, 256), (64, 64), (8, 8)):
        with pytest.raises(ValueError, match="It rains .* has no room in a film of .* Shorten it, or choose mode 'subtitles'"):
            letter_subtitle(LONG * 4, FACE, *size)
    with pytest.raises(ValueError, match="has no room"):
        letter_subtitle("a " * 3000, FACE, 8000, 8000)
    with pytest.raises(ValueError, match=r'font: Comic Neue.* cannot draw "小" \(U\+5C0F\), "😀" \(U\+1F600\). Put a font'):
        letter_subtitle("小😀", FACE, 512, 512)
    assert letter_subtitle("小", CJK, 512, 512).picture.width > 20
