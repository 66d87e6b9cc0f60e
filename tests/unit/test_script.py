"""The story script: what a user types becomes the right panels, and every mistake comes back at once."""

import json
import re
import time
from pathlib import Path

import pytest

from fabula.story.model import Character, Speech, Story, StoryError
from fabula.story.options import PanelOptions, print_options
from fabula.story.printing import print_story
from fabula.story.script import parse_story
from fabula.story.speech import print_speech

LINES = Path(__file__).resolve().parents[1] / "data" / "script_lines.json"
CAST = "[Bob] a man with a grey beard, blue coat\n[Ann] a girl in a yellow dress"


def story(panels: str, characters: str = CAST) -> Story:
    return parse_story(characters, panels, "(No style)", "")


def panel(line: str, characters: str = CAST):
    (only,) = story(line, characters).panels
    return only


def mistakes(panels: str, characters: str = CAST):
    with pytest.raises(StoryError) as caught:
        story(panels, characters)
    return caught.value.mistakes


def test_a_tag_becomes_its_description_and_the_caption_follows_the_hash():
    one = panel("[Bob] feeds the ducks # Every morning.")
    assert one.prompt == "a man with a grey beard, blue coat feeds the ducks"
    assert (one.caption, one.characters, one.number, one.line) == ("Every morning.", ("Bob",), 1, 1)


def test_mentions_point_at_the_descriptions():
    one = panel("In the park [Bob] meets[Ann],and [Bob]'s dog barks")
    descriptions = {"Bob": "a man with a grey beard, blue coat", "Ann": "a girl in a yellow dress"}
    assert [mention.tag for mention in one.mentions] == ["Bob", "Ann", "Bob"]
    for mention in one.mentions:
        assert one.prompt[mention.start:mention.end] == descriptions[mention.tag]
    assert one.characters == ("Bob", "Ann")
    assert one.prompt == (
        "In the park a man with a grey beard, blue coat meets a girl in a yellow dress,"
        "and a man with a grey beard, blue coat's dog barks"
    )


def test_only_the_last_hash_parts_the_caption():
    one = panel("[Bob] at house #7 # He rings.")
    assert one.prompt.endswith("at house #7")
    assert one.caption == "He rings."


def test_a_hash_inside_a_tag_belongs_to_the_name():
    one = panel("[Guard #2] yawns", "[Guard #2] a tall guard")
    assert (one.prompt, one.caption) == ("a tall guard yawns", "Guard #2 yawns")


def test_without_a_hash_the_line_without_brackets_is_the_caption():
    assert panel("[Bob] greets [Ann]").caption == "Bob greets Ann"
    assert panel("[NC] an empty bench").caption == "an empty bench"
    assert panel("[小明]在公园", "[小明] a boy").caption == "小明在公园"


def test_a_bare_hash_asks_for_no_caption_and_tags_in_captions_lose_their_brackets():
    assert panel("[Bob] sleeps #").caption == ""
    assert panel("[Bob] sleeps # [Bob] dreams [softly]").caption == "Bob dreams [softly]"


def test_nc_is_a_panel_alone_and_is_not_drawn():
    one = panel("[NC] rain on a bench # Nobody came.")
    assert (one.prompt, one.characters, one.alone) == ("rain on a bench", (), True)
    assert not panel("rain on a bench").alone


@pytest.mark.parametrize("tag", ["小明", "さくら", "سارة", "Zoë", "Old Man"])
def test_tags_of_any_script(tag):
    one = panel(f"[ {tag} ] waves", f"[{tag}] a friend")
    assert (one.prompt, one.characters) == ("a friend waves", (tag,))


def test_tags_in_the_brackets_of_chinese_and_japanese_input_are_tags():
    cast = "【Mia】 a girl, 【red】 coat\n［Bob］a man"
    one = panel("【Mia】 jumps over ［ bob ］", cast)
    assert (one.prompt, one.caption, one.characters) == ("a girl, 【red】 coat jumps over a man", "Mia jumps over bob", ("Mia", "Bob"))
    assert print_story(story("【NC】 rain # 【Mia】 waits", cast)) == ("[Mia] a girl, 【red】 coat\n[Bob] a man", "[NC] rain # 【Mia】 waits")
    assert print_story(story("【Mia】 jumps # ［mia］：“Hi”", cast))[1] == '[Mia] jumps #  [Mia]: "Hi"'


