"""The processes that `accelerate launch` has started, as the trainer's workers. accelerate is optional: without it there is one process."""

from __future__ import annotations

import os
import sys
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


def leave(code: int) -> int:
    """The exit status of a process alone. One of several ends here with it, after the last message.

    torch's threads outlive the group, and one that wakes while Python before 3.14 shuts down aborts the process: its work done, the launcher would call it failed.
    """
    if launched() == 1:
        return code
    if code == 0:
        from accelerate import PartialState

        PartialState().destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
