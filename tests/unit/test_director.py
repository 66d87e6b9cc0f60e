"""The story director: a language model's answer becomes a script that parses, or every reason why it does not."""

import copy
import itertools
import json
import random
import re
import time

import pytest

from fabula.story.director import AnswerError, Script, ask, ask_again, is_finished, read_answer
from fabula.story.loose_json import find_object
from fabula.story.model import Character, Story
from fabula.story.script import parse_story
from fabula.story.text import clean

GOOD = {
    "characters": [{"name": "Mia", "look": "a girl with ginger hair, red coat"}, {"name": "Old Tom", "look": "an old man, grey beard"}],
    "panels": [
        {
            "characters": ["Mia"], "place": "a harbour at dusk", "picture": "Mia finds a map", "caption": "Mia found a map.",
            "speech": [{"who": "Mia", "text": "Look, {a} map!"}],
        },
        {
            "characters": ["Old Tom", "Mia"], "place": "a harbour at dusk", "picture": "Old Tom points at the sea",
            "caption": "It was old.", "speech": [{"who": "Old Tom", "text": "There."}, {"who": "Mia", "text": 'He said "there"?'}],
        },
        {"characters": [], "place": "the open sea", "picture": "a boat in the waves", "caption": "", "speech": []},
    ],
}
CHARACTERS = "[Mia] a girl with ginger hair, red coat\n[Old Tom] an old man, grey beard"
PANELS = """## a harbour at dusk
[Mia] finds a map # Mia found a map. [Mia]: "Look, {a} map!"
[Mia], [Old Tom] points at the sea # It was old. [Old Tom]: "There." [Mia]: "He said 'there'?"
## the open sea
[NC] a boat in the waves #"""
MIA = Character("Mia", "a girl, blue hat", ("Mimi",))


def read(answer: object, max_panels: int = 6, given=()) -> Script:
    return read_answer(answer if isinstance(answer, str) else json.dumps(answer), max_panels, given)


def story(script: Script) -> Story:
    return parse_story(script.characters, script.panels, "", "")


def mistakes(answer: object, max_panels: int = 6, given=()) -> tuple[str, ...]:
    with pytest.raises(AnswerError) as caught:
        read(answer, max_panels, given)
    assert all(mistake and mistake in str(caught.value) for mistake in caught.value.mistakes[:20])
    return caught.value.mistakes


def changed(**panel) -> dict:
    """The good answer with another first panel."""
    answer = copy.deepcopy(GOOD)
    answer["panels"][0].update(panel)
    return answer


def first_line(**panel) -> str:
    script = read(changed(place=None, **panel))
    story(script)
    return script.panels.split("\n")[0]


def test_a_good_answer_becomes_a_script_that_parses():
    script = read(GOOD)
    assert script == Script(CHARACTERS, PANELS, cut=False)
    told = story(script)
    assert [panel.scene for panel in told.panels] == ["a harbour at dusk", "a harbour at dusk", "the open sea"]
    assert told.panels[1].characters == ("Mia", "Old Tom") and told.panels[2].alone
    assert [(each.speaker, each.text) for each in told.panels[1].speech] == [("Old Tom", "There."), ("Mia", "He said 'there'?")]


@pytest.mark.parametrize("around", [
    "{}", "Sure! Here it is:\n```json\n{}\n```\nShall I go on?", '<think>Maybe {"panels": 3}?</think>\n{}', 'so {"panels": 1}</think>{}',
    "The set {Mia, Tom} it is.\n{}", "[{}]", '{"story": {}}', '\ufeff{} {"panels": "again"}', "```\n{}\n{",
])
def test_the_object_is_found_in_what_stands_around_it(around):
    assert read(around.replace("{}", json.dumps(GOOD, indent=2), 1)) == read(GOOD)


@pytest.mark.parametrize("damage", [
    lambda text: text.replace("}", ",}").replace("]", " , ]"),
    lambda text: re.sub(r'"((?:[^"\\]|\\.)*)"', "\u201c\\1\u201d", text),
    lambda text: text.replace("{", "{ // an object\n").replace("[", "[ /* a list, { */ "),
    lambda text: text.replace("'", "\u2019").replace('"', "'"),
    lambda text: text.replace('"name"', "name").replace('"panels"', "panels"),
    lambda text: text.replace('"text": "There."', '"text": "There."\n').replace('", "caption"', '"\n  "caption"'),
    lambda text: text.replace("finds a map", "finds\n a\tmap"),
    lambda text: text.replace('"speech": []', '"speech": null'),
    lambda text: text.replace('\\"', '"'),
    lambda text: text.replace(': "', "\uff1a \""),
    lambda text: text.replace('"}]}, {"char', '"}}, {"char'),
    lambda text: text[:-2] + "}",
])
def test_the_usual_damage_is_mended(damage):
    answer = json.dumps({"characters": GOOD["characters"], "panels": GOOD["panels"]}).replace("{a} map", "a map")
    damaged = damage(answer)
    assert damaged != answer
    with pytest.raises(ValueError):
        assert json.loads(damaged) != json.loads(answer), "the damage is none: strict JSON reads it"
        raise ValueError
    script = read(damaged)
    assert story(script) == story(read(answer)) and not script.cut


