"""Timing of several ways to do the same, in turns in one process, and their ratios with intervals."""

from __future__ import annotations

import os
import statistics
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))


def in_host() -> None:
    """Goes on in the project's environment (a plain python3 has no torch: the bench starts over there), with a real
    ComfyUI imported and the pack as `fabula`."""
    import environment

    environment.run_inside(sys.argv[0])
    import host

    host.prepare_in_process(host.find_host())
    import pack

    pack.load_pack()


def machine() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def time_in_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, `repeats` times, after one round that does not count; the ways take turns, so that what else
    the machine does meets all of them alike."""
    import torch

    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for repeat in range(-1, repeats):
            for name, way in ways.items():
                wait()
                started = time.perf_counter()
                way()
                wait()
                if repeat >= 0:
                    seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(above: list[float], below: list[float], draws: int = 1000) -> tuple[float, float, float]:
    """Median of the ratios round by round, with its 95 % interval over rounds."""
    return middle([a / b for a, b in zip(above, below)], draws)


def middle(values: list[float], draws: int = 1000) -> tuple[float, float, float]:
    """Their median, with its 95 % interval."""
    rng = Random(0)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(draws))
    return statistics.median(values), medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def shown(value: tuple[float, float, float]) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*value)


def peak_bytes(way: Callable[[], object]) -> int:
    """Most memory that the tensors which `way` makes take up at once: on a GPU as its allocator counts it, on a CPU summed
    over live storages, without what an allocator keeps for later and what a kernel uses inside."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        with torch.inference_mode():
            way()
        return torch.cuda.max_memory_allocated() - before
    # Not inference mode: there attention is one operation, and what it makes of its mask is not seen.
    with torch.no_grad(), _live_tensors()() as live:
        way()
    return live.peak


def _live_tensors() -> type:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class LiveTensors(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.now = self.peak = 0
            self._known: dict[int, weakref.ref] = {}

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            before = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
            out = function(*args, **(kwargs or {}))
            for leaf in tree_leaves(out):
                if isinstance(leaf, torch.Tensor) and leaf.untyped_storage()._cdata not in before:
                    self._note(leaf.untyped_storage())
            return out

        def _note(self, storage) -> None:
            key, size = storage._cdata, storage.nbytes()
            if key not in self._known:
                self._known[key] = weakref.ref(storage, lambda _: self._drop(key, size))
                self.now += size
                self.peak = max(self.peak, self.now)

        def _drop(self, key: int, size: int) -> None:
            del self._known[key]
            self.now -= size

    return LiveTensors
