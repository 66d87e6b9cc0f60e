"""Split Story with the host's own tokenizer."""

import pytest
import torch
from fabula.host.prompt_tokens import tokenize
from fabula.nodes.prose import SplitStory
from fabula.story.moments import estimate_tokens
from fabula.story.script import parse_story

CAST = """[Ana] a tall woman with curly red hair, (green apron:1.2), freckles, silver earrings and a long brown skirt
[Leo] a broad man with a black moustache, striped shirt, blue braces and a flat grey cap
[小明] 一个男孩，黑色短发，蓝色外套，红色围巾"""
TEXT = """Ana baked bread while Leo swept the shop, and behind the steamed window the first snow of the year fell onto the empty square. \
"Come here!" said Ana. She gave each of the hundred geese a crumb of bread, and they followed her out of the shop, across the square, \
past the church and down to the \
cold river, where they jumped into the water with a loud splash and swam away until nobody could see them any longer.

The next morning, 小明在桥上看着一辆马车从远处慢慢驶来。他高兴地跑下桥去，大声喊着。Leo put a very large number of rather small and utterly \
unremarkable but nevertheless much loved grey wooden boxes of every thinkable kind onto each other until nobody could any longer see \
him or his moustache."""


def count(clip, text: str, encoder: str) -> int:
    """Tokens of a prompt: the host pads a chunk of 77 behind the end token."""
    (chunk,) = tokenize(clip, text)[encoder]
    return [token for token, _ in chunk].index(49407) - 1


def split(*args, **options) -> str:
    return SplitStory.execute(*args, **options).result[0]


def test_prompts_fit_into_one_chunk_of_the_hosts_tokenizer_with_their_descriptions(clip):
    for panels in (1, 3, 8):
        script = split(TEXT, panels, CAST, clip)
        story = parse_story(CAST, script, "(No style)", "")
        assert len(story.panels) <= panels
        for panel in story.panels:
            assert panel.characters
            assert all(10 < count(clip, panel.prompt, encoder) < 75 for encoder in "lg")
    assert any(panel.speech for panel in story.panels)


def test_more_fits_where_the_hosts_tokenizer_counts_than_where_tokens_are_estimated(clip):
    cast, text = "[ハル] 黒髪の少女、セーラー服、赤いマフラー", "その夜、ハルは朝まで屋上で歌を聞いていた。"
    counted, estimated = split(text, 1, cast, clip), split(text, 1, cast)
    prompt = parse_story(cast, counted, "(No style)", "").panels[0].prompt
    assert len(counted) > len(estimated) and count(clip, prompt, "l") < 75 <= estimate_tokens(prompt)


def test_another_kind_of_encoder_is_estimated(clip):
    class T5:
        def tokenize(self, text):
            return {"t5xxl": clip.tokenize(text)["l"]}

    assert split(TEXT, 4, CAST, T5()) == split(TEXT, 4, CAST)


def test_a_textual_inversion_counts_as_one_token(clip):
    class Inverted:
        def tokenize(self, text):
            (chunk,) = clip.tokenize(text)["l"]
            return {"l": [[(torch.zeros(4), weight) if at == 1 and text else (token, weight) for at, (token, weight) in enumerate(chunk)]]}

    assert split("Ana ran.", 1, "[Ana] a woman", Inverted()) == split("Ana ran.", 1, "[Ana] a woman", clip)


@pytest.mark.parametrize(("inputs", "message"), [
    ((" ", 3, ""), "Fabula_SplitStory: input 'text' has no words"),
    (("Ana ran.", 0, ""), "Fabula_SplitStory: input 'max_panels' is 0"),
    (("Ana ran.", 3, "Ana: a woman"), "Fabula_SplitStory: characters, line 1"),
])
def test_errors_name_the_node_and_the_input(inputs, message):
    with pytest.raises(ValueError, match=message):
        split(*inputs)


def test_every_input_has_a_tooltip_and_the_node_runs_on_its_defaults():
    schema = SplitStory.GET_SCHEMA()
    assert schema.node_id == "Fabula_SplitStory" and all(each.tooltip for each in (*schema.inputs, *schema.outputs))
    assert [each.id for each in schema.inputs] == ["text", "max_panels", "characters", "clip"]
    text, panels, characters, _ = (getattr(each, "default", None) for each in schema.inputs)
    story = parse_story(characters, split(text, panels, characters), "(No style)", "")
    assert [panel.characters for panel in story.panels] == [("Mia",)] * 4 and story.panels[1].speech
