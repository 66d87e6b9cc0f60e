"""Finding the characters by their words, on a real UNet under the host's own sampling."""

import pytest
import torch
from comfy_extras import nodes_model_downscale
from fabula.attention.state import SUBJECT_SHARE
from fabula.attention.subject import AttendedSubjects
from fabula.demo import models
from fabula.demo.reader import load_reader, read
from fabula.host import consistent_attention
from fabula.host.consistent_attention import Options, apply
from fabula.host.encode_story import chosen_panels, empty_latents, encode_story
from fabula.host.images import to_images, to_pixels
from fabula.host.prompt_words import find_words
from fabula.host.render import sample
from fabula.host.story_rows import KEY
from fabula.host.word_attention import attention_to
from fabula.story.script import parse_story
from fabula.story.styles import apply_style
from host_differences import DOWNSCALE_IS_V3, here

SIZE, STEPS = 64, 4
PEOPLE = "[Mia] a girl with ginger hair\n[Bob] an old man"
LINES = ["[Mia] waves in the forest", "[Bob] sits in the city", "[Mia] runs on the beach", "[Bob] jumps", "[NC] a house", "[Mia] meets [Bob]"]


def write(lines=LINES, people=PEOPLE, style="(No style)"):
    return parse_story(people, "\n".join(lines), style, "blurry")


def words_in(clip, line, people=PEOPLE, style="(No style)"):
    """What the places that `find_words` gives hold, by character."""
    story = write([line], people, style)
    prompt = apply_style(style, story.panels[0].prompt, "")[0]
    tokens = clip.tokenize(prompt)
    encoder = next(iter(tokens))
    flat = [pair for chunk in tokens[encoder] for pair in chunk]
    decode = getattr(clip.tokenizer, f"clip_{encoder}").inv_vocab
    (found,) = find_words(clip, story, [prompt], [tokens])
    return {name: "".join(decode[flat[at][0]] for at in places).replace("</w>", " ").strip() for name, places in found.items()}


@pytest.mark.parametrize("line, people, expected", [
    ("[Mia] meets [Bob] in a park", PEOPLE, {"Mia": "a girl with ginger hair", "Bob": "an old man"}),
    ("a girl with ginger hair is not [Mia]", PEOPLE, {"Mia": "a girl with ginger hair"}),
    ("[Mia] sees [Mia]", PEOPLE, {"Mia": "a girl with ginger hair a girl with ginger hair"}),
    ("(at dusk:1.3) [Mia] waves", "[Mia] a girl, (red coat:1.4)", {"Mia": "a girl , red coat"}),
    ("very " * 90 + "far away [Bob] waves", PEOPLE, {"Bob": "an old man"}),
    ("[NC] an old man is not there", PEOPLE, {}),
    ("[Mia], [Bob]! They wave", "[Mia] a girl.\n[Bob] an old man.", {"Mia": "a girl", "Bob": "an old man"}),  # ".," is one token
    ("[Art] hangs there", "[Art] art", {"Art": "art"}),  # a word of the style's, too
])
@pytest.mark.parametrize("style", ["(No style)", "Line art", "Digital/Oil Painting"])
def test_the_words_of_each_character_are_found_in_the_encoded_prompt(clip, line, people, expected, style):
    assert words_in(clip, line, people, style) == expected


def test_the_same_description_twice_is_told_apart_by_order(clip):
    story = write(["[Ann] waves to [Eve]"], "[Ann] a girl\n[Eve] a girl")
    prompt = story.panels[0].prompt
    (found,) = find_words(clip, story, [prompt], [clip.tokenize(prompt)])
    assert len(found["Ann"]) == len(found["Eve"]) == 2 and max(found["Ann"]) < min(found["Eve"])


def test_rows_have_the_words_of_their_panels_and_the_negative_ones_none(clip):
    positive, negative = encode_story(clip, write(), SIZE, SIZE, [5, 0])
    rows = positive[0][1][KEY]
    assert rows.panels == (5, 0) and set(rows.words[5]) == {"Mia", "Bob"} and set(rows.words[0]) == {"Mia"}
    assert not any(negative[0][1][KEY].words)


