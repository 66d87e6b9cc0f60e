"""Runs the tests: `python3 tools/test.py`, or `python3 tools/test.py tests/unit -k script`.

Each layer has a process of its own: once a real ComfyUI is imported (tests/host), its modules go by names that ours
have too (`server`).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import environment  # noqa: E402

LAYERS = ("tests/unit", "tests/host", "tests/server", "tests/browser")  # the quick ones first
PASSED, NOTHING_SELECTED = 0, 5  # pytest's exit codes


def main() -> int:
    python = environment.ensure(environment.TESTS)
    codes = []
    for targets, options in runs(sys.argv[1:]):
        command = [str(python), "-m", "pytest", *targets, *options]
        codes.append(environment.call(command, environment.ROOT))
        if codes[-1] in (2, 130, 143):  # interrupted
            return codes[-1]
    return verdict(codes)


def runs(arguments: list[str]) -> list[tuple[list[str], list[str]]]:
    """The pytest runs for what was asked, (targets, options) of each: one a layer, all layers where none is named."""
    tests = environment.ROOT / "tests"
    named = {a: environment.ROOT / a.split("::")[0] for a in arguments if not a.startswith("-")}
    # Only what lies in tests/: `-k story` is a word to look for, though there is a folder of that name.
    named = {a: path for a, path in named.items() if path.is_relative_to(tests) and path.exists()}
    options = [a for a in arguments if a not in named]
    if not named or tests in named.values():
        return [([layer], options) for layer in LAYERS]
    layers: dict[str, list[str]] = {}
    for argument, path in named.items():
        layers.setdefault(path.relative_to(tests).parts[0], []).append(argument)
    return [(targets, options) for targets in layers.values()]


def verdict(codes: list[int]) -> int:
    """One exit code for all runs. A layer in which `-k` selects nothing is no failure, unless they all are so."""
    failed = [code for code in codes if code not in (PASSED, NOTHING_SELECTED)]
    return failed[0] if failed else min(codes)


if __name__ == "__main__":
    sys.exit(main())
