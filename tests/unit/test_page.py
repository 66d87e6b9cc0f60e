"""Comic pages: every panel in its place in each layout, pictures in order and unsqueezed, captions whole and legible."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fabula.comic.page_style import page_style
from fabula.comic.cropping import PAPER, crop_box
from fabula.comic.layouts import LAYOUTS, grid_shape, plan_classic, read_pattern
from fabula.comic.page import draw_pages
from fabula.comic.panel import CAPTION_PAPER, Balloon, ComicPanel, Lettering, PageStyle
from fabula.comic.paper import paper_size
from fabula.comic.typeface import Typeface

FACE = Typeface()
# Far from each other, from paper and from ink: a panel is found on the page by its colour.
COLOURS = [(200, 40, 40), (40, 160, 60), (40, 80, 200), (220, 180, 40), (150, 60, 180), (60, 180, 190), (120, 120, 20), (20, 120, 110),
           (250, 120, 160), (90, 40, 10), (130, 170, 250), (170, 240, 120), (10, 60, 70), (230, 90, 230)]


def panels(count: int = 6, size: tuple[int, int] = (64, 64), captions=(), **options) -> list[ComicPanel]:
    texts = [*captions, *[""] * count]
    return [ComicPanel(Image.new("RGB", size, colour), text, **options) for colour, text in zip(COLOURS[:count], texts)]


def pages(each, layout: str = "grid", width: int = 900, size: float = 20, **options) -> list[Image.Image]:
    lettering = Lettering(FACE, size, right_to_left=layout == "manga", vertical=options.pop("vertical", False), shadow=options.pop("shadow", False))
    return draw_pages(each, PageStyle(layout, width, lettering, **options))


def page(*arguments, **options) -> Image.Image:
    (only,) = pages(*arguments, **options)
    return only


def area(image: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """(left, top, width, height) of the pixels of one colour."""
    ys, xs = np.nonzero((np.asarray(image) == colour).all(axis=-1))
    assert len(xs), f"the page has no {colour}"
    return int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1


def find(sheets: list[Image.Image], count: int) -> list[tuple[int, int, int, int, int]]:
    """Each panel's (page, left, top, width, height)."""
    found = []
    for colour in COLOURS[:count]:
        on = [at for at, sheet in enumerate(sheets) if (np.asarray(sheet) == colour).all(axis=-1).any()]
        assert len(on) == 1, f"{colour} is on the pages {on}"
        found.append((on[0], *area(sheets[on[0]], colour)))
    return found


@pytest.mark.parametrize(
    ("count", "shape"),
    [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (6, (2, 3)), (8, (2, 4)), (9, (3, 3))],
)
def test_grid_is_near_square(count, shape):
    assert grid_shape(count) == shape


def test_grid_holds_every_panel_and_keeps_captions_wide_enough():
    for count in range(1, 101):
        rows, columns = grid_shape(count)
        assert (rows - 1) * columns < count <= rows * columns and columns <= 4
    assert grid_shape(6, columns=1) == (6, 1)


def test_panels_of_a_grid_stand_in_reading_order_on_one_grid():
    sheet = page(panels(captions=["Short.", "A caption of several lines in its cell.", "", "x", "y", "z"]))
    assert sheet.mode == "RGB" and sheet.width == 900
    areas = [area(sheet, colour) for colour in COLOURS[:6]]
    lefts, tops = [a[0] for a in areas], [a[1] for a in areas]
    assert lefts[0] < lefts[1] < lefts[2] and lefts[:3] == lefts[3:]
    assert len(set(tops[:3])) == len(set(tops[3:])) == 1 and tops[0] < tops[3]
    assert len({a[2:] for a in areas}) == 1
    right = max(a[0] + a[2] for a in areas)
    assert abs(lefts[0] - (900 - right)) <= 1  # both margins alike
    assert sheet.getpixel((0, 0)) == PAPER


def test_a_last_row_that_is_not_full_stays_in_the_grid():
    places = find(pages(panels(5)), 5)
    assert [place[1] for place in places[3:]] == [place[1] for place in places[:2]]
    assert len({place[3:] for place in places}) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 14])
