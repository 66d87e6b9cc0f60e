"""What consistent self-attention knows during one run of a sampler. Made when sampling starts, dropped when it ends."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from .schedule import Schedule, step_of
from .sharing import Group, View, group_views, laid_out, whole_rows
from .subject import AttendedSubjects, Grid, Subject, Subjects
from .tiles import Scene
from .tokens import sample_tokens

SUBJECT_SHARE = 0.5  # of a panel's tokens: what a character counts as, so that as many are drawn of each, whatever its size
Layer = tuple[int, int]  # number of the output block, and of the transformer block in it


@dataclass(frozen=True)
class Settings:
    """Where tokens are shared: `start_sigma` >= sigma > `end_sigma`. And how many: a share of the tokens in the layers
    of the lowest resolution, `coarse_rate`, and in all others, `fine_rate`. With `subjects` the share is of
    `SUBJECT_SHARE` of the tokens, and drawn of the characters first."""

    coarse_rate: float
    fine_rate: float
    schedule: str
    seed: int
    start_sigma: float
    end_sigma: float
    subjects: Subjects | None = None

    def covers(self, sigma: float) -> bool:
        return self.start_sigma >= sigma > self.end_sigma


class Run:
    """One sampling run. `scene` says which panels go through the net at the moment; who sends them sets it.

    Args:
        settings: of one node or of several in a chain; the first whose range holds the current sigma acts.
        sample_sigmas: (steps + 1,), the whole schedule that is sampled.
        from_noise: whether sampling starts from noise, so that the warm-up applies.
        coarse_blocks: numbers of the output blocks of the lowest resolution.
    """

    def __init__(self, settings: Sequence[Settings], sample_sigmas: torch.Tensor, from_noise: bool, coarse_blocks: frozenset[int]):
        self._parts = [(each, Schedule(each.schedule, each.seed, warm_up=from_noise)) for each in settings]
        self._sample_sigmas, self._coarse_blocks = sample_sigmas, coarse_blocks
        self.scene = Scene((), (), ())
        self.watching = False  # whether `attended` wants to know what this call of the net attends to
        # One pair, replaced as a whole: hosts with several GPUs sample in several threads.
        self._drawn: tuple[object, dict[tuple, list[Group]]] = (None, {})
        self._steps: dict[float, int] = {}
        self._on: dict[tuple, bool] = {}

    @property
    def masked(self) -> bool:
        return any(settings.subjects is not None for settings, _ in self._parts)

    @property
    def attended(self) -> AttendedSubjects | None:
        """What wants to know where the characters' words are attended to."""
        return next((settings.subjects for settings, _ in self._parts if isinstance(settings.subjects, AttendedSubjects)), None)

    def restart(self, scene: Scene) -> None:
        """The sampling begins anew, with other panels."""
        self.scene = scene
        if self.attended is not None:
            self.attended.forget()

    def begin(self, sigma: float) -> None:
        """Called before the net is."""
        if self.attended is not None:
            step = self._step(sigma)
            self.attended.begin(step)
            # From the step before the first that shares, and no longer than needed.
            soon = (sigma, float(self._sample_sigmas[min(step + 1, len(self._sample_sigmas) - 1)]))
            self.watching = any(settings.subjects is self.attended and any(map(settings.covers, soon)) for settings, _ in self._parts)

    def __deepcopy__(self, memo) -> Run:
        return self  # hosts copy the options that carry it

    def groups(self, sigma: float, layer: Layer, tokens: int, keys: int, chunks: int, device: torch.device,
               grid: Grid | None = None) -> list[Group] | None:
        """Which tokens the rows of the scene attend to in this layer now; None where attention is plain.

        Args:
            tokens: tokens of one row that may be sampled, its first ones.
            keys: all keys of one row.
            chunks: conditionings in the batch.
            grid: how the tokens lie in the picture, rows and columns; None where nobody knows.
        """
        if not any(self.scene.sources):
            return None
        found = next(((settings, schedule) for settings, schedule in self._parts if settings.covers(sigma)), None)
        if found is None:
            return None
        settings, schedule = found
        step = self._step(sigma)
        moment = (schedule, step, layer)
        if moment not in self._on:
            self._on[moment] = schedule.is_on(step, layer)
        if not self._on[moment]:
            return None
        rate = settings.coarse_rate if layer[0] in self._coarse_blocks else settings.fine_rate
        moment = (settings, step, self.scene)
        if self._drawn[0] != moment:
            self._drawn = (moment, {})
        known = self._drawn[1]
        key = (tokens, grid, rate, keys, chunks, device)
        if key not in known:
            share = 1.0 if settings.subjects is None else SUBJECT_SHARE

            def draw(panel: int, subject: Subject | None = None) -> torch.Tensor:
                return sample_tokens(tokens, rate * share, settings.seed, step, panel, subject)

            if settings.subjects is None or grid is None:
                views = whole_rows(self.scene.sources, [draw(panel) for panel in self.scene.panels], keys)
            else:
                views = subject_views(self.scene, settings.subjects, grid, draw, keys)
            known[key] = group_views(views, keys, chunks, device)
        return known[key]

    def _step(self, sigma: float) -> int:
        if sigma not in self._steps:
            self._steps[sigma] = step_of(sigma, self._sample_sigmas)
        return self._steps[sigma]


def subject_views(scene: Scene, subjects: Subjects, grid: Grid, draw: Callable[[int, Subject | None], torch.Tensor], keys: int) -> list[View]:
    """What the rows of a scene see of each other's characters. In a row that shows several of them, each one's tokens go to
    the region of that one; where nobody knows their regions, all go everywhere.

    Args:
        draw: of (panel, subject) the sampled positions; without a subject, of the whole panel.
        keys: of one row.
    """
    found = [subjects.find(panel, names, grid) for panel, names in zip(scene.panels, scene.characters)]

    @functools.cache  # many rows see the same sources
    def drawn(row: int, name: str) -> torch.Tensor:
        return draw(scene.panels[row], found[row].get(name))

    def seen(row: int, names: Sequence[str]) -> torch.Tensor:
        """The tokens of `names` that the sources of a row show, each once."""
        shown = [(other, drawn(other, name)) for other in scene.sources[row] for name in names if name in scene.characters[other]]
        return laid_out(shown, keys).unique()

    views = []
    for row, (panel, names) in enumerate(zip(scene.panels, scene.characters)):
        if len(names) < 2 or not scene.sources[row] or not subjects.tells_apart(panel, names):
            views.append(View(row, seen(row, names)))
            continue
        # Empty regions, too: how many views there are depends on the story alone, and so do the shapes of the kernels.
        regions = {name: found[row][name].inside for name in names}
        nobody = ~torch.stack(list(regions.values())).any(0)
        views += [View(row, seen(row, [name]), region) for name, region in regions.items()]
        views.append(View(row, laid_out([], keys), nobody))
    return views
