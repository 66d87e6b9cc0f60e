"""Runs the tests: `python3 tools/test.py`, or `python3 tools/test.py tests/unit -k script`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment  # noqa: E402


def main() -> int:
    python = environment.ensure(environment.TESTS)
    given = sys.argv[1:]
    if not any(not argument.startswith("-") and Path(argument).exists() for argument in given):
        given = ["tests", *given]
    return subprocess.call([str(python), "-m", "pytest", *given], cwd=environment.ROOT)


if __name__ == "__main__":
    sys.exit(main())
