"""What the pack adds to the host's start: `python3 bench/start.py`.

A real server, without the pack and with it in turns: seconds from the start of its process to its first answer, and the processor's seconds until
then, which other work on the machine changes less. Once each beforehand, unmeasured: what is compiled then is kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
GOAL = 0.5  # seconds that the pack may add


class Start(NamedTuple):
    seconds: float
    processor: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    import environment

    environment.run_inside(__file__)
    from host_differences import version
    from side_by_side import machine, middle, shown

    rounds: dict[str, list[Start]] = {"without": [], "with": []}
    for number in range(options.rounds + 1):
        for name in list(rounds)[:: 1 if number % 2 else -1]:  # neither always goes first
            start = measure(ROOT if name == "with" else None)
            if number:
                rounds[name].append(start)
    print(f"{machine()}; ComfyUI {'.'.join(map(str, version()))}; {options.rounds} rounds, medians with 95 % intervals over rounds\n")
    print("| | without the pack | with it | difference |\n|---|---|---|---|")
    for field, title in (("seconds", "seconds to the first answer"), ("processor", "of these the processor's")):
        without, with_ = ([getattr(start, field) for start in rounds[name]] for name in rounds)
        print(f"| {title} | {' | '.join(shown(middle(values)) for values in (without, with_, differences(without, with_)))} |")
    print(f"\ngoal: {GOAL} s more at most")
    return 0


def differences(without: list[float], with_: list[float]) -> list[float]:
    """Round by round: what slows the machine down for a while slows both."""
    return [b - a for a, b in zip(without, with_)]


def measure(pack: Path | None) -> Start:
    import psutil
    from server import Server

    with Server(pack=pack) as server:
        answered = time.time()
        process = psutil.Process(server.process.pid)
        spent = process.cpu_times()
        loaded = any(name.startswith("Fabula_") for name in server.get_json("/object_info"))
        assert loaded == (pack is not None), server.log()
        return Start(answered - process.create_time(), spent.user + spent.system)


if __name__ == "__main__":
    sys.exit(main())
