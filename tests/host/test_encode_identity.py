"""A whole story with photos: rows, phases, the switch to the step, and company with the host's other parts."""

import math

import comfy.model_sampling
import comfy.samplers
import pytest
import torch
from comfy_extras import nodes_model_advanced
from fabula.demo import sizes
from fabula.host import character_file, demo_models, id_encoder, identity_story
from fabula.host.consistent_attention import Options, apply
from fabula.host.encode_story import Rows, empty_latents, encode_story
from fabula.host.references import add_reference
from fabula.host.render import sample
from fabula.host.story_rows import KEY
from fabula.identity.checkpoint import read_checkpoint
from fabula.identity.encoder import Sizes
from fabula.identity.merging import start_merge_step
from fabula.nodes.identity import CharacterReference, EncodeIdentity
from fabula.story.script import parse_story

SIZE, STEPS = 64, 4
PEOPLE = "[Mia] a girl img, red coat\n[Bob] an old man img\n[Eve] a woman"
LINES = "[Mia] waves\n[Bob] sits\n[NC] a house\n[Mia] meets [Bob]\n[Eve] runs\n[Mia] meets [Eve]"


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(3)
    made = demo_models.identity_module(Sizes(**sizes.IDENTITY))
    return id_encoder.make_encoder(read_checkpoint({f"id_encoder.{name}": value for name, value in made.state_dict().items()}))


@pytest.fixture()
def references():
    generator = torch.Generator().manual_seed(4)
    both = add_reference(None, "Mia", torch.rand(2, 100, 80, 3, generator=generator), None, 1.0)
    return add_reference(both, "[Bob]", torch.rand(1, 80, 100, 3, generator=generator), None, 1.0)


def story(lines=LINES, people=PEOPLE):
    return parse_story(people, lines, "(No style)", "blurry")


def rows(own=None, **options):
    own = own or story()
    return Rows(own, options.pop("panels", range(len(own.panels))), SIZE, SIZE, **options)


def encode(clip, encoder, references, own=None, **options):
    return identity_story.encode_identity(clip, encoder, references, "img", rows(own, **options))


def test_every_panel_is_a_row_and_only_those_with_photos_differ(clip, encoder, references):
    merged, text_only, negative = encode(clip, encoder, references)
    for each in (merged, text_only, negative):
        assert len(each) == 1 and each[0][0].shape == (6, 77, 128) and each[0][1]["pooled_output"].shape == (6, 64)
    differ = [not torch.allclose(a, b) for a, b in zip(merged[0][0], text_only[0][0])]
    assert differ == [True, True, False, True, False, True]


def test_the_text_only_rows_are_the_story_without_its_trigger(clip, encoder, references):
    _, text_only, negative = encode(clip, encoder, references)
    plain = encode_story(clip, story(people=PEOPLE.replace(" img", "")), SIZE, SIZE)
    assert torch.allclose(text_only[0][0], plain[0][0][0], atol=1e-5) and torch.allclose(negative[0][0], plain[1][0][0], atol=1e-5)
    assert torch.allclose(text_only[0][1]["pooled_output"], plain[0][0][1]["pooled_output"], atol=1e-5)
    assert text_only[0][1][KEY] == plain[0][0][1][KEY], "the characters are found at the same words"


def test_only_class_tokens_are_fused_each_with_its_own_person(clip, encoder, references):
    merged, _, _ = encode(clip, encoder, references)
    unfused = encode_story(clip, story("[Mia] meets [Bob]", "[Mia] a girl girl, red coat\n[Bob] an old man"), SIZE, SIZE)[0][0][0][0]
    row = merged[0][0][3]
    changed = [place for place in range(77) if not torch.allclose(row[place], unfused[place], atol=1e-5)]
    words = merged[0][1][KEY].words[3]
    assert changed == [2, 3, words["Bob"][-1]], "two photos of Mia, one of Bob"
    tokens = {name: encoder.encode(reference.photos) for name, reference in references.items()}
    assert torch.allclose(row[[2, 3]], encoder.fuse(unfused, [2, 3], tokens["Mia"], 1.0)[[2, 3]], atol=1e-4)
    assert torch.allclose(row[changed[2]], encoder.fuse(unfused, [changed[2]], tokens["Bob"], 1.0)[changed[2]], atol=1e-4)


def test_each_phase_has_its_own_pooled_output(clip, encoder, references):
    """Two photos put the class word into the prompt twice, and the pooled output is of that prompt."""
    merged, text_only, _ = encode(clip, encoder, references)
    assert not torch.allclose(merged[0][1]["pooled_output"][0], text_only[0][1]["pooled_output"][0])
    double = clip.encode_from_tokens_scheduled(clip.tokenize("a girl girl, red coat waves"))[0][1]["pooled_output"]
    assert torch.allclose(merged[0][1]["pooled_output"][:1], double, atol=1e-5)


