"""web/script_grammar.js: what of a line gets which colour. It must not call a right script wrong."""

import json
from pathlib import Path

import pytest

from fabula.story.script import parse_story

LINES = Path(__file__).resolve().parents[1] / "data" / "script_lines.json"
NAMES = ["Mia", "Mimi", "Old Tom", "Guard #2", "小明", "سارة"]


@pytest.fixture(scope="session")
def grammar(frontend):
    """`grammar(expression, **values)`: the value of an expression in which `grammar` is the module."""

    def value(expression: str, **values):
        return frontend.run(f"const grammar = await import('/extensions/fabula/script_grammar.js'); return {expression}", **values)

    return value


def kinds(grammar, line, expression, **values):
    """(kind, text) of each span."""
    units = line.encode("utf-16-le")  # spans count UTF-16 units
    spans = grammar(expression, line=line, **values)
    return [(span["kind"], units[2 * span["start"] : 2 * span["end"]].decode("utf-16-le")) for span in spans]


def panel(grammar, line, names=NAMES):
    return kinds(grammar, line, "grammar.readPanel(line, new grammar.Cast(names))", names=names)


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        ("", []),
        ("  // a note", [("comment", "  // a note")]),
        ("## a harbour", [("scene", "## a harbour")]),
        ("[Mia] and [ mia ] meet [Maya]", [("name", "[Mia]"), ("name", "[ mia ]"), ("unknown", "[Maya]")]),
        ("[nc] rain", [("nobody", "[nc]")]),
        ("【Mia】 and ［Eve］ # 【Mia】", [("name", "【Mia】"), ("unknown", "［Eve］"), ("caption", "# 【Mia】")]),
        ("[Mia] at house #7 # He rings.", [("name", "[Mia]"), ("caption", "# He rings.")]),
        ("[Guard #2] yawns", [("name", "[Guard #2]")]),
        ("[Mia] sits # [Mia] [dreams]", [("name", "[Mia]"), ("caption", "# [Mia] [dreams]")]),
        (
            '[Mia] sits seed=7 negative="#1, crowd" x=3 # Day.',
            [("name", "[Mia]"), ("option", "seed=7"), ("option", 'negative="#1, crowd"'), ("caption", "# Day.")],
        ),
        (
            '[Mia] waves # Cold. Mimi: "A #1 duck!" 🦆',
            [("name", "[Mia]"), ("caption", "# Cold. "), ("speaker", "Mimi:"), ("caption", " "), ("speech", '"A #1 duck!"'),
             ("caption", " 🦆")],
        ),
        ("[小明]跑 # 小明：「快！」", [("name", "[小明]"), ("caption", "# "), ("speaker", "小明："), ("speech", "「快！」")]),
        ('[Mia] reads Bob: "x"', [("name", "[Mia]")]),
        ('[Mia] hears [Bob]: "x"', [("name", "[Mia]"), ("speaker", "[Bob]:"), ("speech", '"x"')]),
    ],
)
def test_panels(grammar, line, spans):
    assert panel(grammar, line) == spans


@pytest.mark.parametrize("case", json.loads(LINES.read_text(encoding="utf-8")), ids=lambda case: case["line"])
def test_a_line_is_coloured_as_the_story_reads_it(grammar, case):
    spans = panel(grammar, case["line"])
    assert sorted(text for kind, text in spans if kind == "option") == sorted(case["options"])
    assert [text[1:-1] for kind, text in spans if kind == "speech"] == case["speech"]
    caption = "".join(text for kind, text in spans if kind == "caption")
    assert " ".join(caption.removeprefix("#").split()) == case["caption"]


@pytest.mark.parametrize(
    ("line", "spans", "names"),
    [
        ("[Mia] a girl", [("name", "[Mia]")], ["Mia"]),
        (
            ' [Mia] a girl alias="Mimi, the girl" # alias="no"',
            [("name", "[Mia]"), ("option", 'alias="Mimi, the girl"'), ("note", '# alias="no"')],
            ["Mia", "Mimi", "the girl"],
        ),
        ("[Guard #2] a guard", [("name", "[Guard #2]")], ["Guard #2"]),
        ("// [Mia] a girl", [("comment", "// [Mia] a girl")], []),
        ("[NC] nobody", [("name", "[NC]")], []),
        ("【Mia】a 【red】 girl", [("name", "【Mia】")], ["Mia"]),
        ("Mia: a girl", [], []),
    ],
)
def test_characters(grammar, line, spans, names):
    assert kinds(grammar, line, "grammar.readCharacter(line).spans") == spans
    assert grammar("grammar.readCharacter(line).names", line=line) == names


def test_without_the_characters_every_name_will_do(grammar):
    assert panel(grammar, "[Maya] waves", names=None) == [("name", "[Maya]")]


@pytest.mark.parametrize("name", ["Zoe\u0308", "STRASSE", "straße", "\u212aate", "ΟΔΟΣ", "ﬁona", "İnci", "Old  Tom", "a+b (c)", "x-y"])
def test_a_name_that_the_story_knows_is_known(grammar, name):
    for called in (name, name.upper(), name.lower(), name.casefold(), name.title()):
        try:
            parse_story(f"[{name}] a person", f"[{called}] waves", "", "")
        except ValueError:
            continue
        defined = grammar("grammar.readCharacter(line).names", line=f"[{name}] a person")
        assert panel(grammar, f"[{called}] waves", names=defined) == [("name", f"[{called}]")]


def test_panels_are_counted_as_the_story_counts_them(grammar):
    text = "\ufeff// a\n\n## b\n[Mia] c\n \t \n d # e\n\u2028\nf"
    assert grammar("grammar.countPanels(text.split('\\n'))", text=text) == len(parse_story("[Mia] x", text, "", "").panels)


def test_long_lines_and_lines_made_to_be_slow_do_not_hold_up_the_page(grammar):
    lines = ["[#] " * 1200, "seed=“ " * 700, 'seed="' * 800, "# " * 2400, "Mia: 'a " * 600, "Mia: 'a" + "'a" * 2400, 'Mia: "' * 800, "x" * 10**6, " " * 10**6 + "x"]
    took = grammar(
        "(() => { const start = performance.now(); for (const line of lines) grammar.readPanel(line, new grammar.Cast(names));"
        " return performance.now() - start })()",
        lines=lines, names=NAMES,
    )
    assert took < 2000  # ms


def test_a_mistake_is_shown_where_its_message_says(grammar):
    def places(message, line):
        return [line[place["start"] : place["end"]] for place in grammar("grammar.placesOf(message, line)", message=message, line=line)]

    assert places("no character is called [Maya]", "[Maya] and [Maya] run") == ["[Maya]", "[Maya]"]
    assert places('there is no style called "Cubism"', "x style=Cubism") == ["Cubism"]
    assert places("crop=3 is no shape of a picture", "x crop=3 y") == ["crop=3"]
    assert places("the panel has no text for the picture", " [Mia] ") == ["[Mia]"]


def test_mistakes_move_with_their_lines(grammar):
    moved = grammar(
        "grammar.moveMistakes([0, 1, 2, 3].map((line) => ({ line })), ['a', 'b', 'c'], ['a', 'x', 'y', 'c'])"
    )
    assert [mistake["line"] for mistake in moved] == [1, 4]