@pytest.mark.parametrize("options", [{}, {"height": 1200}], ids=["any height", "a height"])
def test_every_layout_shows_every_panel_once_and_none_over_another(layout, count, options):
    sheets = pages(panels(count), layout, rows=(2, 1, 3), **options)
    cut = layout == "webtoon" and count == 1
    places = find(sheets, count)
    for at, (number, left, top, width, height) in enumerate(places):
        assert 0 < left and left + width < 900 and 0 < top and top + height < sheets[number].height and width > 60 and height > 60
        filled = (np.asarray(sheets[number])[top:top + height, left:left + width] == COLOURS[at]).all(axis=-1).mean()
        assert filled > 0.97 or cut, "something lies over the panel"
    order = [place[0] for place in places]
    assert order == sorted(order), "pages are in the story's order"
    if "height" in options and layout != "webtoon":
        assert {sheet.size for sheet in sheets} == {(900, 1200)}


def test_classic_is_that_of_storydiffusion():
    sizes = [[sum(map(len, row)) for row in plan_classic(count, 0).pages[0]] for count in (4, 8, 10, 14, 24)]
    assert sizes == [[4], [4, 4], [4, 6], [4, 6, 4], [4, 6, 4, 6, 4]]
    columns = [[len(column) for column in row] for row in plan_classic(10, 0).pages[0]]
    assert [sorted(row) for row in columns] == [[1, 1, 2], [1, 1, 2, 2]]
    assert len({str(plan_classic(10, seed)) for seed in range(20)}) > 3, "the seed shuffles the columns"
    assert plan_classic(10, 3) == plan_classic(10, 3)
    # 768 px pictures with a border of 10: 1970 x 1444 in the original; here the gutter is its two borders.
    sheet = page(panels(10, (768, 768)), "classic", 1970, gutter=20, border=0)
    inner = area(Image.fromarray(255 - np.asarray(sheet)), (0, 0, 0))  # what is not paper, found by its opposite
    shape = (sheet.width - 2 * 59) / (sheet.height - 2 * 59)
    assert shape == pytest.approx(1950 / 1424, rel=0.02) and inner


def test_stacked_panels_of_classic_are_half_as_high_and_in_line():
    plan = plan_classic(4, 1)
    places = find(pages(panels(4), "classic", seed=1), 4)
    (stack,) = (column for column in plan.pages[0][0] if len(column) == 2)
    whole = next(at for at in range(4) if at not in stack)
    upper, lower = places[stack[0]], places[stack[1]]
    assert upper[1] == lower[1] and upper[2] == places[whole][2]
    assert lower[2] + lower[4] == places[whole][2] + places[whole][4]


def test_four_panel_puts_two_rows_of_two_on_each_page():
    sheets = pages(panels(6), "four panel")
    places = find(sheets, 6)
    assert [place[0] for place in places] == [0, 0, 0, 0, 1, 1]
    assert places[0][1:3] == places[4][1:3] and places[1][1] > places[0][1] and places[2][2] > places[0][2]


def test_manga_is_read_from_the_right():
    for seed in range(6):
        places = find(pages(panels(6), "manga", seed=seed), 6)
        rows: dict[int, list[int]] = {}
        for _, left, top, *_ in places:
            rows.setdefault(top, []).append(left)
        assert list(rows) == sorted(rows)
        assert all(lefts == sorted(lefts, reverse=True) for lefts in rows.values())
    assert len({str(find(pages(panels(6), "manga", seed=seed), 6)) for seed in range(8)}) > 4


def test_manga_pages_share_their_panels_evenly():
    assert [place[0] for place in find(pages(panels(7), "manga"), 7)] == [0, 0, 0, 0, 1, 1, 1]


def test_webtoon_files_have_a_legal_height_and_are_cut_between_panels():
    sheets = pages(panels(5, (64, 32)), "webtoon", 800)
    assert len(sheets) == 3 and all(sheet.width == 800 and sheet.height <= 1280 for sheet in sheets)
    assert all(place[4] > 300 for place in find(sheets, 5)), "no panel is cut"
    (tall,) = panels(1, (64, 640))
    parts = pages([tall], "webtoon", 400)
    assert len(parts) > 5 and all(part.height <= 640 for part in parts), "a panel that no file can hold is cut"


