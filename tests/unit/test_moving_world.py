"""The demo's world in motion: clips that go where they should, and are the keyframes at their ends."""

from random import Random

import numpy as np
import pytest
from fabula.demo import clip_dataset
from fabula.demo.clips import FRAMES, KINDS, draw_clip, draw_frame, random_clip
from fabula.demo.drawing import draw_picture
from fabula.demo.poses import CROUCH, POSES, blend, jumping, walking
from fabula.demo.world import random_character


def clip_of(kind, seed=3):
    rng = Random(seed)
    return random_clip(rng, random_character(rng), kind)


def pixels(picture):
    return np.asarray(picture, dtype=float)


def middle(clip, tau):
    """Where the figure's middle is, in pixels."""
    parts = np.asarray(draw_frame(clip, tau)[1])
    rows, columns = np.nonzero(parts)
    return columns.mean(), rows.mean()


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_is_drawn_the_same_again_and_has_all_its_frames(kind):
    first, second = (draw_clip(clip_of(kind)) for _ in range(2))
    assert len(first) == FRAMES and all(a.tobytes() == b.tobytes() for a, b in zip(first, second))
    assert all(a.tobytes() != b.tobytes() for a, b in zip(first, first[1:]))


@pytest.mark.parametrize("seed", range(6))
def test_a_journey_begins_and_ends_with_pictures_of_the_world(seed):
    clip = clip_of("journey", seed)
    for tau, picture in ((0.0, clip.start), (1.0, clip.end)):
        assert draw_frame(clip, tau)[0].tobytes() == draw_picture(picture)[0].tobytes()


def test_a_walk_goes_from_side_to_side_at_one_height_and_one_pace():
    for seed in range(6):
        clip = clip_of("walk", seed)
        places = [middle(clip, tau) for tau in (0.0, 0.25, 0.5, 0.75, 1.0)]
        steps = np.diff([x for x, _ in places])
        assert abs(places[-1][0] - places[0][0]) > 60 and (np.sign(steps) == np.sign(steps[0])).all() and np.ptp(steps) < 0.35 * abs(steps).mean()
        assert np.sign(steps[0]) == clip.start.figures[0].facing and np.ptp([y for _, y in places]) < 8


def test_a_jump_is_highest_in_its_middle():
    clip = clip_of("jump")
    start, top, end = (middle(clip, tau)[1] for tau in (0.0, 0.5, 1.0))
    assert top < start - 25 and abs(start - end) < 2


def test_a_wave_comes_back_to_its_start():
    drawn = draw_clip(clip_of("wave"))
    assert drawn[0].tobytes() == drawn[-1].tobytes()
    assert np.abs(pixels(drawn[3]) - pixels(drawn[0])).max() > 50


def test_poses_blend_and_meet():
    assert blend(POSES["running"], POSES["sitting"], 0.0) == POSES["running"] and blend(POSES["running"], POSES["sitting"], 1.0) == POSES["sitting"]
    assert jumping(0.0) == jumping(1.0) == CROUCH
    assert np.allclose([x for limb in walking(0.3).legs for joint in limb for x in joint], [x for limb in walking(1.3).legs for joint in limb for x in joint])


def test_held_out_clips_are_of_known_and_unseen_characters_and_others_than_the_training_s():
    held = clip_dataset.held_out(4)
    known = {clip_dataset.known_character(number) for number in range(clip_dataset.CAST)}
    assert [clip.kind for clip, _ in held] == [kind for kind in KINDS for _ in range(4)]
    for clip, is_known in held:
        assert (clip.start.figures[0].character in known) == is_known
