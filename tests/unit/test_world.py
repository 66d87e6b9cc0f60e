"""The demo's world: what is drawn is what is said."""

from random import Random

import numpy as np
import torch
from fabula.demo.captions import caption
from fabula.demo.dataset import draw
from fabula.demo.drawing import PART_ID, draw_picture
from fabula.demo.latents import SDXL_SCALE, fold_statistics
from fabula.demo.world import CLOTH, random_pair, random_single, random_strip


def test_a_picture_is_drawn_the_same_again():
    picture = random_single(Random(3))
    assert draw_picture(picture)[0].tobytes() == draw_picture(picture)[0].tobytes()


def test_the_part_map_says_where_each_colour_is():
    for seed in range(8):
        picture = random_single(Random(seed))
        image, parts = (np.array(a) for a in draw_picture(picture))
        who = picture.figures[0].character
        for part, colour in (("top", who.top), ("shoes", who.shoes)):
            shown = np.median(image[parts == PART_ID[part]], axis=0)
            assert np.abs(shown - np.array(CLOTH[colour])).max() < 12, (seed, part)


def test_a_twins_picture_holds_both():
    _, parts = draw_picture(random_pair(Random(1), twins=True))
    assert {v // 7 for v in np.unique(parts)} == {0, 1}


def test_a_strip_keeps_its_character_and_changes_its_place():
    strip = random_strip(Random(5), 2)
    assert strip[0].figures[0].character == strip[1].figures[0].character
    assert draw(strip).size == (512, 256)


def test_captions_leave_attributes_out():
    picture = random_single(Random(2))
    who = picture.figures[0].character
    texts = [caption((picture,), Random(i)) for i in range(200)]
    named = sum(f"{who.shoes} shoes" in text for text in texts) / len(texts)
    assert 0.2 < named < 0.7
    assert all(who.kind in text for text in texts)


def test_folding_gives_the_latents_unit_variance_and_the_decoder_the_old_ones():
    torch.manual_seed(0)
    weights = {
        "quant_conv.weight": torch.randn(8, 8, 1, 1), "quant_conv.bias": torch.randn(8),
        "post_quant_conv.weight": torch.randn(4, 4, 1, 1), "post_quant_conv.bias": torch.randn(4),
    }
    hidden = torch.randn(50, 8, 6, 6)

    def encode(w):
        return torch.nn.functional.conv2d(hidden, w["quant_conv.weight"], w["quant_conv.bias"])[:, :4]

    def decode(w, z):
        return torch.nn.functional.conv2d(z, w["post_quant_conv.weight"], w["post_quant_conv.bias"])

    before = encode(weights)
    folded = fold_statistics(weights, before.mean((0, 2, 3)), before.std((0, 2, 3)))
    after = encode(folded)
    assert torch.allclose((after * SDXL_SCALE).std((0, 2, 3)), torch.ones(4), atol=1e-3)
    assert torch.allclose(decode(folded, after), decode(weights, before), atol=1e-4)
