"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
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
        raise _unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def claimed(paths: Iterable[Path]) -> Iterator[Path]:
    """Gives the first of `paths` that is free, an empty file there already, so that nobody who looks at the same time finds it free as well. It goes where it is still empty
    when the block raises.

    Raises: OSError, as `written`.
    """
    for path in paths:
        try:
            path.open("xb").close()
            break
        except FileExistsError:
            continue
        except OSError as error:
            raise _unwritable(path, error) from error
    try:
        yield path
    except BaseException:
        with suppress(FileNotFoundError):
            if path.stat().st_size == 0:
                path.unlink()
        raise


def _unwritable(path: Path, error: BaseException) -> OSError:
    return OSError(f"{path} cannot be written ({_reason(error)}). Make room on its disk, or allow writing there, and run it again: what was finished before is kept.")


def _reason(error: BaseException) -> str:
    """What the system said. torch loses it on the way: it ends its archive of a write that failed, and that fails in words of its own."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError):
            return found.strerror or str(found)
        found = found.__context__
    return str(error).splitlines()[0]
