"""Speech balloons: they hide what matters least, are read in order, point to who speaks, and their words fit."""

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from fabula.comic.balloons import letter_picture
from fabula.comic.ink import WHITE, Item, draw_items
from fabula.comic.outline import tail
from fabula.comic.panel import CAPTION_PAPER, INK, Balloon, Lettering
from fabula.comic.placing import Box
from fabula.comic.text_block import FINE, fit_text
from fabula.comic.typeface import Typeface

FACE = Typeface()
GREY = (120, 120, 120)


def picture(size=(400, 400), busy=None) -> Image.Image:
    """A grey picture; `busy` (left, top, right, bottom) is full of detail."""
    image = Image.new("RGB", size, GREY)
    if busy:
        noise = np.random.default_rng(0).integers(0, 255, (busy[3] - busy[1], busy[2] - busy[0], 3), dtype=np.uint8)
        image.paste(Image.fromarray(noise), busy[:2])
    return image


def mask(box, size=(400, 400)) -> Image.Image:
    image = Image.new("L", size)
    ImageDraw.Draw(image).rectangle(box, fill=255)
    return image


def nothing(x, y) -> np.ndarray:
    """What a tail has to keep clear of, for `tail`."""
    return np.zeros(np.shape(x), dtype=bool)


def letter(image, *balloons, caption="", keep_free=None, boxed=True, size=24, **how):
    return letter_picture(image, caption, boxed, balloons, keep_free, Lettering(FACE, size, **how))


def overlap(box, area) -> float:
    wide = min(box.left + box.width, area[2]) - max(box.left, area[0])
    high = min(box.top + box.height, area[3]) - max(box.top, area[1])
    return max(0, wide) * max(0, high)


@pytest.mark.parametrize("busy", [(0, 0, 200, 400), (200, 0, 400, 400), (0, 0, 400, 200)])
def test_a_balloon_is_put_on_the_emptiest_side(busy):
    (box,) = letter(picture(busy=busy), Balloon("Look! A map!"))
    assert overlap(box, busy) < 0.1 * box.width * box.height


def test_a_balloon_never_covers_a_face_that_is_given():
    for face in ((0, 0, 399, 250), (120, 20, 399, 399), (0, 150, 399, 399), (0, 60, 330, 399)):
        for text in ("Yes.", "What does it say? I cannot read it in this light.", "One more and longer thing to say about all of this. " * 2):
            (box,) = letter(picture(), Balloon(text), keep_free=mask(face))
            assert overlap(box, face) < 0.03 * box.width * box.height, (face, text)


def test_text_becomes_smaller_rather_than_cover_a_face():
    free, narrow = (letter(picture(), Balloon("What does it say? Tell me."), keep_free=keep, size=28)[0] for keep in (None, mask((70, 0, 399, 399))))
    assert narrow.width < 72 and narrow.width < free.width / 2


@pytest.mark.parametrize("text", ["Yes.", "What does it say? I cannot read it in this light."])
@pytest.mark.parametrize("face", [(0, 0, 399, 399), (20, 10, 399, 399)])
def test_a_face_that_leaves_no_room_still_gets_its_balloon_in_legible_letters(face, text):
    (box,), (free,) = (letter(picture(), Balloon(text), keep_free=keep, size=30) for keep in (mask(face), None))
    assert box.width * box.height > 0.2 * free.width * free.height, "letters of half the size take a quarter of the area"


@pytest.mark.parametrize(("word", "size"), [("Congratulations!", 30), ("Donaudampfschifffahrtsgesellschaft!", 16)])
def test_a_long_word_takes_the_shape_in_which_it_is_largest(word, size):
    (box,) = letter(picture((360, 360)), Balloon(word), size=30)
    assert box.width > FACE.width(word) * size


def test_a_balloon_that_needs_to_be_flat_leaves_the_caption_its_own_shape():
    face, said, told = (0, 60, 399, 340), "What is over there?", "The first of May."
    caption, balloon = letter(picture(), Balloon(said), caption=told, keep_free=mask(face))
    assert not overlap(caption, face) and not overlap(balloon, face)
    for box, text in ((caption, told), (balloon, said)):
        assert box.width > FACE.width(text) * 24, "one line, of the size that was asked for"


