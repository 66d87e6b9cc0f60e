"""How much more alike a story's character is with consistent self-attention: `python3 bench/consistency.py`.

Renders stories of six panels with the embedded demo through the host's own sampling, with and without the patch, and
measures with the demo's reader. World and measure were frozen before the first number was taken; settings are chosen
with `--split tuning`, whose stories are others than the reported ones.

- character distance: mean Lab distance of the colours of each part (skin, hair, top, bottom, shoes, hat) between each
  two panels; a part that only one of the two shows counts as the mean distance of two colours of the world's palette.
- place diversity: mean Lab distance of the backgrounds between each two panels.
- place, action: how often the panel shows what its prompt names.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

PANELS = 6
PARTS_WORTH = ("skin", "hair", "top", "bottom", "shoes", "hat")


def make_story(split: str, number: int):
    """A story whose character is named by kind alone. Returns the Story and each panel's place and action."""
    from fabula.demo.captions import ACTION_WORDS, PLACE_WORDS, TIME_WORDS
    from fabula.demo.world import ACTIONS, KINDS, PLACES, TIMES
    from fabula.story.script import parse_story

    rng = Random(f"consistency {split} {number}")
    places, actions = rng.sample(PLACES, PANELS), rng.sample(ACTIONS, PANELS)
    kind = rng.choice(KINDS)
    lines = [
        f"[Hero] {rng.choice(ACTION_WORDS[a])} {rng.choice(PLACE_WORDS[p])} {rng.choice(TIME_WORDS[rng.choice(TIMES)])}"
        for p, a in zip(places, actions)
    ]
    article = "an" if kind[0] in "aeiou" else "a"
    return parse_story(f"[Hero] {article} {kind}", "\n".join(lines), "(No style)", ""), places, actions


def missing_part_distance() -> float:
    import torch
    from fabula.demo.reader import to_lab
    from fabula.demo.world import CLOTH

    lab = to_lab(torch.tensor([list(c) for c in CLOTH.values()]).float().T[None, :, :, None] / 255)[0, :, :, 0].T
    return statistics.mean(float((a - b).norm()) for a, b in itertools.combinations(lab, 2))


def character_distance(readings, missing: float) -> float:
    """Mean over pairs of panels and over the parts that at least one of the two shows."""
    distances = []
    for a, b in itertools.combinations(readings, 2):
        parts = [p for p in PARTS_WORTH if p in a.colours or p in b.colours]
        each = [float((a.colours[p] - b.colours[p]).norm()) if p in a.colours and p in b.colours else missing for p in parts]
        distances.append(statistics.mean(each) if each else missing)
    return statistics.mean(distances)


def place_diversity(readings) -> float:
    pairs = itertools.combinations(readings, 2)
    return statistics.mean(float((a.background - b.background).norm(dim=-1).nanmean()) for a, b in pairs)


def bootstrap(groups: list[list[tuple[float, ...]]], statistic, draws: int = 2000) -> tuple[float, float]:
    """95 % interval of `statistic` over resampled stories; `groups` holds each story's runs."""
    rng = Random(0)
    values = sorted(statistic([run for g in rng.choices(groups, k=len(groups)) for run in g]) for _ in range(draws))
    return values[int(0.025 * draws)], values[int(0.975 * draws)]


def drawn_scale(missing: float, read_pictures) -> tuple[float, float]:
    """What the measure gives for drawings: the same character throughout, and another one in each panel."""
    from fabula.demo.drawing import draw_picture
    from fabula.demo.world import random_character, random_figure, random_scene

    results = []
    for same in (True, False):
        distances = []
        for number in range(20):
            rng = Random(f"scale {number}")
            kept = random_character(rng)
            pictures = [random_scene(rng, (random_figure(rng, kept if same else random_character(rng)),)) for _ in range(PANELS)]
            distances.append(character_distance(read_pictures([draw_picture(p)[0] for p in pictures]), missing))
        results.append(statistics.median(distances))
    return results[0], results[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", choices=("report", "tuning"), default="report")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--cfg", type=float, default=4.0)
    parser.add_argument("--sampler", default="euler")
    parser.add_argument("--scheduler", default="normal")
    parser.add_argument("--sampling-rate", type=float, default=0.5)
    parser.add_argument("--mode", default="batch")
    parser.add_argument("--id-length", type=int, default=2)
    parser.add_argument("--tile-size", type=int, default=4)
    parser.add_argument("--schedule", default="always")
    parser.add_argument("--start-percent", type=float, default=0.0)
    parser.add_argument("--end-percent", type=float, default=1.0)
    parser.add_argument("--sheets", type=Path, help="folder for a sheet of pictures of each story's first seed")
    options = parser.parse_args()

    import environment

    environment.run_inside(__file__)
    import host

    host.prepare_in_process(host.find_host())
    import pack

    pack.load_pack()
    return run(options)