@pytest.mark.parametrize(("line", "message"), [
    ("【Eve】 jumps", "no character is called [Eve]"), ("［Mia jumps", "has no partner"), ("[Mia］ jumps", "has no partner"),
    ("【】 jumps", "brackets are empty"), ("【NC】 [Mia] jumps", "stands beside"), ("[Mia] jumps # 【Eve】：“Hi”", "no character is called [Eve]"),
    ("## 【Mia】 at home\n[Mia] jumps", "a scene has no tags"),
])
def test_mistakes_in_such_tags(line, message):
    (mistake,) = mistakes(line, "【Mia】 a girl")
    assert message in mistake.message


def test_one_name_spelt_in_two_unicode_forms_is_one_name():
    assert panel("[Zoe\u0308] waves", "[Zo\u00eb] a friend").characters == ("Zo\u00eb",)


def test_case_is_a_second_choice():
    two = "[bob] a dog\n[Bob] a man"
    assert panel("[Bob] runs", two).prompt == "a man runs"
    assert panel("[bob] runs", two).prompt == "a dog runs"
    assert panel("[BOB] runs").characters == ("Bob",)
    (mistake,) = mistakes("[BOB] runs", two)
    assert "[bob] or [Bob]" in mistake.remedy


@pytest.mark.parametrize(("line", "name"), [
    ("Mia sits # Mia sits.", "Mia"), ("Rain on Mia's roof", "Mia"), ("a hat of Old Tom seed=7", "Old Tom"), ("the girl sits", "the girl"),
    ("小明在公园", "小明"), ('A house, Mia # A house. Bob: "Hi"', "Mia"),
])
def test_a_name_without_brackets_in_a_panel_of_nobody_is_a_mistake(line, name):
    cast = '[Mia] a girl alias="Mimi, the girl"\n[Old Tom] a man\n[Tom] a boy\n[小明] a boy\n[Bob] a man'
    (mistake,) = mistakes(line, cast)
    assert (mistake.line, mistake.message) == (1, f'"{name}" is a character\'s name without brackets')
    assert mistake.remedy == f"Write [{name}], or [NC] at the start if nobody of the cast is in the picture."
    assert panel(f"[NC] {line}", cast).alone


@pytest.mark.parametrize("line", [
    "[Bob] waves at Ann", "rain on a bench # Ann waits.", "Annie waits", "ANN waits", "a house # Ann: \"Hi\"", 'a house negative="Ann, crowd"',
    "a house\n## Ann's garden\na tree",
])
def test_a_name_elsewhere_is_none(line):
    assert story(line).panels


def test_comments_and_blank_lines_are_skipped_and_lines_keep_their_numbers():
    whole = story("\r\n// the park\r\n[Bob] walks\r\n\r\n  // rain\n[Ann] runs\n", f"// cast\n\n{CAST}")
    assert [(one.number, one.line) for one in whole.panels] == [(1, 3), (2, 6)]
    assert whole.characters[0] == Character("Bob", "a man with a grey beard, blue coat")


def test_a_note_after_a_description_stays_out_of_it():
    assert panel("[Bob] runs", "[Bob] a man # the hero").prompt == "a man runs"


def test_captions_come_in_order():
    whole = story("[Bob] walks # One\n[NC] rain # Two")
    assert whole.captions == ["One", "Two"]


def test_style_and_negative_are_kept():
    whole = parse_story(CAST, "[Bob] walks", "Line art", " blurry\n")
    assert (whole.style, whole.negative) == ("Line art", "blurry")


@pytest.mark.parametrize("panels", ["", "  \n\t\n", "// only a comment"])
def test_an_empty_story_is_a_mistake(panels):
    (mistake,) = mistakes(panels)
    assert (mistake.input_name, mistake.line) == ("panels", 0)
    assert "no panels" in mistake.message


def test_the_example_for_an_empty_story_can_be_taken_as_it_is():
    with pytest.raises(ValueError, match=r"for example: \[Ann\] feeds"):
        parse_story("[Ann] a girl", "", "(No style)", "")