def test_a_wide_border_leaves_a_webtoon_its_pictures_in_their_shape():
    (sheet,) = pages(panels(1, (512, 64)), "webtoon", 256, border=60)
    _, _, width, height = area(sheet, COLOURS[0])
    assert width / height == pytest.approx(8, rel=0.05)


def test_storyboard_is_a_table_with_the_prompts():
    with_prompt = pages(panels(3, prompt="a girl in a red coat feeds the ducks"), "storyboard")
    without = pages(panels(3), "storyboard")
    assert sum(np.asarray(sheet).min(axis=-1).astype(int).__lt__(120).sum() for sheet in with_prompt) > 1500 + sum(
        np.asarray(sheet).min(axis=-1).astype(int).__lt__(120).sum() for sheet in without)
    lefts = {place[1] for place in find(with_prompt, 3)}
    assert len(lefts) == 1 and lefts.pop() < 200


def test_free_rows_are_as_written_and_begin_anew_on_the_next_page():
    sheets = pages(panels(8), "free", rows=read_pattern("2,1,3"))
    places = find(sheets, 8)
    tops = [place[2] for place in places]
    assert [place[0] for place in places] == [0] * 6 + [1, 1]
    assert tops[0] == tops[1] < tops[2] < tops[3] == tops[4] == tops[5]
    for text in ("", "2,,1", "0", "2;1", "two", "99", "-1", "1" * 5000):
        with pytest.raises(ValueError, match="rows: .*2,1,3"):
            read_pattern(text)


def test_a_crop_is_the_shape_of_its_picture_in_the_row():
    several = panels(3)
    several[1] = ComicPanel(several[1].picture, shape=2.0)
    places = find(pages(several, "free", rows=(3,)), 3)
    assert places[1][3] / places[1][4] == pytest.approx(2, rel=0.03)
    assert places[0][3] == pytest.approx(places[0][4], abs=2) and places[0][4] == places[1][4]


def test_paper_has_its_size_and_more_panels_take_more_pages():
    assert paper_size("A4", 300) == (2480, 3508) and paper_size("US letter landscape", 100) == (1100, 850)
    assert paper_size("none", 100) is None
    width, height = paper_size("A4", 72)
    sheets = pages(panels(14), "free", width, rows=(1,) * 14, height=height)
    assert len(sheets) > 2 and {sheet.size for sheet in sheets} == {(width, height)}
    bottoms = [place[2] + place[4] for place in find(sheets, 14)]
    assert max(bottoms) > height * 0.8, "rows fill the page"


def test_choices_become_a_style():
    said = [ComicPanel(Image.new("RGB", (8, 8)), balloons=(Balloon(text),)) for text in ("おはよう", "Hi")]

    def style(layout, **chosen) -> PageStyle:
        return page_style(said, FACE, layout=layout, page_width=900, font_size=20, **chosen)

    assert style("manga").lettering.vertical and style("manga").lettering.right_to_left
    assert not style("manga", text_direction="horizontal").lettering.vertical
    assert not style("grid").lettering.vertical and style("grid", text_direction="vertical").lettering.vertical
    assert style("grid", gutter=-1, border=0).gutter is None and style("grid", gutter=-1, border=0).border == 0
    assert (style("grid").width, style("grid").height, style("grid", page_height=700).height) == (900, None, 700)
    assert (style("grid", paper="A4", dpi=100).width, style("grid", paper="A4", dpi=100).height) == (827, 1169)
    assert style("free", rows="2,1").rows == (2, 1) and style("free").rows == (2, 1, 3) and style("grid", rows="no rows").rows == ()


def test_gutter_and_border_are_as_asked():
    sheet = page(panels(2), gutter=31, border=5)
    one, two = (area(sheet, colour) for colour in COLOURS[:2])
    assert two[0] - (one[0] + one[2]) == 31 + 2 * 5
    for name in ("gutter", "border"):
        with pytest.raises(ValueError, match=f"{name}: -3"):
            page(panels(2), **{name: -3})


