"""Face embeddings by insightface, whose own classes are not installed here: what is asked of them, and what is made of their answers."""

import logging
from types import SimpleNamespace

import folder_paths
import numpy as np
import pytest
import torch
from fabula.host import face_embeds
from fabula.host.face_embeds import embed_faces
from fabula.nodes.identity import FaceEmbeds


class Analysis:
    """Finds the faces that it is given for each photo, only at the detection size at which they are; notes what it sees."""

    def __init__(self, *found, at=640, recogniser="w600k_r50.onnx"):
        self.found, self.at, self.seen = list(found), at, []
        self.det_model = SimpleNamespace(input_size=(640, 640))
        self.models = {"recognition": SimpleNamespace(model_file=f"/models/{recogniser}")}

    def get(self, pixels):
        self.seen.append((pixels, self.det_model.input_size))
        return self.found[int(pixels[0, 0, 0]) // 10] if self.det_model.input_size == (self.at, self.at) else []


def face(value, score=0.5, left=0, size=10):
    return SimpleNamespace(embedding=np.full(512, value, dtype=np.float32), det_score=score, bbox=np.array([left, 0, left + size, size]))


def photos(count):
    """Photo n is of blue 10 n, green 1 and red 2."""
    pixels = torch.zeros(count, 6, 8, 3)
    pixels[..., 0], pixels[..., 1] = 2 / 255, 1 / 255
    for number in range(count):
        pixels[number, ..., 2] = 10 * number / 255
    return pixels


def test_one_row_a_photo_not_normalised_from_bgr():
    analysis = Analysis([face(3)], [face(5)])
    rows, kept = embed_faces(photos(2), "highest score", 0, False, analysis)
    assert rows.shape == (2, 512) and rows[:, 0].tolist() == [3, 5] and torch.equal(kept, photos(2))
    pixels, _ = analysis.seen[1]
    assert pixels.dtype == np.uint8 and pixels[0, 0].tolist() == [10, 1, 2] and pixels.flags.c_contiguous


@pytest.mark.parametrize(("choice", "index", "value"), [("highest score", 0, 1), ("largest", 0, 2), ("index", 0, 3), ("index", 2, 1)])
def test_which_face(choice, index, value):
    several = [face(1, score=0.9, left=50), face(2, score=0.8, left=20, size=30), face(3, score=0.7, left=0, size=5)]
    assert embed_faces(photos(1), choice, index, False, Analysis(several))[0][0, 0] == value


def test_a_face_that_fills_the_photo_is_found_in_a_smaller_one_and_the_size_is_put_back():
    analysis = Analysis([face(1)], at=320)
    embed_faces(photos(1), "largest", 0, False, analysis)
    assert [size for _, (size, _) in analysis.seen] == [640, 576, 512, 448, 384, 320] and analysis.det_model.input_size == (640, 640)


def test_a_photo_without_a_face_is_named_and_refused_or_left_out(caplog):
    analysis = Analysis([face(1)], [], [face(3)])
    with pytest.raises(ValueError, match="Fabula_FaceEmbeds: input 'images': no face is found in photo 2 of 3"):
        embed_faces(photos(3), "largest", 0, False, analysis)
    rows, kept = FaceEmbeds.execute(photos(3), "largest", 0, "skip", analysis).args
    assert rows[:, 0].tolist() == [1, 3] and torch.equal(kept, photos(3)[[0, 2]])
    assert any("photo 2 of 3; it is left out" in record.getMessage() for record in caplog.records)
    with pytest.raises(ValueError, match="photo 1 of 1"):
        embed_faces(photos(1), "largest", 0, True, Analysis([]))
    with pytest.raises(ValueError, match="no such face is found in photo 1"):
        embed_faces(photos(1), "index", 1, False, Analysis([face(1)]))


def test_grey_photos_and_none():
    rows, _ = embed_faces(photos(1)[..., :1], "largest", 0, False, Analysis([face(1)]))
    assert rows.shape == (1, 512)
    with pytest.raises(ValueError, match="Fabula_FaceEmbeds: input 'images' holds no picture"):
        embed_faces(photos(0), "largest", 0, False, Analysis())


def test_another_recognition_model_is_said(caplog):
    embed_faces(photos(1), "largest", 0, False, Analysis([face(1)], recogniser="glintr100.onnx"))
    assert any(record.levelno == logging.WARNING and "glintr100.onnx" in record.getMessage() for record in caplog.records)


def test_without_models_it_says_what_is_missing_and_the_licence(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    with pytest.raises(ValueError, match="(?s)Fabula_FaceEmbeds needs det_10g.onnx and w600k_r50.onnx .*buffalo_l.*non-commercial.*V1 needs no"):
        embed_faces(photos(1), "largest", 0, False)


def test_without_insightface_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    folder = tmp_path / "insightface" / "models" / face_embeds.PACK
    folder.mkdir(parents=True)
    for name in face_embeds.FILES:
        (folder / name).touch()
    monkeypatch.setitem(__import__("sys").modules, "insightface", None)
    with pytest.raises(ValueError, match="needs the Python packages insightface and onnxruntime"):
        embed_faces(photos(1), "largest", 0, False)
