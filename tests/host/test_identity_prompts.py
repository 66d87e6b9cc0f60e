"""Trigger words and class tokens in real prompts, by the host's tokenizers."""

import pytest
import torch
from fabula.host.identity_prompts import TriggerReader
from fabula.host.prompt_tokens import tokenize
from fabula.host.prompt_words import find_words
from fabula.story.script import parse_story

MAN, END = 786, 49407


def read(clip, line, people, copies, trigger="img"):
    """The panel's Prompt, for `copies` tokens of each character."""
    story = parse_story(people, line, "(No style)", "")
    (panel,) = story.panels
    (words,) = find_words(clip, story, [panel.prompt], [tokenize(clip, panel.prompt)])
    return TriggerReader(clip, trigger).read(panel, panel.prompt, words, copies)


def ids(prompt, encoder="l"):
    return [token for chunk in prompt.tokens[encoder] for token, _ in chunk]


@pytest.mark.parametrize(("people", "line", "copies", "golden", "places"), [
    ("[A] a man img", "[A], smiling", 1, [49406, 320, 786, 267, 9200, 49407], [2]),
    ("[A] a man img", "[A], smiling", 3, [49406, 320, 786, 786, 786, 267, 9200, 49407], [2, 3, 4]),
    ("[A] a man img", "[A], smiling", 2, [49406, 320, 786, 786, 267, 9200, 49407], [2, 3]),
    ("[A] a man img", "[A], smiling", 6, [49406, 320, *[786] * 6, 267, 9200, 49407], [2, 3, 4, 5, 6, 7]),
    ("[A] a woman img", "photo of [A] and a dog", 4, [49406, 1125, 539, 320, 2308, 2308, 2308, 2308, 537, 320, 1929, 49407], [4, 5, 6, 7]),
])
def test_the_golden_ids_of_photomaker(clip, people, line, copies, golden, places):
    found = read(clip, line, people, {"A": copies})
    for encoder, pad in (("l", 49407), ("g", 0)):
        own = ids(found, encoder)
        assert own[:len(golden)] == golden and set(own[len(golden):]) == {pad}
    assert found.runs == (("A", tuple(places)),)


def test_the_trigger_is_gone_and_what_stands_behind_it_stays(clip):
    found = read(clip, "[A] riding a horse", "[A] a man photomaker, red coat", {"A": 2}, trigger="photomaker")
    bare = tokenize(clip, "a man man, red coat riding a horse")
    assert found.tokens["l"] == bare["l"] and found.tokens["g"] == bare["g"]


@pytest.mark.parametrize("trigger", ["img", "photomaker", "sks", "Xyzzy7"])
def test_any_word_may_be_the_trigger(clip, trigger):
    found = read(clip, "[A] riding a horse", f"[A] a man {trigger}, red coat", {"A": 3}, trigger)
    assert found.tokens["l"] == tokenize(clip, "a man man man, red coat riding a horse")["l"]
    assert found.words["A"] == tuple(range(1, 8))


def test_a_word_that_only_begins_like_the_trigger_is_none(clip):
    found = read(clip, "[A] posts an imgur photo", "[A] a man img", {"A": 1})
    assert found.tokens["l"] == tokenize(clip, "a man posts an imgur photo")["l"]


def test_copies_have_the_weight_of_the_class_word(clip):
    found = read(clip, "[A] waves", "[A] (a man:1.2) (img:0.5), (red coat:0.8)", {"A": 2})
    weights = [(token, weight) for token, weight in found.tokens["l"][0] if weight != 1.0]
    assert weights == [(320, 1.2), (MAN, 1.2), (MAN, 1.2), (736, 0.8), (7356, 0.8)]


def test_a_long_prompt_keeps_every_end_and_a_run_may_cross_its_chunks(clip):
    line = "very " * 72 + "[A], smiling"
    found = read(clip, line, "[A] a man img", {"A": 5})
    chunks = found.tokens["l"]
    assert len(chunks) == 2 and all(len(chunk) == 77 and chunk[0][0] == 49406 and END in [token for token, _ in chunk[1:]] for chunk in chunks)
    ((_, places),) = found.runs
    assert places == (74, 75, 78, 79, 80) and [ids(found)[place] for place in places] == [MAN] * 5
    assert 9200 in ids(found), "what stands behind them is kept"
    assert len(found.tokens["g"]) == 2


def test_break_keeps_its_place(clip):
    found = read(clip, "a house BREAK [A] waves BREAK at night", "[A] a man img", {"A": 2})
    assert len(found.tokens["l"]) == 3
    ((_, places),) = found.runs
    assert places == (79, 80) and [ids(found)[place] for place in places] == [MAN, MAN]
    assert found.words["A"] == (78, 79, 80)


@pytest.fixture()
def embedding(clip, tmp_path):
    from safetensors.torch import save_file

    save_file({"clip_l": torch.ones(2, 64), "clip_g": torch.ones(2, 64)}, tmp_path / "style.safetensors")
    save_file({"clip_l": torch.ones(80, 64), "clip_g": torch.ones(3, 64)}, tmp_path / "uneven.safetensors")
    before = clip.tokenizer.clip_l.embedding_directory, clip.tokenizer.clip_g.embedding_directory
    clip.tokenizer.clip_l.embedding_directory = clip.tokenizer.clip_g.embedding_directory = str(tmp_path)
    yield "embedding:style"
    clip.tokenizer.clip_l.embedding_directory, clip.tokenizer.clip_g.embedding_directory = before