def test_attention_to_some_keys_is_their_share_of_the_softmax():
    torch.manual_seed(0)
    q, k, columns = torch.randn(2, 6, 8), torch.randn(2, 5, 8), torch.tensor([[0.0, 1, 1, 0, 0]])
    got = attention_to(q[1:], k[1:], 2, columns)
    heads = [torch.softmax(q[1, :, part] @ k[1, :, part].T / 2, -1)[:, 1:3].sum(-1) for part in (slice(0, 4), slice(4, 8))]
    assert torch.allclose(got[0], sum(heads) / 2, atol=1e-6)


@pytest.fixture()
def tell(model, clip):
    def told(story, panels="", net=None, cfg=3.0, sampler="euler", size=SIZE, **options):
        chosen = chosen_panels(story, panels, 2)
        conditioning = encode_story(clip, story, size, size, chosen)
        patched = apply(net or model, Options(**{"schedule": "always", "tile_size": 2, "id_length": 2, "subject": "auto", **options}))
        with torch.inference_mode():
            found = sample(patched, *conditioning, empty_latents(chosen, size, size), 1, STEPS, cfg, sampler)
        return {panel + 1: picture for panel, picture in zip(chosen, found)}

    return told


def equal(a, b):
    return all(torch.equal(a[panel], b[panel]) for panel in a if panel in b)


def test_it_repeats_bit_for_bit_and_is_not_the_whole_panel(tell):
    found = tell(write())
    assert equal(found, tell(write())) and not equal(found, tell(write(), subject="off"))


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_2"])
def test_a_panel_alone_is_that_of_the_whole_story(tell, sampler):
    whole = tell(write(), sampler=sampler)
    assert equal(tell(write(), "6", sampler=sampler), whole) and equal(tell(write(), "3,5", sampler=sampler), whole)


@pytest.mark.parametrize("panels", ["5", "6", "7"])
def test_one_of_several_panels_of_two_is_that_of_the_whole_story(tell, panels):
    story = write([*LINES[:4], "[Mia] meets [Bob]", "[Bob] sees [Mia] in the city", "[Mia] and [Bob] on the beach"])
    assert equal(tell(story, panels, tile_size=3), tell(story, tile_size=3))


def test_batched_and_split_conditionings_agree(tell, model, monkeypatch):
    together = tell(write())
    monkeypatch.setattr(type(model.model), "memory_required", lambda *args, **kwargs: 1e15)
    apart = tell(write())
    assert all((together[panel] - apart[panel]).abs().max() < 2e-3 * together[panel].std() for panel in together)


@pytest.mark.parametrize("mode", ["anchors", "window", "batch"])
def test_as_many_tokens_are_drawn_in_every_step_and_a_panel_of_two_is_drawn_for_each(tell, model, mode):
    lengths, rows = set(), {}

    def count(host, q, k, v, *args, **kwargs):
        options = kwargs.get("transformer_options") or {}
        if options.get("block", ("",))[0] == "output" and k.shape[1] > q.shape[1] and k.shape[1] != 77:
            lengths.add((q.shape[1], k.shape[1]))
            rows.setdefault(options["block"], set()).add(q.shape[0])
        return host(q, k, v, *args, **kwargs)

    net = model.clone()
    net.model_options["transformer_options"]["optimized_attention_override"] = count
    tell(write(), net=net, mode=mode, tile_size=3)
    assert {tokens for tokens, _ in lengths} == {16, 4}
    for tokens, keys in lengths:
        assert (keys - tokens) % round(0.5 * SUBJECT_SHARE * tokens) == 0
    # Each of both halves of CFG: the anchors, who see one other; and the panel of two, once for each.
    assert mode != "anchors" or set.union(*rows.values()) >= {2 * 4, 2 * 2}