@pytest.mark.parametrize(("indent", "nothing"), [(None, "[]"), (2, "[]"), (None, "null")])
def test_an_answer_that_is_cut_anywhere_keeps_its_finished_panels(indent, nothing):
    answer, ends = f'{{"characters": {json.dumps(GOOD["characters"], indent=indent)}, "panels": [', []
    for panel in GOOD["panels"]:
        answer += "," * bool(ends) + json.dumps(panel, indent=indent).replace("[]", nothing)
        ends.append(len(answer))
    answer += "]}"
    for at in range(len(answer)):
        finished = sum(end <= at for end in ends)
        if finished:
            script = read(answer[:at])
            assert script.cut and script.characters == CHARACTERS
            assert story(script).panels == story(read(GOOD)).panels[:finished]
        else:
            assert len(mistakes(answer[:at])) == 1, "what is missing for want of room is one mistake"
        assert not is_finished(answer[:at])
    assert is_finished(answer) and is_finished(answer + " And then")


def test_thoughts_that_do_not_end_are_no_answer():
    assert "no JSON object" in mistakes("<think>" + json.dumps(GOOD))[0]
    assert not is_finished("<think>" + json.dumps(GOOD)) and is_finished("<think>{}</think>" + json.dumps(GOOD))


@pytest.mark.parametrize(("panel", "line"), [
    ({"picture": "In the rain MIA waits, Mia sings"}, "In the rain MIA waits, [Mia] sings # "),
    ({"picture": "In the rain MIA waits"}, "In the rain [Mia] waits # "),
    ({"picture": "Miami at night"}, "[Mia] Miami at night # "),
    ({"picture": "a dog", "characters": ["[mia]", "Mia", "old tom"]}, "[Mia] and [Old Tom] a dog # "),
    ({"picture": "Mia's dog greets Old Tom", "characters": []}, "[Mia]'s dog greets [Old Tom] # "),
    ({"picture": "mia's dog", "characters": []}, "[NC] mia's dog # "),
    ({"picture": "[Mia] at #7 [door] // // x=3"}, "[Mia] at no. 7 door // // x = 3 # "),
    ({"picture": "## [ Mia ] waves", "characters": []}, "[Mia] waves # "),
])
def test_the_tags_of_a_panel(panel, line):
    assert first_line(**panel).startswith(line + "Mia found a map.")


@pytest.mark.parametrize(("picture", "tagged"), [
    ("A rose blooms next to Rose", "[Will], A rose blooms next to [Rose]"), ("The man will help Will", "[Rose], The man will help [Will]"),
    ("ROSE waves, will is near", "[Rose] waves, [Will] is near"),
])
def test_a_word_is_no_name_where_the_name_itself_stands(picture, tagged):
    people = [{"name": "Rose", "look": "a girl"}, {"name": "Will", "look": "a man"}]
    answer = {"characters": people, "panels": [{"characters": ["Rose", "Will"], "picture": picture, "caption": ""}]}
    assert read(answer).panels == f"{tagged} #"


def test_names_in_a_script_without_spaces():
    panel = {"characters": ["小明"], "picture": "小明在公园", "caption": "小明在走。"}
    answer = {"characters": [{"name": "小明", "look": "一个男孩"}], "panels": [panel]}
    assert read(answer).panels == "[小明]在公园 # 小明在走。"


@pytest.mark.parametrize(("said", "caption"), [
    ('Mia: "Look!" # 3 seed=4', 'Mia, "Look!" no. 3 seed = 4'),
    ("[Old Tom]: “Where?” #", "Old Tom, “Where?”"),
    ("小：「快！」", "小, 「快！」"),
    ("// \x00\u2028", ""),
    ("\ud83d\ude00 \ud800", "😀 \ufffd"),
])
def test_a_caption_is_a_caption_whatever_stands_in_it(said, caption):
    (panel, *_) = story(read(changed(caption=said))).panels
    assert panel.caption == caption and len(panel.speech) == 1
    panel.caption.encode()