@pytest.mark.parametrize("line", ["[Bob]", "[Bob] [Ann]", "[NC]", "# only a caption", "[Bob], # Hello", "..."])
def test_a_panel_without_text_is_a_mistake(line):
    (mistake,) = mistakes(line)
    assert "no text" in mistake.message and "Describe what happens" in mistake.remedy


def test_an_unknown_tag_is_named_with_the_known_ones_and_the_closest():
    (mistake,) = mistakes("[Bob] walks\n[Amn] and [Amn] run")
    assert (mistake.input_name, mistake.line, mistake.text) == ("panels", 2, "[Amn] and [Amn] run")
    assert "[Amn]" in mistake.message
    assert "Did you mean [Ann]?" in mistake.remedy and "[Bob], [Ann]" in mistake.remedy


def test_an_unknown_tag_where_nobody_is_defined():
    (mistake,) = mistakes("[Bob] walks", "")
    assert "No characters are defined" in mistake.remedy


@pytest.mark.parametrize(
    ("characters", "message"),
    [
        ("[Bob] a man\n[Bob] a boy", "already defined on line 1"),
        ("[Bob] a man\nAnn: a girl", "begins with its name in square brackets"),
        ("[Bob]  ", "has no description"),
        ("[Bob] # a note only", "has no description"),
        ("[Bob] a man\n[ ] a girl", "brackets are empty"),
        ("[Bob] a man\n[nc] nobody", "means that a panel has no character"),
        ("[Bob] a man\n[Ann] [Eve] twins", "one character only"),
        ("[Bob] a man\n【Ann】［Eve］ twins", "one character only"),
    ],
)
def test_mistakes_in_characters(characters, message):
    (mistake,) = mistakes("[Bob] walks", characters)  # only one: a poor description does not make the tag unknown
    assert mistake.input_name == "characters"
    assert mistake.line == len(characters.split("\n"))
    assert message in mistake.message and mistake.remedy


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[] walks", "brackets are empty"),
        ("[NC] [Bob] walks", "stands beside"),
        ("[Bob walks", "no partner"),
        ("Bob] walks", "no partner"),
    ],
)
def test_mistakes_in_panels(line, message):
    (mistake,) = mistakes(line)
    assert message in mistake.message and mistake.remedy


def test_all_mistakes_of_both_texts_come_at_once_one_a_line():
    with pytest.raises(StoryError) as caught:
        story("[Bob] walks\n[Bbo] runs\n[Bob]", "[Bob] a man\nAnn")
    lines = str(caught.value).splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        ["characters", " line 2"], ["panels", " line 2"], ["panels", " line 3"]
    ]
    assert '"[Bbo] runs"' in lines[1] and "Did you mean [Bob]?" in lines[1]


def test_a_very_long_error_stays_readable():
    with pytest.raises(StoryError) as caught:
        story("\n".join(["[Eve] " + "walks " * 500] * 1000))
    assert len(caught.value.mistakes) == 1000
    assert len(str(caught.value)) < 60_000


def test_long_scripts_parse_quickly():
    start = time.perf_counter()
    story("\n".join(["[Bob] walks with [Ann] # They walk."] * 10_000))
    mistakes("[" * 500_000 + "x" * 500_000)
    assert time.perf_counter() - start < 10  # about one second on one core; far more where a step is quadratic


def test_control_characters_become_spaces():
    assert panel("\ufeff[Bob]\twalks\x00fast\u2028now").prompt.endswith("coat walks fast now")


def test_a_seed_is_the_panels_own_and_no_part_of_the_prompt_or_the_caption():
    story = parse_story("[Bob] a man", "[Bob] runs seed=7 fast # Look!\n[Bob] sits seed=0\n[Bob] knows that x = 3 # x=3", "", "")
    assert [panel.options.seed for panel in story.panels] == [7, 0, None]
    assert [panel.prompt for panel in story.panels] == ["a man runs fast", "a man sits", "a man knows that x = 3"]
    assert story.captions == ["Look!", "Bob sits", "x=3"]


