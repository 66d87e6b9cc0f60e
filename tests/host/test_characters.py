"""Saved and pictured characters: a story goes on with a character of another one."""

import asyncio

import comfy.sample
import fabula
import folder_paths
import pytest
import torch
from fabula.demo import sizes
from fabula.host import character_file, demo_models, folders
from fabula.host.consistent_attention import Options, apply
from fabula.host.encode_story import empty_latents, encode_story
from fabula.host.render import sample
from fabula.story.script import parse_story
from safetensors import safe_open

SIZE, STEPS = 64, 3
FIRST = "[Mia] waves\n[Mia] runs\n[Bob] sits\n[Mia] meets [Bob]"
NEXT = "[Mia] sleeps\n[Bob] jumps\n[Bob] runs\n[Mia] meets [Bob]"


@pytest.fixture()
def nodes():
    extension = asyncio.run(fabula.comfy_entrypoint())
    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}


@pytest.fixture()
def folder(tmp_path, monkeypatch):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, folders.CHARACTERS, ([str(tmp_path)], {".safetensors"}))
    return tmp_path


@pytest.fixture()
def tell(model, clip):
    def told(panels, seed=1, size=SIZE, people="[Mia] a girl\n[Bob] an old man", sampler="euler", before=(), noise_mask=None, **options):
        story = parse_story(people, panels, "(No style)", "")
        positive, negative = encode_story(clip, story, size, size)
        latent = {**empty_latents(range(len(story.panels)), size, size), "noise_mask": noise_mask}
        net = model
        for each in before:
            net = apply(net, each)
        net = apply(net, Options(**{"schedule": "always", "tile_size": 2, "id_length": 2, **options}))
        with torch.inference_mode():
            return sample(net, positive, negative, latent, seed, STEPS, 3.0, sampler), positive, negative

    return told


@pytest.fixture()
def mia(tell, nodes, folder):
    samples, positive, negative = tell(FIRST)
    nodes["Fabula_SaveCharacter"].execute({"samples": samples}, positive, negative, "Mia", "girls/mia", torch.rand(4, 600, 400, 3))
    return nodes["Fabula_LoadCharacter"].execute("girls/mia_00001_.safetensors").result[0]


