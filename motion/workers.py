"""One training divided among processes: each takes its rows of every batch, and the gradients are added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class MainEnded(RuntimeError):
    """In the other processes: the main one cannot go on, and says why itself."""


class Workers:
    """The processes that train together. These are one, alone; others override `total` and `from_main`, which all processes call in the same order.

    rank: this process, from 0, the main one, which alone writes files. count: of all.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def main(self) -> bool:
        return self.rank == 0

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of the processes' tensors, in each of them."""
        return tensor

    def from_main(self, make: Callable[[], T]) -> T:
        """What `make` gives in the main process, in each of them. Raises: in the main one what `make` raises, and then MainEnded in the others."""
        return make()

    def rows(self, batch: int) -> slice:
        """This process's rows of a batch: all rows are somebody's, each once, and shares differ by one row at most.

        Raises: ValueError where there are fewer rows than processes.
        """
        if batch < self.count:
            raise ValueError(f"a batch of {batch} cannot be divided among {self.count} processes. Give each at least one row.")
        return slice(self.rank * batch // self.count, (self.rank + 1) * batch // self.count)

    def add_up(self, model: nn.Module, loss: Tensor) -> float:
        """Makes the gradients of `model` those of the sum of all processes' losses, and returns that sum; one message a step."""
        if self.count == 1:
            return loss.item()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        whole = self.total(torch.cat([*(each.flatten() for each in gradients), loss.detach().flatten()]))
        for gradient, added in zip(gradients, whole.split([*(each.numel() for each in gradients), 1])):
            gradient.copy_(added.view_as(gradient))
        return whole[-1].item()


ALONE = Workers()
