"""The processes that `accelerate launch` has started, as the trainer's workers. accelerate is optional: without it there is one process."""

from __future__ import annotations

import os
from datetime import timedelta

PATIENCE = timedelta(days=7)  # the others wait while the main process encodes all videos


COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # of torch's launcher, which accelerate's takes, and of MPI's


def launched() -> int:
    """How many processes there are, by what the launcher has set."""
    return int(next((os.environ[name] for name in COUNTS if name in os.environ), "1"))


def make_workers(on_cpu: bool):
    """The pack's `Workers`, after `pack.load_pack`: all that were launched, joined.

    Raises: SystemExit where there are several, but not accelerate.
    """
    from fabula.motion.workers import ALONE, MainEnded, Workers

    if launched() == 1:
        return ALONE
    try:
        from accelerate import PartialState
        from accelerate.utils import broadcast_object_list, reduce
    except ImportError as error:
        raise SystemExit(f"{launched()} processes were started, but this Python has no accelerate, by which they would train together: pip install accelerate.") from error
    state = PartialState(cpu=on_cpu, timeout=PATIENCE)

    class Launched(Workers):
        def total(self, tensor):
            return reduce(tensor.to(state.device), "sum").to(tensor.device)

        def from_main(self, make):
            box = [None, False]
            if self.main:
                try:
                    box = [make(), True]
                finally:
                    broadcast_object_list(box)
            else:
                broadcast_object_list(box)
            if not box[1]:
                raise MainEnded("the main process has ended.")
            return box[0]

    return Launched(state.process_index, state.num_processes)


def leave() -> None:
    """What was joined, after the last message."""
    if launched() > 1:
        from accelerate import PartialState

        PartialState().destroy_process_group()
