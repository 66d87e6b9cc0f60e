"""A story's conditioning by the host's text encoders."""

from types import SimpleNamespace

import pytest
import torch
from fabula.demo import models, sizes, vocabulary
from fabula.demo.train import TextEncoders
from fabula.host import demo_models
from fabula.host.encode_story import empty_latents, encode_story
from fabula.story.script import parse_story
from fabula.story.styles import apply_style


def test_every_panel_is_one_row_of_positive_negative_and_latent(clip, story):
    positive, negative = encode_story(clip, story, 256, 128)
    for conditioning in (positive, negative):
        assert len(conditioning) == 1
        cond, options = conditioning[0]
        assert cond.shape == (3, 77, 128)
        assert options["pooled_output"].shape == (3, 64)
        assert (options["width"], options["height"]) == (256, 128)
        assert options["fabula"].panels == (0, 1, 2)
    assert empty_latents(range(3), 256, 128)["samples"].shape == (3, 4, 16, 32)


def test_a_row_is_what_the_host_encodes_for_that_prompt_alone(clip, story):
    positive, negative = encode_story(clip, story, 256, 256)
    alone, _ = clip.encode_from_tokens_scheduled(clip.tokenize("a girl in a red coat runs"))[0]
    assert torch.allclose(positive[0][0][1:2], alone, atol=1e-5)
    blurry, _ = clip.encode_from_tokens_scheduled(clip.tokenize("blurry"))[0]
    assert torch.allclose(negative[0][0][2:3], blurry, atol=1e-5)


@pytest.mark.parametrize("chunks, wanted", [([1, 2], 2), ([1, 2, 3], 6), ([4, 6, 1], 12), ([2, 5], 6), ([13, 1], 24)])
def test_prompts_of_several_lengths_are_repeated_to_one(clip, chunks, wanted):
    """A prompt twice is the same to attention as once; empty chunks behind it would change the picture of a panel for the length of another's."""
    texts = [" BREAK ".join(f"a dog of {number}" for number in range(count)) for count in chunks]
    positive, negative = encode_story(clip, parse_story("", "\n".join(f"[NC] {text}" for text in texts), "(No style)", ""), 256, 256)
    assert positive[0][0].shape == negative[0][0].shape == (len(chunks), 77 * wanted, 128)
    for row, count in zip(positive[0][0], chunks):
        alone = torch.cat([encoded(clip, f"a dog of {number}")[0] for number in range(count)])
        period = next(own for own in (1, 2, 3, 4, 6, 12, 24) if own >= count) * 77
        assert torch.allclose(row[:77 * count], alone, atol=1e-5) and torch.equal(row, row[:period].repeat(77 * wanted // period, 1))


def test_the_style_is_in_every_prompt(clip, story):
    plain, _ = encode_story(clip, story, 256, 256)
    noir = parse_story("[Mia] a girl in a red coat", "[Mia] waves\n[Mia] runs\n[Mia] reads a book", "Line art", "blurry")
    styled, _ = encode_story(clip, noir, 256, 256)
    assert all(not torch.allclose(a, b) for a, b in zip(plain[0][0], styled[0][0]))


def encoded(clip, text):
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))[0][0]


def test_a_panels_own_style_negative_and_scene_are_encoded(clip):
    lines = '## at dusk\n[Mia] waves\n[Mia] runs style="Line art" negative="crowd"'
    story = parse_story("[Mia] a girl", lines, "(No style)", "blurry")
    positive, negative = encode_story(clip, story, 256, 256)
    assert torch.allclose(positive[0][0][:1], encoded(clip, "a girl waves, at dusk"), atol=1e-5)
    line_art = apply_style("Line art", "a girl runs, at dusk", "blurry, crowd")
    assert torch.allclose(positive[0][0][1:], encoded(clip, line_art[0]), atol=1e-5)
    assert torch.allclose(negative[0][0][1:], encoded(clip, line_art[1]), atol=1e-5)
    assert torch.allclose(negative[0][0][:1], encoded(clip, "blurry"), atol=1e-5)


