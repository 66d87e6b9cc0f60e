"""Lengths of films, and transitions joined into one."""

import pytest
import torch

from fabula.motion.joining import join, match, one_batch
from fabula.motion.timeline import DECODERS, film_frames, keyframe_places, nearest_length


@pytest.mark.parametrize(("keyframes", "frames", "total"), [(5, 16, 61), (5, 81, 321), (5, 97, 385), (2, 2, 2), (3, 2, 3)])
def test_inner_keyframes_are_shown_once(keyframes, frames, total):
    assert film_frames(keyframes, frames) == total
    places = keyframe_places(keyframes, frames)
    assert places[0] == 0 and places[-1] == total - 1 and len(places) == keyframes


@pytest.mark.parametrize(("decoder", "legal"), [
    ("any", lambda n: n >= 2), ("Wan (4n + 1)", lambda n: n % 4 == 1 and n >= 5), ("LTX (8n + 1)", lambda n: n % 8 == 1 and n >= 9),
    ("MiniMax (17k + 5)", lambda n: n % 17 == 5), ("AnimateDiff v2, v3 (to 32)", lambda n: 2 <= n <= 32), ("SVD (to 25)", lambda n: 2 <= n <= 25),
])
def test_a_length_is_legal_and_the_nearest(decoder, legal):
    every = [n for n in range(2, 400) if legal(n)]
    for wanted in (0, 1, 2, 7, 16, 31.5, 81, 200):
        found = nearest_length(wanted, decoder)
        assert legal(found) and abs(found - wanted) == min(abs(n - wanted) for n in every)


def test_wrong_plans_are_named():
    with pytest.raises(ValueError, match="keyframes: 1 is too few"):
        film_frames(1, 16)
    with pytest.raises(ValueError, match="frames: 1 a transition are too few"):
        keyframe_places(3, 1)
    with pytest.raises(ValueError, match="decoder: there is no 'Sora'. Choose one of: any, Wan"):
        nearest_length(16, "Sora")
    assert list(DECODERS)[0] == "any"


def clips(count=3, frames=5, size=(4, 6)):
    """Frame f of transition t has the value 0.1 t + 0.01 f everywhere."""
    return [torch.full((frames, *size, 3), 0.1 * t) + 0.01 * torch.arange(frames)[:, None, None, None] for t in range(count)]


def test_no_frame_is_doubled_at_the_seams():
    film = join(clips())
    assert film.shape == (film_frames(4, 5), 4, 6, 3)
    wanted = [0.1 * t + 0.01 * f for t in range(3) for f in range(4)] + [0.24]
    assert torch.allclose(film[:, 0, 0, 0], torch.tensor(wanted))


def test_transitions_may_have_lengths_of_their_own():
    assert len(join([clips(1, 5)[0], clips(1, 9)[0]])) == 5 + 9 - 1


def test_keyframes_stand_in_their_places_as_they_are():
    keyframes = torch.rand(4, 4, 6, 3)
    for match_colours in (False, True):
        film = join(clips(), keyframes, match_colours)
        assert torch.equal(film[keyframe_places(4, 5)], keyframes)
    film = join(clips(), keyframes)
    assert torch.equal(film[1:4], clips()[0][1:4])


def test_a_drift_of_colour_is_undone_in_proportion_to_time():
    """A still picture that grows brighter and flatter by the frame."""
    picture = 0.2 + 0.4 * torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(1))
    tau = torch.linspace(0, 1, 9)[:, None, None, None]
    drifted = picture + 0.15 * tau
    found = match(drifted, picture, picture)
    assert (found - picture).abs().max() < 1e-4
    flatter = (picture - picture.mean((0, 1))) * torch.exp(-0.4 * tau) + picture.mean((0, 1))
    assert (match(flatter, picture, picture) - picture).abs().max() < 1e-4
    half = match(drifted, picture, picture + 0.15)
    assert torch.allclose(half, drifted, atol=1e-5), "what shall change, changes"


def test_pictures_of_one_colour_do_not_explode():
    found = match(torch.full((4, 3, 3, 3), 0.5), torch.zeros(3, 3, 3), torch.rand(3, 3, 3))
    assert torch.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize(("transitions", "keyframes", "match_colours", "words"), [
    ([], None, False, "transitions: there is none"),
    ([torch.rand(1, 4, 6, 3)], None, False, "number 1 has 1 frame"),
    ([*clips(1), torch.rand(5, 8, 8, 3)], None, False, "number 2 is 8 x 8 pixels, the first is 6 x 4"),
    (clips(), torch.rand(3, 4, 6, 3), False, "keyframes: 3 are no ends of 3 transitions. Connect 4"),
    (clips(), torch.rand(4, 8, 6, 3), False, "keyframes: they are 6 x 8 pixels, the transitions 6 x 4"),
    (clips(), None, True, "keyframes: colours can only be matched to them"),
])
def test_what_cannot_be_joined_is_named(transitions, keyframes, match_colours, words):
    with pytest.raises(ValueError, match=words):
        join(transitions, keyframes, match_colours)


def test_keyframes_may_come_in_several_batches_of_one_size():
    whole = torch.rand(3, 4, 6, 3)
    assert torch.equal(one_batch([whole[:1], whole[1:]]), whole)
    with pytest.raises(ValueError, match="keyframes: they are of several sizes, 6 x 4, 8 x 4 pixels. Scale them"):
        one_batch([whole, torch.rand(1, 4, 8, 3)])
