"""What the consistency bench measures."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from fabula.demo import weights
from fabula.demo.reader import Reading, load_reader, read, to_lab
from fabula.demo.train_reader import accuracy, draw_examples

FILE = Path(__file__).resolve().parents[2] / "bench" / "consistency.py"
sys.path.append(str(FILE.parent))
spec = importlib.util.spec_from_file_location("consistency", FILE)
consistency = importlib.util.module_from_spec(spec)
spec.loader.exec_module(consistency)

NOBODY = torch.zeros(64, 64, dtype=torch.bool)
RED, BLUE = torch.tensor([53.0, 80.0, 67.0]), torch.tensor([32.0, 79.0, -108.0])


def reading(**colours):
    return Reading({}, colours, torch.zeros(16, 16, 3), NOBODY)


def test_lab_of_known_colours():
    rgb = torch.tensor([[[1.0, 1, 1], [0, 0, 0], [1, 0, 0]]]).permute(0, 2, 1)[..., None]
    expected = torch.tensor([[100.0, 0, 0], [0, 0, 0], [53.2, 80.1, 67.2]])
    assert (to_lab(rgb)[0, :, :, 0].T - expected).abs().max() < 0.5


def test_the_same_character_has_no_distance():
    assert consistency.character_distance([reading(top=RED, hair=BLUE)] * 3, missing=50) == 0


def test_each_changed_part_adds_its_share():
    changed = [reading(top=RED, hair=RED), reading(top=BLUE, hair=RED)]
    assert consistency.character_distance(changed, missing=50) == pytest.approx(float((RED - BLUE).norm()) / 2)


def test_a_part_that_only_one_panel_shows_counts_as_another_colour():
    assert consistency.character_distance([reading(top=RED, hat=RED), reading(top=RED)], missing=50) == 25


def test_covered_background_does_not_count_as_a_difference():
    a = torch.zeros(16, 16, 3)
    b = torch.full((16, 16, 3), torch.nan)
    b[0, 0] = torch.tensor([3.0, 4, 0])
    assert consistency.place_diversity([Reading({}, {}, a, NOBODY), Reading({}, {}, b, NOBODY)]) == pytest.approx(5)


def test_stories_of_the_two_splits_differ_and_repeat():
    story, places, actions = consistency.make_story("report", 0)
    assert consistency.make_story("report", 0)[0] == story != consistency.make_story("tuning", 0)[0]
    assert len(set(places)) == len(set(actions)) == len(story.panels) == 6
    assert not any(colour in panel.prompt for panel in story.panels for colour in ("blue", "green", "yellow"))


def test_the_interval_holds_the_value():
    groups = [[(float(i),)] for i in range(20)]
    low, high = consistency.bootstrap(groups, lambda runs: sum(r[0] for r in runs) / len(runs))
    assert low < 9.5 < high and high - low < 8


@pytest.mark.skipif(not weights.READER.exists(), reason="the reader's weights are not trained yet")
def test_the_shipped_reader_reads_drawings_that_it_never_saw():
    pixels, labels, parts = draw_examples(60, "held out")
    reader = load_reader()
    shares = accuracy(reader, pixels.float() / 255, labels, parts)
    assert shares["place"] > 0.95 and shares["action"] > 0.95 and shares["parts"] > 0.85
    one = read(reader, pixels[:1].float() / 255)[0]
    assert {"skin", "shoes", "top"} <= set(one.colours)


def test_poses_are_as_diverse_as_the_figures_differ_wherever_they_stand():
    def standing(top, left, height, width):
        figure = NOBODY.clone()
        figure[top:top + height, left:left + width] = True
        return Reading({}, {}, torch.zeros(16, 16, 3), figure)

    assert consistency.pose_diversity([standing(0, 5, 20, 10), standing(40, 50, 20, 10)]) == 0
    assert consistency.pose_diversity([standing(0, 5, 20, 10), standing(20, 5, 10, 10)]) == pytest.approx(0.5)
    assert consistency.pose_diversity([standing(0, 5, 20, 10), Reading({}, {}, torch.zeros(16, 16, 3), NOBODY)]) == 0


def test_a_variant_names_inputs_of_the_node():
    assert consistency.read_variant("mode=batch,sampling_rate=0.3,id_length=2") == {"mode": "batch", "sampling_rate": 0.3, "id_length": 2}
    assert consistency.read_variant("defaults") == {}
