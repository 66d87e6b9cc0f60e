"""A story's words in a film, with the host's own VIDEO type, its Save Video and its other nodes of videos."""

import io
import json
import tempfile
from fractions import Fraction

import av
import comfy_extras.nodes_video as nodes_video
import folder_paths
import numpy as np
import pytest
import torch
from comfy_api.latest import Input, InputImpl, Types
from fabula.host import folders
from fabula.nodes.film import CaptionFilm
from fabula.story.script import parse_story
from host_differences import CODEC_HAS_SETTINGS, here



@pytest.fixture(autouse=True)
def folders_are_known():
    folders.register()


@pytest.fixture()
def story():
    panels = '[Mia] waves # Mia found a map.\n[Mia] runs #\n[Mia] reads # At last. Mia: "Here it is!"\n[Mia] sleeps seed=3 # The end'
    return parse_story("[Mia] a girl in a red coat", panels, "(No style)", "")


@pytest.fixture()
def frames():
    return torch.rand(40, 96, 128, 3, generator=torch.Generator().manual_seed(3))


def caption(frames, story, mode="subtitles", fps=8.0, **more):
    return CaptionFilm.execute(frames, story, fps, mode, **more).args


def words(path):
    """(start, text) of a file's subtitles, by their packets: the text, in MP4 with two bytes of length ahead; nothing where nothing is shown."""
    with av.open(path) as container:
        ahead = 2 if "mp4" in container.format.name else 0
        packets = [(packet.pts * packet.time_base, bytes(packet)[ahead:].decode()) for packet in container.demux(container.streams.subtitles[0]) if packet.size]
    return [(pytest.approx(float(time), abs=2e-3), text) for time, text in packets if text]


WORDS = [(0, "Mia found a map."), (2.5, "At last.\nMia: Here it is!"), (4.125, "The end")]


def test_save_video_writes_the_track_and_the_workflow(frames, story, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    video, same, srt = caption(frames, story)
    assert same is frames and srt.startswith("1\n00:00:00,000 --> 00:00:00,875\nMia found a map.\n\n2\n00:00:02,500 --> ")

    class Saver(nodes_video.SaveVideo):
        """As the executor sets it up."""

        class hidden:
            prompt, extra_pnginfo = {"1": {"class_type": "SaveVideo"}}, {"workflow": {"nodes": [1, "小"]}}

    Saver.execute(video, "fabula/film", "auto", {"codec": "auto"} if here(CODEC_HAS_SETTINGS) else "auto")
    (saved,) = (tmp_path / "fabula").iterdir()
    assert words(str(saved)) == WORDS
    with av.open(str(saved)) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.average_rate, stream.width, stream.height) == (40, 8, 128, 96)
        assert len(list(container.decode(video=0))) == 40
        assert json.loads(container.metadata["workflow"]) == {"nodes": [1, "小"]} and json.loads(container.metadata["prompt"])


@pytest.mark.parametrize("kind", Types.VideoContainer)  # hosts after 0.33 have more than mp4
def test_every_kind_of_file_that_the_host_writes_has_the_track(frames, story, tmp_path, kind):
    sound = {"waveform": torch.sin(torch.arange(48000 * 5) / 30)[None, None], "sample_rate": 48000}
    video, *_ = caption(frames, story, audio=sound)
    saved = {}
    for name, settings in {"as it is": {}, "coarse": {"crf": 50.0} if here(CODEC_HAS_SETTINGS) else {}}.items():
        saved[name] = tmp_path / f"{name}.{Types.VideoContainer.get_extension(kind)}"
        video.save_to(str(saved[name]), format=kind, metadata={"workflow": {"nodes": [1]}}, **settings)
        assert words(str(saved[name])) == WORDS
        with av.open(str(saved[name])) as container:
            assert len(list(container.decode(video=0))) == 40 and len(container.streams.audio) == 1
            assert json.loads({key.lower(): value for key, value in container.metadata.items()}["workflow"]) == {"nodes": [1]}
    assert (saved["coarse"].stat().st_size < saved["as it is"].stat().st_size) == here(CODEC_HAS_SETTINGS)


def test_the_pictures_are_those_that_the_host_writes_without_the_track(frames, story, tmp_path):
    sound = {"waveform": torch.sin(torch.arange(48000 * 5) / 30)[None, None], "sample_rate": 48000}
    video, *_ = caption(frames, story, audio=sound)
    InputImpl.VideoFromComponents(video.get_components()).save_to(str(tmp_path / "plain.mp4"))
    video.save_to(str(tmp_path / "with.mp4"))
    for kind in ("video", "audio"):
        both = []
        for name in ("plain", "with"):
            with av.open(str(tmp_path / f"{name}.mp4")) as container:
                both.append([frame.to_ndarray() for frame in container.decode(**{kind: 0})])
        assert len(both[0]) == len(both[1]) and all(np.array_equal(one, other) for one, other in zip(*both)), kind


