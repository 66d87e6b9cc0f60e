"""The demo's PhotoMaker: drawings of a character make the panels' character that one."""

from random import Random
from statistics import mean

import pytest
import torch
from fabula.demo import models, weights
from fabula.demo.captions import article
from fabula.demo.drawing import draw_picture
from fabula.demo.reader import attributes_right, load_reader, read
from fabula.demo.world import random_character, random_figure, random_scene
from fabula.host import id_encoder, identity_story
from fabula.host.encode_story import Rows, empty_latents
from fabula.host.images import to_images, to_pixels
from fabula.host.references import Reference
from fabula.host.render import sample
from fabula.story.script import parse_story

CHARACTERS, STEPS = 4, 12


@pytest.fixture(scope="module")
def shares():
    """Of the characters' attributes in two panels each, the share that is right: by the words alone, and with drawings."""
    id_encoder.register()
    model, clip, vae, reader = models.load_model(), models.load_clip(), models.load_vae(), load_reader()
    encoder, checkpoint = id_encoder.load_photomaker(weights.PHOTOMAKER.name)
    patched = id_encoder.apply_lora(model, checkpoint, 1.0)
    found = {"words": [], "drawings": []}
    for number in range(CHARACTERS):
        rng = Random(f"identity test {number}")
        who = random_character(rng)
        drawings = tuple(draw_picture(random_scene(rng, (random_figure(rng, who),)))[0] for _ in range(2))
        story = parse_story(f"[Hero] {article(who.kind)} img", "[Hero] waving in a meadow\n[Hero] running in the city", "(No style)", "")
        rows = Rows(story, range(2), 256, 256)
        with torch.inference_mode():
            merged, text_only, negative = identity_story.encode_identity(clip, encoder, {"Hero": Reference(drawings)}, "img", rows)
            for name, net, positive in (("words", model, text_only), ("drawings", patched, identity_story.delayed(text_only, merged, 10.0, None))):
                latents = sample(net, positive, negative, empty_latents(range(2), 256, 256), number, STEPS, 4.0)
                pixels = to_pixels(to_images(vae.decode(latents))).permute(0, 3, 1, 2)
                found[name] += [mean(attributes_right(who, reading)) for reading in read(reader, pixels)]
    return {name: mean(each) for name, each in found.items()}


def test_the_panels_show_the_character_of_the_drawings(shares):
    assert shares["drawings"] > 0.65 and shares["drawings"] > shares["words"] + 0.25


def test_the_shipped_file_is_a_photomaker_that_fits_the_demo():
    id_encoder.register()
    encoder, checkpoint = id_encoder.load_photomaker(weights.PHOTOMAKER.name)
    assert encoder.version == "v1" and encoder.sizes.width == 128
    assert len(id_encoder.apply_lora(models.load_model(), checkpoint, 1.0).patches) == 64
