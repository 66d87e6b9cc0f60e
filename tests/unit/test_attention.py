"""Token sampling, gathering and the schedule, without a host."""

import pytest
import torch
from fabula.attention.schedule import Schedule, step_of
from fabula.attention.state import Run, Settings
from fabula.attention.tokens import batch_sources, extend_context, gather_index, sample_tokens


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


def test_each_panel_sees_the_others_sampled_tokens_and_its_own_once():
    panels, tokens, chunks = 3, 8, 2
    # A token's value is its name: chunk, panel, position.
    names = torch.arange(chunks * panels * tokens, dtype=torch.float32).reshape(chunks * panels, tokens, 1)
    drawn = [sample_tokens(tokens, 0.5, 0, 0, p) for p in range(panels)]
    context = extend_context(names, names, gather_index(batch_sources(panels), drawn, tokens), chunks)
    assert context.shape == (chunks * panels, 2 * 4 + tokens, 1)
    for row in range(chunks * panels):
        chunk, panel = divmod(row, panels)
        expected = [float((chunk * panels + j) * tokens + t) for j in range(panels) if j != panel for t in drawn[j].tolist()]
        expected += names[row, :, 0].tolist()
        assert context[row, :, 0].tolist() == expected


def reference(q_input, weight_q, weight_k, weight_v, drawn, panel):
    """O_i = Attn(Q_i, K_Pi, V_Pi), P_i = [S_i; I_i], one head, written from the formula with an N x N mask."""
    panels, tokens, channels = q_input.shape
    flat = q_input.reshape(-1, channels)
    seen = torch.zeros(panels * tokens, dtype=torch.bool)
    for j in range(panels):
        seen[drawn[j] + j * tokens] = True
    seen[panel * tokens:(panel + 1) * tokens] = True
    scores = (q_input[panel] @ weight_q) @ (flat @ weight_k).T / channels**0.5
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ (flat @ weight_v)


def test_attention_over_the_gathered_tokens_equals_the_masked_formula():
    torch.manual_seed(0)
    panels, tokens, channels = 4, 12, 5
    hidden = torch.randn(panels, tokens, channels, dtype=torch.float64)
    q, k, v = torch.randn(3, channels, channels, dtype=torch.float64)
    drawn = [sample_tokens(tokens, 0.5, 7, 1, p) for p in range(panels)]
    context = extend_context(hidden, hidden, gather_index(batch_sources(panels), drawn, tokens), 1)
    got = torch.nn.functional.scaled_dot_product_attention(hidden @ q, context @ k, context @ v)
    for panel in range(panels):
        assert (got[panel] - reference(hidden, q, k, v, drawn, panel)).abs().max() < 1e-10


def test_rows_that_are_no_whole_number_of_panels_are_refused():
    index = gather_index(batch_sources(3), [torch.arange(2)] * 3, 4)
    with pytest.raises(ValueError, match="5 rows"):
        extend_context(torch.zeros(5, 4, 1), torch.zeros(5, 4, 1), index, 1)


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


def test_outside_its_range_of_sigmas_nothing_changes():
    run = Run.start(Settings(1.0, "always", 0, start_sigma=8.0, end_sigma=2.0), panels=2, from_noise=True)
    x = torch.randn(2, 4, 3)
    for sigma, length in ((9.0, 4), (8.0, 8), (3.0, 8), (2.0, 4), (1.0, 4)):
        assert run.context(x, x, sigma, SIGMAS, (0, 0), 1).shape[1] == length


def test_one_panel_alone_is_left_as_it_is():
    run = Run.start(Settings(1.0, "always", 0, 100.0, 0.0), panels=1, from_noise=True)
    x = torch.randn(1, 4, 3)
    assert run.context(x, x, 5.0, SIGMAS, (0, 0), 1) is x
