"""Where a narrative is cut into panels: at changes of the scene, and so that all panels are about as long."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .dialogue import Told
from .sentences import Sentence
from .words import OPENERS, SCENE

# What a cut is worth, in the currency of the imbalance: a panel half as long as it should be, or half as long again, costs 0.25.
SECTION = 1.0
TIME_OR_PLACE = 0.6
PARAGRAPH = 0.3
OTHERS_THERE = 0.3
SOMEONE_NEW = 0.1
TALK_GOES_ON = -0.3
MOST_CUTS = 500  # that are weighed; a long text has the best one of every few sentences among them


def opens_scene(sentence: Sentence) -> bool:
    """Whether it says that time has passed or that the place is another, or follows a line such as * * *."""
    start = OPENERS.match(sentence.text)
    return sentence.opens == 2 or bool(SCENE.match(sentence.text, start.end() if start else 0))


def changes(told: Sequence[Told]) -> list[float]:
    """What a cut ahead of each sentence is worth."""
    worth = []
    there: set[str] = set()
    spoke = False
    for each in told:
        own = set(each.people)
        value = {2: SECTION, 1: PARAGRAPH}.get(each.sentence.opens, 0.0)
        if each.sentence.opens < 2 and opens_scene(each.sentence):
            value += TIME_OR_PLACE
        if each.speaker and spoke:
            value += 0.0 if each.sentence.opens else TALK_GOES_ON
        elif own and there:  # who speaks in turn is there all the time
            value += OTHERS_THERE if not own & there else SOMEONE_NEW if own - there else 0.0
        spoke = bool(each.speaker)
        there = own or there
        worth.append(value)
    return worth


def cut(lengths: Sequence[int], worth: Sequence[float], panels: int) -> list[range]:
    """Parts a row of sentences into `panels` runs; into as many as there are sentences where those are fewer.

    The sum over all runs of (length / mean - 1)^2, less what the cuts are worth, is the smallest that there is.

    Args:
        lengths: of each sentence, in characters. worth: of a cut ahead of each.
    """
    panels = min(panels, len(lengths))
    starts = _candidates(worth, max(MOST_CUTS, 4 * panels))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    at = ends[[*starts, len(lengths)]]  # (candidates + 1), characters ahead of each cut
    mean = max(at[-1] / panels, 1)
    # (from, to): the cost of a run from one cut to another, what the one it begins with is worth included.
    runs = ((at[None, :] - at[:, None]) / mean - 1) ** 2 - np.array([*(worth[start] for start in starts), 0.0])[:, None]
    runs[np.tril_indices(len(at))] = np.inf
    costs = runs[0]
    came_from = []
    for _ in range(panels - 1):
        sums = costs[:, None] + runs
        came_from.append(sums.argmin(0))
        costs = sums.min(0)
    bounds = [len(starts)]
    for origin in reversed(came_from):
        bounds.append(int(origin[bounds[-1]]))
    numbers = [*(starts[bound] for bound in (0, *reversed(bounds[1:]))), len(lengths)]
    return [range(first, last) for first, last in pairwise(numbers)]


def _candidates(worth: Sequence[float], most: int) -> list[int]:
    """Sentences ahead of which there may be a cut: all, or the best one of every few."""
    every = -(-len(worth) // most)
    return [0, *(max(range(start, min(start + every, len(worth))), key=worth.__getitem__) for start in range(1, len(worth), every))]
