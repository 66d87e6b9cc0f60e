"""Timing of several ways to do the same, in turns in one process, and their ratios with intervals."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))


def in_host(script: str) -> None:
    """Goes on in the project's environment with a real ComfyUI imported and the pack as `fabula`."""
    import environment

    environment.run_inside(script)
    import host

    host.prepare_in_process(host.find_host())
    import pack

    pack.load_pack()


def machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@torch.inference_mode()
def time_in_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, `repeats` times, after one round that does not count; the ways take turns, so that what else
    the machine does meets all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
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
    pairs = [a / b for a, b in zip(above, below)]
    rng = Random(0)
    medians = sorted(statistics.median(rng.choices(pairs, k=len(pairs))) for _ in range(draws))
    return statistics.median(pairs), medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def shown(value: tuple[float, float, float]) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*value)


@torch.inference_mode()
def peak_bytes(way: Callable[[], object]) -> int | None:
    """Most memory that `way` holds at once beyond what stood before: of the GPU, or, on Linux, of this process."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        return torch.cuda.max_memory_allocated() - before
    if not os.path.exists("/proc/self/clear_refs"):
        return None
    reader, writer = os.pipe()
    child = os.fork()  # in a child of one thread of its own: what it frees is gone with it
    if child == 0:
        torch.set_num_threads(1)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        way()
        os.write(writer, str(_status("VmHWM") - before).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return int(told) if told else None


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
