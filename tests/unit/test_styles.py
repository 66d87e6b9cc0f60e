"""Styles: a story's look is added around the user's words and never instead of them."""

import pytest

from fabula.story.style_files import read_styles
from fabula.story.styles import NO_STYLE, STYLES, Style, apply_style


def test_no_style_is_first_and_changes_nothing():
    assert next(iter(STYLES)) == NO_STYLE == "(No style)"
    assert apply_style(NO_STYLE, " a {cat} ", "bad ") == (" a {cat} ", "bad ")


def test_the_names_users_know_from_storydiffusion_are_there():
    assert set(STYLES) == {
        "(No style)", "Japanese Anime", "Digital/Oil Painting", "Pixar/Disney Character", "Photographic", "Comic book",
        "Line art", "Black and White Film Noir", "Isometric Rooms",
    }


@pytest.mark.parametrize("name", [name for name in STYLES if name != NO_STYLE])
def test_a_style_keeps_the_users_words_and_adds_its_own(name):
    prompt, negative = apply_style(name, "a {red|blue} cat", "too many tails")
    assert prompt.count("a {red|blue} cat") == 1 and len(prompt) > len("a {red|blue} cat")
    assert negative.endswith(", too many tails")
    assert apply_style(name, "a cat", "")[1] == STYLES[name].negative != ""


@pytest.mark.parametrize("name", list(STYLES))
def test_templates_are_sound(name):
    style = STYLES[name]
    assert style.template.count("{prompt}") == 1
    for text in (style.template, style.negative):
        assert text.count("(") == text.count(")")
    assert len(style.template.split()) <= 24  # room for the panel's own words within 75 tokens


def test_every_style_looks_different():
    assert len({apply_style(name, "a cat", "") for name in STYLES}) == len(STYLES)


def test_an_unknown_style_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match="Japenese Anime") as caught:
        apply_style("Japenese Anime", "a cat", "")
    assert all(name in str(caught.value) for name in STYLES)


@pytest.mark.parametrize(("name", "text"), [
    ("own.csv", 'name,prompt,negative_prompt\nInk,"ink of {prompt}, bold",photo\nSoft,"soft, pastel",\n'),
    ("own.json", '[{"name": "Ink", "prompt": "ink of {prompt}, bold", "negative_prompt": "photo"}, {"name": "Soft", "prompt": "soft, pastel"}]'),
])
def test_styles_of_ones_own_come_as_csv_or_json(tmp_path, name, text):
    (tmp_path / name).write_text("\ufeff" + text, encoding="utf-8")
    styles = read_styles(tmp_path / name)
    assert styles == {"Ink": Style("ink of {prompt}, bold", "photo"), "Soft": Style("{prompt}, soft, pastel", "")}
    assert apply_style("Soft", "a cat", "dogs", styles) == ("a cat, soft, pastel", "dogs")


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.json", "{", "a.json cannot be read as styles"), ("a.json", '{"name": "x"}', "no list of styles"), ("a.json", "[1]", "no list of styles"),
    ("a.json", '[{"name": 3}]', "style 1: name.*must be texts"), ("a.csv", "x,y\n1,2\n", "style 1 has no name.*name,prompt,negative_prompt"),
    ("a.csv", "name,prompt,negative_prompt\nInk,ink,\nSoft pastel\n", 'a.csv, style "Soft pastel": its line has no comma'),
    ("a.csv", "name\nInk\n", 'style "Ink": its line has no comma'),
    ("a.csv", "name,prompt,negative_prompt\nInk,ink, bold,photo\n", 'style "Ink": its line has more commas than its first line'),
    ("a.csv", "name,prompt\nTwo,{prompt} {prompt}\n", '"Two" has {prompt} more than once'),
])
def test_files_that_hold_no_styles_say_why(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_styles(tmp_path / name)


def test_a_line_of_a_csv_may_end_early_and_in_commas(tmp_path):
    (tmp_path / "a.csv").write_text("name,prompt,negative_prompt\nInk,\nSoft,pastel,,,\n")
    assert read_styles(tmp_path / "a.csv") == {"Ink": Style("{prompt}", ""), "Soft": Style("{prompt}, pastel", "")}


def test_a_file_of_other_bytes_is_no_style(tmp_path):
    (tmp_path / "a.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(ValueError, match="a.csv cannot be read"):
        read_styles(tmp_path / "a.csv")