def test_photos_are_encoded_once_however_many_panels_show_them(clip, encoder, references, monkeypatch):
    seen = []
    encode_photos = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda photos, faces=None: seen.append(len(photos)) or encode_photos(photos, faces))
    encode(clip, encoder, references, story("[Mia] waves\n" * 12))
    assert seen == [2, 1]


def test_a_choice_of_panels_and_more_pictures_of_each_give_the_same_rows(clip, encoder, references):
    whole, _, _ = encode(clip, encoder, references)
    some, _, negative = encode(clip, encoder, references, panels=[3, 0], images_per_panel=2)
    assert some[0][0].shape[0] == negative[0][0].shape[0] == 4
    assert torch.allclose(some[0][0], whole[0][0][[3, 3, 0, 0]], atol=1e-6)
    assert some[0][1][KEY].panels == (3, 3, 0, 0)


def active(model, conditioning, sigmas, sampler="euler"):
    """What acts at each step of a real sampling: "text" or "person", read off the prompts that the UNet gets."""
    found = []

    def watch(run, given):
        context = given["c"]["c_crossattn"][0, 0, 0].item()
        found.append((float(given["timestep"][0]), {0.0: "text", 1.0: "person"}[context]))
        return run(given["input"], given["timestep"], **given["c"])

    watched = model.clone()
    watched.set_model_unet_function_wrapper(watch)
    latent = torch.zeros(1, 4, 8, 8)
    comfy.sample.sample_custom(watched, torch.randn(latent.shape), 1.0, comfy.samplers.sampler_object(sampler), sigmas, conditioning, conditioning, latent, disable_pbar=True, seed=1)
    return [name for _, name in found]


def phases(clip, style_strength, sigmas):
    text, person = (torch.full((1, 77, 128), value) for value in (0.0, 1.0))
    options = {"pooled_output": torch.zeros(1, 64)}
    return identity_story.delayed([[text, dict(options)]], [[person, dict(options)]], style_strength, sigmas)


@pytest.mark.parametrize("scheduler", comfy.samplers.SCHEDULER_NAMES)
@pytest.mark.parametrize(("steps", "strength"), [(20, 20.0), (7, 50.0), (50, 80.0)])
def test_with_sigmas_the_switch_is_exact_on_every_scheduler(model, clip, scheduler, steps, strength):
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), scheduler, steps)
    found = active(model, phases(clip, strength, sigmas), sigmas)
    step = start_merge_step(strength, len(sigmas) - 1)
    assert step <= 30 and found == ["text"] * (step + 1) + ["person"] * (len(sigmas) - 2 - step)


def test_part_of_a_sampling_switches_at_its_own_steps(model, clip):
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", 20)[-11:]
    assert active(model, phases(clip, 30.0, sigmas), sigmas) == ["text"] * 4 + ["person"] * 6


@pytest.mark.parametrize("scheduler", comfy.samplers.SCHEDULER_NAMES)
def test_without_sigmas_no_step_has_none_or_both(scheduler, clip):
    """As the host decides it, for every strength and many numbers of steps, whole samplings and the last part of them."""
    class Sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.EPS):
        pass

    sampling = Sampling()
    for strength in range(0, 101):
        (_, text), (_, person) = phases(clip, float(strength), None)
        until, since = sampling.percent_to_sigma(text["end_percent"]), sampling.percent_to_sigma(person["start_percent"])
        for steps in (1, 2, 7, 14, 15, 20, 28, 30, 50):
            levels = SIGMAS.setdefault((scheduler, steps), comfy.samplers.calculate_sigmas(sampling, scheduler, steps))[:-1].tolist()
            active = [(level >= until) + (level <= since) for level in levels if math.isfinite(level)]  # kl_optimal's only step is not
            assert set(active) <= {1}, (strength, steps)


SIGMAS = {}


@pytest.mark.parametrize("strength", [0.0, 100.0])
def test_without_sigmas_the_ends_of_the_range_are_whole(model, clip, strength):
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 4)
    found = active(model, phases(clip, strength, None), sigmas)
    assert found == (["text"] + ["person"] * 3 if strength == 0 else ["text"] * 4)


@pytest.mark.parametrize("sampler", ["dpm_2", "dpmpp_sde", "seeds_2", "lms"])
def test_evaluations_within_a_step_belong_to_its_phase(model, clip, sampler):
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "karras", 8)
    found = active(model, phases(clip, 25.0, sigmas), sigmas, sampler)
    each = 1 if sampler == "lms" else 2
    assert found[:3 * each] == ["text"] * 3 * each and set(found[3 * each:]) == {"person"}


def test_no_step_left_for_the_photos_is_said(clip, caplog):
    assert len(phases(clip, 0.0, torch.tensor([14.0, 0.0]))) == 1
    assert "none of the 1 steps of input 'sigmas' is left for the photos" in caplog.text


