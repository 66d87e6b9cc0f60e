"""Fusing a film's two predictions, reversing what stands by frames, and pooling frames to latent frames."""

import pytest
import torch
from fabula.motion.latent_frames import pool_frames
from fabula.motion.two_way import FUSIONS, forward_weights, fuse, reverse


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("frames", [1, 2, 5, 14])
def test_shares_go_from_one_to_none_and_mirror_each_other(fusion, frames):
    weights = forward_weights(frames, fusion)
    assert weights[0] == 1 and weights.shape == (frames,)
    if frames > 1:
        assert weights[-1] == 0 and (weights.diff() < 0).all() and torch.allclose(weights + weights.flip(0), torch.ones(frames))


def test_fusions_differ():
    assert torch.allclose(forward_weights(5, "linear"), torch.tensor([1, 0.75, 0.5, 0.25, 0]))
    assert torch.allclose(forward_weights(5, "smooth"), torch.tensor([1, 0.84375, 0.5, 0.15625, 0]))
    with pytest.raises(ValueError, match="no fusion 'cubic'. Choose one of: linear, smooth"):
        forward_weights(3, "cubic")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_each_end_is_its_own_prediction_bit_for_bit(fusion):
    forward, backward = torch.randn(2, 7, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    fused = fuse(forward, backward, fusion)
    assert torch.equal(fused[0], forward[0]) and torch.equal(fused[-1], backward[0])
    assert torch.allclose(fuse(backward, forward, fusion).flip(0), fused, atol=1e-6)
    assert torch.allclose(fused[3], (forward[3] + backward[3]) / 2, atol=1e-6)


def test_rows_are_repeated_as_the_host_does_and_then_reversed():
    rows = torch.arange(5)[:, None]
    assert reverse(rows, 5).flatten().tolist() == [4, 3, 2, 1, 0]
    assert reverse(rows, 7).flatten().tolist() == [1, 0, 4, 3, 2, 1, 0]  # 0 1 2 3 4 0 1
    assert reverse(rows, 3).flatten().tolist() == [2, 1, 0]
    assert torch.equal(reverse(rows[:1], 9), rows[:1])


def test_the_first_frame_alone_then_four_by_four():
    features = torch.arange(9.0)[:, None, None].expand(9, 2, 3)
    assert pool_frames(features)[:, 0, 0].tolist() == [0, 2.5, 6.5] and pool_frames(features).shape == (3, 2, 3)
    assert pool_frames(features, 8)[:, 0, 0].tolist() == [0, 4.5]


@pytest.mark.parametrize(("frames", "near"), [(1, 5), (4, 5), (8, 9), (14, 13), (2, 5), (80, 81)])
def test_frames_that_do_not_fill_their_latents(frames, near):
    with pytest.raises(ValueError, match=rf"{frames} frames do not fill latent frames of 4 after the first: 4n \+ 1 do, such as {near}\."):
        pool_frames(torch.zeros(frames, 1, 1))
