"""The loss as a picture."""

import math

import numpy as np
import pytest

from fabula.motion.plot import SIZE, plot_losses


def test_a_loss_that_falls_falls_in_the_picture():
    image = plot_losses([math.exp(-step / 40) for step in range(200)], "held out: 0.1")
    assert image.size == SIZE
    pixels = np.asarray(image).astype(int)
    blue = (pixels[..., 2] > 150) & (pixels[..., 0] < 80)
    rows = [np.flatnonzero(blue[:, column]).mean() for column in (100, 300, 500)]
    assert rows == sorted(rows) and rows[2] - rows[0] > 100


@pytest.mark.parametrize("losses", [[], [1.0], [0.5, 0.5], [0.0, 1.0], [math.nan, 2.0, math.inf]])
def test_any_losses_have_a_picture(losses):
    assert plot_losses(losses).size == SIZE
