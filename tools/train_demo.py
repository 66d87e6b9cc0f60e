"""Trains the embedded demo: `python3 tools/train_demo.py STAGE`, see demo/README.md.

Stages, in this order: vae, shards, unet, decoder, reader, identity, vision, clips, film, predictor. Each shows its progress, keeps its work in `.demo/` and writes
finished weights to demo/weights/; shards and unet resume where they were stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).resolve().parent))

STAGES = ("vae", "shards", "unet", "decoder", "reader", "identity", "vision", "clips", "film", "predictor")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where unfinished work is kept")
    parser.add_argument("--steps", type=int, help="training steps of this stage")
    parser.add_argument("--shards", type=int, nargs=2, default=(0, 24), metavar=("FIRST", "END"), help="which shards to draw")
    parser.add_argument("--from-shipped", action="store_true", help="unet: go on from the weights in demo/weights")
    parser.add_argument("--peak", type=float, help="unet: the learning rate before it falls")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    import environment

    environment.run_inside(__file__)
    import host

    host.prepare_in_process(host.find_host())
    import pack

    pack.load_pack()
    from fabula.demo import stages

    options.folder.mkdir(parents=True, exist_ok=True)
    given = {"steps": options.steps} if options.steps else {}
    if options.stage == "unet":
        given["from_shipped"] = options.from_shipped
        given.update({"peak": options.peak} if options.peak else {})
    if options.stage in ("shards", "clips"):
        getattr(stages, f"make_{options.stage}")(options.folder, range(*options.shards))
    else:
        getattr(stages, f"train_{options.stage}")(options.folder, seed=options.seed, **given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