@pytest.mark.parametrize("right_to_left", [False, True])
def test_balloons_do_not_overlap_and_are_read_in_order(right_to_left):
    boxes = letter(picture(), Balloon("First of all."), Balloon("Then this."), Balloon("And at last that."), caption="Evening.", right_to_left=right_to_left)
    for at, one in enumerate(boxes):
        for other in boxes[at + 1:]:
            assert not overlap(one, (other.left, other.top, other.left + other.width, other.top + other.height))
    reading = [box.centre[1] + 0.35 * (400 - box.centre[0] if right_to_left else box.centre[0]) for box in boxes]
    assert reading == sorted(reading)


@pytest.mark.parametrize("right_to_left", [False, True])
def test_the_first_balloon_leaves_the_second_a_place_behind_it(right_to_left):
    """The emptiest strip is the lower one; were the first put there, the second could only stand ahead of it."""
    face = mask((0, 130, 399, 270))
    first, second = letter(picture(busy=(0, 0, 400, 130)), Balloon("Over here!"), Balloon("What is that? I have never seen one as large as this."), keep_free=face,
                           right_to_left=right_to_left)
    assert not overlap(first, (0, 130, 399, 270)) and not overlap(second, (0, 130, 399, 270))
    reading = [box.centre[1] + 0.35 * (400 - box.centre[0] if right_to_left else box.centre[0]) for box in (first, second)]
    assert reading == sorted(reading)


def test_the_tail_points_at_who_speaks():
    for left in (20, 320):
        speaker = mask((left, 240, left + 60, 390))
        image = picture()
        (box,) = letter(image, Balloon("Look!", "Mia", speaker), keep_free=speaker)
        white = (np.asarray(image) == WHITE).all(axis=-1)
        outside = np.array([[x, y] for y, x in np.argwhere(white) if not (box.left <= x < box.left + box.width and box.top <= y < box.top + box.height)])
        assert len(outside) > 15, "there is no tail"
        way = np.array([left + 30, 265]) - box.centre
        tip = outside[np.argmax(outside @ way)] - box.centre
        assert tip @ way / np.linalg.norm(tip) / np.linalg.norm(way) > 0.97
        assert np.linalg.norm(tip) < np.linalg.norm(way), "it ends ahead of the speaker"


@pytest.mark.parametrize("right_to_left", [False, True])
@pytest.mark.parametrize("size", [(640, 320), (400, 400)])
@pytest.mark.parametrize(
    "words", [("Look, a map!", "Where does it lead?"), ("What is it now? I am busy.", "Over here, quickly!"), ("One.", "Two of them?", "Three.")],
)
@pytest.mark.parametrize("begins", [0, 1])
def test_each_balloon_stands_by_its_speaker_and_nothing_crosses_the_way(begins, words, size, right_to_left):
    wide, high = size
    places = [(wide * share - 40, high * 0.4, wide * share + 40, high - 1) for share in (0.25, 0.75)]
    masks = [mask(place, size) for place in places]
    whose = [(begins + at) % 2 for at in range(len(words))]
    boxes = letter(picture(size), *(Balloon(text, str(who), masks[who]) for text, who in zip(words, whose)), keep_free=ImageChops.lighter(*masks),
                   right_to_left=right_to_left)
    for at, (box, who) in enumerate(zip(boxes, whose)):
        head = np.array([wide * (0.25, 0.75)[who], high * 0.5])
        for step in np.linspace(0, 1, 50):
            x, y = np.array(box.centre) * (1 - step) + head * step
            assert not masks[1 - who].getpixel((x, y)), "the way leads across another one"
            assert not any(abs(x - other.centre[0]) < other.width / 2 and abs(y - other.centre[1]) < other.height / 2
                           for other in boxes[:at] + boxes[at + 1:]), "the way leads across another balloon"
        assert abs(box.centre[0] - head[0]) < 0.45 * wide


def test_a_tail_points_at_nobody_where_the_cell_does_not_show_who_speaks():
    other = (150, 200, 250, 399)
    image = picture(busy=other)
    letter(image, Balloon("Here I am!", "Bob", Image.new("L", (8, 8))), keep_free=mask(other))
    changed = (np.asarray(image) != GREY).any(axis=-1)
    assert changed[:, 0].any() or changed[:, -1].any(), "it leaves the picture"


