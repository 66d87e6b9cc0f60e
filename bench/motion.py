"""How well a film goes from keyframe to keyframe: `python3 bench/motion.py`.

Clips of the demo world that no training has seen, half of them with characters that it has not seen either, are made anew from their first and last picture: what is between
is foretold as CLIP features by the demo's predictor, or by an interpolation, and drawn by the demo's motion module and image prompt, with consistent self-attention between the
frames, all with one seed.

- semantic error: of the foretold features, in squared deviations, beside linear interpolation's; straight paths (somebody walks), curved ones (jumps, waves) and journeys (from one
  place into another) apart, and unseen characters apart.
- films: `film_measures.py` says what each column is. `true features` are those of the clip itself, the most that a predictor can give this decoder. What `film_fakes.py` makes of the
  keyframes alone, boiling or not, has to fail, and the clip itself to pass: else the bench is broken, says so and ends with 1.
- cost: seconds of predicting beside those of drawing; memory of films of 5, 9 and 17 keyframes.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from pathlib import Path

from side_by_side import in_host, machine, peak_bytes, ratio, shown

ITSELF = "the clip itself"
ALONE = "predictor, without consistent attention"
COLUMNS = ("first", "between", "first_cosine", "between_cosine", "ends", "motion", "agreement", "progress", "path", "true")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--semantic-clips", type=int, default=40, help="of each of the four kinds, for the semantic error")
    parser.add_argument("--film-clips", type=int, default=3, help="of each kind, for the films")
    parser.add_argument("--predictor", default="", help="a file in models/fabula_motion; default: the demo's")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--cfg", type=float, default=2.0)
    parser.add_argument("--no-cost", action="store_true", help="leave time and memory out")
    parser.add_argument("--sheets", type=Path, help="folder for a sheet of each clip's films")
    options = parser.parse_args()
    if options.film_clips < 1 or options.semantic_clips < max(5, options.film_clips):
        parser.error("--film-clips must be at least 1, --semantic-clips at least 5 and as many: the films are some of these clips")
    in_host()
    return run(options)


def run(options: argparse.Namespace) -> int:
    from fabula.demo import clip_dataset, weights
    from fabula.demo.clips import FRAMES, PATHS, draw_clip
    from fabula.demo.film import Studio
    from fabula.demo.reader import load_reader
    from fabula.host import folders
    from fabula.host.motion_predictor import load_predictor
    from film_fakes import boiling, fakes

    folders.register()
    print(f"{machine()}\n")
    studio, reader = Studio.load(), load_reader()
    name = options.predictor or weights.PREDICTOR.name
    predictors = {"predictor": load_predictor("bench", name), **{mode: load_predictor("bench", mode) for mode in ("linear", "slerp", "eased")}}

    clips = clip_dataset.held_out(options.semantic_clips)
    drawn = {number: pixels(draw_clip(clip)) for number, (clip, _) in enumerate(clips)}
    errors: dict[str, list[dict[str, float]]] = {}
    deviation = predictors["predictor"].patcher.model.std
    seen = {number: studio.see(frames) for number, frames in drawn.items()}
    for number, (clip, known) in enumerate(clips):
        true = seen[number]
        found = {way: each.predict(true[0], true[-1], FRAMES, 1.0) for way, each in predictors.items()}
        own = {way: float((((each - true) / deviation)[1:-1]).square().mean()) for way, each in found.items()}
        for group in (PATHS[clip.kind], clip.kind, "known characters" if known else "unseen characters", "all"):
            errors.setdefault(group, []).append(own)
    tell_errors(errors)

    films: dict[str, dict[str, list]] = {}  # by kind of clip, then by way
    faked: set[str] = set()
    seconds: dict[str, list[float]] = {"predict": [], "draw": []}
    for number, (clip, known) in enumerate(clips):
        if number % options.semantic_clips >= options.film_clips:
            continue
        true = drawn[number]
        keyframes, features = true[[0, -1]], seen[number]
        rows = true.movedim(-1, 1)
        false = {way: film.movedim(1, -1) for way, film in fakes(rows, number).items()}
        faked.update(false)
        made = {ITSELF: true, f"{ITSELF}, boiling": boiling(rows, number).movedim(1, -1), **false}
        for way in ("predictor", "linear", "slerp", "true features", ALONE):
            started = time.perf_counter()
            foretold = features if way == "true features" else predictors["predictor" if way == ALONE else way].predict(features[0], features[-1], FRAMES, 1.0)
            between = time.perf_counter()
            made[way] = studio.film(keyframes, studio.transition(foretold), seed=number, steps=options.steps, cfg=options.cfg, consistent=way != ALONE)
            if way == "predictor":
                seconds["predict"].append(between - started)
                seconds["draw"].append(time.perf_counter() - between)
        for way, film in made.items():
            films.setdefault(clip.kind, {}).setdefault(way, []).append(judge(film, true, reader, studio))
        if options.sheets:
            save_sheet(options.sheets / f"{clip.kind}_{number}.png", made)
    tell_films(films)
    sound = verdict(errors, films, faked)
    if not options.no_cost:
        tell_cost(seconds, studio, drawn, options)
    return 0 if sound else 1


def pixels(drawn):
    """RGB pictures to (frames, height, width, 3) in 0..1."""
    from fabula.host.images import to_pixels

    return to_pixels(drawn)


def judge(film, true, reader, studio):
    from film_measures import measure

    return measure(film.movedim(-1, 1), true.movedim(-1, 1), reader, studio.see(film, "pooled")[:, 0])


def tell_errors(errors: dict[str, list[dict[str, float]]]) -> None:
    print("| semantic error | clips | predictor | linear | slerp | eased | predictor / linear |\n|---|---|---|---|---|---|---|")
    for group, rows in errors.items():
        means = [statistics.mean(row[way] for row in rows) for way in ("predictor", "linear", "slerp", "eased")]
        share = ratio([row["predictor"] for row in rows], [row["linear"] for row in rows])
        print(f"| {group} | {len(rows)} | " + " | ".join(f"{mean:.4f}" for mean in means) + f" | {means[0] / means[1]:.2f}, median {shown(share)} |")
    print()


def tell_films(films: dict[str, dict[str, list]]) -> None:
    from fabula.demo.clips import PATHS

    for kind, ways in films.items():
        print(f"| {kind}{'' if kind == PATHS[kind] else f' ({PATHS[kind]})'} | " + " | ".join(COLUMNS) + " | passes |\n|" + "---|" * (len(COLUMNS) + 2))
        for way, rows in ways.items():
            means = [mean_of([getattr(row, column) for row in rows]) for column in COLUMNS]
            print(f"| {way} | " + " | ".join(means) + f" | {sum(row.passes for row in rows)}/{len(rows)} |")
        print()


def mean_of(values: list[float]) -> str:
    """Of those that are a number."""
    known = [value for value in values if not math.isnan(value)]
    return f"{statistics.mean(known):.3f}" if known else "-"


def verdict(errors, films, faked: set[str]) -> bool:
    """Whether the bench is sound: false films fail in it, and true ones pass."""
    share = statistics.mean(row["predictor"] for row in errors["all"]) / statistics.mean(row["linear"] for row in errors["all"])
    print(f"Semantic error {share:.2f} of linear's: goal 0.7 {'reached' if share <= 0.7 else 'MISSED'}.\n")
    print("| films that pass | " + " | ".join(films) + " | all |\n|" + "---|" * (len(films) + 2))
    sound = True
    for way in next(iter(films.values())):
        passed = [[row.passes for row in ways[way]] for ways in films.values()]
        every = [each for one in passed for each in one]
        wrong = (way in faked and any(every)) or (way == ITSELF and not all(every))
        sound = sound and not wrong
        print(f"| {way} | " + " | ".join(str(sum(one)) for one in passed) + f" | {sum(every)}/{len(every)}{', so the BENCH IS BROKEN' if wrong else ''} |")
    print()
    return sound


def tell_cost(seconds, studio, drawn, options) -> None:
    import torch
    from fabula.demo.clips import FRAMES

    share = statistics.median(seconds["predict"]) / statistics.median(seconds["draw"])
    print(f"A transition of {FRAMES} frames: {statistics.median(seconds['predict']):.2f} s predicting, {statistics.median(seconds['draw']):.1f} s drawing ({options.steps} steps): "
          f"{100 * share:.1f} %, goal 2 % {'reached' if share <= 0.02 else 'MISSED'}.")
    from fabula.host.motion_predictor import load_predictor, predict_motion

    print("\n| keyframes | peak memory of all transitions, MB |\n|---|---|")
    predictor = load_predictor("bench", "linear")
    first = [frames[0] for frames in drawn.values()]
    for count in (5, 9, 17):
        keyframes = torch.stack(first[:count])

        def film(keyframes=keyframes):
            for number, motion in enumerate(predict_motion("bench", predictor, studio.clip_vision, keyframes, FRAMES, 1.0, "penultimate")):
                studio.film(keyframes[number:number + 2], motion, steps=1, cfg=options.cfg)

        print(f"| {count} | {peak_bytes(film) / 1e6:.0f} |")


def save_sheet(path: Path, made) -> None:
    """A row a way, a column a frame."""
    from fabula.host.images import to_images
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = Image.new("RGB", (max(map(len, made.values())) * 128, len(made) * 128))
    for row, film in enumerate(made.values()):
        for column, frame in enumerate(to_images(film)):
            sheet.paste(frame.resize((128, 128)), (column * 128, row * 128))
    sheet.save(path)


if __name__ == "__main__":
    sys.exit(main())
