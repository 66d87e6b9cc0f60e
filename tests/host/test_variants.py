"""Several pictures of each panel, under the host's own sampling."""

import comfy.sample
import pytest
import torch
from fabula.host.consistent_attention import Options, apply
from fabula.host.encode_story import chosen_panels, empty_latents, encode_story
from fabula.host.render import sample
from fabula.host.story_rows import KEY
from fabula.story.script import parse_story

SIZE, STEPS = 64, 3
STORY = parse_story("[Mia] a girl\n[Bob] an old man", "[Mia] waves\n[Bob] sits\n[Mia] runs seed=7\n[Mia] meets [Bob]", "(No style)", "")


def made(clip, images_per_panel, panels=""):
    chosen = chosen_panels(STORY, panels, 1)
    conditioning = encode_story(clip, STORY, SIZE, SIZE, chosen, images_per_panel)
    return conditioning, empty_latents(chosen, SIZE, SIZE, images_per_panel, len(STORY.panels))


@pytest.fixture()
def tell(model, clip):
    def told(images_per_panel, panels="", sampler="euler", **options):
        conditioning, latent = made(clip, images_per_panel, panels)
        net = apply(model, Options(**{"id_length": 1, "tile_size": 2, **options}))
        with torch.inference_mode():
            return sample(net, *conditioning, latent, 1, STEPS, 3.0, sampler)

    return told


def test_rows_are_repeated_panel_by_panel(clip):
    (positive, negative), latent = made(clip, 3)
    rows = positive[0][1][KEY]
    assert rows.panels == (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3) and rows.variants == (0, 1, 2) * 4
    assert rows.seeds == (None,) * 6 + (7, 8, 9) + (None,) * 3
    assert len(positive[0][0]) == len(negative[0][0]) == len(latent["samples"]) == 12
    assert torch.equal(positive[0][0][3], positive[0][0][5]) and not torch.equal(positive[0][0][3], positive[0][0][6])
    assert len(set(latent["batch_index"])) == 12 and latent["batch_index"][::3] == [0, 1, 2, 3]


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "dpmpp_sde"])
@pytest.mark.parametrize("options", [{}, {"subject": "off"}], ids=["auto", "off"])
def test_the_first_pictures_are_the_story_drawn_once_and_the_others_are_others(tell, sampler, options):
    once, twice = tell(1, sampler=sampler, **options), tell(2, sampler=sampler, **options)
    assert torch.equal(twice[::2], once)
    assert all((a - b).abs().max() > 0.1 * a.std() for a, b in zip(twice[::2], twice[1::2]))


@pytest.mark.parametrize("mode", ["window", "batch"])
def test_so_it_is_in_the_other_modes(tell, mode):
    once, twice = tell(1, mode=mode, tile_size=3), tell(2, mode=mode, tile_size=3)
    assert torch.equal(twice[::2], once) and not torch.allclose(twice[1::2], once, atol=1e-2)


def test_a_chosen_panel_has_the_pictures_of_the_whole_story(tell):
    whole, chosen = tell(2), tell(2, panels="4")
    assert torch.equal(chosen[-2:], whole[-2:])


def test_a_telling_sees_its_own_anchors_alone(tell, model, clip):
    """Another first picture of panel 1 changes the first pictures of her other panels, and no second one."""
    conditioning, latent = made(clip, 2)
    changed = {**latent, "batch_index": [99, *latent["batch_index"][1:]]}
    net = apply(model, Options(id_length=1, tile_size=2, subject="off"))
    with torch.inference_mode():
        before, after = (sample(net, *conditioning, each, 1, STEPS, 3.0) for each in (latent, changed))
    assert [row for row in range(8) if not torch.equal(before[row], after[row])] == [0, 4, 6]


def test_all_tellings_are_one_bar_and_the_last_report_has_every_picture(model, clip):
    conditioning, latent = made(clip, 2)
    steps, sizes = [], []

    def callback(step, x0, x, total):
        steps.append((step, total))
        sizes.append(len(x0))

    noise = comfy.sample.prepare_noise(latent["samples"], 1, latent["batch_index"])
    with torch.inference_mode():
        comfy.sample.sample(apply(model, Options(id_length=1, tile_size=2)), noise, STEPS, 3.0, "euler", "normal", *conditioning, latent["samples"],
                            callback=callback, disable_pbar=True, seed=1)
    numbers = [step for step, _ in steps]
    assert numbers == sorted(numbers) and {total for _, total in steps} == {steps[-1][0] + 1} and sizes[-1] == 8
