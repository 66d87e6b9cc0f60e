"""Modes `anchors` and `window`: a story in pieces, under the host's own sampling."""

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_management
import comfy.ops
import comfy.sample
import pytest
import torch
from fabula.demo import sizes
from fabula.host import demo_models
from fabula.host.consistent_attention import Options, apply
from fabula.host.encode_story import chosen_panels, empty_latents, encode_story
from fabula.host.render import sample
from fabula.story.script import parse_story

SIZE, STEPS = 64, 3
LINES = [
    "[Mia] waves in the forest", "[Mia] runs on the beach", "[Bob] sits in the city", "[NC] a house at night", "[Mia] meets [Bob]",
    "[Mia] reads a book", "[Bob] jumps", "[Bob] waves at sunset", "[Mia] sleeps in the bedroom", "[Mia] jumps in the snow",
]


def write(lines=LINES, people="[Mia] a girl\n[Bob] an old man"):
    return parse_story(people, "\n".join(lines), "(No style)", "")


@pytest.fixture()
def tell(model, clip):
    """Samples a story, or `panels` of it; returns the latents by panel, from 1."""

    def told(story, panels="", net=None, sampler="euler", size=(SIZE, SIZE), seed=1, denoise=1.0, latents=None, change=None, **options):
        chosen = chosen_panels(story, panels, options.get("id_length", 2))
        positive, negative = encode_story(clip, story, *size, chosen)
        if change:
            positive, negative = change(positive, negative)
        latent = latents or empty_latents(chosen, *size)
        with torch.inference_mode():
            patched = apply(net or model, Options(**{"schedule": "always", "tile_size": 3, "id_length": 2, **options}))
            found = sample(patched, positive, negative, latent, seed, STEPS, 3.0, sampler, denoise=denoise)
        return {panel + 1: picture for panel, picture in zip(chosen, found)}

    return told


def close(a, b):
    """Up to rounding: kernels may sum in another order for another batch size."""
    return (a - b).abs().max() < 2e-3 * a.std()


def same(a, b):
    return [panel for panel in a if panel in b and torch.equal(a[panel], b[panel])]


def test_drawing_one_panel_anew_leaves_the_others_bit_for_bit(tell):
    whole = tell(write())
    again = tell(write([*LINES[:5], LINES[5] + " seed=7", *LINES[6:]]))
    assert same(whole, again) == [1, 2, 3, 4, 5, 7, 8, 9, 10]


def test_a_seed_in_the_script_is_the_seed_of_a_single_picture(tell):
    alone = write(["[NC] a house at night"])
    assert torch.equal(tell(alone, seed=7)[1], tell(write(["[NC] a house at night seed=7"]), seed=1)[1])


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "dpmpp_2m_sde", "dpmpp_sde", "lcm", "heun", "res_multistep_ancestral", "dpmpp_2m_sde_heun"])
def test_some_panels_alone_are_those_of_the_whole_story(tell, sampler):
    story = write()
    whole, some = tell(story, sampler=sampler), tell(story, "6,9-10", sampler=sampler)
    assert list(some) == [1, 2, 6, 9, 10]
    assert same(some, whole) == list(some)


def test_the_largest_seeds_of_the_host_are_seeds_here(tell):
    story = write([*LINES[:9], LINES[9] + f" seed={2**64 - 1}"])
    assert all(torch.isfinite(picture).all() for picture in tell(story, seed=2**64 - 1, sampler="dpmpp_2m_sde").values())


def test_patches_that_know_windows_are_told_which_rows_they_see(tell, model):
    told, net = [], model.clone()

    def watch(out, options):
        told.append((options["ad_params"]["sub_idxs"], options["ad_params"]["full_length"]))
        return out

    net.set_model_attn2_output_patch(watch)
    for mode, expected in (("anchors", [[0, 1, 2, 3, 4], [0, 1, 5, 6, 7]]), ("window", [[row, row + 1, row + 2] for row in range(6)])):
        told.clear()
        tell(write([LINES[0]] * 8), net=net, mode=mode)
        assert sorted({tuple(rows) for rows, _ in told}) == [tuple(rows) for rows in expected] and {whole for _, whole in told} == {8}