def test_a_script_parses_whatever_the_texts_hold():
    pieces = [
        "[", "]", "[Mia]", "[NC]", "#", "##", "//", "=", "seed=", "seed =", "style=x", 'alias="a"', ":", ": ", "：", '"', "“", "”", "「", "」", "«",
        "»", "„", "'", "\\", "Mia", "Old Tom", "mia", " ", "\n", "\t", "a", "7", ",", "小明", "\u0301", "\u0338", "\ufeff", "NC", "{", "}",
        "(", ")", "<", ">",
    ]
    draw = random.Random(5)

    def text() -> str:
        return "".join(draw.choices(pieces, k=draw.randint(0, 12)))

    given = (MIA, Character("Guard #2", "a guard # of house 9", ("the guard",)))
    read_well = 0
    for _ in range(400):
        names = ["Mia", "Guard #2", "Tom" + text().replace("\n", ""), "x" + text()]
        answer = {
            "characters": [{"name": name, "look": "x " + text()} for name in names],
            "panels": [
                {
                    "characters": draw.sample(names, 2), "place": text(), "picture": "x" + text(), "caption": text(),
                    "speech": [{"who": draw.choice(names), "text": text()} for _ in range(draw.randint(0, 3))],
                }
                for _ in range(3)
            ],
        }
        try:
            script = read(answer, given=given[:draw.randint(0, 1)])
        except AnswerError:
            continue  # two names alike
        told = story(script)
        assert len(told.panels) == 3
        for panel, asked in zip(told.panels, answer["panels"]):
            assert len(panel.characters) >= 2 and not panel.alone
            assert len(panel.speech) == sum(bool(clean(each["text"])) for each in asked["speech"])
        read_well += 1
    assert read_well > 250


def test_given_characters_stay_as_they_are_and_are_used():
    answer = changed(characters=["Mimi"], picture="Mimi waves")
    script = read(answer, given=(MIA,))
    assert script.characters == '[Mia] a girl, blue hat alias="Mimi"\n[Old Tom] an old man, grey beard'
    assert script.panels.split("\n")[1].startswith("[Mia] waves # ")
    assert story(script).characters[0] == MIA
    guard = Character("Guard #2", "a guard")
    (mistake,) = mistakes(GOOD, given=(guard,))
    assert '"Guard #2" is a given character' in mistake
    shown = read(changed(characters=["guard #2"], picture="Mia waves"), given=(guard,))
    assert shown.panels.split("\n")[1].startswith("[Guard #2], [Mia] waves # ")
    assert read(json.dumps(GOOD)[:-3], given=(guard,)).cut, "a panel that was cut off may have shown it"


@pytest.mark.parametrize(("answer", "words"), [
    ("", "no JSON object"),
    ("I cannot do that.", "no JSON object"),
    ("[1, 2]", "no JSON object"),
    ('{"story": "x"}', "no JSON object"),
    ('{"panels": ]', "no JSON: a value"),
    ("{panels 3}", "no JSON: a colon"),
    ('{"panels": [;]}', "no JSON: a value"),
    ('{;"panels": []}', "no JSON: a key"),
    ('{"panels": 1.2.3}', "no JSON: a number"),
    ('{"characters": [{"name": "Mia"', 'ends ahead of "panels"'),
    ({**GOOD, "panels": []}, '"panels" is empty'),
    ({**GOOD, "panels": None}, '"panels" is empty'),
    ({**GOOD, "panels": "Mia waves"}, '"panels" is not a list'),
    ({**GOOD, "panels": ["Mia waves"]}, '"panels" holds something that is no object'),
    ({**GOOD, "characters": {"Mia": "a girl"}}, '"characters" is not a list'),
    ({**GOOD, "characters": [*GOOD["characters"], "Bob"]}, '"characters" holds something'),
    ({**GOOD, "characters": [*GOOD["characters"], {"name": "", "look": "a dog"}]}, 'character 3: "name" is missing'),
    ({**GOOD, "characters": [*GOOD["characters"], {"name": "nc", "look": "a dog"}]}, 'character 3: "nc" is no name'),
    ({**GOOD, "characters": [*GOOD["characters"], {"name": "mia", "look": "a dog"}]}, "another character with the name"),
    ({**GOOD, "characters": [*GOOD["characters"], {"name": "Bob", "look": " , "}]}, 'character 3, "Bob": "look" is missing'),
    ({**GOOD, "characters": [*GOOD["characters"], {"name": "Bob", "look": 3}]}, 'character 3: "look" is not a text'),
    (changed(characters=["Bop"]), 'panel 1: in "characters" stands "Bop"'),
    (changed(characters=[{"name": "Mia"}]), 'panel 1: in "characters" stands something that is no name'),
    (changed(characters="Mia"), 'panel 1: "characters" is not a list'),
    (changed(picture=" "), 'panel 1: "picture" is missing'),
    (changed(picture="Mia!"), 'panel 1: "picture" is missing or says no more'),
    (changed(picture=["Mia"]), 'panel 1: "picture" is not a text'),
    (changed(caption=7), 'panel 1: "caption" is not a text'),
    (changed(place={}), 'panel 1: "place" is not a text'),
    (changed(speech=[{"who": "Bop", "text": "Hi"}]), 'panel 1: in "who" stands "Bop"'),
    (changed(speech=[{"text": "Hi"}]), 'panel 1: in "who" stands something'),
    (changed(speech=["Hi"]), 'panel 1: "speech" holds something'),
    (changed(speech={"who": "Mia", "text": "Hi"}), 'panel 1: "speech" is not a list'),
])
def test_what_is_wrong_is_told(answer, words):
    assert any(words in mistake for mistake in mistakes(answer)), mistakes(answer)


