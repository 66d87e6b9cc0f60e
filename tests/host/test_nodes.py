"""The nodes as the host sees them."""

import asyncio
import zipfile
from types import SimpleNamespace

import fabula
import folder_paths
import numpy as np
import pytest
import torch
from fabula.host import folders
from PIL import Image


@pytest.fixture(scope="module")
def nodes():
    extension = asyncio.run(fabula.comfy_entrypoint())
    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}


def test_a_bad_story_lists_all_its_mistakes(nodes):
    with pytest.raises(ValueError, match="(?s)Fabula_Story.*line 1.*Bob.*line 2.*Eve"):
        nodes["Fabula_Story"].execute("[Mia] a girl", "[Bob] waves\n[Eve] runs", "(No style)", "")
    with pytest.raises(ValueError, match="Fabula_Story.*\n.*panels"):
        nodes["Fabula_Story"].execute("[Mia] a girl", "", "(No style)", "")
    with pytest.raises(ValueError, match="Fabula_Story.*\nstyle.*Pastel.*Line art"):
        nodes["Fabula_Story"].execute("[Mia] a girl", "[Mia] runs", "Pastel", "")


def test_styles_of_the_users_own_can_be_chosen_and_a_broken_file_spoils_nothing(nodes, clip, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, folders.STYLE_FILES, ([str(tmp_path)], {".csv", ".json"}))
    (tmp_path / "broken.json").write_text("{")
    node = nodes["Fabula_Story"]
    with pytest.raises(ValueError, match='no style called "Ink"'):
        node.execute("[Mia] a girl", "[Mia] waves", "Ink", "")
    before = node.fingerprint_inputs()
    (tmp_path / "own.csv").write_text("name,prompt,negative_prompt\nInk,ink of {prompt},photo\n")
    folder_paths.filename_list_cache.pop(folders.STYLE_FILES, None)
    assert "Ink" in next(each.options for each in node.define_schema().inputs if each.id == "style") and node.fingerprint_inputs() != before
    story = node.execute("[Mia] a girl", "[Mia] waves\n[Mia] runs style=Photographic", "Ink", "").result[0]
    positive = nodes["Fabula_EncodeStory"].execute(clip, story, 64, 64).result[0]
    expected = clip.encode_from_tokens_scheduled(clip.tokenize("ink of a girl waves"))[0][0]
    assert torch.allclose(positive[0][0][:1], expected, atol=1e-5)
    assert "broken.json cannot be read" in caplog.text


def test_an_encoder_that_is_not_there_is_named(nodes, story):
    with pytest.raises(ValueError, match="Fabula_EncodeStory: input 'clip' is empty.*CLIPLoader"):
        nodes["Fabula_EncodeStory"].execute(None, story, 256, 256)


def test_the_story_node_counts_and_captions(nodes):
    story, count, captions = nodes["Fabula_Story"].execute("[Mia] a girl", "[Mia] waves # Hello!\n[Mia] runs", "(No style)", "").result
    assert (count, captions.splitlines()[0], len(story.panels)) == (2, "Hello!", 2)


def page(nodes, images, story, **changed):
    inputs = {"layout": "grid", "page_width": 600, "font": "(built-in)", "font_size": 20, "seed": 0, "story": story, **changed}
    return nodes["Fabula_ComicPage"].execute([images], **{name: [value] for name, value in inputs.items()}).result[0]


def test_a_page_shows_every_panel(nodes, story):
    colours = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    pages = page(nodes, colours[:, None, None, :].expand(3, 64, 64, 3), story)
    assert len(pages) == 1 and pages[0].shape[2] == 600
    picture = Image.fromarray((pages[0][0] * 255).byte().numpy())
    shown = {colour for _, colour in picture.getcolors(1 << 24)}
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= shown


@pytest.mark.parametrize("count", [2, 4])
def test_more_or_fewer_pictures_than_panels_are_refused(nodes, story, count):
    with pytest.raises(ValueError, match=f"Fabula_ComicPage: input 'images' has {count} pictures.*3 panels.*'images_per_panel'.*ImageFromBatch.*'panels'"):
        page(nodes, torch.zeros(count, 64, 64, 3), story)


