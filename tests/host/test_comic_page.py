"""Comic Page as a story's last node: its speech, its characters' masks, its paper."""

import asyncio
import shutil
from pathlib import Path

import fabula
import folder_paths
import numpy as np
import pytest
import torch
from fabula.comic.panel import INK
from fabula.host import folders
from fabula.story.script import parse_story

CAST = "[Mia] a girl\n[Bob] a man"


@pytest.fixture(scope="module")
def node():
    extension = asyncio.run(fabula.comfy_entrypoint())
    return next(node for node in asyncio.run(extension.get_node_list()) if node.GET_SCHEMA().node_id == "Fabula_ComicPage")


def draw(node, panels: str, count: int, **inputs) -> list[np.ndarray]:
    """The pages of a grey story, 8 bits."""
    given = {"layout": "grid", "page_width": 640, "font": "(built-in)", "font_size": 20, "seed": 0, "border": 0, **inputs}
    lists = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    pages = node.execute([torch.full((count, 64, 64, 3), 0.5)], **lists, story=[parse_story(CAST, panels, "(No style)", "")]).result[0]
    return [(page[0] * 255).round().byte().numpy() for page in pages]


def ink(page: np.ndarray) -> np.ndarray:
    return (page == INK).all(axis=-1)


def test_speech_of_the_script_becomes_a_balloon(node):
    (silent,), (said,) = draw(node, "[Mia] waves #", 1), draw(node, '[Mia] waves # Mia: "Look, a map!"', 1)
    assert not ink(silent).any() and ink(said).sum() > 100
    assert (said == 255).all(axis=-1).sum() > (silent == 255).all(axis=-1).sum() + 3000


def test_a_crop_of_the_script_is_the_shape_of_the_picture(node):
    (page,) = draw(node, "[Mia] waves crop=2:1 #", 1)
    grey = (page == 128).all(axis=-1)
    height, width = (np.ptp(axis) + 1 for axis in np.nonzero(grey))
    assert width / height == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("shape", ["masks", "boxes", "list of boxes"])
def test_balloons_keep_off_the_faces_that_are_given(node, shape):
    half = torch.zeros(1, 64, 64)
    half[:, :, :32] = 1  # the left half
    box = {"x": 0, "y": 0, "width": 32, "height": 64}
    given = {"masks": {"masks": half}, "boxes": {"face_boxes": box}, "list of boxes": {"face_boxes": [[box, box]]}}[shape]
    (page,) = draw(node, '[Mia] waves # Mia: "Look, here is a map!"', 1, **given)
    columns = np.nonzero(ink(page).sum(axis=0) > 3)[0]
    assert columns.min() > 300, "the balloon stands in the right half"


def test_an_empty_box_is_none(node):
    """What the widget of hosts of 2026 gives where nothing is connected."""
    (page,), (plain,) = (draw(node, '[Mia] waves # Mia: "Look, here is a map!"', 1, **given) for given in ({"face_boxes": {}}, {}))
    assert np.array_equal(page, plain)


def test_one_mask_for_each_character_tells_who_speaks(node):
    left, right = torch.zeros(2, 64, 64)
    left[44:, :16] = 1
    right[44:, 48:] = 1
    pages = [
        draw(node, f'[Mia] meets [Bob] # {speaker}: "Look!"', 1, masks=torch.stack([left, right]))[0] for speaker in ("Mia", "Bob")
    ]
    tails = [np.nonzero(ink(page).any(axis=1))[0].max() for page in pages]
    lowest = [np.nonzero(ink(page)[tail])[0].mean() for page, tail in zip(pages, tails)]
    assert lowest[0] + 10 < lowest[1], "each balloon's tail goes to its speaker's side"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"masks": torch.zeros(4, 8, 8)}, r"input 'masks' has 4 masks.*2 panels.*\(3; one for a panel of nobody\)"),
        ({"face_boxes": [{"x": 0}, {"x": 0}]}, "input 'face_boxes'.*no box"),
        ({"face_boxes": [{"x": 0}] * 3}, "input 'face_boxes' has boxes of 3 pictures"),
        ({"layout": "free", "rows": "two"}, "rows: .*2,1,3"),
    ],
)
def test_wrong_inputs_are_named(node, inputs, words):
    with pytest.raises(ValueError, match=f"Fabula_ComicPage: {words}"):
        draw(node, "[Mia] meets [Bob]\n[Mia] runs", 2, **inputs)


def test_a_page_of_paper_has_its_pixels_and_layouts_their_pages(node):
    pages = draw(node, "[Mia] runs #\n" * 9, 9, layout="four panel", paper="A4", dpi=72)
    assert [page.shape[:2] for page in pages] == [(842, 595)] * 3


def test_a_font_of_the_folder_steps_in_for_what_the_chosen_one_has_not(node, tmp_path, monkeypatch):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, folders.FONTS, ([str(tmp_path)], {".ttf", ".otf"}))
    folder_paths.filename_list_cache.pop(folders.FONTS, None)
    with pytest.raises(ValueError, match=r"Fabula_ComicPage: font: .*U\+96E8"):
        draw(node, "[Mia] runs # 雨 rain", 1)
    shutil.copy(Path(__file__).parents[1] / "data" / "cjk_subset.otf", tmp_path / "other.otf")
    folder_paths.filename_list_cache.pop(folders.FONTS, None)
    (page,) = draw(node, "[Mia] runs # 雨 rain", 1)
    assert ink(page).any()