def run(options: argparse.Namespace) -> int:
    import torch
    from fabula.demo import models
    from fabula.demo.reader import load_reader, read
    from fabula.host.consistent_attention import Options, apply
    from fabula.host.encode_story import empty_latents, encode_story
    from fabula.host.images import to_images, to_pixels
    from fabula.host.render import sample

    reader, missing = load_reader(), missing_part_distance()

    def read_pictures(pictures):
        return read(reader, to_pixels(pictures).permute(0, 3, 1, 2))

    model, clip, vae = models.load_model(), models.load_clip(), models.load_vae()
    print_accuracy(reader, vae)
    same, different = drawn_scale(missing, read_pictures)
    print(f"scale, on drawings: same character {same:.1f}, another in each panel {different:.1f}", flush=True)

    patched = apply(model, Options(
        mode=options.mode, sampling_rate=options.sampling_rate, id_length=options.id_length, tile_size=options.tile_size,
        schedule=options.schedule, start_percent=options.start_percent, end_percent=options.end_percent,
    ))
    results: list[list[dict[str, tuple[float, ...]]]] = []
    started = time.monotonic()
    for number in range(options.stories):
        story, places, actions = make_story(options.split, number)
        runs = []
        for seed in range(options.seeds):
            noise_seed = Random(f"noise {options.split} {number} {seed}").getrandbits(32)
            run_values: dict[str, tuple[float, ...]] = {}
            with torch.inference_mode():
                positive, negative = encode_story(clip, story, 256, 256)
                for name, net in (("without", model), ("with", patched)):
                    latents = sample(net, positive, negative, empty_latents(range(PANELS), 256, 256), noise_seed,
                                     options.steps, options.cfg, options.sampler, options.scheduler)
                    pictures = to_images(vae.decode(latents))
                    readings = read_pictures(pictures)
                    run_values[name] = (
                        character_distance(readings, missing), place_diversity(readings),
                        statistics.mean(r.labels["place"] == p for r, p in zip(readings, places)),
                        statistics.mean(r.labels["action"] == a for r, a in zip(readings, actions)),
                    )
                    if options.sheets and seed == 0:
                        save_strip(pictures, options.sheets / f"{options.split}_{number:02d}_{name}.png")
            runs.append(run_values)
        results.append(runs)
        print(f"story {number + 1}/{options.stories}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print_table(results, options)
    return 0


def print_accuracy(reader, vae) -> None:
    """What the reader gets right on drawings that it was not trained on, and on the same ones through the demo's VAE."""
    import torch
    from fabula.demo.train_reader import accuracy, draw_examples

    drawn, labels, parts = draw_examples(300, "held out", reduce=1)
    drawn = drawn.float() / 255
    with torch.inference_mode():
        pixels = drawn.permute(0, 2, 3, 1)
        coded = torch.cat([vae.decode(vae.encode(part)) for part in pixels.split(20)]).permute(0, 3, 1, 2)
    for name, pictures in (("held-out drawings", drawn), ("held-out drawings through the VAE", coded)):
        shares = accuracy(reader, pictures, labels, parts)
        print(f"reader on {name}: " + ", ".join(f"{k} {v:.3f}" for k, v in shares.items()))


def save_strip(pictures, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = pictures[0].size
    strip = Image.new("RGB", (width * len(pictures), height))
    for i, picture in enumerate(pictures):
        strip.paste(picture, (i * width, 0))
    strip.save(path)


def print_table(results, options: argparse.Namespace) -> None:
    print(f"{options.stories} stories x {options.seeds} seeds ({options.split}), {options.steps} steps {options.sampler}/"
          f"{options.scheduler}, cfg {options.cfg}, mode {options.mode}, rate {options.sampling_rate}, schedule {options.schedule}"
          f" from {options.start_percent:g} to {options.end_percent:g}, id_length {options.id_length}, tile_size {options.tile_size}.")
    print("Medians of distances, means of shares; in brackets the 95 % interval over stories.")
    print(row(["", "without", "with", "change"]))
    for column, name in enumerate(("character distance", "place diversity")):
        print(row([name, *compare(results, column, statistics.median, 1, lambda a, b: b / max(a, 1e-9))]), "x")
    for column, name in enumerate(("place right, %", "action right, %"), start=2):
        print(row([name, *compare(results, column, statistics.mean, 100, lambda a, b: b - a)]), "points")


def row(cells: list[str]) -> str:
    return f"{cells[0]:20}" + "".join(f"{cell:>26}" for cell in cells[1:])


def compare(results, column: int, centre, factor: float, change) -> list[str]:
    """Without, with, and `change(without, with)`, each with its interval."""
    groups = [[(factor * r["without"][column], factor * r["with"][column]) for r in runs] for runs in results]

    def both(pairs):
        return centre(a for a, _ in pairs), centre(b for _, b in pairs)

    cells = []
    for statistic in (lambda p: both(p)[0], lambda p: both(p)[1], lambda p: change(*both(p))):
        low, high = bootstrap(groups, statistic)
        cells.append(f"{statistic([pair for group in groups for pair in group]):.2f} [{low:.2f}, {high:.2f}]")
    return cells


if __name__ == "__main__":
    sys.exit(main())
