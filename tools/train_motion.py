"""Trains a motion predictor: `python3 tools/train_motion.py CLIPS_FOLDER --clip-vision FILE_OR_NAME --output FILE.safetensors`.

The same training as the node Train Motion Predictor, with the features and the unfinished training kept in the same place. Ctrl-C keeps both:
the same command goes on. With accelerate (`.venv/bin/python -m pip install accelerate`) several GPUs or machines train together:
`.venv/bin/accelerate launch --num_processes 2 tools/train_motion.py ...`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from contextlib import nullcontext
from itertools import chain, count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

NAME = "tools/train_motion.py"
INTERRUPTED = 130


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips_folder", type=Path, help="videos and animated pictures, also in folders within")
    parser.add_argument("--clip-vision", required=True, metavar="FILE_OR_NAME", help="in ComfyUI's models/clip_vision, or a file, or a folder with config.json and model.safetensors")
    parser.add_argument("--output", required=True, type=Path, metavar="FILE.safetensors", help="where the predictor goes; ComfyUI looks in models/fabula_motion")
    parser.add_argument("--overwrite", action="store_true", help="replace --output and --plot where they exist")
    parser.add_argument("--space", choices=("pooled", "penultimate", "projected"), default="pooled", help="which of CLIP's features: pooled is what SVD reads")
    parser.add_argument("--image-prompt", default="", metavar="NAME", help="for --space projected: the IP-Adapter in ComfyUI's models/ipadapter whose tokens are learned")
    parser.add_argument("--frames", type=int, default=16, help="of a window that is cut from a video")
    parser.add_argument("--fps", type=float, default=4.0, help="frames a second that are looked at")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16, help="windows a step, of all processes together")
    parser.add_argument("--rate", type=float, default=1e-4, help="learning rate of AdamW")
    parser.add_argument("--width", type=int, default=1024, help="of the transformer; smaller for few videos")
    parser.add_argument("--layers", type=int, default=8, help="of the transformer")
    parser.add_argument("--heads", type=int, default=16, help="of the transformer; they must divide its width")
    parser.add_argument("--bf16", action="store_true", help="multiply in bf16")
    parser.add_argument("--seed", type=int, default=0, help="of the start, of what is drawn, and of what is held out")
    parser.add_argument("--resume-folder", type=Path, metavar="FOLDER", help="for features and unfinished training; else ComfyUI's user folder")
    parser.add_argument("--plot", type=Path, metavar="LOSS.png", help="the loss as a picture")
    options = parser.parse_args(arguments)
    for name, least in (("frames", 3), ("steps", 1), ("batch", 1), ("width", 1), ("layers", 1), ("heads", 1), ("seed", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name} is {getattr(options, name)}, but must be at least {least}")
    for name in ("fps", "rate"):
        if not 0 < getattr(options, name) < float("inf"):
            parser.error(f"--{name} is {getattr(options, name)}, but must be more than 0")
    if (options.space == "projected") != bool(options.image_prompt):
        parser.error("--space projected and --image-prompt go together: projected features are an image prompt's tokens")
    if options.output.suffix != ".safetensors":
        parser.error(f"--output is {options.output}, but must end with .safetensors")
    for name in ("output", "plot"):
        path = getattr(options, name)
        if path is not None and path.exists() and not options.overwrite:
            parser.error(f"--{name} is {path}, which exists. Choose another name, or say --overwrite")
        if path is not None and not os.access(_existing(path.absolute().parent), os.W_OK):
            parser.error(f"--{name} is {path}, where nothing may be written. Choose another folder")
    return options


def main() -> int:
    options = parse(sys.argv[1:])
    import environment
    import processes

    if processes.launched() > 1 and Path(sys.prefix).resolve() != environment.VENV.resolve():
        raise SystemExit(f"{NAME}: start several processes with .venv/bin/accelerate (python3 tools/train_motion.py --help).")
    environment.run_inside(__file__)
    stop = Stop()
    import host

    host.prepare_in_process(host.find_host())
    import pack

    pack.load_pack()
    from comfy.cli_args import args

    workers = processes.make_workers(args.cpu)
    return processes.leave(attempt(options, workers, stop))


def attempt(options: argparse.Namespace, workers, stop: Stop) -> int:
    """The exit status of training, what goes wrong told."""
    try:
        return train(options, workers, stop)
    except KeyboardInterrupt:
        _tell(workers, "stopped. What was encoded and trained is kept: the same command goes on.")
        return INTERRUPTED
    except (ValueError, OSError) as error:
        _tell(workers, str(error))
        return 1
    except RuntimeError as error:
        if workers.main:
            raise
        print(f"{NAME}, process {workers.rank}: {error}", file=sys.stderr, flush=True)  # as a rule, that the main one has ended
        return 1


def train(options: argparse.Namespace, workers, stop: Stop) -> int:
    from fabula.host.clip_vision_file import load_clip_vision
    from fabula.host import folders
    from fabula.host.errors import errors_of
    from fabula.host.motion_training import Caller, Run, train_on_videos, user_folder
    from fabula.host.sight import Sight
    from fabula.motion.files import claimed, written
    from fabula.motion.training import Settings

    if not workers.main:
        logging.disable(logging.WARNING)  # the main one says it
    elif workers.count > 1:
        print(f"{workers.count} processes train together.", flush=True)
    folders.register()
    caller = Caller(NAME, "CLIPS_FOLDER")
    settings = Settings(steps=options.steps, batch=options.batch, rate=options.rate, bf16=options.bf16, seed=options.seed)
    run = Run(options.clips_folder.resolve(), options.frames, options.fps, options.width, options.layers, options.heads, settings)

    def sight():
        with errors_of("--clip-vision"):
            clip_vision = load_clip_vision(options.clip_vision)
        return Sight(clip_vision, options.space, options.image_prompt)

    def place(path):
        """The path, or one beside it where a file has come there meanwhile: hours of training shall not end for that."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return nullcontext(path) if options.overwrite else claimed(chain([path], (path.with_stem(f"{path.stem}_{number}") for number in count(2))))

    trained = train_on_videos(sight, run, options.resume_folder or user_folder(), Console(workers, stop), caller, workers)
    if not workers.main:
        return 0
    print(trained.told, flush=True)
    with errors_of(NAME):
        with place(options.output) as output:
            trained.save(output)
        print(f"The predictor is {output}.", flush=True)
        if options.plot:
            with place(options.plot) as plot, written(plot) as part:
                trained.plot().save(part, "PNG")
            print(f"The loss is {plot}.", flush=True)
    return 0


