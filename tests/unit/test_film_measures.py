"""What the motion bench judges films by: the clip itself passes, what does not move as it does fails, and what boils counts neither way."""

import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fabula.demo import clip_dataset
from fabula.demo.clips import KINDS, draw_clip
from fabula.demo.reader import load_reader

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
import film_measures  # noqa: E402
from film_fakes import boiling, fakes  # noqa: E402

CLIPS = 3  # of each kind


@pytest.fixture(scope="module")
def reader():
    return load_reader()


@pytest.fixture(scope="module")
def clips():
    """By kind, each (frames, 3, height, width) in 0..1."""
    found = {}
    for clip, _ in clip_dataset.held_out(CLIPS):
        found.setdefault(clip.kind, []).append((clip_dataset.to_pixels(draw_clip(clip)) + 1) / 2)
    return found


def judge(film, true, reader):
    return film_measures.measure(film, true, reader, film.flatten(1)[:, ::997])


@pytest.mark.parametrize("kind", KINDS)
def test_the_clip_itself_passes_also_where_it_boils(clips, reader, kind):
    for number, true in enumerate(clips[kind]):
        best = judge(true, true, reader)
        assert best.passes and best.motion == pytest.approx(1) and best.agreement == pytest.approx(1) and best.ends == best.true == best.path == 0
        for boils in (boiling(true, number, 0.03), boiling(true, number, 0.05, block=1)):
            found = judge(boils, true, reader)
            assert found.passes and found.motion < 1.2


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_of_the_keyframes_alone_fails_boiling_or_not(clips, reader, kind):
    names = {"still picture", "cross-fade", "hard cut"}
    for number, true in enumerate(clips[kind]):
        films = fakes(true, number)
        assert set(films) == names | {f"{name}, boiling" for name in names}
        block = (8, 16)[number % 2]  # coarser boil moves as much as one likes: it is what agrees with nothing
        films |= {f"{name}, boiling in {block}": boiling(films[name], number, 0.06, block) for name in names}
        for name, film in films.items():
            found = judge(film, true, reader)
            assert not found.passes, name
            assert abs(found.agreement) < 0.1, name


@pytest.mark.parametrize("kind", KINDS)
def test_boil_is_not_motion(clips, reader, kind):
    for number, true in enumerate(clips[kind]):
        assert judge(fakes(true, number)["cross-fade, boiling"], true, reader).motion < film_measures.MOTION[0]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_out_of_order_fail(clips, reader, kind):
    for true in clips[kind]:
        jumbled = true[[0, 7, 2, 10, 5, 1, 8, 4, 11, 3, 9, 6, 12]]
        found = judge(jumbled, true, reader)
        assert not found.passes and found.motion > 1.2 and found.agreement < film_measures.LEAST_AGREEMENT


def test_too_much_motion_fails(clips, reader):
    """It goes the way that it should, but in a picture that flashes."""
    true = clips["jump"][0]
    flashing = true.clone()
    flashing[2:-1:2] *= 0.6
    found = judge(flashing, true, reader)
    assert found.motion > film_measures.MOTION[1] and not found.passes


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_half_there_fails_and_one_at_half_the_frame_rate_passes(clips, reader, kind):
    for true in clips[kind]:
        assert not judge(torch.lerp(true, fakes(true, 0)["cross-fade"], 0.5), true, reader).passes
        assert judge(true[[0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12]], true, reader).passes


def test_a_wave_that_goes_the_other_way_is_seen(clips, reader):
    """Where the ends are one, nothing but the limb can tell."""
    for true in clips["wave"]:
        backwards = judge(true.flip(0), true, reader)
        assert math.isnan(backwards.progress) and backwards.motion == pytest.approx(1) and backwards.agreement < 0 and not backwards.passes


def test_a_film_that_runs_backwards_makes_no_progress(clips, reader):
    true = clips["walk"][0]
    backwards = judge(true.flip(0), true, reader)
    assert backwards.progress < -0.9 and backwards.ends > 0.03 and not backwards.passes


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "wave"])
def test_equal_frames_have_equal_ranks(clips, reader, kind):
    """Seven frames of the start and six of the end: time's rank correlation with two values is 0.866, whatever order a sort leaves them in."""
    true = clips[kind][0]
    found = judge(fakes(true, 0)["hard cut"], true, reader)
    assert found.progress == pytest.approx(0.8660, abs=1e-3) and found.progress < film_measures.LEAST_PROGRESS


def test_neighbours_that_differ_are_farther_than_those_that_do_not(clips, reader):
    true = clips["walk"][0]
    quick = judge(true[torch.arange(len(true)) * 5 % len(true)], true, reader)
    assert quick.between > judge(true, true, reader).between


@pytest.mark.parametrize(("way", "passes", "sound"), [("hard cut", False, True), ("hard cut", True, False), ("the clip itself", False, False), ("predictor", False, True)])
def test_the_bench_knows_when_it_is_broken(capsys, way, passes, sound):
    films = {"walk": {name: [SimpleNamespace(passes=name != "hard cut")] for name in ("the clip itself", "hard cut", "predictor")}}
    films["walk"][way][0].passes = passes
    assert bench().verdict({"all": [{"predictor": 1.0, "linear": 2.0}]}, films, {"hard cut"}) == sound
    assert ("BENCH IS BROKEN" in capsys.readouterr().out) == (not sound)


def bench():
    """By its path: `motion` is also a part of the pack."""
    spec = importlib.util.spec_from_file_location("bench_motion", Path(film_measures.__file__).with_name("motion.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