@pytest.mark.parametrize("top", [70, 100, 160])
@pytest.mark.parametrize("left", [20, 160, 320])
def test_a_tail_ends_ahead_of_the_face(left, top):
    face = Image.new("L", (400, 400))
    ImageDraw.Draw(face).ellipse((left, top, left + 60, top + 80), fill=255)
    image = picture()
    letter(image, Balloon("Look, here is a map!", "Mia", face), keep_free=face)
    changed = (np.asarray(image) != GREY).any(axis=-1)
    assert changed.any() and not changed[np.asarray(face) > 0].any()


def test_the_tail_of_somebody_who_is_not_there_leaves_the_picture():
    image = picture()
    letter(image, Balloon("Come home!", "Mum", outside=True))
    inside = picture()
    letter(inside, Balloon("Come home!", "Mum", mask((180, 200, 220, 390))))
    assert (np.asarray(image) != np.asarray(inside)).any()
    # A tail to the side: white or ink at a height between the balloon and the picture's edge.
    changed = (np.asarray(image) != GREY).any(axis=-1)
    assert changed[:, :6].any() or changed[:, -6:].any()


def test_a_balloon_has_ink_letters_on_white_within_an_outline():
    image = picture()
    (box,) = letter(image, Balloon("Look! A map!"))
    pixels = np.asarray(image)
    x, y = map(round, box.centre)
    inner = pixels[y - 14:y + 14, x - 40:x + 40].astype(int).sum(axis=-1)
    assert (inner > 700).mean() > 0.4 and (inner < 200).mean() > 0.05
    assert (pixels == INK).all(axis=-1).sum() > 200


def test_a_caption_box_stands_at_the_edge_and_comes_first():
    image = picture()
    caption, balloon = letter(image, Balloon("Look!"), caption="Evening came.")
    assert caption.left in (0, 400 - caption.width) or caption.top in (0, 400 - caption.height)
    assert caption.centre[1] < balloon.centre[1] or caption.centre[0] < balloon.centre[0]
    assert (np.asarray(image) == CAPTION_PAPER).all(axis=-1).sum() > 1000


def test_outlined_letters_are_light_with_a_dark_edge():
    image = picture()
    letter(image, caption="Evening came.", boxed=False, size=40)
    pixels = np.asarray(image)
    assert (pixels == WHITE).all(axis=-1).sum() > 300 and (pixels == INK).all(axis=-1).sum() > 300


def test_vertical_balloons_are_higher_than_wide():
    (box,) = letter(picture(), Balloon("おはようございます、ミアさん"), vertical=True)
    assert box.height > 1.3 * box.width


def test_many_words_in_a_small_picture_are_refused_with_what_to_do():
    with pytest.raises(ValueError, match="no room in a picture of 60 x 60 pixels.*larger"):
        letter(picture((60, 60)), Balloon("many words " * 30))
    assert FINE >= 2


@pytest.mark.parametrize("shadow", [False, True])
def test_no_tail_lies_on_the_letters_of_another_balloon(shadow):
    block = fit_text("Look, a map!", FACE, 24, lambda _: (200, 60))
    first, second = Box(20, 130, 160, 60), Box(230, 130, 160, 60)
    items = [Item(block, first, [], caption=False), Item(block, second, tail(second, (30, 160), 80, nothing), caption=False)]
    crossed, alone = picture(), picture()
    draw_items(crossed, items, True, Lettering(FACE, 24, shadow=shadow))
    draw_items(alone, items[:1], True, Lettering(FACE, 24, shadow=shadow))
    inside = (25, 150, 175, 170)
    assert crossed.crop(inside).tobytes() == alone.crop(inside).tobytes()


def test_a_balloon_and_its_tail_are_one_outline():
    block = fit_text("Look!", FACE, 24, lambda _: (200, 60))
    box = Box(100, 50, 160, 60)
    image = picture()
    draw_items(image, [Item(block, box, tail(box, (180, 300), 24, nothing), caption=False)], True, Lettering(FACE, 24))
    assert {image.getpixel((180, y)) for y in range(100, 140)} == {WHITE}, "no line parts them"
