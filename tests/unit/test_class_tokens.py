"""Class tokens on token ids: every trigger gone, its class word repeated, all else as it was."""

import pytest

from fabula.identity.class_tokens import Frame, TriggerError, expand, find_triggers, lay_out

FRAME = Frame(start=1, end=2, pad=3, length=12, large=8)
WORDS = {10: "a</w>", 11: "man</w>", 12: ",</w>", 13: "img</w>", 14: "astronau", 15: "tess</w>", 16: "photo", 17: "maker</w>", 18: "x"}


def ends_word(token):
    return WORDS[token].endswith("</w>")


def is_word(ids):
    return any(letter.isalnum() for letter in "".join(WORDS[token].removesuffix("</w>") for token in ids))


def read(ids, copies, trigger=(13,)):
    tokens = [(*(each if isinstance(each, tuple) else (each, 1.0)), 1) for each in ids]
    starts = find_triggers(tokens, trigger, ends_word)
    return expand(tokens, starts, len(trigger), copies, ends_word, is_word)


def ids_of(found):
    return [token for token, *_ in found.tokens]


def test_the_class_word_is_there_once_for_each_copy_and_the_trigger_not_at_all():
    found = read([10, 11, 13, 12, 10], [3])
    assert ids_of(found) == [10, 11, 11, 11, 12, 10]
    assert found.runs == [range(1, 4)]
    assert found.moved == [range(0, 1), range(1, 4), range(4, 4), range(4, 5), range(5, 6)]


def test_a_trigger_of_several_tokens_is_gone_whole():
    found = read([10, 11, 16, 17, 12], [2], trigger=(16, 17))
    assert ids_of(found) == [10, 11, 11, 12] and found.runs == [range(1, 3)]


def test_only_a_whole_word_is_a_trigger():
    """`ximg` is no trigger: what stands ahead of it does not end a word."""
    assert find_triggers([(10, 1.0, 1), (18, 1.0, 1), (13, 1.0, 1)], (13,), ends_word) == []
    assert find_triggers([(10, 1.0, 1), (11, 1.0, 1), (13, 1.0, 1)], (13,), ends_word) == [2]


def test_the_last_piece_of_a_long_class_word_is_the_class_token():
    found = read([10, 14, 15, 13], [2])
    assert ids_of(found) == [10, 14, 15, 15] and found.runs == [range(2, 4)]


def test_copies_have_the_class_word_s_weight():
    found = read([10, (11, 1.2), (13, 0.7), (12, 0.7)], [3])
    assert [token[:2] for token in found.tokens] == [(10, 1.0), (11, 1.2), (11, 1.2), (11, 1.2), (12, 0.7)]


def test_two_triggers_have_a_run_each():
    found = read([10, 11, 13, 12, 15, 13], [2, 3])
    assert ids_of(found) == [10, 11, 11, 12, 15, 15, 15]
    assert found.runs == [range(1, 3), range(4, 7)]


def test_an_embedding_may_stand_anywhere_and_be_the_class_word():
    vector = object()
    found = read([(vector, 1.0), 13, (vector, 0.9)], [2])
    assert [token[:2] for token in found.tokens] == [(vector, 1.0), (vector, 1.0), (vector, 0.9)] and found.runs == [range(0, 2)]


@pytest.mark.parametrize(("ids", "words"), [
    ([13, 10], "nothing stands ahead"), ([10, 11, 13, 13], "twice in a row"), ([11, 12, 13], "a mark stands ahead"),
])
def test_a_trigger_without_a_class_word(ids, words):
    with pytest.raises(TriggerError, match=words):
        read(ids, [1] * ids.count(13))


def test_a_class_word_is_judged_whole():
    """Its last token alone may look like a mark, as those of words in other scripts do."""
    words = {10: "日", 11: "本</w>", 13: "img</w>"}
    tokens = [(10, 1.0, 1), (11, 1.0, 1), (13, 1.0, 1)]
    asked = []
    expand(tokens, [2], 1, [2], lambda token: words[token].endswith("</w>"), lambda ids: asked.append(list(ids)) or True)
    assert asked == [[10, 11]]


def test_every_chunk_has_its_start_and_end():
    chunks, _ = lay_out([(token, 1.0, 1) for token in range(100, 125)], FRAME)
    assert [len(chunk) for chunk in chunks] == [12, 12, 12]
    for chunk in chunks:
        assert chunk[0] == (1, 1.0) and (2, 1.0) in chunk[1:]
    assert [token for chunk in chunks for token, _ in chunk if token >= 100] == list(range(100, 125))
    assert lay_out([], FRAME) == ([[(1, 1.0), (2, 1.0), *[(3, 1.0)] * 10]], [])


def test_a_run_may_cross_from_one_chunk_to_the_next():
    tokens = [(each, 1.0, 1) for each in [*range(100, 108), 11, 11, 11, 11, 12]]
    chunks, where = lay_out(tokens, FRAME)
    flat = [token for chunk in chunks for token, _ in chunk]
    assert where[8:12] == [9, 10, 13, 14] and [flat[place] for place in where] == [token for token, *_ in tokens]


def test_a_small_group_stays_together():
    tokens = [*((each, 1.0, 1) for each in range(100, 108)), *((each, 1.2, 2) for each in range(200, 204)), (300, 1.0, 3)]
    chunks, where = lay_out(tokens, FRAME)
    assert [[token for token, _ in chunk if token >= 100] for chunk in chunks] == [list(range(100, 108)), [200, 201, 202, 203, 300]]
    assert chunks[0][9:] == [(2, 1.0), (3, 1.0), (3, 1.0)] and where[8:] == [13, 14, 15, 16, 17]
