"""Token sampling, gathering, attention and the schedule, without a host."""

import math

import pytest
import torch
from fabula.attention.cast import Cast
from fabula.attention.schedule import Schedule, step_of
from fabula.attention.sharing import attend_shared, group_views, whole_rows
from fabula.attention.state import Run, Settings
from fabula.attention.subject import token_grid
from fabula.attention.tiles import together
from fabula.attention.tokens import sample_tokens

CPU = torch.device("cpu")


@pytest.mark.parametrize("rate, count", [(0.0, 0), (0.5, 32), (1.0, 64), (0.33, 21)])
def test_a_draw_has_the_rate_of_the_tokens_each_once(rate, count):
    drawn = sample_tokens(64, rate, seed=1, step=2, panel=3)
    assert len(drawn) == len(set(drawn.tolist())) == count
    assert drawn.tolist() == sorted(drawn.tolist())


def test_a_draw_depends_on_its_key_and_on_nothing_else():
    first = sample_tokens(64, 0.5, seed=1, step=2, panel=3)
    torch.rand(100)
    assert torch.equal(first, sample_tokens(64, 0.5, seed=1, step=2, panel=3))
    for key in ({"seed": 9}, {"step": 9}, {"panel": 9}):
        assert not torch.equal(first, sample_tokens(64, 0.5, **{"seed": 1, "step": 2, "panel": 3, **key}))


# What each row attends to, in the words of the official code: write (anchors among themselves) with 2, 3 and 4 of them,
# read (later panels), a panel of two characters, one of none.
SCENES = {
    "write 2": [(1,), (0,)],
    "write 3": [(1, 2), (0, 2), (0, 1)],
    "write 4": [(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)],
    "read": [(1,), (0,), (0, 1), (0, 1)],
    "two characters": [(1,), (0,), (3,), (2,), (0, 1, 2, 3), (2, 3), ()],
}


def reference(hidden, weights, heads, sources, drawn):
    """O_i = Attn(Q_i, K_Pi, V_Pi), P_i = [S_i; I_i], from the formulas: token by token, in float64, without a gather.

    hidden (rows, tokens, channels); drawn: for each row, positions. The mask over all rows' tokens is the official
    app's formulation.
    """
    rows, tokens, channels = hidden.shape
    width = channels // heads
    flat = hidden.double().reshape(rows * tokens, channels)
    q, k, v = (flat @ w.double() for w in weights)
    out = torch.zeros(rows * tokens, channels, dtype=torch.float64)
    for row in range(rows):
        seen = torch.zeros(rows * tokens, dtype=torch.bool)
        for other in sources[row]:
            seen[[other * tokens + t for t in drawn[other].tolist()]] = True
        seen[row * tokens:(row + 1) * tokens] = True
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            for token in range(row * tokens, (row + 1) * tokens):
                scores = (k[:, part] @ q[token, part]) / math.sqrt(width)
                scores[~seen] = -math.inf
                out[token, part] = torch.softmax(scores, 0) @ v[:, part]
    return out.reshape(rows, tokens, channels)


def heads_attention(heads):
    def attend(q, k, v):
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    return attend


