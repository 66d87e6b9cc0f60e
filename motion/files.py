"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Gives the name of a file beside `path` to write to, which takes its place at the end: a full disk, or an interrupt, leaves what was there as it was.

    Raises: OSError, saying which file and what to do, where it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        os.replace(part, path)
    except torch.cuda.OutOfMemoryError:
        raise  # a RuntimeError too, of a card and not of a disk
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors raise classes of their own for a full disk
        raise OSError(f"{path} cannot be written ({_reason(error)}). Make room on its disk, or allow writing there, and run it again: what was finished before is kept.") from error
    finally:
        part.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """What the system said. torch loses it on the way: it ends its archive of a write that failed, and that fails in words of its own."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError):
            return found.strerror or str(found)
        found = found.__context__
    return str(error).splitlines()[0]