def test_a_file_has_the_solo_panels_their_prompts_a_thumbnail_and_the_name(mia, tell, folder):
    samples, positive, negative = tell(FIRST)
    assert torch.equal(mia.latents, samples[:2])
    assert torch.equal(mia.positive.cross_attn, positive[0][0][:2]) and torch.equal(mia.negative.cross_attn, negative[0][0][:2])
    assert torch.equal(mia.positive.pooled, positive[0][1]["pooled_output"][:2])
    with safe_open(folder / "girls" / "mia_00001_.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["character"] == "Mia" and metadata["thumbnail"].startswith("data:image/jpeg;base64,")


def test_saving_again_writes_another_file(mia, tell, nodes, folder):
    samples, positive, negative = tell(FIRST)
    before = (folder / "girls" / "mia_00001_.safetensors").read_bytes()
    nodes["Fabula_SaveCharacter"].execute({"samples": samples * 2}, positive, negative, "Mia", "girls/mia")
    assert sorted(path.name for path in (folder / "girls").iterdir()) == ["mia_00001_.safetensors", "mia_00002_.safetensors"]
    assert (folder / "girls" / "mia_00001_.safetensors").read_bytes() == before


@pytest.mark.parametrize("mode, changed", [("anchors", [0, 3]), ("batch", [0, 1, 2, 3]), ("window", [0, 1, 2, 3])])
@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral"])
def test_a_new_story_sees_the_saved_character(mia, tell, mode, changed, sampler):
    """In anchors mode those panels alone that name her; in the others, through them, all that share a character with those."""
    without = None if mode == "anchors" else tell(NEXT, mode=mode, sampler=sampler)[0]
    with_her = tell(NEXT, mode=mode, sampler=sampler, character=mia)[0]
    other = character_file.HeldCharacter(mia.name, mia.latents * -1, mia.positive, mia.negative)
    with_another = tell(NEXT, mode=mode, sampler=sampler, character=other)[0]
    assert with_her.shape == (4, 4, 8, 8) and torch.isfinite(with_her).all()
    assert [row for row in range(4) if not torch.equal(with_her[row], with_another[row])] == changed
    if without is not None:
        assert not torch.allclose(without, with_her)


def test_her_pictures_are_held_as_they_are_at_every_step(mia, model):
    """What the net is given for her rows is her clean latent with the step's noise, whatever the sampler does."""
    held, watched = [], model.clone()

    def watch(call, given):
        rows = len(given["input"]) // len(given["cond_or_uncond"])
        held.append((given["input"][: len(mia.latents)].clone(), float(given["timestep"][0])))  # they stand before the panel
        assert rows == len(mia.latents) + 1
        return call(given["input"], given["timestep"], **given["c"])

    watched.set_model_unet_function_wrapper(watch)
    conditioning = [[[part.cross_attn[:1], {"pooled_output": part.pooled[:1]}]] for part in (mia.positive, mia.negative)]
    with torch.inference_mode():
        sample(apply(watched, Options(schedule="always", character=mia)), *conditioning, empty_latents(range(1), SIZE, SIZE), 1, STEPS, 3.0)
    noises = [(x - model.model.process_latent_in(mia.latents)) / sigma for x, sigma in held]
    assert len(noises) == STEPS and len({sigma for _, sigma in held}) == STEPS
    assert all(torch.allclose(noise, noises[0], atol=1e-2) for noise in noises)
    assert 0.7 < noises[0].std() < 1.3


def test_two_saved_characters_come_in_by_two_nodes(mia, tell):
    bob = character_file.HeldCharacter("Bob", mia.latents * -1, mia.positive, mia.negative)
    both = tell(NEXT, before=[Options(schedule="always", tile_size=2, id_length=2, character=mia)], character=bob)[0]
    only = tell(NEXT, character=mia)[0]
    assert torch.allclose(both[0], only[0], atol=0.05)
    assert not torch.allclose(both[1], only[1], atol=0.05)


def test_one_character_in_both_nodes_of_a_chain_is_one_and_two_of_a_name_are_refused(mia, tell):
    halves = dict(before=[Options(schedule="always", tile_size=2, id_length=2, end_percent=0.5, character=mia)], start_percent=0.5)
    assert torch.allclose(tell(NEXT, character=mia, **halves)[0], tell(NEXT, character=mia)[0], atol=0.05)
    with pytest.raises(ValueError, match=r"'character' is \[Mia\] in two nodes"):
        tell(NEXT, character=character_file.HeldCharacter("Mia", mia.latents * 2, mia.positive, mia.negative), **halves)


def test_prompts_of_any_two_lengths_go_together(mia, tell):
    """Her saved prompts, 77 tokens long, beside ones of 154: the same tokens twice say the same."""
    twice = [character_file.Encoded(part.cross_attn.repeat(1, 2, 1), part.pooled) for part in (mia.positive, mia.negative)]
    story = NEXT + " in a house by the sea" * 20
    short, long = (tell(story, character=character_file.HeldCharacter("Mia", mia.latents, *parts))[0] for parts in ((mia.positive, mia.negative), twice))
    assert torch.allclose(short, long, atol=0.05) and not torch.allclose(short, tell(story)[0], atol=0.05)


@pytest.mark.parametrize("mode", ["anchors", "batch", "window"])
@pytest.mark.parametrize("shape", [(4, 1, 64, 64), (4, 64, 64), (1, 1, 64, 64), (64, 64)])
def test_masks_of_the_users_go_with_their_panels(mia, tell, shape, mode):
    mask = torch.ones(shape)
    mask[..., :32] = 0  # the left half stays as it is: empty
    mask[:1].zero_() if mask.ndim > 2 and len(mask) > 1 else None
    drawn = tell(NEXT, mode=mode, character=mia, noise_mask=mask)[0]
    kept = drawn[..., :4].abs().amax((1, 2, 3)) < 1e-3
    assert kept.all() and (drawn[..., 4:].abs().amax((1, 2, 3)) < 1e-3).tolist() == [len(shape) > 2 and shape[0] > 1, False, False, False]


def test_sampling_in_two_parts_with_a_character_is_sampling_in_one(mia, model, clip):
    story = parse_story("[Mia] a girl\n[Bob] an old man", NEXT, "(No style)", "")
    positive, negative = encode_story(clip, story, SIZE, SIZE)
    latent = empty_latents(range(4), SIZE, SIZE)
    noise = comfy.sample.prepare_noise(latent["samples"], 1, latent["batch_index"])
    net = apply(model, Options(schedule="always", tile_size=2, id_length=2, sampling_rate=1.0, subject="off", character=mia))

    def part(noise, start, first, last):
        with torch.inference_mode():
            return comfy.sample.sample(
                net, noise, 4, 3.0, "euler", "normal", positive, negative, start, start_step=first, last_step=last,
                force_full_denoise=last == 4, disable_noise=first > 0, disable_pbar=True, seed=1,
            )

    whole = part(noise, latent["samples"], 0, 4)
    half = part(noise, latent["samples"], 0, 2)
    assert torch.allclose(part(torch.zeros_like(noise), half, 2, 4), whole, atol=1e-2 * float(whole.std()))


def test_a_pictured_character_is_its_encoded_pictures(nodes, tell):
    torch.manual_seed(5)
    module = demo_models.autoencoder_module(sizes.VAE)
    demo_models.initialise(module)
    vae = demo_models.load_vae(sizes.VAE, module.state_dict())
    _, positive, negative = tell(NEXT)
    pictures = torch.rand(2, SIZE, SIZE, 4)
    character = nodes["Fabula_PictureCharacter"].execute(vae, pictures, positive, negative, "Mia").result[0]
    assert torch.equal(character.latents, vae.encode(pictures[..., :3]))
    assert not torch.allclose(tell(NEXT, character=character)[0][0], tell(NEXT)[0][0])


def test_bad_files_and_names_are_refused_with_the_remedy(mia, tell, nodes, folder):
    load = nodes["Fabula_LoadCharacter"].execute
    whole = (folder / "girls" / "mia_00001_.safetensors").read_bytes()
    (folder / "short.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "none.safetensors").write_bytes(b"no tensors")
    for name, message in (("short", "cannot be read"), ("none", "cannot be read"), ("gone", "not in models/fabula_characters")):
        with pytest.raises(ValueError, match=f"Fabula_LoadCharacter: input 'character_name'.*{message}"):
            load(f"{name}.safetensors")
    samples, positive, negative = tell(FIRST)
    with pytest.raises(ValueError, match="Fabula_SaveCharacter: input 'character' is 'Eve'.*Mia, Bob"):
        nodes["Fabula_SaveCharacter"].execute({"samples": samples}, positive, negative, "Eve", "x")
    with pytest.raises(ValueError, match="Fabula_SaveCharacter: input .filename_prefix. is .* leads out of the folder"):
        nodes["Fabula_SaveCharacter"].execute({"samples": samples}, positive, negative, "Mia", "../../x")


def test_a_character_of_another_story_size_or_family_is_refused(mia, tell):
    with pytest.raises(ValueError, match=r"'character' is \[Mia\], but the story has \[Eve\]"):
        tell("[Eve] runs", people="[Eve] a girl", character=mia)
    with pytest.raises(ValueError, match="drawn at 64 x 64 pixels.*128 x 128"):
        tell(NEXT, size=128, character=mia)
    wide = character_file.HeldCharacter("Mia", torch.zeros(2, 16, 8, 8), mia.positive, mia.negative)
    with pytest.raises(ValueError, match="16 channels.*4.*another family"):
        tell(NEXT, character=wide)
    text = character_file.Encoded(torch.zeros(2, 77, 768), None)
    with pytest.raises(ValueError, match="768 channels.*128.*another family"):
        tell(NEXT, character=character_file.HeldCharacter("Mia", mia.latents, text, text))
