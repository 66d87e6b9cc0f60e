"""The route that the script editor asks."""

import urllib.error
import urllib.request

import pytest

CAST = "[Mia] a girl in a red coat"


def ask(server, **texts):
    return server.post_json("/fabula/check", texts)


def test_a_right_story_has_no_mistakes(server):
    assert ask(server, characters=CAST, panels="[Mia] waves # Hello.") == (200, {"mistakes": []})


def test_all_mistakes_come_with_their_field_and_line(server):
    status, answer = ask(server, characters=f"{CAST}\nBob", panels="[Mia] waves\n[Maya] runs")
    assert status == 200
    assert [(each["input"], each["line"]) for each in answer["mistakes"]] == [("characters", 2), ("panels", 2)]
    assert "[Maya]" in answer["mistakes"][1]["message"] and "[Mia]" in answer["mistakes"][1]["remedy"]


def test_a_style_in_the_models_folder_is_known(server):
    panels = '[Mia] waves style="Woodcut"'
    assert len(ask(server, characters=CAST, panels=panels)[1]["mistakes"]) == 1
    file = server.folder / "models" / "fabula_styles" / "own.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text("name,prompt,negative_prompt\nWoodcut,a woodcut of {prompt},photo\n", encoding="utf-8")
    assert ask(server, characters=CAST, panels=panels)[1]["mistakes"] == []


@pytest.mark.parametrize("texts", [{}, {"characters": CAST}, {"characters": 1, "panels": ""}])
def test_a_question_without_two_texts_is_refused(server, texts):
    status, answer = ask(server, **texts)
    assert status == 400 and answer["error"]


def test_what_is_no_json_or_too_long_is_refused(server):
    for body, status in ((b"[Mia]", 400), (b" " * (4 * 2**20 + 1), 413)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(f"{server.url}/fabula/check", body), timeout=30)
        assert refused.value.code == status
