"""When the photos join: the official formula, and a noise level that lies between two steps."""

import pytest

from fabula.identity.merging import start_merge_step, switch_sigma


@pytest.mark.parametrize(("strength", "steps", "step"), [(20, 50, 10), (20, 20, 4), (15, 50, 7), (50, 50, 25), (0, 30, 0), (100, 20, 20), (90, 50, 30)])
def test_the_last_step_of_the_text_alone(strength, steps, step):
    assert start_merge_step(strength, steps) == step


def test_the_switch_lies_behind_the_step():
    sigmas = [14.0, 9.0, 5.0, 2.0, 0.0]
    for step in range(3):
        switch = switch_sigma(sigmas, step)
        assert all(sigma > switch for sigma in sigmas[:step + 1]) and all(sigma < switch for sigma in sigmas[step + 1:])


def test_no_step_is_left_to_merge_in():
    assert switch_sigma([14.0, 9.0, 0.0], 1) is None and switch_sigma([14.0, 9.0, 0.0], 5) is None
