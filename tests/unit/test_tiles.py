"""Who attends to whom, and how a long story is cut up."""

import pytest
from fabula.attention.cast import Cast
from fabula.attention.tiles import plan, together, windows

STORY = Cast((("Mia",), ("Mia",), ("Bob",), (), ("Mia", "Bob"), ("Mia",), ("Bob",), ("Mia",), ("Bob",), ("Mia",)))


def seen(tiles):
    """For each panel of the story, the panels that it attends to; the same in every tile that holds it."""
    found = {}
    for tile in tiles:
        for panel, sources in zip(tile.scene.panels, tile.scene.sources):
            others = {tile.scene.panels[source] for source in sources}
            assert found.setdefault(panel, others) == others
    return found


def test_anchors_are_the_first_panels_that_show_a_character_alone():
    assert STORY.anchors(2) == {"Mia": (0, 1), "Bob": (2, 6)}
    assert STORY.anchors(9)["Bob"] == (2, 6, 8)
    assert Cast((("Mia", "Bob"), ("Mia",))).anchors(2) == {"Mia": (1,), "Bob": ()}
    assert Cast.nameless(5).anchors(3) == {"": (0, 1, 2)}


@pytest.mark.parametrize("tile_size", [1, 2, 3, 16])
def test_anchors_see_anchors_and_the_others_see_the_anchors_of_whom_they_show(tile_size):
    assert seen(plan(STORY, 2, tile_size)) == {
        0: {1}, 1: {0}, 2: {6}, 6: {2}, 3: set(), 4: {0, 1, 2, 6}, 5: {0, 1}, 7: {0, 1}, 8: {2, 6}, 9: {0, 1},
    }


@pytest.mark.parametrize("cast, id_length, tile_size", [
    (STORY, 2, 3), (STORY, 1, 4), (Cast.nameless(50), 2, 4), (Cast.nameless(2), 4, 4), (Cast((("A",), ("B",), ("C",), ())), 2, 1),
])
def test_every_panel_has_a_place_and_tiles_are_of_one_size(cast, id_length, tile_size):
    tiles = plan(cast, id_length, tile_size)
    assert len({len(tile.scene.panels) for tile in tiles}) == 1
    real = [p for tile in tiles for p, stand_in in zip(tile.scene.panels, tile.stand_ins) if not stand_in]
    assert set(real) == set(range(len(cast.panels)))
    anchors = {a for each in cast.anchors(id_length).values() for a in each}
    assert all(real.count(panel) == 1 for panel in set(real) - anchors)
    assert all(sum(p not in anchors for p in tile.scene.panels) <= tile_size + sum(tile.stand_ins) for tile in tiles)


def test_a_long_story_has_tiles_as_large_as_a_short_one():
    assert {len(plan(Cast.nameless(count), 2, 4)[0].scene.panels) for count in (8, 16, 50)} == {6}


def test_in_a_batch_panels_see_the_others_that_show_one_of_their_characters():
    assert together(STORY, range(5)).sources == ((1, 4), (0, 4), (4,), (), (0, 1, 2))
    assert together(STORY, [2, 8, 3]).sources == ((1,), (0,), ())


def test_windows_overlap_and_reach_every_panel():
    assert [list(w) for w in windows(6, 4)] == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    assert [list(w) for w in windows(3, 4)] == [[0, 1, 2]]
