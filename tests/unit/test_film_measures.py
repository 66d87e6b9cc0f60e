"""What the motion bench judges films by: the clip itself passes, and what does not move fails."""

import sys
from pathlib import Path

import pytest
import torch
from fabula.demo import clip_dataset
from fabula.demo.clips import KINDS, draw_clip
from fabula.demo.reader import load_reader

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
import film_measures  # noqa: E402


@pytest.fixture(scope="module")
def reader():
    return load_reader()


@pytest.fixture(scope="module")
def clips():
    """Of each kind one, (frames, 3, height, width) in 0..1."""
    return {clip.kind: (clip_dataset.to_pixels(draw_clip(clip)) + 1) / 2 for clip, _ in clip_dataset.held_out(1)}


def judge(film, true, reader):
    return film_measures.measure(film, true, reader, film.flatten(1)[:, ::997])


@pytest.mark.parametrize("kind", KINDS)
def test_the_clip_itself_passes_also_with_some_noise(clips, reader, kind):
    true = clips[kind]
    best = judge(true, true, reader)
    assert best.passes and best.motion == pytest.approx(1) and best.ends == best.true == best.path == 0
    noisy = judge((true + 0.05 * torch.randn(true.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1), true, reader)
    assert noisy.passes and noisy.motion < 1.3


@pytest.mark.parametrize("kind", KINDS)
def test_a_still_picture_fails(clips, reader, kind):
    true = clips[kind]
    still = judge(true[:1].expand_as(true), true, reader)
    assert not still.passes and still.motion == still.first == 0 and still.first_cosine == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_blends_the_ends_or_jumps_between_them_fails(clips, reader, kind):
    true = clips[kind]
    tau = torch.linspace(0, 1, len(true))[:, None, None, None]
    fade = torch.lerp(true[:1], true[-1:], tau)
    jump = torch.where(tau < 0.5, true[:1], true[-1:])
    assert not judge(fade, true, reader).passes and not judge(jump, true, reader).passes


def test_a_film_that_runs_backwards_makes_no_progress(clips, reader):
    true = clips["walk"]
    backwards = judge(true.flip(0), true, reader)
    assert backwards.progress < -0.9 and backwards.ends > 0.03 and not backwards.passes


def test_neighbours_that_differ_are_farther_than_those_that_do_not(clips, reader):
    true = clips["walk"]
    quick = judge(true[torch.arange(len(true)) * 5 % len(true)], true, reader)
    assert quick.between > judge(true, true, reader).between