def test_all_mistakes_come_at_once_and_a_long_list_stays_short():
    answer = changed(picture="", caption=3, characters=["B" * 1000])
    answer["panels"][1]["speech"].append({"who": "Bob", "text": "Hi"})
    found = mistakes(answer, max_panels=2)
    assert len(found) == 5 and '"panels" has 3 panels, but at most 2' in found[4]
    assert all(len(mistake) < 120 for mistake in found)
    many = {"characters": [], "panels": [{"picture": ""}] * 1000}
    with pytest.raises(AnswerError, match="and 981 more mistakes") as caught:
        read(many)
    assert len(str(caught.value)) < 2000 and len(ask_again(caught.value)) < 2500


@pytest.mark.parametrize("answer", [
    "{" * 60_000, "[" * 60_000, '{"a":' * 15_000, '{"panels":' * 15_000, '{"a{' * 15_000, '{"panels": "' + "\\" * 60_001, "{'" * 15_000,
    '{"panels": [' * 10_000, '{"panels": ["' + '", "' * 15_000, '{"panels": [' + "[]," * 30_000, "{/*" * 30_000,
    '{"panels": 1' + "0" * 60_000, '{"' + " " * 60_000, '{"' + '" ' * 30_000, "<think>" * 15_000,
    '{"panels": [' + '{"picture": "x"}' * 3_000 + "]}",
])
def test_huge_and_hollow_answers_are_refused_in_good_time(answer):
    start = time.perf_counter()
    assert mistakes(answer)
    assert time.perf_counter() - start < 10  # at most about a second on one core


def test_any_answer_is_read_or_refused():
    draw, good = random.Random(7), json.dumps(GOOD)
    pieces = ['"', "{", "}", "[", "]", ",", ":", "\\", "'", "", "null", "\n", "\\ud800", "/*"]
    for _ in range(400):
        text = list(good)
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(len(text))
            text[at:at + draw.randint(0, 3)] = draw.choice(pieces)
        try:
            script = read("".join(text))
        except AnswerError as error:
            assert error.mistakes
        else:
            story(script)


def test_valid_json_is_read_as_json_reads_it():
    draw = random.Random(3)
    texts = ["", "a", 'say "hi", 3', '"', "\\", "it's", "“so”", "x\ny", "\u2028", "😀", "a: b", "}", "],", "//", "/* */", "null", "\x07"]

    def value(depth: int) -> object:
        kind = draw.randrange(6 if depth else 4)
        if kind < 3:
            return draw.choice(texts)
        if kind == 3:
            return draw.choice([True, False, None, 1.5, -3.0, 1e9])
        return {key: value(depth - 1) for key in draw.sample(texts, 3)} if kind == 4 else [value(depth - 1) for _ in range(3)]

    for indent, ascii_only in itertools.product((None, 1), (True, False)):
        for _ in range(50):
            whole = {"panels": value(4), **{text: value(3) for text in draw.sample(texts, 3)}}
            assert find_object(json.dumps(whole, indent=indent, ensure_ascii=ascii_only), "panels") == (whole, False)


def test_what_a_model_is_asked():
    asked = ask("A girl finds a map.", 4, (MIA,), "German")
    assert "at most 4 panels" in asked and asked.endswith("A girl finds a map.")
    assert "- Mia: a girl, blue hat\n" in asked and "are in German" in asked
    plain = ask("A girl finds a map.", 4)
    assert "given" not in plain and "the language of the text" in plain
    keys = {"panels", *GOOD, *GOOD["characters"][0], *GOOD["panels"][0], *GOOD["panels"][0]["speech"][0]}
    assert len(keys) == 10 and all(f'"{key}"' in plain for key in keys)
    assert '- "panels" is empty' in ask_again(AnswerError(['"panels" is empty']))