@pytest.mark.parametrize("text", ["seed=", "seed=x", "seed=-1", "seed=1.5", f"seed={2**64}", "seed=1 seed=2"])
def test_a_seed_that_is_no_number_is_a_mistake(text):
    with pytest.raises(StoryError, match="line 1.*seed.*seed=7"):
        parse_story("[Bob] a man", f"[Bob] runs {text}", "", "")


def test_a_panel_may_have_a_style_a_negative_and_a_second_prompt_of_its_own():
    one = panel('[Bob] sits style="line art" negative="crowd, #1 fans" prompt_2=\u201csoft light\u201d seed=3 # He waits.')
    assert one.options == PanelOptions(seed=3, style="Line art", negative="crowd, #1 fans", prompt_2="soft light")
    assert one.prompt.endswith("coat sits") and one.caption == "He waits."


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("[Bob] sits style=Cubism", 'no style called "Cubism"', '"Line art"'),
        ("[Bob] sits style=line art", 'no style called "line"', 'stands in quotes: style="Line art"'),
        ("[Bob] sits styel=Cubism", "there is no styel=", 'style="Line art"'),
        ("[Bob] sits seeds=3", "there is no seeds=", "seed=7"),
        ('[Bob] sits Style="Line art"', "there is no Style=", 'style="Line art"'),
        ('[Bob] sits neg="rain"', "there is no neg=", 'negative="crowd, rain"'),
        ("[Bob] knows that x=3 # He knows.", "there is no x=", "seed=, style=, negative=, prompt_2=, crop=. In a text put spaces around the =."),
        ("[Bob] sits seed = 7", "seed= has spaces around its =", "seed=7"),
        ("[Bob] sits seed= 7 # Day.", "seed= has spaces around its =", "seed=7"),
        ('[Bob] sits negative ="rain"', "negative= has spaces around its =", 'negative="crowd, rain"'),
        ("[Bob] sits seeds = 7", "there is no seeds=", "seed=7"),
        ('[Bob] sits alias="Rob"', "alias= stands in the wrong field", "in the field characters"),
        ("[Bob] sits seed=7, tired", "seed=7 has a comma behind it", "Delete the comma."),
        ("[Bob] sits crop=3:2， tired", "crop=3:2 has a comma behind it", "Delete the comma."),
        ('[Bob] sits style="Line art", seed=7', 'style="Line art" has a comma behind it', "Delete the comma."),
        ("[Bob] sits negative=crowd, rain", "negative=crowd has a comma behind it", 'or write all of it in quotes: negative="crowd, rain"'),
        ('[Bob] sits negative=""', "negative= has no value", 'negative="crowd, rain"'),
        ("[Bob] sits # He waits. seed=3", "seed= stands in the caption", "ahead of the #"),
        ("[Bob] sits style=Photographic style=Photographic", "more than one style=", "once"),
        ("## [Bob] at home", "a scene has no tags", "## a harbour at dusk"),
    ],
)
def test_mistakes_in_options_and_scenes(line, message, remedy):
    found = mistakes(line if line.startswith("[") else f"{line}\n[Bob] sits")
    assert len(found) == 1 and message in found[0].message and remedy in found[0].remedy


@pytest.mark.parametrize(("line", "message", "remedy"), [
    ('[Mia] a girl aliases="Mimi"', "there is no aliases=", 'alias="Mimi, the girl"'),
    ('[Mia] a girl alias = "Mimi"', "alias= has spaces around its =", 'alias="Mimi, the girl"'),
    ("[Mia] a girl seed=7", "seed= stands in the wrong field", "in the field panels"),
    ("[Mia] a girl x=3", "there is no x=", "There is alias=."),
])
def test_mistakes_in_the_options_of_a_character(line, message, remedy):
    (mistake,) = mistakes("[Mia] runs", line)
    assert mistake.input_name == "characters" and message in mistake.message and remedy in mistake.remedy


def test_what_is_not_like_an_option_is_text():
    assert panel("[Bob] at E = 3, seed: 7, (x=3) # A seed = 7, Style ='x', x=3.").caption == "A seed = 7, Style ='x', x=3."


