"""Videos as training material, real ones and some written here."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from fabula.motion.clips import Report, find_videos, read_windows, sample_frames


def picture(step, colour=(200, 60, 40), background=(30, 90, 40)):
    """A disc that moves to the right."""
    image = Image.new("RGB", (64, 48), background)
    ImageDraw.Draw(image).ellipse((4 + step, 14, 24 + step, 34), fill=colour)
    return image


def write_mp4(path: Path, pictures, times):
    """Frames at any times, in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for image, time in zip(pictures, times):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def place(image):
    """Where the disc is: the middle of the reddest columns."""
    red = np.asarray(image).astype(int)
    columns = np.flatnonzero(((red[..., 0] - red[..., 1]) > 60).sum(0) > 5)
    return float(columns.mean()) - 14


def test_frames_are_what_is_shown_at_their_time_also_at_uneven_rates(tmp_path):
    times = [0, 0.1, 0.2, 0.3, 0.8, 0.9, 1.0, 1.1, 1.2]  # a pause at 0.3
    write_mp4(tmp_path / "a.mp4", [picture(4 * n) for n in range(9)], times)
    found = list(sample_frames(tmp_path / "a.mp4", 5))
    assert [round(time, 3) for time, _ in found] == [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
    shown = [max(n for n, time in enumerate(times) if time <= due + 1e-6) for due, _ in found]
    assert [round(place(frame) / 4) for _, frame in found] == shown == [0, 2, 3, 3, 4, 6, 8]


def test_an_animated_picture_has_times_of_its_own(tmp_path):
    pictures = [picture(5 * n) for n in range(6)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=[100, 100, 300, 100, 100, 100], lossless=True)
    found = list(sample_frames(tmp_path / "a.webp", 10))
    assert [round(place(frame) / 5) for _, frame in found] == [0, 1, 2, 2, 2, 3, 4, 5]


def test_windows_hold_one_shot_that_moves_and_the_rest_is_counted(tmp_path):
    moving = [picture(2 * n) for n in range(8)]
    pause = [picture(0)] * 8
    shots = [*(picture(2 * n) for n in range(4)), *(picture(2 * n, (250, 250, 250), (240, 240, 250)) for n in range(4))]
    write_mp4(tmp_path / "b.mp4", [*moving, *pause, *shots], [n / 8 for n in range(24)])
    (tmp_path / "deep").mkdir()
    write_mp4(tmp_path / "deep" / "short.mp4", moving[:3], [n / 8 for n in range(3)])
    (tmp_path / "torn.mp4").write_bytes((tmp_path / "b.mp4").read_bytes()[:400])
    (tmp_path / "notes.txt").write_text("no video")
    report = Report()
    windows = list(read_windows(find_videos(tmp_path), 8, 8, report))
    assert [(window.path.name, window.start) for window in windows] == [("b.mp4", 0.0)] and len(windows[0].frames) == 8
    assert (report.used, report.still, report.cut, report.short) == (1, 1, 1, 1) and list(report.unreadable) == ["torn.mp4"]
    assert str(report).startswith("1 windows used; left out: 1 with a cut, 1 that stand still, 1 files that are too short\ntorn.mp4 cannot be read:")


@pytest.mark.parametrize(("size", "wanted"), [((1920, 1080), (1138, 640)), ((700, 2000), (640, 1829)), ((640, 900), (640, 900)), ((3000, 20), (3000, 20))])
def test_large_frames_are_made_smaller_than_they_were_but_not_than_clip_reads(tmp_path, size, wanted):
    pictures = [picture(8 * n).resize(size) for n in range(4)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=250)
    windows = list(read_windows([tmp_path / "a.webp"], 4, 4, Report()))
    assert [frame.size for frame in windows[0].frames] == [wanted] * 4
    assert [round(place(frame.resize((64, 48))) / 8) for frame in windows[0].frames] == [0, 1, 2, 3]


def write_sound(path: Path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 44100, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def test_whatever_one_file_does_to_the_decoders_the_others_are_read(tmp_path, monkeypatch):
    moving = [picture(2 * n) for n in range(8)]
    write_mp4(tmp_path / "z.mp4", moving, [n / 8 for n in range(8)])
    write_sound(tmp_path / "a.mp4")
    Image.new("RGB", (600, 600)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    report = Report()
    windows = list(read_windows(find_videos(tmp_path), 8, 8, report))
    assert [window.path.name for window in windows] == ["z.mp4"] and report.short == 0
    assert report.unreadable["a.mp4"] == "ValueError: there is no video in it" and report.unreadable["bomb.png"].startswith("DecompressionBombError: ")


def test_a_file_may_end_anywhere(tmp_path):
    """Pillow raises classes of many kinds for it."""
    frames = [picture(4 * n) for n in range(8)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=125)
    whole = (tmp_path / "a.gif").read_bytes()
    for size in range(20, len(whole) - 1, 4):
        (tmp_path / "a.gif").write_bytes(whole[:size])
        report = Report()
        list(read_windows([tmp_path / "a.gif"], 4, 8, report))
        assert list(report.unreadable) == ["a.gif"] or report.short or report.used, size


def test_what_goes_wrong_with_whoever_reads_the_windows_is_not_the_file_s(tmp_path):
    write_mp4(tmp_path / "a.mp4", [picture(2 * n) for n in range(8)], [n / 8 for n in range(8)])
    report = Report()
    with pytest.raises(IndexError, match="of the reader"):
        for _ in read_windows([tmp_path / "a.mp4"], 4, 8, report):
            raise IndexError("of the reader")
    windows = read_windows([tmp_path / "a.mp4"], 4, 8, report)
    next(windows)
    windows.close()
    windows = read_windows([tmp_path / "a.mp4"], 4, 8, report)
    next(windows)
    with pytest.raises(IndexError, match="thrown"):
        windows.throw(IndexError("thrown"))
    assert not report.unreadable


def test_a_broken_time_stamp_ends_the_file_and_is_told(tmp_path):
    times = [*(n / 8 for n in range(8)), 2000]
    write_mp4(tmp_path / "a.mp4", [picture(2 * n) for n in range(9)], times)
    report = Report()
    windows = list(itertools.islice(read_windows([tmp_path / "a.mp4"], 4, 8, report), 9))
    assert [window.start for window in windows] == [0.0] and report.still == 0
    assert report.unreadable["a.mp4"] == "ValueError: its frame at 0.88 s is followed by one at 2000.00 s: the time stamps are broken from there on"
    write_mp4(tmp_path / "b.mp4", [picture(2 * n) for n in range(2)], [0, 20])
    assert len(list(sample_frames(tmp_path / "b.mp4", 8))) == 161  # a pause is none


def test_real_clips_that_the_host_brings_along():
    """The animated pictures of its workflow templates."""
    package = pytest.importorskip("comfyui_workflow_templates_media_video")
    clips = [path for path in sorted(Path(package.__file__).parent.rglob("*.webp")) if getattr(Image.open(path), "n_frames", 1) > 30]
    assert len(clips) > 5
    report = Report()
    windows = list(read_windows(clips[:6], 8, 4, report))
    assert report.used == len(windows) > 0 and not report.unreadable
    assert all(len({frame.size for frame in window.frames}) == 1 for window in windows)


def test_folders_without_videos_are_named(tmp_path):
    with pytest.raises(ValueError, match="is no folder"):
        find_videos(tmp_path / "none")
    with pytest.raises(ValueError, match="has no videos"):
        find_videos(tmp_path)
