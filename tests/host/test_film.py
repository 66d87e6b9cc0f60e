"""The nodes that plan and join a film."""

import pytest
import torch
from fabula.nodes.motion import JoinTransitions, PlanTransitions


def test_a_plan_is_legal_and_as_long_as_it_says():
    frames, total, seconds = PlanTransitions.execute(torch.zeros(4, 8, 8, 3), 5.0, 16.0, "Wan (4n + 1)").args
    assert (frames, total, seconds) == (81, 241, 241 / 16)
    with pytest.raises(ValueError, match="Fabula_PlanTransitions: input keyframes: 1 is too few"):
        PlanTransitions.execute(torch.zeros(1, 8, 8, 3), 5.0, 16.0, "any")
    with pytest.raises(ValueError, match="Fabula_PlanTransitions: input 'decoder' is 'Sora'"):
        PlanTransitions.execute(torch.zeros(2, 8, 8, 3), 5.0, 16.0, "Sora")


def test_lists_and_batches_are_joined():
    clips = [torch.rand(5, 8, 8, 3) for _ in range(2)]
    film, count = JoinTransitions.execute(clips).args
    assert count == len(film) == 9 and torch.equal(film[4], clips[1][0])
    keyframes = torch.rand(3, 8, 8, 3)
    for given in ([keyframes], [keyframes[:1], keyframes[1:]]):
        film, _ = JoinTransitions.execute(clips, given, [True]).args
        assert torch.equal(film[[0, 4, 8]], keyframes)
    with_alpha = torch.cat([keyframes, torch.ones_like(keyframes[..., :1])], -1)
    assert torch.equal(JoinTransitions.execute(clips, [with_alpha]).args[0], JoinTransitions.execute(clips, [keyframes]).args[0])
    with pytest.raises(ValueError, match="Fabula_JoinTransitions: input keyframes: 2 are no ends of 2 transitions. Connect 3"):
        JoinTransitions.execute(clips, [keyframes[:2]])
