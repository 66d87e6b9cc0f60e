"""Sharing the character and not the place: which tokens are drawn, and whose queries see them."""

import pytest
import torch
from fabula.attention.cast import Cast
from fabula.attention.sharing import attend_shared, group_views
from fabula.attention.state import SUBJECT_SHARE, Run, Settings, subject_views
from fabula.attention.subject import AttendedSubjects, MaskedSubjects, Subject, divide, otsu
from fabula.attention.tiles import together
from fabula.attention.tokens import sample_tokens

CPU, GRID = torch.device("cpu"), (8, 8)
SIGMAS = torch.tensor([10.0, 6.0, 3.0, 1.0, 0.0])


def square(top, left, height, width):
    mask = torch.zeros(GRID)
    mask[top:top + height, left:left + width] = 1
    return mask


def inside(mask):
    return set(mask.flatten().nonzero()[:, 0].tolist())


def test_the_characters_tokens_are_drawn_first_and_the_likest_others_fill_up():
    mask, score = square(1, 1, 4, 4), torch.arange(64.0)
    few = sample_tokens(64, 0.125, 1, 2, 3, Subject(mask.bool().flatten(), score))
    assert len(few) == 8 and set(few.tolist()) < inside(mask)
    assert not torch.equal(few, sample_tokens(64, 0.125, 1, 9, 3, Subject(mask.bool().flatten(), score)))
    many = sample_tokens(64, 0.5, 1, 2, 3, Subject(mask.bool().flatten(), score))
    assert set(many.tolist()) == inside(mask) | set(range(48, 64)) and len(many) == 32


def test_of_what_has_no_score_nothing_outside_is_drawn():
    mask = square(1, 1, 4, 4).bool().flatten()
    assert set(sample_tokens(64, 0.5, 1, 2, 3, Subject(mask, None)).tolist()) == inside(mask)
    assert len(sample_tokens(64, 0.5, 1, 2, 3, Subject(mask & False, None))) == 0


def test_a_mask_becomes_the_tokens_that_it_covers_half_or_most():
    mask = torch.zeros(64, 32)
    mask[16:48, 8:32] = 1
    subjects = MaskedSubjects({(0, None): mask, (1, None): torch.zeros(64, 32), (2, None): mask * 0.1})

    def found(panel):
        return subjects.find(panel, ["Mia"], (4, 4))["Mia"].inside

    assert found(0).reshape(4, 4).int().tolist() == [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 0, 0, 0]]
    assert not found(1).any()
    assert found(2).sum() == 6  # faint, but the best there is
    assert subjects.find(7, ["Mia"], (4, 4)) == {}


def test_a_token_that_two_masks_cover_is_of_the_one_that_covers_more():
    found = MaskedSubjects({(0, "Mia"): square(0, 0, 8, 5) * 0.6, (0, "Bob"): square(0, 3, 8, 5)}).find(0, ["Mia", "Bob"], GRID)
    assert inside(found["Mia"].inside) == inside(square(0, 0, 8, 3)) and inside(found["Bob"].inside) == inside(square(0, 3, 8, 5))


def test_otsu_divides_two_heaps():
    values = torch.cat([torch.full((50,), 1.0), torch.full((14,), 5.0)])
    assert ((values > otsu(values)) == (values == 5)).all()
    assert not (torch.ones(9) > otsu(torch.ones(9))).any()


def test_a_step_goes_by_what_the_steps_before_have_shown():
    subjects, shown = AttendedSubjects(), ((0, "Mia"),)
    left, right = square(0, 0, 8, 4).reshape(1, 64), square(0, 4, 8, 4).reshape(1, 64)

    def found():
        known = subjects.find(0, ["Mia"], GRID)
        return inside(known["Mia"].inside) if known else None

    subjects.begin(0)
    subjects.note(shown, GRID, left)
    assert found() is None
    subjects.begin(0)  # another call of the same step, as uncond by itself is
    assert found() is None and not subjects.tells_apart(0, ["Mia"])
    subjects.begin(1)
    assert found() == inside(left) and subjects.tells_apart(0, ["Mia"])
    subjects.note(shown, GRID, right * 3)  # how strongly a step attends says nothing
    assert found() == inside(left)
    subjects.begin(2)
    subjects.note(shown, GRID, right)
    subjects.begin(3)
    assert found() == inside(right)
    subjects.forget()
    assert found() is None


def test_layers_of_two_resolutions_are_averaged_by_their_number():
    subjects, shown = AttendedSubjects(), ((0, "Mia"),)
    subjects.note(shown, (4, 4), torch.nn.functional.avg_pool2d(square(0, 0, 8, 4)[None], 2).reshape(1, 16))
    for _ in range(5):
        subjects.note(shown, GRID, square(0, 4, 8, 4).reshape(1, 64))
    subjects.begin(1)
    assert inside(subjects.find(0, ["Mia"], GRID)["Mia"].inside) == inside(square(0, 4, 8, 4))