def test_a_caption_lies_in_a_light_strip_under_its_picture_and_nothing_sticks_out():
    sheet = page(panels(1, captions=["One caption, long enough that it takes more than a single line."]), width=300)
    left, top, width, height = area(sheet, COLOURS[0])
    box = area(sheet, CAPTION_PAPER)
    assert box[0] == left and box[2] == width and top + height <= box[1]
    strip = np.asarray(sheet.convert("L"))[box[1]:box[1] + box[3], box[0]:box[0] + box[2]]
    ys, xs = np.nonzero(strip < 128)
    assert len(xs) > 200, "the caption is not drawn"
    assert xs.min() >= 5 and xs.max() < width - 5 and ys.min() >= 5 and ys.max() < box[3] - 5


def test_longer_captions_make_the_page_taller_and_no_captions_leave_no_strip():
    bare = page(panels())
    short = page(panels(captions=["Hello."] * 6))
    long = page(panels(captions=["Hello. " * 20] * 6))
    assert bare.height < short.height < long.height
    assert not (np.asarray(bare) == CAPTION_PAPER).all(axis=-1).any()


@pytest.mark.parametrize("captions", ["box", "outlined", "none"])
def test_captions_on_the_picture_leave_the_page_as_it_is(captions):
    bare = page(panels())
    drawn = page(panels(captions=["Hello there."] * 6), captions=captions)
    assert drawn.size == bare.size
    assert (np.asarray(drawn) != np.asarray(bare)).any() == (captions != "none")
    assert (np.asarray(drawn) == CAPTION_PAPER).all(axis=-1).any() == (captions == "box")


def test_a_shadow_darkens_beside_a_box():
    flat, raised = (page(panels(1, captions=["Hello there."]), captions="box", shadow=shadow) for shadow in (False, True))
    changed = (np.asarray(flat).astype(int) - np.asarray(raised)).sum(axis=-1)
    assert (changed > 30).sum() > 100 and changed.min() >= 0


def test_pictures_keep_their_shape():
    _, _, width, height = area(page(panels(2, (120, 60)), width=800), COLOURS[0])
    assert width / height == pytest.approx(2, rel=0.02)