def test_a_second_prompt_goes_to_the_second_encoder_alone_whatever_its_length(clip):
    long = "soft light on old stones, " * 20
    story = parse_story("[Mia] a girl", f'[Mia] waves prompt_2="{long}"\n[Mia] runs', "(No style)", "")
    positive, _ = encode_story(clip, story, 256, 256)
    first, second = positive[0][0][:, :, :64], positive[0][0][:, :, 64:]
    assert positive[0][0].shape == (2, 154, 128)
    assert torch.allclose(first[:1, :77], encoded(clip, "a girl waves")[:, :77, :64], atol=1e-5)
    assert torch.allclose(second[:1], encoded(clip, long)[:, :, 64:], atol=1e-5)
    assert torch.allclose(second[1:, :77], encoded(clip, "a girl runs")[:, :, 64:], atol=1e-5)

    class OneEncoder:
        def tokenize(self, text):
            return {"l": clip.tokenize(text)["l"]}

    with pytest.raises(ValueError, match="Fabula_EncodeStory: panel 1 .*prompt_2=.*no second text encoder"):
        encode_story(OneEncoder(), story, 256, 256)


def test_break_begins_a_new_chunk_and_words_are_found_behind_it(clip):
    story = parse_story("[Mia] a girl BREAK red coat", "in a park BREAK [Mia] waves\nbreakfast", "(No style)", "")
    positive, _ = encode_story(clip, story, 256, 256)
    assert positive[0][0].shape[1] == 3 * 77
    assert torch.allclose(positive[0][0][:1], torch.cat([encoded(clip, text) for text in ("in a park", "a girl", "red coat waves")], dim=1), atol=1e-5)
    assert positive[0][1]["fabula"].words[0]["Mia"] == (77 + 1, 77 + 2, 2 * 77 + 1, 2 * 77 + 2)


def test_a_size_that_latents_cannot_have_is_refused():
    with pytest.raises(ValueError, match="Fabula_EncodeStory: input 'width' is 250.*248"):
        empty_latents(range(1), 250, 256)


def test_the_trainers_text_encoders_are_the_hosts():
    tokenizer = demo_models.tokenizer()
    kept = vocabulary.kept_tokens(tokenizer.clip_l)
    torch.manual_seed(2)
    trained = TextEncoders(len(kept) + 1)
    demo_models.initialise(trained)
    for encoder in trained.encoders.values():
        torch.nn.init.normal_(encoder.get_input_embeddings().weight)
        torch.nn.init.normal_(encoder.text_model.embeddings.position_embedding.weight)
    trained.half().float()  # the host keeps text encoders in half precision
    clip = demo_models.load_clip(sizes.CLIP_L, sizes.CLIP_G, models.host_text_weights(trained.state_dict(), kept))
    text = "a girl with ginger hair, reading in the zeppelin"  # the last word is unknown to the demo
    expected, options = clip.encode_from_tokens_scheduled(clip.tokenize(text))[0]
    pairs = tokenizer.tokenize_with_weights(text)
    ids = torch.tensor([[[int(t) for t, _ in pairs[key][0]] for key in "lg"]])
    length = int((ids[0, 0] == 49407).int().argmax()) + 1
    with torch.no_grad():
        context, pooled = trained(vocabulary.rows_of_tokens(kept)[ids], [length])
    assert torch.allclose(context, expected, atol=1e-4)
    assert torch.allclose(pooled, options["pooled_output"], atol=1e-4)


def test_a_text_encoder_of_another_family_is_refused(story):
    import comfy.text_encoders.sd3_clip

    tokenizer = comfy.text_encoders.sd3_clip.SD3Tokenizer()
    with pytest.raises(ValueError, match="Fabula_EncodeStory: input 'clip'.*g, l, t5xxl.*SDXL, SD1.5 and SD2.1"):
        encode_story(SimpleNamespace(tokenize=tokenizer.tokenize_with_weights), story, 256, 256)