@pytest.mark.parametrize("block", [1, 2])
def test_a_patch_that_shrinks_the_picture_in_the_first_steps_goes_with_it(tell, model, block):
    shrunk = nodes_model_downscale.PatchModelAddDownscale
    shrink = shrunk.execute if here(DOWNSCALE_IS_V3) else shrunk().patch
    net = shrink(model, block, 2.0, 0.0, 0.4, True, "bicubic", "bicubic")[0]
    found = tell(write(), net=net, size=128)
    assert all(picture.isfinite().all() for picture in found.values()) and not equal(found, tell(write(), size=128))


def test_where_another_patch_leaves_fewer_keys_nobody_knows_where_they_lie(tell, model):
    net = model.clone()
    net.set_model_attn1_patch(lambda n, context, value, options: (n, context[:, ::2], value[:, ::2]))
    found = tell(write(), net=net)
    assert equal(found, tell(write(), net=net)) and all(picture.isfinite().all() for picture in found.values())


def test_text_encoders_of_other_families_have_no_words_to_look_for(clip):
    class OneToken:
        def tokenize(self, text):
            return {"gemma": [[(7, 1.0)]]}

    story = write(LINES[:1])
    assert find_words(OneToken(), story, ["any"], [{"gemma": [[(7, 1.0)]]}]) == [{}]


def test_words_that_are_not_found_are_named(clip, caplog):
    story = write(LINES[:1])
    assert find_words(clip, story, [story.panels[0].prompt], [clip.tokenize("something else")]) == [{}]
    assert "panel 1: the words of [Mia] are not found" in caplog.text


def test_conditionings_without_a_story_share_whole_panels(model, clip):
    conditioning = [[entry, {k: v for k, v in options.items() if k != KEY}] for entry, options in encode_story(clip, write(), SIZE, SIZE)[0]]

    def told(subject):
        with torch.inference_mode():
            return sample(apply(model, Options(subject=subject)), conditioning, conditioning, empty_latents(range(6), SIZE, SIZE), 1, STEPS, 3.0)

    assert torch.equal(told("auto"), told("off"))


def test_masks_for_each_character_of_each_panel_or_for_each_panel(tell):
    each = torch.zeros(7, 8, 8)  # one for the panel of nobody, and two for the last
    each[:, :, :4] = 1
    apart = each.clone()
    apart[-1] = 1 - apart[-1]  # Bob's half of the last panel
    joined, divided = tell(write(), subject_masks=each), tell(write(), subject_masks=apart)
    assert {panel for panel in joined if not torch.equal(joined[panel], divided[panel])} == {6}
    with pytest.raises(ValueError, match="5 masks.*6 panels.*\\(7; one for"):
        tell(write(), subject_masks=each[:5])


def test_what_is_found_is_the_figure_that_the_finished_picture_shows(monkeypatch):
    """With the demo's trained weights."""
    runs = []

    class Kept(AttendedSubjects):
        def __init__(self):
            super().__init__()
            runs.append(self)

    monkeypatch.setattr(consistent_attention, "AttendedSubjects", Kept)
    story = write(["[Mia] waving in the forest", "[Mia] reading a book on the beach", "[Mia] running in the city"], "[Mia] a girl")
    clip, vae = models.load_clip(), models.load_vae()
    with torch.inference_mode():
        conditioning = encode_story(clip, story, 256, 256)
        latents = sample(apply(models.load_model(), Options(mode="batch", schedule="always")), *conditioning,
                         empty_latents(range(3), 256, 256), 3, 12, 4.0)
        pixels = to_pixels(to_images(vae.decode(latents))).permute(0, 3, 1, 2)
    overlaps = []
    for panel, reading in enumerate(read(load_reader(), pixels)):
        shown = torch.nn.functional.avg_pool2d(reading.figure[None].float(), 4)[0].flatten() >= 0.5
        found = runs[0].find(panel, ("Mia",), (16, 16))["Mia"].inside
        overlaps.append(float((shown & found).sum() / (shown | found).sum()))
    assert min(overlaps) > 0.4, overlaps