def test_a_picture_of_another_shape_is_cut_and_not_squeezed():
    odd = Image.new("RGB", (200, 100), (0, 0, 255))
    odd.paste((255, 0, 0), (70, 20, 130, 80))  # a square of 60 in the middle
    sheet = page([*panels(2, (100, 100)), ComicPanel(odd)], width=1000)
    _, _, cell, _ = area(sheet, COLOURS[0])
    pixels = np.asarray(sheet).astype(int)
    ys, xs = np.nonzero((pixels[..., 0] > 200) & (pixels[..., 1] < 20) & (pixels[..., 2] < 60))
    assert np.ptp(xs) == pytest.approx(np.ptp(ys), abs=2)
    assert np.ptp(xs) == pytest.approx(0.6 * cell, abs=4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_picture_is_cut_around_its_detail_or_around_the_mask(side):
    wide = Image.new("RGB", (300, 100), (90, 90, 90))
    figure = (10, 20, 70, 90) if side == "left" else (230, 20, 290, 90)
    wide.paste((255, 0, 0), figure)
    others = panels(2, (100, 100))
    assert area(page([*others, ComicPanel(wide)], width=1000), (255, 0, 0))[2] > 100, "the figure is cut away"
    mask = Image.new("L", (30, 10))
    mask.paste(255, (0, 0, 8, 10) if side == "right" else (22, 0, 30, 10))  # the other side
    sheet = page([*others, ComicPanel(wide, keep_free=mask)], width=1000)
    assert not (np.asarray(sheet) == (255, 0, 0)).all(axis=-1).any()


@pytest.mark.parametrize("upright", [False, True])
def test_of_two_like_figures_a_narrow_cell_shows_one_whole(upright):
    size, figures = (900, 600), ((100, 200, 200, 550), (700, 200, 800, 550))
    mask = Image.new("L", size)
    for figure in figures:
        mask.paste(255, figure)
    cell = (300, 600)
    if upright:  # rows, then, and a flat cell: the upper figure's head counts most
        mask, cell = mask.transpose(Image.Transpose.TRANSPOSE), (600, 300)
    picture = Image.new("RGB", mask.size, (90, 110, 130))
    picture.paste((255, 0, 0), mask=mask)
    for given in (mask, None):
        shown = np.asarray(mask.crop(tuple(map(round, crop_box(picture, *cell, given)))))
        assert (shown > 0).sum() == 100 * 350


def test_a_head_has_some_room_above_it():
    for top, cell in ((47, (300, 120)), (61, (300, 90)), (40, (300, 180))):
        mask = Image.new("L", (300, 300))
        ImageDraw.Draw(mask).ellipse((120, top, 180, top + 70), fill=255)
        ImageDraw.Draw(mask).rectangle((90, top + 70, 210, 290), fill=255)
        _, upper, _, lower = crop_box(Image.new("RGB", (300, 300)), *cell, mask)
        assert 0.07 < (top - upper) / (lower - upper) < 0.16


def test_a_cell_too_low_for_a_figure_shows_its_head():
    figure = Image.new("RGB", (300, 300), (90, 110, 130))
    mask = Image.new("L", (300, 300))
    for image, head, body in ((figure, (255, 0, 0), (0, 60, 20)), (mask, 255, 255)):
        ImageDraw.Draw(image).ellipse((125, 30, 175, 80), fill=head)
        ImageDraw.Draw(image).rectangle((90, 80, 210, 280), fill=body)  # wider than the head
    part = figure.crop(tuple(round(side) for side in crop_box(figure, 300, 120, mask)))
    red = [(np.asarray(image) == (255, 0, 0)).all(axis=-1).sum() for image in (part, figure)]
    assert part.size == (300, 120) and red[0] > 0.9 * red[1]


def test_transparent_pictures_show_paper():
    sheet = page([ComicPanel(Image.new("RGBA", (64, 64), (0, 0, 0, 0)))], width=300)
    assert sheet.getpixel((150, sheet.height // 2)) == PAPER


@pytest.mark.parametrize(
    ("each", "options", "words"),
    [
        ([], {}, "no picture"),
        (panels(6), {"width": 120, "captions": "strip"}, "page_width"),
        (panels(6), {"width": 60, "layout": "classic"}, "page_width"),
        (panels(6), {"width": 150, "layout": "storyboard"}, "page_width"),
        (panels(1, (10, 4000)), {}, "65500"),
        (panels(1, captions=["word " * 60_000]), {}, "too long"),
        (panels(1, captions=["word " * 60_000]), {"captions": "box"}, "panel 1: .*too long"),
        (panels(2, captions=["fine", "word " * 900]), {"captions": "box", "width": 300}, "panel 2: .*no room.*larger"),
        (panels(2, captions=["fine", "小明"]), {}, r"U\+5C0F.*panel 2.*a font that has them into models/fabula_fonts"),
        ([*panels(1), ComicPanel(Image.new("RGB", (9, 9)), balloons=(Balloon("小"),))], {}, r"U\+5C0F.*panel 2"),
        (panels(6, captions=["word " * 90] * 6), {"height": 400}, "page_height"),
        (panels(2), {"size": 0}, "font_size"),
        (panels(1), {"layout": "webtoon", "width": 256, "gutter": 128}, "page_width.*gutter of 128"),
        (panels(1), {"layout": "webtoon", "width": 256, "border": 120}, "page_width.*border of 120"),
        (panels(1, captions=["Then."]), {"layout": "webtoon", "width": 256, "size": 200}, "page_width.*letters of 200.*font_size"),
        (panels(2), {"width": 900, "border": 210}, "page_width.*border of 210"),
        (panels(1), {"layout": "manga", "width": 1240, "height": 160, "border": 40}, "page_height.*border of 40"),
        (panels(1), {"layout": "storyboard", "gutter": 400}, "page_width.*gutter of 400"),
        (panels(2), {"layout": "spiral"}, "no layout"),
    ],
)
def test_bad_input_says_what_to_change(each, options, words):
    with pytest.raises(ValueError, match=words):
        pages(each, **options)
