"""Where training runs: on a GPU where torch has one, else by one or, started by `torchrun`, several CPU processes.

On a CPU two workers of one thread each are quicker than one of two: small layers lose more to waiting for each other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist

RANK, COUNT = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
DEVICE = torch.device("cuda" if torch.cuda.is_available() and COUNT == 1 else "cpu")


def half_precision() -> torch.autocast:
    return torch.autocast(DEVICE.type, torch.bfloat16)


def start() -> None:
    if COUNT > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Gives every worker the mean of all workers' gradients."""
    if COUNT == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients]).bfloat16()
    dist.all_reduce(flat)
    flat /= COUNT
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient))


def wait() -> None:
    """Until every worker has come here."""
    if COUNT > 1:
        dist.barrier()
