"""Whatever text comes in: parser and lettering end with a result or with an error that says what to do."""

import time

import pytest
from PIL import Image

from fabula.comic.page import draw_pages
from fabula.comic.panel import Balloon, ComicPanel, Lettering, PageStyle
from fabula.comic.typeface import Typeface
from fabula.story.model import StoryError
from fabula.story.printing import print_story
from fabula.story.script import parse_story

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

FACE = Typeface()
# What the grammar has a meaning for, beside any text at all.
TOKENS = st.sampled_from([
    "[", "]", "[Mia]", "[Bob]", "【Mia】", "［Bob］", "【", "］", "[NC]", "[]", "#", "##", "//", '"', "“", "”", "「", "」", ":", "：", "Mia:", "Mai:", "(hm)", 'Mia: "Hi"', "Bob：「よ」", "Mimi", "seed=7",
    "seed=", "seed = 7", "neg=", "crop=3:2", "crop=", 'style="Line art"', 'negative="', "prompt_2=x", "alias=", 'alias="Mimi, Mi"', " ", "\n", "\r\n", "\t", "waves",
    "مرحبا", "小明", "👩\u200d🚀", "e\u0301", "\u202e", "\x00", "\x85", "\u2028", "\ud800", "\ufeff", ", a red coat", "BREAK", "(a:1.2)",
])
SCRIPTS = st.lists(st.one_of(TOKENS, st.text(max_size=6)), max_size=25).map("".join)
CAST = '[Mia] a girl alias="Mimi"\n[Bob] a man, blue coat'


@settings(max_examples=400, deadline=None, derandomize=True)
@given(SCRIPTS, SCRIPTS)
def test_any_script_is_a_story_or_a_list_of_mistakes(characters, panels):
    for cast in (characters, CAST):
        try:
            story = parse_story(cast, panels, "(No style)", characters)
        except StoryError as error:
            assert error.mistakes and all(mistake.message and mistake.remedy for mistake in error.mistakes)
            continue
        assert story.panels and all(panel.prompt for panel in story.panels)
        again = parse_story(*print_story(story), story.style, story.negative)
        assert again == story


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=120), st.lists(st.text(max_size=60), max_size=3), st.sampled_from(["grid", "classic", "manga", "webtoon", "storyboard"]), st.booleans())
def test_any_text_is_lettered_or_refused(caption, said, layout, vertical):
    balloons = tuple(Balloon(text) for text in said)
    try:
        pages = draw_pages([ComicPanel(Image.new("RGB", (48, 48)), caption, balloons, caption)], PageStyle(layout, 300, Lettering(FACE, 20, vertical)))
    except ValueError as error:
        assert any(word in str(error) for word in ("font:", "panel 1:", "page_width"))
    else:
        assert pages and all(page.width == 300 for page in pages)


@pytest.mark.parametrize("line", ["word " * 200_000, "x" * 1_000_000, "[Mia] " * 170_000, 'Mia: "' * 170_000, "「" * 1_000_000, "小明：「" * 250_000, "\u202e" * 1_000_000,
                                  "e\u0301" * 500_000, ": " * 500_000, "#" * 1_000_000])
def test_a_megabyte_on_one_line_ends(line):
    start = time.perf_counter()
    try:
        parse_story(CAST, line, "(No style)", "")
    except StoryError as error:
        assert len(str(error)) < 100_000
    with pytest.raises(ValueError, match="too long|font"):
        draw_pages([ComicPanel(Image.new("RGB", (48, 48)), line)], PageStyle("grid", 300, Lettering(FACE, 20)))
    assert time.perf_counter() - start < 30  # a second or two; quadratic would be hours


def test_ten_thousand_lines_end():
    story = parse_story(CAST, '[Mia] waves crop=3:2 # She waves. Mia: "Hi"\n' * 10_000, "(No style)", "")
    assert len(story.panels) == 10_000
    with pytest.raises(StoryError) as caught:
        parse_story(CAST, "[Nobody] waves\n" * 10_000, "(No style)", "")
    assert len(caught.value.mistakes) == 10_000