def test_an_anchor_that_changes_changes_the_panels_of_its_character_alone(tell):
    whole = tell(write())
    changed = tell(write(["[Mia] runs in the desert", *LINES[1:]]))
    assert same(whole, changed) == [3, 4, 7, 8]


@pytest.mark.parametrize("more", [", tall trees and quiet birds" * 30, " BREAK tall trees"])
def test_a_long_prompt_changes_no_other_panel(tell, more):
    """Up to rounding: all rows of a batch become as long."""
    whole, changed = tell(write()), tell(write([*LINES[:9], LINES[9] + more]))
    assert [panel for panel in whole if not close(changed[panel], whole[panel])] == [10]


def test_a_panel_without_characters_is_as_it_is_without_the_patch(tell, model, clip):
    story = write()
    positive, negative = encode_story(clip, story, SIZE, SIZE)
    with torch.inference_mode():
        plain = sample(model, positive, negative, empty_latents(range(10), SIZE, SIZE), 1, STEPS, 3.0)
    assert close(tell(story)[4], plain[3])
    assert not close(tell(story)[6], plain[5])


@pytest.mark.parametrize("tile_size", [1, 16])
def test_the_tile_size_changes_memory_and_not_the_pictures(tell, tile_size):
    whole, other = tell(write()), tell(write(), tile_size=tile_size)
    assert all(close(whole[panel], other[panel]) for panel in whole)


@pytest.mark.parametrize("mode", ["anchors", "window"])
def test_the_net_never_sees_more_panels_at_once_than_a_tile_has(tell, model, mode):
    rows, net = set(), model.clone()
    net.set_model_unet_function_wrapper(lambda call, given: (rows.add(len(given["input"])), call(given["input"], given["timestep"], **given["c"]))[1])
    tell(write(people="[Mia] a girl", lines=[LINES[0]] * 12), net=net, mode=mode)
    assert rows == {2 * (3 if mode == "window" else 2 + 3)}


def test_a_window_as_wide_as_the_story_is_a_batch(tell):
    story = write()
    wide, batch = tell(story, mode="window", tile_size=16), tell(story, mode="batch")
    assert same(wide, batch) == list(batch)
    assert not same(tell(story, mode="window", tile_size=3), batch)


def test_windows_average_what_each_of_them_predicts(model, clip):
    """One step of 4 panels in windows of 3 is the mean of the two windows sampled by themselves."""
    story = write(LINES[:2] + LINES[5:6] + LINES[8:9])
    positive, negative = encode_story(clip, story, SIZE, SIZE)

    def step(rows, mode):
        part = [[t[0][rows], {**t[1], "pooled_output": t[1]["pooled_output"][rows]}] for t in (positive[0], negative[0])]
        for entry in part:
            entry[1].pop("fabula")
        with torch.inference_mode():
            net = apply(model, Options(mode=mode, schedule="always", tile_size=3, sampling_rate=1.0))
            return sample(net, *([entry] for entry in part), empty_latents(rows, SIZE, SIZE), 1, 1, 3.0)

    got, first, second = step([0, 1, 2, 3], "window"), step([0, 1, 2], "batch"), step([1, 2, 3], "batch")
    expected = torch.stack([first[0], (first[1] + second[0]) / 2, (first[2] + second[1]) / 2, second[2]])
    assert close(got, expected)


@pytest.mark.parametrize("mode", ["anchors", "window"])
def test_conditioning_of_each_row_goes_with_its_row(tell, mode):
    """Masks, prompts and pooled outputs: rows that differ, cut up or not, give the same pictures."""

    def masked(positive, negative):
        mask = torch.rand(10, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(3)).round()
        return [*positive, [positive[0][0] * -1, {**positive[0][1], "mask": mask, "mask_strength": 1.0}]], negative

    story = write(["[NC] " + line.replace("[Mia]", "a girl").replace("[Bob]", "a man").replace("[NC] ", "") for line in LINES])
    latents = {**empty_latents(range(10), SIZE, SIZE), "noise_mask": torch.rand(10, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(4)).round()}
    whole = tell(story, mode="batch", change=masked, latents=latents)
    cut = tell(story, mode=mode, change=masked, latents=latents)
    assert all(close(whole[panel], cut[panel]) for panel in whole)
    assert not close(whole[1], tell(story, mode=mode)[1])


