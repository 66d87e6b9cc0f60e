"""The comic page: pictures in order and unsqueezed, captions whole and legible."""

import numpy as np
import pytest
from PIL import Image

from fabula.comic.lettering import BUILT_IN, balance_text, load_font, missing_glyphs, wrap_text
from fabula.comic.page import CAPTION_PAPER, PAPER, draw_page, layout_grid

COLOURS = [(200, 40, 40), (40, 160, 60), (40, 80, 200), (220, 180, 40), (150, 60, 180), (60, 180, 190)]
FONT = load_font(BUILT_IN, 20)


def pictures(count: int = 6, size: tuple[int, int] = (64, 64)) -> list[Image.Image]:
    return [Image.new("RGB", size, colour) for colour in COLOURS[:count]]


def area(page: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the pixels of one colour."""
    ys, xs = np.nonzero((np.asarray(page) == colour).all(axis=-1))
    assert len(xs), f"the page has no {colour}"
    return int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1


@pytest.mark.parametrize(
    ("count", "shape"),
    [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (6, (2, 3)), (8, (2, 4)), (9, (3, 3))],
)
def test_grid_is_near_square(count, shape):
    assert layout_grid(count) == shape


def test_grid_holds_every_panel_and_keeps_captions_wide_enough():
    for count in range(1, 101):
        rows, columns = layout_grid(count)
        assert (rows - 1) * columns < count <= rows * columns and columns <= 4
    assert layout_grid(6, columns=1) == (6, 1)


def test_panels_stand_in_reading_order_on_one_grid():
    page = draw_page(pictures(), ["Short.", "A caption of several lines in its cell.", "", "x", "y", "z"], 900, FONT)
    assert page.mode == "RGB" and page.width == 900
    areas = [area(page, colour) for colour in COLOURS]
    lefts, tops = [a[0] for a in areas], [a[1] for a in areas]
    assert lefts[0] < lefts[1] < lefts[2] and lefts[:3] == lefts[3:]
    assert len(set(tops[:3])) == len(set(tops[3:])) == 1 and tops[0] < tops[3]
    assert len({a[2:] for a in areas}) == 1
    right = max(a[0] + a[2] for a in areas)
    assert abs(lefts[0] - (900 - right)) <= 1  # both margins alike
    assert page.getpixel((0, 0)) == PAPER


def test_a_caption_lies_in_a_light_box_under_its_picture_and_nothing_sticks_out():
    page = draw_page(pictures(1), ["One caption, long enough that it takes more than a single line."], 300, FONT)
    left, top, width, height = area(page, COLOURS[0])
    box = area(page, CAPTION_PAPER)
    assert box[0] == left and box[2] == width and top + height <= box[1]
    strip = np.asarray(page.convert("L"))[box[1]:box[1] + box[3], box[0]:box[0] + box[2]]
    ys, xs = np.nonzero(strip < 128)
    assert len(xs) > 200, "the caption is not drawn"
    assert xs.min() >= 5 and xs.max() < width - 5 and ys.min() >= 5 and ys.max() < box[3] - 5


def test_longer_captions_make_the_page_taller_and_no_captions_leave_no_box():
    bare = draw_page(pictures(), [""] * 6, 900, FONT)
    short = draw_page(pictures(), ["Hello."] * 6, 900, FONT)
    long = draw_page(pictures(), ["Hello. " * 20] * 6, 900, FONT)
    assert bare.height < short.height < long.height
    assert not (np.asarray(bare) == CAPTION_PAPER).all(axis=-1).any()


def test_pictures_keep_their_shape():
    wide = draw_page(pictures(2, (120, 60)), ["", ""], 800, FONT)
    _, _, width, height = area(wide, COLOURS[0])
    assert width / height == pytest.approx(2, rel=0.02)


def test_a_picture_of_another_shape_is_cut_at_its_sides_and_not_squeezed():
    odd = Image.new("RGB", (200, 100), (0, 0, 255))
    odd.paste((255, 0, 0), (70, 20, 130, 80))  # a square of 60 in the middle
    page = draw_page([*pictures(2, (100, 100)), odd], ["", "", ""], 1000, FONT)
    _, _, cell, _ = area(page, COLOURS[0])
    pixels = np.asarray(page).astype(int)
    ys, xs = np.nonzero((pixels[..., 0] > 200) & (pixels[..., 1] < 20) & (pixels[..., 2] < 60))
    assert np.ptp(xs) == pytest.approx(np.ptp(ys), abs=2)
    assert np.ptp(xs) == pytest.approx(0.6 * cell, abs=4)


def test_transparent_pictures_show_paper():
    page = draw_page([Image.new("RGBA", (64, 64), (0, 0, 0, 0))], [""], 300, FONT)
    assert page.getpixel((150, page.height // 2)) == PAPER


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((pictures(2), ["one"], 600), "2 pictures and 1 captions"),
        (([], [], 600), "no picture"),
        ((pictures(6), [""] * 6, 120), "page_width"),
        ((pictures(1), ["word " * 60_000], 300), "tall"),
        ((pictures(2), ["fine", "小明"], 600), "panel 2"),
    ],
)
def test_bad_input_says_what_to_change(arguments, words):
    with pytest.raises(ValueError, match=words):
        draw_page(*arguments, FONT)


def test_missing_glyphs_are_named_once_each():
    assert missing_glyphs(FONT, 'The "end" - 12% of it, isn\'t it?') == []
    assert missing_glyphs(FONT, "小 cats 小 明\u200d\n") == ["小", "明"]
    with pytest.raises(ValueError, match=r"U\+5C0F"):
        draw_page(pictures(1), ["小"], 400, FONT)


def test_a_font_that_is_no_font_is_an_error(tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"not a font")
    for name in (str(broken), str(tmp_path / "absent.ttf")):
        with pytest.raises(ValueError, match="cannot be read as a font"):
            load_font(name, 20)
    with pytest.raises(ValueError, match="font_size"):
        load_font(BUILT_IN, 0)


def test_lines_fit_their_width_and_keep_every_word():
    text = "It rains on the way to the market, and nobody else is out. " * 3
    for width in (90, 160, 400):
        for lines in (wrap_text(text, FONT, width), balance_text(text, FONT, width)):
            assert " ".join(lines).split() == text.split()
            assert all(FONT.getlength(line) <= width for line in lines)
    assert wrap_text("one\ntwo", FONT, 400) == ["one", "two"]
    assert wrap_text(" \n ", FONT, 400) == []


def test_a_line_takes_all_that_fits_and_balance_evens_them_out():
    text = "She runs after it, past the bakery and the old stone bridge, until she is out of breath today"
    width = FONT.getlength(text.removesuffix(" today")) + 1
    assert wrap_text(text, FONT, width)[1] == "today"
    first, second = balance_text(text, FONT, width)
    assert abs(FONT.getlength(first) - FONT.getlength(second)) < width / 5


def test_a_word_wider_than_the_line_is_cut_and_kept():
    lines = wrap_text("Donaudampfschifffahrtsgesellschaft", FONT, 100)
    assert len(lines) > 2 and "".join(lines) == "Donaudampfschifffahrtsgesellschaft"
    assert all(FONT.getlength(line) <= 100 for line in lines)


@pytest.mark.parametrize("text", ["「今日は雨が降っています。」と、ミアは言いました！！", "“你好！”小明说，“今天下雨了。”我们回家吧……"])
def test_text_without_spaces_breaks_between_characters_but_not_before_closing_marks(text):
    for width in range(60, 300, 7):  # the font draws its box for these characters: a width is all that matters here
        lines = wrap_text(text, FONT, width)
        assert "".join(lines) == text
        assert all(FONT.getlength(line) <= width for line in lines)
        assert not any(line[0] in "。，、！」”ー…っ" for line in lines[1:])
        assert not any(line[-1] in "「“" for line in lines[:-1])
    assert len(wrap_text(text, FONT, 100)) > 2
