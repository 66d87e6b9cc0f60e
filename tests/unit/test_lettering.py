"""Lettering: fonts and what they lack, lines that break where readers expect it, text that fits."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from fabula.comic import line_breaking
from fabula.comic.line_breaking import break_text
from fabula.comic.text_block import SMALLEST, TextBlock, draw_block, fit_text, is_written_vertically, margin, set_lines, wrap
from fabula.comic.typeface import BUILT_IN, Typeface

FACE = Typeface()
CJK_FONT = str(Path(__file__).resolve().parents[1] / "data" / "cjk_subset.otf")
CJK = Typeface(CJK_FONT)


@pytest.fixture(params=["uniseg", "plain"])
def breaking(request, monkeypatch):
    """Line breaking with the optional library and without."""
    line_breaking._library.cache_clear()
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "uniseg.linebreak", None)
    else:
        pytest.importorskip("uniseg")
    yield request.param
    line_breaking._library.cache_clear()


def lines(text: str, width: float, size: float = 20) -> list[str]:
    return [line for paragraph in text.splitlines() for line in wrap(break_text(paragraph), FACE.width, width / size)]


def test_lines_fit_their_width_and_keep_every_word(breaking):
    text = "It rains on the way to the market, and nobody else is out. " * 3
    for width in (90, 160, 400):
        block = set_lines(text, FACE, 20, width)
        for each in (lines(text, width), block.lines):
            assert " ".join(each).split() == text.split()
            assert all(FACE.width(line) * 20 <= width for line in each)
        assert block.width <= width
    assert list(set_lines("one\ntwo", FACE, 20, 400).lines) == ["one", "two"]
    assert set_lines(" \n ", FACE, 20, 400).lines == ()


def test_a_line_takes_all_that_fits_and_a_block_evens_them_out():
    text = "She runs after it, past the bakery and the old stone bridge, until she is out of breath today"
    width = FACE.width(text.removesuffix(" today")) * 20 + 8
    assert lines(text, width)[1] == "today"
    first, second = set_lines(text, FACE, 20, width).lines
    assert abs(FACE.width(first) - FACE.width(second)) * 20 < width / 5


def test_a_word_wider_than_the_line_is_cut_and_kept():
    cut = lines("Donaudampfschifffahrtsgesellschaft", 100)
    assert len(cut) > 2 and "".join(cut) == "Donaudampfschifffahrtsgesellschaft"
    assert all(FACE.width(line) * 20 <= 100 for line in cut)


@pytest.mark.parametrize("text", ["「今日は雨が降っています。」と、ミアは言いました！！", "“你好！”小明说，“今天下雨了。”我们回家吧……"])
def test_text_without_spaces_breaks_between_characters_but_not_before_closing_marks(breaking, text):
    for width in range(60, 300, 7):  # the font draws its box for these characters: a width is all that matters here
        each = lines(text, width)
        assert "".join(each) == text
        assert all(FACE.width(line) * 20 <= width for line in each)
        assert not any(line[0] in "。，、！」”ー…っ" for line in each[1:])
        assert not any(line[-1] in "「“" for line in each[:-1])
    assert len(lines(text, 100)) > 2


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u2007"])
def test_a_space_that_binds_ends_no_line(breaking, space):
    for width in range(150, 300, 7):
        each = lines(f"Elle dit{space}: «{space}Bonjour{space}» à 小{space}明 et 12{space}km", width)
        assert " ".join(each) == "Elle dit : « Bonjour » à 小 明 et 12 km"
        assert not any(line[0] in ":»明k" or line[-1] in "«小2" for line in each)
    assert break_text(f"12{space}km") == [("12 km", True)]


def test_accents_and_joined_emoji_keep_together(breaking):
    for text in ("e\u0301" * 30, "\U0001f469\u200d\U0001f680" * 9):
        assert not any(line[0] in "\u0301\u200d" for line in lines(text, 60))


def test_without_the_library_one_line_of_the_log_says_so(monkeypatch, caplog):
    line_breaking._library.cache_clear()
    monkeypatch.setitem(sys.modules, "uniseg.linebreak", None)
    with caplog.at_level(logging.INFO):
        break_text("你好。再见。")
        break_text("你好。再见。")
    line_breaking._library.cache_clear()
    assert caplog.text.count("uniseg") == 1


def test_fitted_text_is_as_large_as_the_room_allows():
    text = "What does it say? I cannot read it in this light."
    for width, height in ((400, 200), (160, 120), (90, 90)):
        block = fit_text(text, FACE, 40, lambda _, room=(width, height): room, aspect=2)
        assert block.width <= width and block.height <= height
        assert " ".join(block.lines) == text, "no word is cut"
    assert fit_text(text, FACE, 40, lambda _: (1000, 1000)).size == 40
    small, large = (fit_text(text, FACE, 40, lambda _, side=side: (side, side)).size for side in (100, 200))
    assert SMALLEST <= small < large < 40
    assert fit_text(text * 20, FACE, 40, lambda _: (60, 60)) is None


def test_drawn_letters_lie_within_the_block():
    block = fit_text("Agjpqy ÄÖ", FACE, 40, lambda _: (300, 100))
    mask = np.asarray(draw_block(block, FACE))
    ys, xs = np.nonzero(mask > 100)
    edge = (mask.shape[1] - block.width) // 2
    assert len(xs) > 300 and xs.min() >= edge - 3 and xs.max() < edge + block.width + 3
    thick = np.asarray(draw_block(block, FACE, stroke=3))
    assert (thick > 100).sum() > 1.5 * (mask > 100).sum(), "a stroke makes letters fatter"


def test_the_built_in_font_has_latin_and_what_it_lacks_is_named_once_each():
    assert FACE.missing('The "end" – 12% of it, isn\'t it? Žluťoučký kůň, ÄÖÜß, ñ, ø, ł…') == []
    assert FACE.missing("小 cats 小 明\u200d\n") == ["小", "明"]
    assert FACE.missing("\ud800") == ["\ud800"]


def test_another_font_steps_in_for_what_the_first_has_not(tmp_path, caplog):
    own = tmp_path / "own.ttf"
    own.write_bytes(ImageFont.load_default(10).path.getvalue())  # Pillow's own font has no Polish letters
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"not a font")
    alone = Typeface(str(own))
    assert alone.missing("Łódź") == [], "the built-in font stands behind every other"
    both = Typeface(BUILT_IN, [str(broken), CJK_FONT])
    assert both.missing("小 cats 明") == [] and "broken.ttf" in caplog.text and "passed over" in caplog.text
    assert both.missing("\u0e01") == ["\u0e01"]
    drawn = draw_block(set_lines("明", both, 40, 200), both)
    assert drawn.tobytes() == draw_block(set_lines("明", CJK, 40, 200), CJK).tobytes()
    assert both.width("a明") == pytest.approx(FACE.width("a") + CJK.width("明"))


def test_a_font_that_is_no_font_is_an_error(tmp_path):
    broken = tmp_path / "broken.ttf"
    cut = tmp_path / "cut.ttf"
    cut.write_bytes(ImageFont.load_default(10).path.getvalue()[:2000])
    broken.write_bytes(b"not a font")
    for path in (broken, cut, tmp_path / "absent.ttf"):
        with pytest.raises(ValueError, match="cannot be read as a font.*whole .ttf"):
            Typeface(str(path))


def test_vertical_text_runs_down_in_columns_from_the_right():
    text = "あいうえおかきくけこ"
    block = fit_text(text, FACE, 20, lambda _: (200, 105), vertical=True)
    assert block.vertical and [len(line) for line in block.lines] == [5, 5] and block.height > 90 and block.width < 50
    # The first column alone is the right one.
    mask = draw_block(block, FACE)
    first = draw_block(type(block)((block.lines[0], ""), block.size, block.width, block.height, True), FACE)
    left, _, right, _ = first.getbbox()
    assert left > mask.width / 2 - 2 and mask.getbbox()[0] < left - 10 and right == mask.getbbox()[2]


def column(text: str) -> np.ndarray:
    """A column of vertical text, 40 pixels wide, a place 40 pixels high."""
    block = TextBlock((text,), 40, 40, 40 * len(text), vertical=True)
    edge = margin(block)
    return np.asarray(draw_block(block, CJK))[edge:-edge, edge:-edge]


def test_vertical_punctuation_stands_at_the_top_right_and_brackets_are_turned():
    def ink(mask):
        ys, xs = np.nonzero(mask > 100)
        return xs.mean(), ys.mean(), np.ptp(xs), np.ptp(ys)

    x, y, *_ = ink(column("。"))
    assert x > 22 and y < 18
    *_, wide, high = ink(column("ー"))
    assert high > 2 * wide, "a long vowel runs down"
    x, y, wide, high = ink(column("「"))
    assert x > 15 and y > 20, "an opening bracket opens downwards"
    *_, wide, high = ink(column("あ"))
    assert 25 < wide < 40 and 25 < high < 40
    ys = np.nonzero((column("日本") > 100).any(axis=1))[0]
    assert ys.min() < 8 and ys.max() > 70


def test_latin_in_vertical_text_lies_on_its_side_and_two_digits_stand_upright():
    assert fit_text("今日10時", CJK, 20, lambda _: (100, 400), vertical=True).height == pytest.approx(80, abs=1)
    ten, word = (np.ptp(np.nonzero(np.asarray(draw_block(fit_text(text, CJK, 40, lambda _: (100, 400), vertical=True), CJK)) > 100)[0])
                 for text in ("10", "Hello"))
    assert ten < 42 < word


def test_captions_of_a_font_without_latin_are_whole():
    block = set_lines("朝、雨", CJK, 40, 300)
    mask = np.asarray(draw_block(block, CJK))
    ys = np.nonzero((mask > 100).any(axis=1))[0]
    assert ys.min() > 2 and ys.max() < mask.shape[0] - 2 and 25 < block.height < 40


def test_only_scripts_that_are_written_so_count_as_vertical():
    assert is_written_vertically("急いで！") and is_written_vertically("快 go 跑吧")
    assert not is_written_vertically("Hurry!") and not is_written_vertically("!?") and not is_written_vertically("مرحبا")
