"""Parsing and lettering: `python3 bench/comic.py`.

- 100 panels with captions, speech and options, parsed;
- a page of 12 panels of 1024 px, laid out and lettered, in each layout; on one core.

Seconds are this machine's; the ratio to the same pages without text is not.
"""

from __future__ import annotations

import argparse
import os
import statistics

os.environ.setdefault("OMP_NUM_THREADS", "1")

from side_by_side import in_host, machine, ratio, shown, time_in_turns  # noqa: E402

PANELS = 12
CAST = "[Mia] a girl with ginger hair, red coat\n[Bob] a man with a grey beard, blue coat"
LINE = '[Mia] shows [Bob] a map in the forest crop=4:3 seed={0} # The map that Mia had found was old. Mia: "Look, a map!" Bob: "Where does it lead?"'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--side", type=int, default=1024, help="pixels of a panel")
    options = parser.parse_args()
    in_host()
    return run(options)


def run(options: argparse.Namespace) -> int:
    import numpy as np
    import torch
    from fabula.comic.layouts import LAYOUTS
    from fabula.comic.page import draw_pages
    from fabula.comic.panel import ComicPanel, Lettering, PageStyle
    from fabula.comic.typeface import Typeface
    from fabula.host.comic_panels import comic_panels
    from fabula.story.script import parse_story
    from PIL import Image

    torch.set_num_threads(1)
    print(f"{machine()}; {options.repeats} rounds, medians with 95 % intervals over rounds")
    script = "\n".join(LINE.format(number) for number in range(100))
    parse = time_in_turns({"parse": lambda: parse_story(CAST, script, "(No style)", "")}, options.repeats)["parse"]
    print(f"100 panels parsed: {statistics.median(parse) * 1000:.1f} ms (goal 50)")

    draw = np.random.default_rng(0)
    pictures = [
        Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((options.side, options.side), Image.Resampling.BICUBIC) for _ in range(PANELS)
    ]
    story = parse_story(CAST, "\n".join(LINE.format(number) for number in range(PANELS)), "(No style)", "")

    def bare(layout: str) -> object:
        panels = [ComicPanel(picture) for picture in pictures]
        return draw_pages(panels, PageStyle(layout, 1536, Lettering(Typeface(), 30), rows=(2, 1, 3), captions="none"))

    def lettered(layout: str) -> object:
        lettering = Lettering(Typeface(), 30, right_to_left=layout == "manga", shadow=True)
        return draw_pages(comic_panels(pictures, story), PageStyle(layout, 1536, lettering, rows=(2, 1, 3)))

    print(f"| layout | seconds for {PANELS} panels (goal 2) | / without text |")
    print("|---|---|---|")
    for layout in LAYOUTS:
        times = time_in_turns({"bare": lambda: bare(layout), "lettered": lambda: lettered(layout)}, options.repeats)
        print(f"| {layout} | {statistics.median(times['lettered']):.2f} | {shown(ratio(times['lettered'], times['bare']))} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
