"""Windows over a clip."""

import pytest

from fabula.motion.windows import windows


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 15, 16, 17, 40, 101])
@pytest.mark.parametrize(("length", "overlap"), [(8, 0), (8, 2), (8, 7), (1, 0), (16, 4)])
def test_windows_cover_all_frames_and_end_with_the_last(frames, length, overlap):
    found = windows(frames, length, overlap)
    assert found[0].start == 0 and found[-1].stop == frames
    assert all(each.stop - each.start == min(length, frames) == len(each.weights) for each in found)
    for one, two in zip(found, found[1:]):
        assert one.start < two.start and one.stop - two.start >= overlap
    assert {frame for each in found for frame in range(each.start, each.stop)} == set(range(frames))
    assert len(set(found)) == len(found)


def test_no_more_windows_than_are_needed():
    assert [(each.start, each.stop) for each in windows(40, 16, 4)] == [(0, 16), (12, 28), (24, 40)]
    assert [(each.start, each.stop) for each in windows(41, 16, 4)] == [(0, 16), (12, 28), (24, 40), (25, 41)]
    assert [(each.start, each.stop) for each in windows(16, 16, 4)] == [(0, 16)]


@pytest.mark.parametrize(("length", "weights"), [(1, (1,)), (4, (1, 2, 2, 1)), (5, (1, 2, 3, 2, 1))])
def test_the_middle_counts_most(length, weights):
    assert windows(length, length, 0)[0].weights == weights == windows(3 * length, length, 0)[1].weights


@pytest.mark.parametrize("overlap", [8, 9, -1])
def test_an_overlap_that_leaves_no_step(overlap):
    with pytest.raises(ValueError, match=f"windows of 8 frames cannot overlap by {overlap}. Choose an overlap from 0 to 7"):
        windows(20, 8, overlap)
