"""Which frames show which words, and the track of subtitles in a film's file."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fabula.motion.captions import Cue, find_places, plan_cues, to_srt, to_vtt
from fabula.motion.text_track import add_track

FPS = Fraction(8)
TEXTS = ["Größe & <b>", "", "Mia: Hello!\nBob: 小, hi", "The end"]
CODECS = {".mp4": ("h264", "aac"), ".mkv": ("h264", "aac"), ".webm": ("libvpx-vp9", "libopus")}


def seconds(cues):
    return [(float(cue.start), float(cue.end), cue.text) for cue in cues]


def test_a_text_is_shown_from_half_of_one_transition_to_half_of_the_next():
    cues = plan_cues(TEXTS, [0, 13, 26, 39], 40, FPS)
    # Frames 0 to 6 are nearer to keyframe 0, 20 to 32 to keyframe 2; what nothing follows has no gap behind it.
    assert seconds(cues) == [(0, 7 / 8, TEXTS[0]), (20 / 8, 33 / 8 - 0.08, TEXTS[2]), (33 / 8, 5, TEXTS[3])]
    assert [cue.frames(FPS) for cue in cues] == [range(7), range(20, 33), range(33, 40)]
    # The very middle belongs to the later one.
    assert [cue.frames(FPS) for cue in plan_cues(["a", "b"], [0, 8], 9, FPS)] == [range(4), range(4, 9)]


def test_the_gap_is_two_frames_of_a_cinema_film_and_never_most_of_a_text():
    cues = plan_cues(["a", "b"], [0, 47], 48, Fraction(24))
    assert [cue.frames(Fraction(24)) for cue in cues] == [range(23), range(24, 48)] and cues[1].start - cues[0].end == Fraction(2, 25)
    for cue in plan_cues(["a", "b", "c"], [0, 1, 2], 3, Fraction(120)):
        assert cue.end - cue.start >= Fraction(3, 4) / 120 and len(cue.frames(Fraction(120))) == 1
    assert seconds(plan_cues(["alone"], [0], 5, FPS)) == [(0, 0.625, "alone")]
    assert plan_cues(["", ""], [0, 4], 5, FPS) == []


@pytest.mark.parametrize(("keyframes", "frames", "places"), [(4, 40, [0, 13, 26, 39]), (2, 2, [0, 1]), (1, 7, [0]), (3, 3, [0, 1, 2])])
def test_keyframes_stand_where_transitions_of_one_length_put_them(keyframes, frames, places):
    assert find_places(" ", keyframes, frames) == places


def test_places_of_their_own():
    assert find_places("0, 13,40", 3, 41) == [0, 13, 40]
    for wrong, message in (
        ("0,13", "are 2, but there are 3 panels"), ("0,41,50", "are no frames of a film of 41"), ("0,5,5", "larger than the one before"),
        ("9,5,12", "larger than"), ("a", "Write numbers from 0 to 40"), ("-1,2,3", "from 0 to 40"),
    ):
        with pytest.raises(ValueError, match=message):
            find_places(wrong, 3, 41)


def test_a_film_of_another_number_of_keyframes_is_named_with_lengths_that_fit():
    with pytest.raises(ValueError, match="frames: 41 are no film of 4 keyframes .* that would have 40 or 43. Name the keyframes' panels in 'panels'"):
        find_places("", 4, 41)
    with pytest.raises(ValueError, match="frames: 3 are no film of 6 keyframes .* 6 at least"):
        find_places("", 6, 3)


def test_text_files():
    cues = [Cue(Fraction(0), Fraction(1001, 1000), "a < b"), Cue(Fraction(3725), Fraction(7451, 2), "c\nd")]
    assert to_srt(cues) == "1\n00:00:00,000 --> 00:00:01,001\na < b\n\n2\n01:02:05,000 --> 01:02:05,500\nc\nd\n\n"
    assert to_vtt(cues) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.001\na &lt; b\n\n01:02:05.000 --> 01:02:05.500\nc\nd\n\n"
    assert "00:00:00,666 --> 00:00:01,000" in to_srt([Cue(Fraction(2, 3), Fraction(1), "not late for its frame")])


def film(path: Path) -> Path:
    """Five seconds of noise and a tone, with metadata."""
    video, audio = CODECS[path.suffix]
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"} if path.suffix == ".mp4" else {}) as output:
        output.metadata["prompt"] = '{"a": 1}'
        pictures, sound = output.add_stream(video, rate=FPS), output.add_stream(audio, rate=48000)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        for _ in range(40):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), format="rgb24")
            output.mux(pictures.encode(frame.reformat(format="yuv420p")))
        output.mux(pictures.encode(None))
        tone = av.AudioFrame.from_ndarray(np.sin(np.arange(240_000) / 20)[None].astype(np.float32), format="flt", layout="mono")
        tone.sample_rate, tone.pts = 48000, 0
        for frame in av.AudioResampler("flt", "mono", 48000, frame_size=960).resample(tone):
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return path


def decoded(path, kind):
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray().tobytes()) for frame in container.decode(**{kind: 0})]


def lines(packet):
    """Decoded; older PyAV gives sets of lines, newer the lines."""
    return [line for each in packet.decode() for line in (each if hasattr(each, "__iter__") else [each])]


def subtitles(path):
    """(start, end, text) of what a player shows, decoded."""
    shown = []
    with av.open(str(path)) as container:
        (stream,) = container.streams.subtitles
        for packet in container.demux(stream):
            for line in lines(packet) if packet.pts is not None else ():
                text = line.ass.decode().split(",", 8)[8].replace("\\N", "\n")
                shown.append((float(packet.pts * packet.time_base), float((packet.pts + packet.duration) * packet.time_base), text))
    return shown


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("texts", [["a", "", "Mia: Hello!\nBob: 小, hi", "The end"], ["", "Later: Größe & co", "", ""]])
def test_the_track_holds_every_text_at_its_time_and_the_film_stays(tmp_path, suffix, texts):
    source = film(tmp_path / f"plain{suffix}")
    cues = plan_cues(texts, [0, 13, 26, 39], 40, FPS)
    target = tmp_path / f"with{suffix}"
    add_track(source, target, cues)
    for kind in ("video", "audio"):
        before, after = decoded(source, kind), decoded(target, kind)
        assert len(before) == len(after) and [data for _, data in before] == [data for _, data in after], kind
        assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=1e-3), kind
    assert [text for *_, text in subtitles(target)] == [cue.text for cue in cues]
    for (start, end, _), cue in zip(subtitles(target), cues):
        assert (start, end) == pytest.approx((float(cue.start), float(cue.end)), abs=2e-3) and start <= cue.start
    with av.open(str(target)) as container:
        assert '{"a": 1}' in container.metadata.values()


def test_players_show_the_track_by_themselves(tmp_path):
    target = tmp_path / "with.mp4"
    add_track(film(tmp_path / "plain.mp4"), target, [Cue(Fraction(0), Fraction(1), "a")])
    with av.open(str(target)) as container:
        (stream,) = container.streams.subtitles
        assert stream.codec_context.name == "mov_text" and stream.metadata["language"] == "und"
        assert getattr(stream.disposition, "value", stream.disposition) & 1  # "default"


def test_what_cannot_hold_subtitles_is_named(tmp_path):
    source = film(tmp_path / "plain.mp4")
    with pytest.raises(ValueError, match="a .avi file cannot hold subtitles. Save the film as mp4, or choose mode 'burnt in'"):
        add_track(source, tmp_path / "with.avi", [Cue(Fraction(0), Fraction(1), "a")])
    with pytest.raises(ValueError, match="a text of 70000 characters is too long for subtitles: aaa"):
        add_track(source, tmp_path / "with.mp4", [Cue(Fraction(0), Fraction(1), "a" * 70000)])
    assert not (tmp_path / "with.avi").exists() and not (tmp_path / "with.mp4").exists()
