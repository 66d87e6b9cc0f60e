"""How much a panel's character is that of the reference drawings: `python3 bench/identity.py`.

Draws stories with the embedded demo's PhotoMaker: the prompts say no more of the character than "a girl img", and drawings of it stand in for
photos. The demo's reader then reads the parts' colours off the panels. Characters and drawings are others than those that the encoder was
trained on.

- attribute match: of skin, hair, top, bottom, shoes and hat of all panels, the share whose colour is, among those of the world, nearest to the
  character's own (a hat that is not there counts as right where the character has none). Without photos it is what chance gives.
- place right: how often the panel shows the place that its prompt names.
- encoding: seconds for 1 to 8 photos and 12 panels, beside the same prompts without photos.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from random import Random

from consistency import bootstrap, save_strip
from side_by_side import in_host, machine, ratio, shown, time_in_turns

PANELS = 4
WORDS, FULL = "words alone", "words that say everything"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=20)
    parser.add_argument("--photos", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--cfg", type=float, default=4.0)
    parser.add_argument("--style-strength", type=float, default=10.0)
    parser.add_argument("--lora-strength", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=5, help="of the timing")
    parser.add_argument("--sheets", type=Path, help="folder for a sheet of each character's pictures")
    options = parser.parse_args()
    in_host()
    return run(options)


def make_story(number: int):
    """A character, drawings of it, and a story that names no more than its kind. Returns also the places of the panels."""
    from fabula.demo.captions import ACTION_WORDS, PLACE_WORDS, article
    from fabula.demo.drawing import draw_picture
    from fabula.demo.train_identity import full_words
    from fabula.demo.world import ACTIONS, PLACES, random_character, random_figure, random_scene
    from fabula.story.script import parse_story

    rng = Random(f"identity report {number}")
    who = random_character(rng)
    drawings = [draw_picture(random_scene(rng, (random_figure(rng, who),)))[0] for _ in range(8)]
    places, actions = rng.sample(PLACES, PANELS), rng.sample(ACTIONS, PANELS)
    lines = "\n".join(f"[Hero] {rng.choice(ACTION_WORDS[a])} {rng.choice(PLACE_WORDS[p])}" for p, a in zip(places, actions))
    kind = article(who.kind)
    stories = {name: parse_story(f"[Hero] {text}", lines, "(No style)", "") for name, text in
               (("img", f"{kind} img"), (WORDS, kind), (FULL, f"{kind}, {full_words(who)}"))}
    return who, drawings, stories, places


def run(options: argparse.Namespace) -> int:
    import torch
    from fabula.demo import models, weights
    from fabula.demo.reader import attributes_right, load_reader, read
    from fabula.host import id_encoder, identity_story
    from fabula.host.consistent_attention import Options, apply
    from fabula.host.encode_story import Rows, empty_latents, encode_story
    from fabula.host.images import to_images, to_pixels
    from fabula.host.references import Reference
    from fabula.host.render import sample

    id_encoder.register()
    reader, model, clip, vae = load_reader(), models.load_model(), models.load_clip(), models.load_vae()
    encoder, checkpoint = id_encoder.load_photomaker(weights.PHOTOMAKER.name)
    patched = id_encoder.apply_lora(model, checkpoint, options.lora_strength)
    results: dict[str, list[list[tuple[float, float]]]] = {}
    started = time.monotonic()

    def read_pictures(pictures):
        return read(reader, to_pixels(pictures).permute(0, 3, 1, 2))

    def tell(name, net, positive, negative, who, places, sheet, number):
        latents = sample(net, positive, negative, empty_latents(range(PANELS), 256, 256), number, options.steps, options.cfg)
        pictures = to_images(vae.decode(latents))
        readings = read_pictures(pictures)
        own = [(statistics.mean(attributes_right(who, each)), float(each.labels["place"] == place)) for each, place in zip(readings, places)]
        results.setdefault(name, []).append(own)
        sheet += pictures

    for number in range(options.characters):
        who, drawings, stories, places = make_story(number)
        sheet = list(drawings[:PANELS])
        with torch.inference_mode():
            drawn = [(statistics.mean(attributes_right(who, each)), 1.0) for each in read_pictures(drawings[:PANELS])]
            results.setdefault("the drawings themselves", []).append(drawn)
            for name in (WORDS, FULL):
                tell(name, model, *encode_story(clip, stories[name], 256, 256), who, places, sheet, number)
            for count in options.photos:
                rows = Rows(stories["img"], range(PANELS), 256, 256)
                merged, text_only, negative = identity_story.encode_identity(clip, encoder, {"Hero": Reference(tuple(drawings[:count]))}, "img", rows)
                positive = identity_story.delayed(text_only, merged, options.style_strength, None)
                photos = f"{count} photo{'s' if count > 1 else ''}"
                tell(photos, patched, positive, negative, who, places, sheet, number)
            tell(f"{photos}, consistent attention", apply(patched, Options()), positive, negative, who, places, sheet, number)
        if options.sheets:
            for row in range(len(sheet) // PANELS):
                save_strip(sheet[PANELS * row:PANELS * (row + 1)], options.sheets / f"{number:02d}_{row}.png")
        print(f"character {number + 1}/{options.characters}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(f"{options.characters} characters x {PANELS} panels, {options.steps} steps, cfg {options.cfg}, style_strength {options.style_strength}, "
          f"lora_strength {options.lora_strength}. In brackets the 95 % interval over characters.")
    print("| variant | attribute match, % | place right, % |\n|---|---|---|")
    for name, groups in results.items():
        cells = []
        for field in (0, 1):
            def mean(own, field=field):
                return 100 * statistics.mean(run[field] for run in own)

            low, high = bootstrap(groups, mean)
            cells.append(f"{mean([run for group in groups for run in group]):.1f} [{low:.1f}, {high:.1f}]")
        print(f"| {name} | {' | '.join(cells)} |")
    print_times(options, clip, encoder)
    return 0


def print_times(options: argparse.Namespace, clip, encoder) -> None:
    from fabula.host import identity_story
    from fabula.host.encode_story import Rows, encode_story
    from fabula.host.references import Reference
    from fabula.story.script import parse_story

    _, drawings, _, _ = make_story(0)
    lines = "\n".join(f"[Hero] waves in the forest, {number}" for number in range(12))
    plain, with_photos = (parse_story(f"[Hero] a girl{trigger}", lines, "(No style)", "") for trigger in ("", " img"))
    rows = Rows(with_photos, range(12), 256, 256)
    ways = {"none": lambda: encode_story(clip, plain, 256, 256)}
    for count in (1, 2, 4, 8):
        ways[str(count)] = lambda count=count: identity_story.encode_identity(clip, encoder, {"Hero": Reference(tuple(drawings[:count]))}, "img", rows)
    seconds = time_in_turns(ways, options.repeats)
    print(f"\nEncoding 12 panels, {machine()}; {options.repeats} rounds\n| photos | milliseconds | / none |\n|---|---|---|")
    for name, each in seconds.items():
        print(f"| {name} | {1000 * statistics.median(each):.0f} | {shown(ratio(each, seconds['none']))} |")


if __name__ == "__main__":
    sys.exit(main())