def controlnet(hint):
    """The host's ControlNet with a small net of random weights."""
    torch.manual_seed(3)
    config = {k: v for k, v in sizes.UNET.items() if k not in ("out_channels", "transformer_depth_output")}
    net = comfy.cldm.cldm.ControlNet(**config, hint_channels=3, dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    demo_models.initialise(net)
    cpu = torch.device("cpu")
    return comfy.controlnet.ControlNet(net.eval(), load_device=cpu).set_cond_hint(hint)


@pytest.mark.parametrize("mode", ["anchors", "window"])
def test_hints_of_controlnets_go_with_their_rows(tell, mode):
    def controlled(positive, negative):
        first = controlnet(torch.rand(10, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))
        second = controlnet(torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2)))
        second.set_previous_controlnet(first)
        return [[positive[0][0], {**positive[0][1], "control": second, "control_apply_to_uncond": True}]], negative

    story = write(["[NC] a house"] * 10)
    whole, cut = tell(story, mode="batch", change=controlled), tell(story, mode=mode, change=controlled)
    assert all(close(whole[panel], cut[panel]) for panel in whole)
    assert not close(whole[9], tell(story, mode=mode)[9])


@pytest.mark.parametrize("sampler", ["euler", "dpm_fast"])
def test_the_last_report_has_every_panel(model, clip, sampler):
    """dpm_fast counts its steps in threes: no report says that it is a tile's last."""
    story = write()
    positive, negative = encode_story(clip, story, SIZE, SIZE)
    reports, latent = [], empty_latents(range(10), SIZE, SIZE)
    noise = comfy.sample.prepare_noise(latent["samples"], 1, latent["batch_index"])
    with torch.inference_mode():
        comfy.sample.sample(
            apply(model, Options(schedule="always", tile_size=3, id_length=2)), noise, 6, 3.0, sampler, "normal", positive, negative, latent["samples"],
            seed=1, disable_pbar=True, callback=lambda step, x0, x, total: reports.append(x0.clone()),
        )
    assert len(reports[-1]) == 10 and all(row.any() for row in reports[-1])
    assert torch.equal(reports[-1][[0, 1, 2]], reports[len(reports) // 2 - 1][[0, 1, 2]])  # from the first tile


def test_all_tiles_are_one_bar_and_the_last_report_has_every_panel(model, clip):
    story = write()
    positive, negative = encode_story(clip, story, SIZE, SIZE)
    reports = []
    latent = empty_latents(range(10), SIZE, SIZE)
    noise = comfy.sample.prepare_noise(latent["samples"], 1, latent["batch_index"])
    with torch.inference_mode():
        result = comfy.sample.sample(
            apply(model, Options(schedule="always", tile_size=3, id_length=2)), noise, STEPS, 3.0, "euler", "normal", positive, negative, latent["samples"],
            seed=1, disable_pbar=True, callback=lambda step, x0, x, total: reports.append((step, total, len(x), x0)),
        )
    tiles = 2  # six panels beside four anchors
    # And one last report, of all panels.
    steps = [*range(tiles * STEPS), tiles * STEPS - 1]
    assert [(step, total) for step, total, *_ in reports] == [(step, tiles * STEPS) for step in steps]
    assert [rows for _, _, rows, _ in reports] == [7] * STEPS + [3] * STEPS + [10]
    assert close(model.model.process_latent_out(reports[-1][3].cpu()), result)


def test_an_interrupt_in_the_second_tile_leaves_the_next_run_as_it_would_be(tell, model):
    expected, calls = tell(write()), []

    def interrupt(out, options):
        calls.append(1)
        if len(calls) == 8 * STEPS + 4:  # eight layers a step
            raise comfy.model_management.InterruptProcessingException
        return out

    net = model.clone()
    net.set_model_attn1_output_patch(interrupt)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        tell(write(), net=net)
    assert len(calls) == 8 * STEPS + 4
    assert same(expected, tell(write())) == list(expected)
    assert same(expected, tell(write(), net=net)) == list(expected)  # the same patched model, too


def test_without_a_story_the_first_latents_are_the_anchors_of_all(model, clip):
    positive, negative = encode_story(clip, write(["[NC] a house"]), SIZE, SIZE)
    for conditioning in (positive, negative):
        conditioning[0][1].pop("fabula")
    net = apply(model, Options(schedule="always", id_length=2))

    def pictures(latents):
        with torch.inference_mode():
            return sample(net, positive, negative, {"samples": torch.zeros(6, 4, 8, 8), "batch_index": latents}, 1, STEPS, 3.0)

    first, other_panel, other_anchor = pictures([0, 1, 2, 3, 4, 5]), pictures([0, 1, 9, 3, 4, 5]), pictures([0, 9, 2, 3, 4, 5])
    assert [row for row in range(6) if torch.equal(first[row], other_panel[row])] == [0, 1, 3, 4, 5]
    assert not any(torch.equal(first[row], other_anchor[row]) for row in range(6))


def test_a_character_who_is_never_alone_is_refused_and_one_who_is_rarely_is_warned_of(tell, caplog):
    together = ["[Mia] meets [Bob]", "[Mia] waves", "[Mia] runs", "[Bob] meets [Mia]"]
    with pytest.raises(ValueError, match=r"Fabula_ConsistentAttention: \[Bob\] is never alone.*'panels' of Fabula_Story.*'batch'"):
        tell(write(together))
    tell(write([*together, "[Bob] waves"]))
    assert sum("[Bob] is alone in 1 panel" in record.message for record in caplog.records) == 1


def test_panels_without_the_anchors_that_they_need_are_refused(model, clip):
    story = write()
    chosen = chosen_panels(story, "9", 1)
    positive, negative = encode_story(clip, story, SIZE, SIZE, chosen)
    with pytest.raises(ValueError, match=r"'id_length' is 2, so \[Mia\] also needs panel 2 .*'id_length' of Fabula_EncodeStory"):
        sample(apply(model, Options(id_length=2)), positive, negative, empty_latents(chosen, SIZE, SIZE), 1, STEPS, 3.0)


def test_a_choice_of_panels_may_have_the_signs_of_other_keyboards():
    assert chosen_panels(write(), "6\uff0c4\u30018\u20139", 1) == chosen_panels(write(), "6,4,8-9", 1)


@pytest.mark.parametrize("text", ["0", "11", "x", "3-2", "4,", "-3"])
def test_a_choice_of_panels_that_the_story_does_not_have_is_refused(text):
    with pytest.raises(ValueError, match="Fabula_EncodeStory: input 'panels' is .*from 1 to 10.*4,7-9"):
        chosen_panels(write(), text, 2)


@pytest.mark.parametrize("mode", ["anchors", "batch", "window"])
def test_with_masks_only_the_characters_tokens_reach_the_other_panels(tell, mode):
    """All of panel 1 but a corner is hidden: the others are as if it had nothing to share but that corner."""
    story = write(LINES[:2] + LINES[5:6], people="[Mia] a girl")
    nothing, corner = torch.zeros(3, SIZE, SIZE), torch.zeros(3, SIZE, SIZE)
    corner[:, : SIZE // 2, : SIZE // 2] = 1
    plain = tell(write(["[NC] " + line.replace("[Mia]", "a girl") for line in LINES[:2] + LINES[5:6]]), mode=mode)
    hidden, some, whole = (tell(story, mode=mode, subject_masks=masks) for masks in (nothing, corner, None))
    assert all(close(hidden[panel], plain[panel]) for panel in plain)
    assert not any(close(some[panel], hidden[panel]) or close(some[panel], whole[panel]) for panel in plain)


def test_more_or_fewer_masks_than_panels_are_refused(tell):
    with pytest.raises(ValueError, match="'subject_masks' has 4 masks.*10 panels"):
        tell(write(), subject_masks=torch.ones(4, SIZE, SIZE))
