"""What a stage of training needs to go on after it was stopped."""

from __future__ import annotations

import time
from pathlib import Path

import torch


class Checkpoint:
    """`parts` are what has a state dict: modules, optimisers. `steps` done and `seconds` spent count all runs together."""

    def __init__(self, path: Path, **parts) -> None:
        self.path, self.parts = path, parts
        self.steps, self._seconds, self._started = 0, 0.0, time.monotonic()
        if path.exists():
            state = torch.load(path, weights_only=True, map_location="cpu")
            for name, part in parts.items():
                part.load_state_dict(state[name])
            self.steps, self._seconds = state["step"], state.get("seconds", 0.0)
            print(f"going on from {path}, step {self.steps}", flush=True)

    @property
    def minutes(self) -> str:
        return f"{(self._seconds + time.monotonic() - self._started) / 60:.0f}"

    def save(self, steps: int) -> None:
        """Writes beside the old file and then takes its place: a checkpoint is never half one."""
        self.steps = steps
        now = time.monotonic()
        self._seconds, self._started = self._seconds + now - self._started, now
        states = {name: part.state_dict() for name, part in self.parts.items()}
        torch.save({**states, "step": steps, "seconds": self._seconds}, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").replace(self.path)