@pytest.mark.parametrize("size", [(4, 4), (3, 5)])
@pytest.mark.parametrize("rate", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("sources", SCENES.values(), ids=SCENES)
def test_shared_attention_is_the_formula_and_the_mask(sources, rate, size):
    torch.manual_seed(0)
    tokens, channels, heads, chunks, rows = size[0] * size[1], 16, 2, 2, len(sources)
    hidden = torch.randn(chunks, rows, tokens, channels)
    weights = torch.randn(3, channels, channels) / channels**0.5
    drawn = [sample_tokens(tokens, rate, 7, 1, row) for row in range(rows)]
    q, k, v = (hidden.flatten(0, 1) @ w for w in weights)
    got = attend_shared(q, k, v, group_views(whole_rows(sources, drawn, tokens), tokens, chunks, CPU), chunks, heads_attention(heads))
    for chunk in range(chunks):
        expected = reference(hidden[chunk], weights, heads, sources, drawn)
        assert (got.unflatten(0, (chunks, rows))[chunk] - expected).abs().max() <= 1e-5


def test_keys_that_another_patch_has_added_are_each_rows_own():
    tokens, keys, channels = 4, 6, 1  # the first 4 keys of a row are its tokens
    k = torch.arange(2 * keys, dtype=torch.float32).reshape(2, keys, channels)
    drawn = [sample_tokens(tokens, 0.5, 0, 0, row) for row in range(2)]
    seen = []
    groups = group_views(whole_rows([(1,), (0,)], drawn, keys), keys, 1, CPU)
    attend_shared(torch.zeros(2, tokens, channels), k, k, groups, 1, lambda q, k, v: seen.append(k) or q)
    assert seen[0][0, :, 0].tolist() == [float(keys + t) for t in drawn[1].tolist()] + [float(t) for t in range(keys)]


SIGMAS = torch.tensor([10.0, 6.0, 3.0, 1.0, 0.0])


@pytest.mark.parametrize("sigma, step", [(10.0, 0), (9.0, 0), (6.0, 1), (5.9999, 1), (4.0, 1), (1.0, 3), (0.5, 3), (12.0, 0)])
def test_the_step_is_where_sigma_lies_not_how_often_the_model_was_called(sigma, step):
    assert step_of(sigma, SIGMAS) == step


def test_the_official_schedule_warms_up_then_drops_layers():
    schedule = Schedule("storydiffusion", seed=1)
    layers = [(block, index) for block in range(40) for index in range(10)]
    assert not any(schedule.is_on(0, layer) for layer in layers)
    for step, share in ((5, 0.7), (25, 0.9)):
        on = sum(schedule.is_on(step, layer) for layer in layers) / len(layers)
        assert abs(on - share) < 0.06
    assert schedule.is_on(5, (1, 1)) == Schedule("storydiffusion", seed=1).is_on(5, (1, 1))
    assert any(Schedule("storydiffusion", 1, warm_up=False).is_on(0, layer) for layer in layers)
    assert all(Schedule("always", 1).is_on(0, layer) for layer in layers)
    with pytest.raises(ValueError, match="sometimes"):
        Schedule("sometimes", 1)


def start(*settings, panels=2, coarse=()):
    run = Run(settings or [Settings(1.0, 1.0, "always", 0, 100.0, 0.0)], SIGMAS, True, frozenset(coarse))
    run.scene = together(Cast.nameless(panels), range(panels))
    return run


def keys_of(groups):
    return None if groups is None else {row: group.index.shape[1] for group in groups for row in torch.arange(9)[group.rows].tolist()[: len(group.index)]}


def test_outside_its_range_of_sigmas_nothing_is_shared():
    run = start(Settings(1.0, 1.0, "always", 0, start_sigma=8.0, end_sigma=2.0))
    for sigma, shared in ((9.0, False), (8.0, True), (3.0, True), (2.0, False), (1.0, False)):
        assert (run.groups(sigma, (0, 0), 4, 4, 1, CPU) is not None) is shared


def test_one_panel_alone_shares_nothing():
    assert start(panels=1).groups(5.0, (0, 0), 4, 4, 1, CPU) is None


def test_the_coarse_and_the_fine_layers_may_have_rates_of_their_own():
    run = start(Settings(0.25, 0.5, "always", 0, 100.0, 0.0), coarse={3})
    assert keys_of(run.groups(5.0, (3, 0), 8, 8, 1, CPU)) == {0: 8 + 2, 1: 8 + 2}
    assert keys_of(run.groups(5.0, (4, 0), 8, 8, 1, CPU)) == {0: 8 + 4, 1: 8 + 4}


def test_layers_of_one_resolution_share_a_draw_and_another_step_or_scene_has_its_own():
    half = start(Settings(0.5, 0.5, "always", 0, 100.0, 0.0))
    first = half.groups(6.0, (0, 0), 64, 64, 1, CPU)
    assert half.groups(6.0, (1, 3), 64, 64, 1, CPU) is first
    assert not torch.equal(half.groups(3.0, (0, 0), 64, 64, 1, CPU)[0].index, first[0].index)
    assert torch.equal(half.groups(6.0, (0, 0), 64, 64, 1, CPU)[0].index, first[0].index)
    half.scene = together(Cast.nameless(3), (0, 2))
    assert not torch.equal(half.groups(6.0, (0, 0), 64, 64, 1, CPU)[0].index, first[0].index)


@pytest.mark.parametrize("tokens, size, grid", [(256, (32, 32), (16, 16)), (17 * 9, (33, 17), (17, 9)), (9 * 5, (33, 17), (9, 5)), (256, (33, 33), (16, 16)), (64, (33, 33), (8, 8)), (50, (32, 32), None)])
def test_the_grid_of_a_layers_tokens(tokens, size, grid):
    assert token_grid(tokens, *size) == grid