def test_a_scene_is_added_to_the_panels_under_it_until_the_next():
    whole = story("[Bob] wakes\n## a harbour at dusk\n[Bob] walks # On.\n[NC] a bench\n## snow\n[Ann] runs\n##\n[Ann] sleeps")
    assert [one.scene for one in whole.panels] == ["", "a harbour at dusk", "a harbour at dusk", "snow", ""]
    assert [one.prompt.rpartition(", ")[2] for one in whole.panels[1:4]] == ["a harbour at dusk", "a harbour at dusk", "snow"]
    assert whole.panels[2].prompt == "a bench, a harbour at dusk" and whole.panels[2].caption == "a bench"
    assert [(one.number, one.line) for one in whole.panels] == [(1, 1), (2, 3), (3, 4), (4, 6), (5, 8)]


@pytest.mark.parametrize("panels", [
    "[Bob] feeds the ducks # Every morning.",
    "[Bob] greets [Ann]\n[NC] rain\n[Bob] sleeps #",
    "## a harbour, at dusk\n[Bob] at house #7, meets[Ann] # He [softly] rings.\n##\n[Ann] and [Guard #2] run\n## snow #2\n[Guard #2] sits # [Guard #2]!",
    '[Bob] sits seed=0 style="Line art" negative="a “b”" prompt_2=“he says "no"”',
    "[小明]在公园 # 小明走",
])
def test_a_story_that_is_printed_and_read_again_is_the_same(panels):
    cast = CAST + "\n[Guard #2] a guard of house #9 #\n[小明] a boy"
    first = story(panels, cast)
    again = story(*reversed(print_story(first)))
    assert again == first and again.panels[0].line
    assert print_story(again) == print_story(first)


def test_scripts_made_to_be_slow_are_not():
    start = time.perf_counter()
    for line in ("[#] " * 100_000, "seed=“ " * 100_000, 'seed="' * 100_000, "# " * 200_000, "x=" * 200_000):
        mistakes(line + "\n[Eve] is unknown")
    assert time.perf_counter() - start < 10


def test_speech_is_taken_out_of_the_line_with_who_says_it():
    one = panel('[Bob] waves # A cold day. Bob: "Look, a #1 duck!" He points. [Ann]: “Where?”')
    assert one.caption == "A cold day. He points."
    assert [(each.speaker, each.text) for each in one.speech] == [("Bob", "Look, a #1 duck!"), ("Ann", "Where?")]
    assert one.characters == ("Bob",), "who speaks need not be in the picture"
    assert panel('[Bob] waves Bob: "seed=7"').caption == "Bob waves"


@pytest.mark.parametrize(
    ("line", "cast", "caption", "speech"),
    [
        ("[小明]在跑 # 小明跑。小明：「快！」他走。", "[小明] a boy", "小明跑。他走。", ("小明", "快！")),
        ("[さくら] walks # さくら：『急いで』", "[さくら] a girl", "", ("さくら", "急いで")),
        ("[سارة] walks # سارة: «مرحبا»", "[سارة] a girl", "", ("سارة", "مرحبا")),
        ("[Old Tom] walks # Old Tom: „Halt“ he said", "[Old Tom] a man\n[Tom] a boy", "he said", ("Old Tom", "Halt")),
        ('[Mia] walks # Mimi: "Hi"', '[Mia] a girl alias="Mimi, the girl"', "", ("Mia", "Hi")),
    ],
)
def test_speech_in_any_script_and_quotes(line, cast, caption, speech):
    one = panel(line, cast)
    assert (one.caption, [(each.speaker, each.text) for each in one.speech]) == (caption, [speech])


# The same lines are coloured in tests/browser/test_script_grammar.py.
@pytest.mark.parametrize("case", json.loads(LINES.read_text(encoding="utf-8")), ids=lambda case: case["line"])
def test_what_of_a_line_is_option_speech_and_caption(case):
    one = panel(case["line"], '[Mia] a girl alias="Mimi"\n[Old Tom] a man\n[Guard #2] a guard\n[小明] a boy')
    assert sorted(print_options(one.options)) == sorted(case["options"])
    assert ([each.text for each in one.speech], one.caption) == (case["speech"], case["caption"])


