"""A story's conditioning by the host's text encoders."""

import pytest
import torch
from fabula.demo import models, sizes, vocabulary
from fabula.demo.train import TextEncoders
from fabula.host import demo_models
from fabula.host.encode_story import empty_latents, encode_story
from fabula.story.script import parse_story


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


def test_one_long_prompt_pads_all_rows_with_empty_chunks(clip):
    story = parse_story("", "[NC] " + "a red house by the sea, " * 20 + "\n[NC] a dog", "(No style)", "")
    positive, negative = encode_story(clip, story, 256, 256)
    assert positive[0][0].shape == negative[0][0].shape == (2, 154, 128)
    empty, _ = clip.encode_from_tokens_scheduled(clip.tokenize(""))[0]
    assert torch.allclose(positive[0][0][1:2, 77:], empty, atol=1e-5)


def test_the_style_is_in_every_prompt(clip, story):
    plain, _ = encode_story(clip, story, 256, 256)
    noir = parse_story("[Mia] a girl in a red coat", "[Mia] waves\n[Mia] runs\n[Mia] reads a book", "Line art", "blurry")
    styled, _ = encode_story(clip, noir, 256, 256)
    assert all(not torch.allclose(a, b) for a, b in zip(plain[0][0], styled[0][0]))


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