@pytest.mark.parametrize("channels, expected", [(1, (128, 128, 128)), (4, (255, 255, 255))])
def test_grey_and_transparent_pictures_are_shown_as_they_are(nodes, channels, expected):
    from fabula.story.script import parse_story

    pixels = torch.full((1, 64, 64, channels), 0.5)
    pixels[..., 3:] = 0.0  # all transparent: paper shows
    pages = page(nodes, pixels, parse_story("", "[NC] a fox #", "(No style)", ""))
    height, width = pages[0].shape[1:3]
    assert tuple((pages[0][0, height // 2, width // 2] * 255).round().int().tolist()) == expected


def test_a_font_that_is_not_there_is_named(nodes, story):
    with pytest.raises(ValueError, match="Fabula_ComicPage: input 'font' is 'gone.ttf'.*models/fabula_fonts"):
        page(nodes, torch.zeros(3, 64, 64, 3), story, font="gone.ttf")


def test_a_caption_that_the_font_cannot_draw_is_named(nodes):
    from fabula.story.script import parse_story

    with pytest.raises(ValueError, match="(?s)Fabula_ComicPage.*font.*U\\+72D0"):
        page(nodes, torch.zeros(1, 64, 64, 3), parse_story("", "[NC] a fox # 狐", "(No style)", ""))


@pytest.fixture()
def output(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    return tmp_path


PAGES = [torch.rand(1, 40, 30, 3), torch.rand(2, 50, 30, 3)]  # pages may differ in size


def test_a_comic_is_saved_as_one_book_of_all_pages_and_never_over_another(nodes, output):
    save = nodes["Fabula_SaveComic"].execute
    for _ in range(2):
        shown = save(PAGES, ["my/book"], ["cbz"]).ui
        told = shown["text"][0]
    assert told == "3 pages: my/book_00002_.cbz" and len(list((output / "my").iterdir())) == 2
    with zipfile.ZipFile(output / "my" / "book_00001_.cbz") as book:
        assert book.namelist() == ["page_001.png", "page_002.png", "page_003.png"]
        first = Image.open(book.open("page_001.png"))
        assert first.size == (30, 40) and np.abs(np.array(first) / 255.0 - PAGES[0][0].numpy()).max() < 0.01
    save(PAGES, ["my/book"], ["pdf"], [72])
    pdf = (output / "my" / "book_00003_.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and pdf.count(b"/MediaBox") == 3 and b"[ 0 0 30.0 40.0 ]" in pdf


def test_pages_as_png_have_the_workflow_in_them(nodes, output):
    class Saved(nodes["Fabula_SaveComic"]):
        hidden = SimpleNamespace(prompt={"1": "node"}, extra_pnginfo={"workflow": {"nodes": []}})

    Saved.execute(PAGES, ["page"], ["png"])
    files = sorted(output.glob("*.png"))
    assert [Image.open(file).size for file in files] == [(30, 40), (30, 50), (30, 50)]
    assert Image.open(files[2]).text == {"prompt": '{"1": "node"}', "workflow": '{"nodes": []}'}


def test_a_comic_stays_in_the_output_folder(nodes, output):
    for kind in ("cbz", "png"):
        with pytest.raises(ValueError, match="Fabula_SaveComic: input 'filename_prefix' is '../../escaped', which leads out of the folder"):
            nodes["Fabula_SaveComic"].execute(PAGES, ["../../escaped"], [kind])
    assert not list(output.parent.glob("escaped*"))
    with pytest.raises(ValueError, match="Fabula_SaveComic: input 'pages' is empty"):
        nodes["Fabula_SaveComic"].execute([], ["x"], ["cbz"])


def test_options_that_are_not_there_are_named_with_those_that_are(nodes, model, story):
    """As the queue does itself where CHOICES_ARE_CHECKED."""
    with pytest.raises(ValueError, match="Fabula_SaveComic: input 'format' is 'jpg'. Choose one of: png, pdf, cbz"):
        nodes["Fabula_SaveComic"].execute(PAGES, ["x"], ["jpg"])
    for name, value in (("layout", "grids"), ("captions", "Box"), ("paper", "A3"), ("text_direction", "down")):
        with pytest.raises(ValueError, match=f"Fabula_ComicPage: input '{name}' is '{value}'. Choose one of: "):
            page(nodes, torch.rand(3, 64, 64, 3), story, **{name: value})
    for name, value in (("mode", "anchor"), ("schedule", "sometimes"), ("subject", "on")):
        chosen = {"mode": "anchors", "schedule": "always", "subject": "auto", name: value}
        with pytest.raises(ValueError, match=f"Fabula_ConsistentAttention: input '{name}' is '{value}'. Choose one of: "):
            nodes["Fabula_ConsistentAttention"].execute(model, 0.5, 3, chosen["mode"], 4, chosen["schedule"], 0.0, 1.0, 0, subject=chosen["subject"])


def test_pictures_without_a_story_are_a_page(nodes):
    for layout in ("grid", "storyboard"):
        assert page(nodes, torch.rand(3, 64, 64, 3), None, layout=layout, page_width=1000)