def test_maps_that_change_their_size_or_are_no_numbers_leave_what_is_known():
    subjects, shown = AttendedSubjects(), ((0, "Mia"),)
    subjects.note(shown, (4, 4), torch.nn.functional.avg_pool2d(square(0, 0, 8, 4)[None], 2).reshape(1, 16))
    subjects.begin(1)
    subjects.note(shown, GRID, square(0, 0, 8, 4).reshape(1, 64))
    subjects.begin(2)
    assert inside(subjects.find(0, ["Mia"], GRID)["Mia"].inside) == inside(square(0, 0, 8, 4))
    subjects.note(shown, GRID, torch.full((1, 64), float("nan")))
    subjects.begin(3)
    assert inside(subjects.find(0, ["Mia"], GRID)["Mia"].inside) == inside(square(0, 0, 8, 4))


# Mia alone, Bob alone, both, Mia alone, nobody.
CAST = Cast((("Mia",), ("Bob",), ("Mia", "Bob"), ("Mia",), ()))
MASKS = {
    (0, "Mia"): square(0, 0, 4, 4), (1, "Bob"): square(4, 4, 4, 4), (2, "Mia"): square(0, 0, 8, 3), (2, "Bob"): square(0, 5, 8, 3),
    (3, "Mia"): square(2, 2, 4, 4),
}


def draw(panel, subject):
    return sample_tokens(64, 0.25, 7, 1, panel, subject)


def reference(q, k, v, scene, subjects):
    """Query by query in float64: own tokens, and of the sources the drawn tokens of the character in whose region it lies."""
    out = torch.zeros(q.shape, dtype=torch.float64)
    for row, (panel, names, sources) in enumerate(zip(scene.panels, scene.characters, scene.sources)):
        for query in range(64):
            # In a panel of one character, all queries see it.
            here = [name for name in names if len(names) == 1 or MASKS[panel, name].flatten()[query]]
            seen = {row * 64 + token for token in range(64)}
            for name in here:
                for other in sources:
                    if (scene.panels[other], name) in MASKS:
                        subject = subjects.find(scene.panels[other], scene.characters[other], GRID)[name]
                        seen |= {other * 64 + token for token in draw(scene.panels[other], subject).tolist()}
            keys = sorted(seen)
            weights = torch.softmax(k.reshape(-1, k.shape[-1])[keys].double() @ q[row, query].double() / k.shape[-1] ** 0.5, 0)
            out[row, query] = weights @ v.reshape(-1, v.shape[-1])[keys].double()
    return out


def test_with_two_characters_in_a_panel_each_ones_tokens_go_to_its_region():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, len(CAST.panels), 64, 8)
    scene, subjects = together(CAST, range(5)), MaskedSubjects(MASKS)
    views = subject_views(scene, subjects, GRID, draw, 64)
    groups = group_views(views, 64, 1, CPU)
    got = attend_shared(q, k, v, groups, 1, torch.nn.functional.scaled_dot_product_attention)
    assert (got - reference(q, k, v, scene, subjects)).abs().max() <= 1e-5
    both = attend_shared(q.repeat(2, 1, 1), k.repeat(2, 1, 1), torch.cat([v, -v]), group_views(views, 64, 2, CPU), 2,
                         torch.nn.functional.scaled_dot_product_attention)
    assert torch.allclose(both[:5], got, atol=1e-6) and torch.allclose(both[5:], -got, atol=1e-6)


def test_a_panel_of_two_whose_regions_nobody_knows_sees_both_everywhere():
    scene = together(CAST, range(3))
    view = subject_views(scene, MaskedSubjects({(0, "Mia"): MASKS[0, "Mia"]}), GRID, draw, 64)[2]
    assert view.region is None and set(view.seen.tolist()) == {
        *draw(0, Subject(MASKS[0, "Mia"].bool().flatten(), None)).tolist(), *(64 + draw(1, None)).tolist()}


def test_the_sizes_of_the_characters_change_no_shapes():
    subjects = AttendedSubjects()
    for panel in range(4):
        subjects.note(((panel, "Mia"),), GRID, square(0, 0, 2 + panel, 3).reshape(1, 64))
    run = Run([Settings(0.5, 0.5, "always", 0, 100.0, 0.0, subjects=subjects)], SIGMAS, True, frozenset())
    run.scene = together(Cast((("Mia",),) * 4), range(4))
    for sigma in (10.0, 6.0):  # nothing is known in the first step
        run.begin(sigma)
        (group,) = run.groups(sigma, (0, 0), 64, 64, 1, CPU, GRID)
        assert group.index.shape == (4, 64 + 3 * round(64 * 0.5 * SUBJECT_SHARE))


@pytest.mark.parametrize("score, expected", [(0.0, {"Mia": 4, "Bob": 4}), (2.0, {"Mia": 2, "Bob": 6})])
def test_what_both_are_goes_to_whom_it_is_of_most(score, expected):
    mia = Subject(torch.tensor([True] * 4 + [False] * 4), torch.ones(8))
    bob = Subject(torch.tensor([score > 1] * 2 + [False] * 2 + [True] * 4), torch.full((8,), score))
    assert {name: int(subject.inside.sum()) for name, subject in divide({"Mia": mia, "Bob": bob}).items()} == expected


def test_words_are_watched_from_the_step_before_the_first_that_shares_to_the_last():
    run = Run([Settings(0.5, 0.5, "always", 0, 4.0, 2.0, subjects=AttendedSubjects())], SIGMAS, True, frozenset())
    watching = []
    for sigma in SIGMAS[:-1].tolist():
        run.begin(sigma)
        watching.append(run.watching)
    assert watching == [False, True, True, False]