def test_speech_is_printed_in_quotes_in_which_it_can_be_read():
    said = ['a "b"', 'a "b" “c”', 'a" “ 「 『 «', "a\" “ 「 『 « ’", "a\" “ 「 『 « ’ »", "it's “so”"]
    for text in said:
        one = panel(f"[Bob] waves # {print_speech(Speech('Bob', text))} Yes.")
        assert [each.text for each in one.speech] == [text] and one.caption == "Yes."


def test_a_name_in_a_case_that_fits_two_characters_is_a_mistake():
    (mistake,) = mistakes('[Bob] runs # BOB: "Hi"', "[bob] a dog\n[Bob] a man")
    assert "[bob] or [Bob]" in mistake.remedy


def test_a_quotation_of_nobody_known_stays_in_the_caption():
    assert panel('[Bob] reads # The sign said: "Closed"').caption == 'The sign said: "Closed"'
    assert panel('[Bob] reads # He knew Bobby: "Closed"').speech == ()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('[Bob] waves # [Bop]: "Hi"', r"no character is called \[Bop\].*Did you mean \[Bob\]"),
        ('[Bob] waves # [NC]: "Hi"', "says nothing.*caption"),
        ('[Bob] waves # Bob: " "', "Bob says nothing"),
        ('[Bob] waves # Bob: Bob: "a" "b"', "within speech"),
        ("[Bob] waves crop=3", "crop=3.*crop=16:9"),
        ("[Bob] waves crop=0:4", "no shape"),
        ("[Bob] waves crop=90:1", "at most 8"),
        ("[Bob] waves # Tall crop=2:3", "in the caption"),
    ],
)
def test_mistakes_in_speech_and_crop(line, words):
    (mistake,) = mistakes(line)
    assert re.search(words, str(mistake)), mistake
    assert mistake.line == 1


@pytest.mark.parametrize(("said", "name"), [
    ('Mai: "Hi"', "Mia"), ("Miaa: “Hi”", "Mia"), ('So old Tmo (sadly): "Hi"', "Old Tom"), ("He left. ELISABET：'Hi'", "Elisabeth"),
    ('Mia: "Hi" Tom: "A" mai: "B"', "Mia"),
])
def test_a_misspelt_speaker_is_a_mistake(said, name):
    (mistake,) = mistakes(f"[Mia] waves # {said}", "[Mia] a girl\n[Old Tom] a man\n[Elisabeth] a woman alias=\"Al, the boy\"")
    assert 'nobody is called "' in mistake.message and f'Did you mean {name}: "..."?' in mistake.remedy


@pytest.mark.parametrize("said", [
    'Narrator: "Hi"', 'Bobby: "Hi"', 'Main street: "Hi"', 'The box: "Fragile"', 'All: "Hurray!"', "Mai: Hi", 'Mai said "Hi"', 'Mai: "Hi', 'BOB: "',
])
def test_who_is_far_from_all_names_is_in_the_caption(said):
    one = panel(f"[Mia] waves # {said}", '[Mia] a girl\n[Bob] a man\n[Elisabeth] a woman alias="Al, the boy"\n[Rob] a man')
    assert (one.speech, one.caption) == ((), said)


def test_what_nobody_says_in_an_option_is_no_mistake():
    assert panel("[Ann] waves prompt_2=“Anm: 'x'”").speech == ()


def test_crop_is_the_shape_of_the_picture_on_the_page():
    assert panel("[Bob] waves crop=16:9 # Wide.").options.crop == (16, 9)
    assert panel("[Bob] waves crop=16x9").options.crop == panel("[Bob] waves crop=16×9").options.crop == (16, 9)
    assert panel("[Bob] waves").options.crop is None


def test_an_alias_is_another_name():
    told = story("[Mimi] waves\n[the girl] runs", '[Mia] a girl, red coat alias="Mimi, the girl" # a note')
    assert told.characters == (Character("Mia", "a girl, red coat", ("Mimi", "the girl")),)
    assert [each.characters for each in told.panels] == [("Mia",), ("Mia",)]
    (mistake,) = mistakes("[Ann] waves", '[Mia] a girl alias="Ann"\n[Ann] a woman')
    assert "[Mia]" in mistake.message and "[Ann]" in mistake.message and mistake.line == 1
