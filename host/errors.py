"""Errors that say whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def errors_of(name: str) -> Iterator[None]:
    """Puts the name of a node or a tool ahead of what is wrong."""
    try:
        yield
    except (ValueError, OSError) as error:
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(f"{name}: {error}") from error
