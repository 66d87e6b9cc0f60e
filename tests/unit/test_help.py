"""The help pages' examples: what a user copies from them works."""

import re
from pathlib import Path

import pytest

from fabula.story.moments import estimate_tokens
from fabula.story.prose import split_story
from fabula.story.script import parse_story
from pack import node_ids

DOCS = Path(__file__).resolve().parents[2] / "web" / "docs"
CAST = "[Mia] a girl with ginger hair, red coat\n[Bob] a man with a grey beard, blue coat"


def examples(node: str) -> list[tuple[str, str]]:
    """(field, text) of each example in a node's help page."""
    return re.findall(r"```(characters|panels|text)\n(.*?)```", (DOCS / f"{node}.md").read_text(encoding="utf-8"), re.DOTALL)


EXAMPLES = examples("Fabula_Story")


@pytest.mark.parametrize(("field", "text"), EXAMPLES)
def test_every_example_of_the_script_is_right(field, text):
    story = parse_story(text, "[NC] a house", "(No style)", "") if field == "characters" else parse_story(CAST, text, "(No style)", "")
    assert story.characters and story.panels


def test_every_quote_of_the_help_is_read():
    text = (DOCS / "Fabula_Story.md").read_text(encoding="utf-8")
    quotes = re.findall("`(.)…(.)`", text)
    assert len(quotes) == 11
    for first, last in quotes:
        (panel,) = parse_story(CAST, f"[Mia] waves # Mia (laughing): {first}Look!{last}", "(No style)", "").panels
        assert [speech.text for speech in panel.speech] == ["Look!"], first


def test_every_shape_of_the_help_is_read():
    for crop in re.findall("`(crop=.*?)`", (DOCS / "Fabula_Story.md").read_text(encoding="utf-8")):
        (panel,) = parse_story(CAST, f"[Mia] waves {crop}", "(No style)", "").panels
        assert panel.options.crop == (16, 9)


def test_every_feature_of_the_script_has_an_example():
    stories = [parse_story(CAST, text, "(No style)", "") for field, text in EXAMPLES if field == "panels"]
    panels = [panel for story in stories for panel in story.panels]
    options = [panel.options for panel in panels]
    assert any(panel.alone for panel in panels) and any(panel.speech for panel in panels) and any(panel.scene for panel in panels)
    assert any(panel.caption == "" for panel in panels) and any(len(panel.characters) > 1 for panel in panels)
    for name in vars(options[0]):
        assert any(getattr(each, name) for each in options), name
    casts = [parse_story(text, "[NC] a house", "(No style)", "").characters for field, text in EXAMPLES if field == "characters"]
    assert any(character.aliases for cast in casts for character in cast)
    assert any(not character.tag.isascii() for cast in casts for character in cast)


def test_the_errors_in_the_help_are_those_that_come():
    text = (DOCS / "Fabula_Story.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        parse_story("[Mia] a girl", "[Mia] waves\n[Miah] waves\n[Mia] runs seed=x", "(No style)", "")
    for line in str(caught.value).splitlines():
        assert line in text


def test_the_split_story_in_the_help_is_what_comes():
    (_, characters), (_, text), (_, panels) = examples("Fabula_SplitStory")
    assert split_story(text, 3, characters, estimate_tokens) == panels.strip()


def test_the_director_s_example_is_a_story():
    (_, characters), (_, panels) = examples("Fabula_StoryDirector")
    assert len(parse_story(characters, panels, "(No style)", "").panels) == 3


def test_every_node_has_a_page_and_every_page_a_node():
    assert {page.stem for page in DOCS.glob("*.md")} == node_ids()


@pytest.mark.parametrize("node", ["Fabula_EncodeIdentity", "Fabula_ConsistentAttention"])
def test_the_stories_of_other_pages_are_right(node):
    (_, characters), (_, panels) = examples(node)
    assert parse_story(characters, panels, "(No style)", "").panels
