"""A film with its story's words, queued as a user does, opened as a player does."""

import io
import json

import av
import pytest
from server import failure

PANELS = '[Mia] waves # Mia found a map.\n[Mia] runs #\n[Mia] reads # Mia: "Here it is!"\n[Mia] sleeps # The end'


@pytest.fixture()
def workflow():
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 320, "height": 192, "batch_size": 40, "color": 0xC0D0E0}},
        "2": {"class_type": "Fabula_Story", "inputs": {"characters": "[Mia] a girl", "panels": PANELS, "style": "(No style)", "negative": ""}},
        "3": {"class_type": "Fabula_CaptionFilm", "inputs": {"frames": ["1", 0], "story": ["2", 0], "fps": 8.0, "mode": "subtitles"}},
        "4": {"class_type": "SaveVideo", "inputs": {"video": ["3", 0], "filename_prefix": "fabula/film", "format": "auto", "codec": "auto"}},
    }


def saved(server, workflow):
    entry = server.wait(server.queue(workflow))
    assert failure(entry) is None
    (file,) = entry["outputs"]["4"]["images"]
    assert file["filename"].endswith(".mp4")
    return io.BytesIO(server.view(file))


def test_the_file_of_save_video_has_subtitles_and_the_workflow(server, workflow):
    with av.open(saved(server, workflow)) as film:
        assert len(list(film.decode(video=0))) == 40 and film.streams.video[0].average_rate == 8
        assert json.loads(film.metadata["prompt"])["3"]["class_type"] == "Fabula_CaptionFilm"
        film.seek(0)
        shown = [
            (float(packet.pts * packet.time_base), float(packet.duration * packet.time_base), bytes(packet)[2:].decode())
            for packet in film.demux(film.streams.subtitles[0]) if packet.size > 2  # two bytes of length, and the text
        ]
    assert [text for *_, text in shown] == ["Mia found a map.", "Mia: Here it is!", "The end"]
    assert [start for start, *_ in shown] == pytest.approx([0, 2.5, 4.125], abs=2e-3)
    assert [duration for _, duration, _ in shown] == pytest.approx([0.875, 1.545, 0.875], abs=2e-3)


def test_burnt_in_words_are_in_the_pictures_of_the_file(server, workflow):
    workflow["3"]["inputs"]["mode"] = "burnt in"
    with av.open(saved(server, workflow)) as film:
        assert not film.streams.subtitles
        pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(pictures) == 40
    lettered = [int(picture[96:].min()) < 110 and int(picture[:96].min()) > 160 for picture in pictures]
    assert lettered == [at < 7 or at >= 20 for at in range(40)]


def test_a_film_of_another_story_is_refused(server, workflow):
    workflow["1"]["inputs"]["batch_size"] = 41
    message = failure(server.wait(server.queue(workflow)))
    assert "Fabula_CaptionFilm: input frames: 41 are no film of 4 keyframes" in message