def test_unfinished_files_are_in_the_host_s_temp_folder_and_gone_at_the_end(frames, story, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path / "temp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "the system's, which is not there"))
    video, *_ = caption(frames, story)
    video.save_to(str(tmp_path / "film.mp4"))
    assert (tmp_path / "film.mp4").stat().st_size and list((tmp_path / "temp").iterdir()) == []


def test_other_nodes_of_the_host_take_it(frames, story, tmp_path):
    video, *_ = caption(frames, story, fps=23.976)
    assert isinstance(video, Input.Video)
    pictures, sound, fps = nodes_video.GetVideoComponents.execute(video).args[:3]
    assert torch.equal(pictures, frames) and sound is None and fps == pytest.approx(23.976)
    assert video.get_dimensions() == (128, 96) and video.get_duration() == pytest.approx(40 / 23.976)
    # What sends videos on asks for a stream; what loads the file and saves it again keeps its tracks.
    assert [text for _, text in words(video.get_stream_source())] == [text for _, text in WORDS]
    buffer = io.BytesIO()
    video.save_to(buffer, format=Types.VideoContainer.MP4, codec=Types.VideoCodec.H264)
    InputImpl.VideoFromFile(buffer).save_to(str(tmp_path / "again.mp4"))
    assert [text for _, text in words(str(tmp_path / "again.mp4"))] == [text for _, text in WORDS]


def test_a_container_without_subtitles_is_named_and_nothing_is_left(frames, story, tmp_path):
    video, *_ = caption(frames, story)
    with pytest.raises(ValueError, match="Fabula_CaptionFilm: a .avi file cannot hold subtitles. Save the film as mp4, or choose mode 'burnt in'"):
        video.save_to(str(tmp_path / "film.avi"))
    assert not list(tmp_path.iterdir())


def test_burnt_in_words_are_in_their_frames_and_nowhere_else(frames, story):
    before = frames.clone()
    video, burnt, srt = caption(frames, story, "burnt in")
    assert torch.equal(frames, before) and srt == caption(frames, story)[2]
    changed = (burnt != frames).any(-1)
    assert [at for at in range(40) if changed[at].any()] == [*range(7), *range(20, 40)]
    assert not changed[:, :40].any() and not changed[:, -2:].any() and not changed[:, :, :2].any() and not changed[:, :, -2:].any()
    # Of one text, the same pixels in all its frames; the letters are white, and the box is dark.
    assert torch.equal(changed[0], changed[6]) and not torch.equal(changed[6], changed[20])
    assert burnt[30][changed[30]].max() > 0.99 and burnt[30][changed[30]].median() < 0.3 < frames[30].median()
    assert type(video) is InputImpl.VideoFromComponents and torch.equal(video.get_components().images, burnt)


def test_a_film_of_no_words_is_the_film(frames, tmp_path):
    story = parse_story("", "[NC] a house #\n[NC] a hill #", "(No style)", "")
    video, same, srt = caption(frames, story)
    video.save_to(str(tmp_path / "film.mp4"))
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert not container.streams.subtitles and srt == ""
    assert torch.equal(caption(frames, story, "burnt in")[1], frames)


def test_chosen_panels_and_places(frames, story):
    srt = caption(frames, story, panels="4,1", places="10,20")[2]
    assert [line for line in srt.split("\n") if line[:1].isalpha()] == ["The end", "Mia found a map."] and "00:00:01,875" in srt
    with pytest.raises(ValueError, match="Fabula_CaptionFilm: input 'panels' is '5', but '5' is no panel"):
        caption(frames, story, panels="5")
    with pytest.raises(ValueError, match="Fabula_CaptionFilm: input frames: 40 are no film of 3 keyframes"):
        caption(frames, story, panels="1-3")
    with pytest.raises(ValueError, match="Fabula_CaptionFilm: input places: '1,2' are 2, but there are 4 panels"):
        caption(frames, story, places="1,2")
    with pytest.raises(ValueError, match="Fabula_CaptionFilm: input 'mode' is 'both'"):
        caption(frames, story, "both")


def test_characters_that_no_font_has_are_named_with_their_panel(frames):
    story = parse_story("", "[NC] a house # A house\n[NC] a hill # 小 hill", "(No style)", "")
    assert "小 hill" in caption(frames, story)[2]  # a player has fonts of its own
    with pytest.raises(ValueError, match=r'Fabula_CaptionFilm: panel 2: font: Comic Neue.* cannot draw "小" \(U\+5C0F\)'):
        caption(frames, story, "burnt in")
    with pytest.raises(ValueError, match="Fabula_CaptionFilm: input 'font' is 'none.ttf', which is not in models/fabula_fonts"):
        caption(frames, story, "burnt in", font="none.ttf")
    with pytest.raises(ValueError, match="panel 1: the text .* has no room in a film of 128 x 8 pixels"):
        caption(frames[:, :8], story, "burnt in")


def test_the_rate_is_that_which_the_host_writes(frames, story):
    assert caption(frames, story, fps=29.97)[0].get_components().frame_rate == Fraction(2997, 100)