class Stop:
    """Ctrl-C, and SIGTERM: asked for now, done between two steps, where what is kept is whole. A launcher hands one Ctrl-C on again, so only the fourth is not patient."""

    PATIENT = 3

    def __init__(self) -> None:
        self.asked = 0
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked += 1
        if self.asked > self.PATIENT:
            raise KeyboardInterrupt


class Console:
    """Progress in lines, at most one in `EVERY` seconds, by the main process."""

    EVERY = 2.0

    def __init__(self, workers, stop: Stop) -> None:
        self.workers, self.stop = workers, stop
        self.told = 0.0
        self.losses: list[float] = []

    def check(self) -> None:
        if self.stop.asked:
            raise KeyboardInterrupt

    def encoded(self, done: int, total: int) -> None:
        self._say(f"encoded {done} of {total} videos", done == total)

    def read(self, features) -> None:
        print(features, flush=True)

    def trained(self, step: int, total: int, loss: float) -> None:
        self.losses.append(loss)
        if self._say(f"step {step} of {total}: loss {sum(self.losses) / len(self.losses):.4f}", step == total):
            self.losses.clear()
        import torch

        if self.workers.total(torch.tensor(float(bool(self.stop.asked)))) > 0:  # whoever was asked, all stop behind the same step
            raise KeyboardInterrupt

    def _say(self, text: str, last: bool) -> bool:
        due = last or time.monotonic() - self.told >= self.EVERY
        if due and self.workers.main:
            self.told = time.monotonic()
            print(text, flush=True)
        return due


def _existing(folder: Path) -> Path:
    return folder if folder.exists() else _existing(folder.parent)


def _tell(workers, text: str) -> None:
    if workers.main:
        print(text if text.startswith(NAME) else f"{NAME}: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