def test_a_clip_whose_weights_change_is_refused_with_sigmas(clip):
    text = [[torch.zeros(1, 77, 128), {"pooled_output": torch.zeros(1, 64), "clip_start_percent": 0.0, "clip_end_percent": 0.5}]]
    with pytest.raises(ValueError, match="Fabula_EncodeIdentity: input 'clip' has weights that change"):
        identity_story.delayed(text, text, 20.0, torch.tensor([14.0, 9.0, 5.0, 0.0]))


def test_a_panel_without_photos_is_what_encode_story_makes_of_it(clip, encoder, references):
    own = story('[NC] a house prompt_2="soft light"\n[Eve] runs in the forest')
    merged, text_only, _ = encode(clip, encoder, references, own)
    plain, _ = encode_story(clip, own, SIZE, SIZE)
    assert torch.allclose(merged[0][0], plain[0][0], atol=1e-6) and torch.allclose(text_only[0][0], plain[0][0], atol=1e-6)


def test_without_sigmas_it_follows_the_host_s_percent_and_never_has_both(model, clip):
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 20)
    found = active(model, phases(clip, 20.0, None), sigmas)
    assert len(found) == 20 and found == sorted(found, reverse=True) and abs(found.count("text") - 5) <= 1


def test_no_strength_merges_from_the_second_step_on_and_full_strength_never(model, clip):
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 8)
    assert active(model, phases(clip, 0.0, sigmas), sigmas) == ["text"] + ["person"] * 7, "as the official code: step <= 0 goes by the text"
    assert active(model, phases(clip, 100.0, sigmas), sigmas) == ["text"] * 8
    assert set(active(model, phases(clip, 100.0, None), sigmas)) == {"text"}


def test_it_goes_with_consistent_attention_and_with_rescale_cfg(model, clip, encoder, references):
    merged, text_only, negative = encode(clip, encoder, references)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", STEPS)
    positive = identity_story.delayed(text_only, merged, 25.0, sigmas)
    latent = empty_latents(range(6), SIZE, SIZE)
    plain = sample(model, positive, negative, latent, 1, STEPS, 3.0)
    for consistent in (Options(mode="anchors", tile_size=2, id_length=1), Options(mode="batch")):
        together = sample(apply(model, consistent), positive, negative, latent, 1, STEPS, 3.0)
        assert torch.isfinite(together).all() and not torch.allclose(together[3], plain[3])
    rescaled = nodes_model_advanced.RescaleCFG().patch(model, 0.7)[0]
    assert not torch.allclose(sample(rescaled, positive, negative, latent, 1, STEPS, 3.0), plain)


def test_one_panel_alone_is_that_panel_of_the_story(model, clip, encoder, references):
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", STEPS)

    def run(panels):
        merged, text_only, negative = encode(clip, encoder, references, panels=panels)
        positive = identity_story.delayed(text_only, merged, 25.0, sigmas)
        latent = empty_latents(panels, SIZE, SIZE)
        return sample(apply(model, Options(mode="anchors", tile_size=2, id_length=1)), positive, negative, latent, 1, STEPS, 3.0)

    assert torch.equal(run(list(range(6)))[3], run([0, 1, 3])[2])


