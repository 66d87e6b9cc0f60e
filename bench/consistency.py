"""How much more alike a story's character is with consistent self-attention: `python3 bench/consistency.py`.

Renders stories of six panels with the embedded demo through the host's own sampling, with and without the patch, and
measures with the demo's reader. World and measure were frozen before the first number was taken; settings are chosen
with `--split tuning`, whose stories are others than the reported ones.

- character distance: mean Lab distance of the colours of each part (skin, hair, top, bottom, shoes, hat) between each
  two panels; a part that only one of the two shows counts as the mean distance of two colours of the world's palette.
- place diversity: mean Lab distance of the backgrounds between each two panels.
- pose diversity: 1 - overlap (intersection over union) of the figures of each two panels, laid over each other at
  their middles.
- place, action: how often the panel shows what its prompt names.

Each variant is a set of the node's inputs; all of them draw the same stories with the same noise, beside the unpatched
model. `subject=masks` gives the node masks of the figure, read from the unpatched pictures.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

from side_by_side import in_host

PANELS = 6
WITHOUT = "without"
PARTS_WORTH = ("skin", "hair", "top", "bottom", "shoes", "hat")


class Run(NamedTuple):
    """What one story drawn once measures."""

    character: float
    places: float
    poses: float
    place: float
    action: float
    seconds: float


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


def pose_diversity(readings) -> float:
    import torch

    def centred(figure):
        middle = figure.nonzero().float().mean(0).int().tolist()
        return torch.roll(figure, [figure.shape[0] // 2 - middle[0], figure.shape[1] // 2 - middle[1]], (0, 1))

    figures = [centred(r.figure) for r in readings if r.figure.any()]
    pairs = [1 - float((a & b).sum() / (a | b).sum()) for a, b in itertools.combinations(figures, 2)]
    return statistics.mean(pairs) if pairs else 0.0


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
    parser.add_argument(
        "--variants", nargs="+", default=["subject=off", "subject=masks", "subject=auto"], metavar="INPUT=VALUE,...",
        help="inputs of the node that differ from its defaults, once a variant: mode=batch,sampling_rate=0.3",
    )
    parser.add_argument("--sheets", type=Path, help="folder for a sheet of pictures of each story's first seed")
    options = parser.parse_args()
    in_host()
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
    if options.split == "report":
        print_accuracy(reader, vae)
    same, different = drawn_scale(missing, read_pictures)
    print(f"scale, on drawings: same character {same:.1f}, another in each panel {different:.1f}", flush=True)

    variants = [read_variant(text) for text in options.variants]
    results: list[list[dict[str, Run]]] = []
    started = time.monotonic()
    for number in range(options.stories):
        story, places, actions = make_story(options.split, number)
        runs = []
        for seed in range(options.seeds):
            noise_seed = Random(f"noise {options.split} {number} {seed}").getrandbits(32)

            def tell(net):
                before = time.perf_counter()
                latents = sample(net, positive, negative, empty_latents(range(PANELS), 256, 256), noise_seed,
                                 options.steps, options.cfg, options.sampler, options.scheduler)
                seconds = time.perf_counter() - before
                pictures = to_images(vae.decode(latents))
                return pictures, read_pictures(pictures), seconds

            def judge(name, pictures, readings, seconds):
                if options.sheets and seed == 0:
                    save_strip(pictures, options.sheets / f"{options.split}_{number:02d}_{name}.png")
                return Run(
                    character_distance(readings, missing), place_diversity(readings), pose_diversity(readings),
                    statistics.mean(r.labels["place"] == p for r, p in zip(readings, places)),
                    statistics.mean(r.labels["action"] == a for r, a in zip(readings, actions)), seconds,
                )

            with torch.inference_mode():
                positive, negative = encode_story(clip, story, 256, 256)
                plain = tell(model)
                told = {WITHOUT: judge("without", *plain)}
                figures = torch.stack([r.figure for r in plain[1]]).float()
                for text, variant in zip(options.variants, variants):
                    masks = {"subject": "off", "subject_masks": figures} if variant.get("subject") == "masks" else {}
                    told[text] = judge(text, *tell(apply(model, Options(**{**variant, **masks}))))
            runs.append(told)
        results.append(runs)
        print(f"story {number + 1}/{options.stories}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print_table(results, options)
    return 0


def read_variant(text: str) -> dict:
    """`mode=batch,sampling_rate=0.3` as inputs of the node."""
    inputs = dict(each.split("=") for each in text.split(",") if each != "defaults")
    return {name: next((kind(value) for kind in (int, float) if _is(kind, value)), value) for name, value in inputs.items()}


def _is(kind: type, value: str) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True


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
          f"{options.scheduler}, cfg {options.cfg}. Medians of distances, means of shares; in brackets the 95 % interval over stories.")
    print("| variant | character distance | / without | place diversity | / without | pose diversity | / without | place right, % | "
          "action right, % | time / without |")
    print("|---" * 10 + "|")
    for name in (WITHOUT, *options.variants):
        cells = [name]
        for field in ("character", "places", "poses"):
            cells += [value(results, field, name, statistics.median, 1 if field != "poses" else 100), change(results, field, name)]
        cells += [value(results, field, name, statistics.mean, 100) for field in ("place", "action")]
        print(f"| {' | '.join(cells)} | {change(results, 'seconds', name)} |")


def value(results, field: str, name: str, centre, factor: float) -> str:
    groups = [[getattr(told[name], field) * factor for told in runs] for runs in results]
    return f"{centre(v for group in groups for v in group):.1f}"


def change(results, field: str, name: str) -> str:
    """The median with the patch as a share of the one without, with its interval."""
    if name == WITHOUT:
        return ""
    groups = [[(getattr(told[WITHOUT], field), getattr(told[name], field)) for told in runs] for runs in results]

    def ratio(pairs):
        return statistics.median(b for _, b in pairs) / max(statistics.median(a for a, _ in pairs), 1e-9)

    low, high = bootstrap(groups, ratio)
    return f"{ratio([pair for group in groups for pair in group]):.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    sys.exit(main())