def test_an_embedding_ahead_behind_and_as_the_class_word(clip, embedding):
    found = read(clip, f"{embedding} [A] waves {embedding}", "[A] a man img", {"A": 2})
    kinds = [token if isinstance(token, int) else "vector" for token, _ in found.tokens["l"][0][:9]]
    assert kinds[:6] == [49406, "vector", "vector", 320, MAN, MAN] and kinds[7:] == ["vector", "vector"]
    found = read(clip, "[A] waves", f"[A] a {embedding} img", {"A": 3})
    kinds = [token if isinstance(token, int) else "vector" for token, _ in found.tokens["l"][0][:8]]
    assert kinds[:6] == [49406, 320, "vector", "vector", "vector", "vector"] and found.runs == (("A", (3, 4, 5)),)


@pytest.mark.parametrize("line", [
    "[A] waves", "very " * 71 + "[A], smiling", "[A] " + "very " * 68 + "far (small red house by sea:1.2) at night", "very " * 69 + "[A] BREAK a house BREAK at night",
    "(happy:1.1) [A], " + "very " * 66 + "{e} by the sea", "{e} [A] {e} " + "very " * 90 + "(far away:0.8)",
])
def test_without_copies_it_is_what_the_host_makes_of_the_prompt_without_the_trigger(clip, embedding, line):
    line = line.replace("{e}", embedding)
    found, plain = read(clip, line, "[A] a man img", {"A": 1}), line.replace("[A]", "a man")
    assert strip(found.tokens) == strip(tokenize(clip, plain))


def strip(tokens):
    """Vectors as texts: tensors have no truth of their own."""
    return {encoder: [[(token if isinstance(token, int) else "vector", weight) for token, weight in chunk] for chunk in chunks] for encoder, chunks in tokens.items()}


def test_an_embedding_of_other_lengths_does_not_shift_what_follows_a_break(clip, embedding):
    found = read(clip, "embedding:uneven house BREAK [A] waves", "[A] a man img", {"A": 2})
    assert len(found.tokens["l"]) == len(found.tokens["g"]) == 3
    for encoder in "lg":
        assert [ids(found, encoder)[place] for _, places in found.runs for place in places] == [MAN, MAN]


def test_a_face_of_signs_is_a_class_word(clip):
    assert [name for name, _ in read(clip, "[A] waves", "[A] a \U0001f469 img", {"A": 2}).runs] == ["A"]


def test_two_characters_have_class_words_of_their_own(clip):
    found = read(clip, "[A] waves to [B]", "[A] a man img\n[B] a woman img, red coat", {"A": 2, "B": 3})
    assert [(name, [ids(found)[place] for place in places]) for name, places in found.runs] == [("A", [MAN] * 2), ("B", [2308] * 3)]


def test_a_character_that_is_named_twice_is_the_same_person_twice(clip):
    found = read(clip, "[A] looks at [A] in the mirror", "[A] a man img", {"A": 2})
    assert [name for name, _ in found.runs] == ["A", "A"] and len({place for _, places in found.runs for place in places}) == 4


def test_without_photos_in_the_panel_the_prompt_stays(clip):
    found = read(clip, "[NC] a house", "[A] a man img", {"A": 2})
    assert found.tokens == tokenize(clip, "a house") and found.runs == ()


@pytest.mark.parametrize(("line", "people", "copies", "words"), [
    ("[A] waves", "[A] a man", {"A": 1}, r"panel 1 of input 'story': \[A\] has photos, but its description lacks the trigger word. Write it behind the class word"),
    ("[A] waves", "[A] a man img", {}, r"\[A\] has the trigger word \"img\" but no photos. Connect a Fabula_CharacterReference"),
    ("[A] waves", "[A] a man img, a cool img", {"A": 1}, r"\[A\] has the trigger word \"img\" more than once"),
    ("[A] waves at an img", "[A] a man img", {"A": 1}, "outside of its characters' descriptions"),
    ("[A] waves", "[A] img, a man", {"A": 1}, r"needs a class word ahead of it, but \[A\] begins with it"),
    ("happy [A] waves", "[A] img, a man", {"A": 1}, r"needs a class word ahead of it, but \[A\] begins with it"),
    ("[A] waves", "[A] a man, img", {"A": 1}, "a mark stands ahead of it, and no word. Write the description like this"),
    ("[A] waves", "[A] a man img img", {"A": 1}, "twice in a row"),
    ("[A] waves", "[A] a man\u2026 img", {"A": 1}, "a mark stands ahead of it, and no word"),
    ("[A] waves", "[A] a man\uff0c img", {"A": 1}, "a mark stands ahead of it, and no word"),
    ("[A] waves", "[A] a man img2, coat", {"A": 1}, 'the trigger word "img" as a part of another word, such as img2'),
    ("[A] uses img2img", "[A] a man img", {"A": 1}, 'the trigger word "img" as a part of another word'),
    ("[NC] an img2img house", "[A] a man img", {"A": 1}, 'the trigger word "img" as a part of another word'),
])
def test_a_trigger_that_stands_where_none_can(clip, line, people, copies, words):
    with pytest.raises(ValueError, match="Fabula_EncodeIdentity: .*" + words):
        read(clip, line, people, copies)


@pytest.mark.parametrize("word", ["", " ", "two words", "!", "a,b", "BREAK"])
def test_a_trigger_word_that_is_none(clip, word):
    with pytest.raises(ValueError, match="Fabula_EncodeIdentity: input 'trigger_word' is .* no single word"):
        TriggerReader(clip, word)