def test_the_nodes(clip, encoder):
    with torch.inference_mode():
        (references,) = CharacterReference.execute("Mia", torch.rand(2, 64, 64, 3)).args
        (references,) = CharacterReference.execute("Bob", torch.rand(1, 64, 64, 3), references=references, strength=0.5).args
        positive, text_only, negative, latent = EncodeIdentity.execute(clip, encoder, references, story(), "img", 20.0, 128, SIZE).args
    assert references["Bob"].strength == 0.5 and len(references["Mia"].photos) == 2
    assert len(positive) == 2 and len(text_only) == len(negative) == 1 and latent["samples"].shape == (6, 4, SIZE // 8, 16)


def test_photos_of_one_character_may_come_in_two_nodes():
    references = add_reference(add_reference(None, "Mia", torch.rand(2, 64, 64, 3), None, 1.0), "Mia", torch.rand(1, 32, 64, 4), None, 1.0)
    assert len(references["Mia"].photos) == 3
    with pytest.raises(ValueError, match="has strength 1 in one node and 0.5 in another"):
        add_reference(references, "Mia", torch.rand(1, 64, 64, 3), None, 0.5)
    faced = add_reference(None, "Mia", torch.rand(1, 8, 8, 3), torch.rand(1, 512), 1.0)
    with pytest.raises(ValueError, match="512 numbers in one node and 128 in another"):
        add_reference(faced, "Mia", torch.rand(1, 8, 8, 3), torch.rand(1, 128), 1.0)


@pytest.mark.parametrize(("character", "images", "faces", "words"), [
    (" [] ", torch.rand(1, 8, 8, 3), None, "input 'character' is empty"),
    ("Mia", torch.zeros(0, 8, 8, 3), None, "input 'images' holds no picture"),
    ("Mia", torch.zeros(1, 0, 8, 3), None, "input 'images' holds no picture"),
    ("Mia", torch.rand(2, 8, 8, 3), torch.rand(1, 512), "has 1 faces for 2 photos"),
    ("Mia", torch.rand(1, 8, 8, 3), torch.full((1, 512), torch.nan), "one finite row a photo"),
    ("Mia", torch.rand(1, 8, 8, 3), "face", "is no table of numbers"),
    ("Mia", torch.rand(1, 8, 8, 3), [], "is no table of numbers"),
    ("Mia", torch.rand(1, 8, 8, 3), [type("Face", (), {"embedding": None})()], "is no table of numbers"),
    ("Mia", torch.rand(2, 8, 8, 3), [torch.rand(512), torch.rand(128)], "is no table of numbers"),
    ("Mia", torch.rand(1, 8, 8, 3), torch.tensor(1.0), "is no table of numbers"),
    ("Mia", torch.rand(1, 8, 8, 3), torch.rand(1, 0), "is no table of numbers|faces for 1 photos"),
])
def test_references_that_are_refused(character, images, faces, words):
    with pytest.raises(ValueError, match=f"Fabula_CharacterReference: .*{words}"):
        add_reference(None, character, images, faces, 1.0)


def test_face_embeds_come_in_many_shapes():
    rows = torch.rand(2, 512)
    for faces in (rows, rows[None], list(rows), [type("Face", (), {"embedding": row.numpy()})() for row in rows]):
        assert torch.allclose(add_reference(None, "Mia", torch.rand(2, 8, 8, 3), faces, 1.0)["Mia"].faces, rows)


@pytest.mark.parametrize(("lines", "people", "name", "words"), [
    ("[Mia] waves", "[Mia] a girl img", "Zoe", r"input 'references' has photos of \[Zoe\], but the story has \[Mia\]"),
    ('[Mia] waves prompt_2="a hero"', "[Mia] a girl img", "Mia", "panel 1 of input 'story' has prompt_2= and a character with photos"),
])
def test_stories_that_are_refused(clip, encoder, lines, people, name, words):
    references = add_reference(None, name, torch.rand(1, 64, 64, 3), None, 1.0)
    with pytest.raises(ValueError, match=f"Fabula_EncodeIdentity: .*{words}"):
        encode(clip, encoder, references, story(lines, people))


def test_more_photos_than_a_prompt_has_room_for(clip, encoder):
    references = add_reference(None, "Mia", torch.rand(80, 16, 16, 3), None, 1.0)
    with pytest.raises(ValueError, match="the photos of .Mia. take 80 tokens of each prompt, and 75 is the most"):
        encode(clip, encoder, references, story("[Mia] waves", "[Mia] a girl img"))


def test_a_clip_of_another_width(encoder, references, clip):
    wide = id_encoder.IdEncoder("v1", encoder.patcher)
    type_of = type("Wide", (), {"width": 2048, "faces": 0, "image_size": 112})
    wide_sizes = property(lambda self: type_of)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_encoder.IdEncoder, "sizes", wide_sizes)
        with pytest.raises(ValueError, match="input 'clip' gives embeddings of 128 channels, but input 'id_encoder' fuses 2048. PhotoMaker is for SDXL"):
            encode(clip, wide, references)


def test_v2_without_faces(clip, encoder, references):
    sizes_of_v2 = type("V2", (), {"width": 128, "faces": 512, "image_size": 112})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(id_encoder.IdEncoder, "sizes", property(lambda self: sizes_of_v2))
        with pytest.raises(ValueError, match="is PhotoMaker V2, which needs a face embedding of 512 numbers for each photo of .Mia."):
            encode(clip, encoder, references)


def test_no_clip(encoder, references):
    with pytest.raises(ValueError, match="Fabula_EncodeIdentity: input 'clip' is empty"):
        encode(None, encoder, references)


def test_a_saved_character_goes_on_as_the_person_of_the_photos(clip, encoder, references):
    merged, text_only, negative = encode(clip, encoder, references)
    for sigmas in (None, torch.tensor([14.0, 9.0, 5.0, 2.0, 0.0])):
        positive = identity_story.delayed(text_only, merged, 20.0, sigmas)
        held, rows_of = character_file.from_run("node", {"samples": torch.zeros(6, 4, 8, 8)}, positive, negative, "Mia")
        assert rows_of == [0] and torch.equal(held.positive.cross_attn, merged[0][0][:1])
        assert held.words == (merged[0][1][KEY].words[0]["Mia"],)
