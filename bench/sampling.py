"""Whole samplings with and without Consistent Attention: `python3 bench/sampling.py [demo|sdxl]`.

demo: stories of 8, 16 and 50 panels with the embedded models: seconds a tile, and which share of the rows is replayed or
padding; a patch outside its range against no patch at all, which must give the same bits.
sdxl: steps of the full SDXL architecture with random weights, 4 panels, shared against plain.
"""

from __future__ import annotations

import argparse
import sys
import time

from side_by_side import in_host, machine, peak_bytes, ratio, shown, time_in_turns

STEPS = 6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("demo", "sdxl"), default="demo")
    parser.add_argument("--stories", type=int, nargs="+", default=[8, 16, 50], help="demo: panels of each")
    parser.add_argument("--tile-size", type=int, default=4)
    parser.add_argument("--id-length", type=int, default=3)
    parser.add_argument("--size", type=int, default=768, help="sdxl: pixels")
    parser.add_argument("--subjects", nargs="+", choices=("off", "auto"), default=["off", "auto"], help="sdxl: whole panels, or the characters")
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    in_host()
    print(machine())
    return {"demo": run_demo, "sdxl": run_sdxl}[options.part](options)


def run_demo(options: argparse.Namespace) -> int:
    import torch
    from fabula.attention.cast import Cast
    from fabula.attention.tiles import plan
    from fabula.demo import models
    from fabula.host.consistent_attention import Options, apply
    from fabula.host.encode_story import empty_latents, encode_story
    from fabula.host.render import sample
    from fabula.story.script import parse_story

    model, clip = models.load_model(), models.load_clip()

    def telling(panels: int, net):
        story = parse_story("[Mia] a girl", "\n".join(["[Mia] waving in the forest"] * panels), "(No style)", "")
        conditioning = encode_story(clip, story, 256, 256)
        return lambda: sample(net, *conditioning, empty_latents(range(panels), 256, 256), 1, STEPS, 4.0)

    patched = apply(model, Options(sampling_rate=options.rate, tile_size=options.tile_size, id_length=options.id_length))
    tiles = {count: plan(Cast.nameless(count), options.id_length, options.tile_size) for count in options.stories}
    ways = {count: telling(count, patched) for count in options.stories}
    seconds = time_in_turns(ways, options.repeats)
    peaks = {count: peak_bytes(way) for count, way in ways.items()}
    first = options.stories[0]
    print(f"mode anchors, id_length {options.id_length}, tile_size {options.tile_size}, rate {options.rate}, every layer and step, {STEPS} steps, 256 x 256, cfg 4")
    print(f"| panels | tiles | rows a tile | replayed or padding | seconds a tile / of {first} panels | peak MB | peak / of {first} panels |")
    print("|---|---|---|---|---|---|---|")
    for count in options.stories:
        rows = len(tiles[count]) * len(tiles[count][0].scene.panels)
        a_tile = [s / len(tiles[count]) for s in seconds[count]]
        base = [s / len(tiles[first]) for s in seconds[first]]
        peak = f"{peaks[count] / 1e6:.1f}", f"{peaks[count] / peaks[first]:.2f}"
        print(f"| {count} | {len(tiles[count])} | {len(tiles[count][0].scene.panels)} | {1 - count / rows:.0%} | {shown(ratio(a_tile, base))} | {' | '.join(peak)} |")

    idle = apply(model, Options(mode="batch", start_percent=0.5, end_percent=0.51))
    with torch.inference_mode():
        same = torch.equal(telling(4, model)(), telling(4, idle)())
    both = time_in_turns({"plain": telling(4, model), "idle": telling(4, idle)}, 2 * options.repeats)
    print(f"patched but out of its range, against unpatched: {shown(ratio(both['idle'], both['plain']))} of the time, same bits: {same}")
    return 0


def run_sdxl(options: argparse.Namespace) -> int:
    import comfy.model_base
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models
    import torch
    from fabula.attention.cast import Cast
    from fabula.host.consistent_attention import Options, apply
    from fabula.host.render import sample
    from fabula.host.story_rows import KEY, StoryRows

    device = comfy.model_management.get_torch_device()
    dtype = torch.float16 if device.type == "cuda" else torch.bfloat16
    config = comfy.supported_models.SDXL({**comfy.supported_models.SDXL.unet_config, **SDXL, "dtype": dtype})
    config.set_inference_dtype(dtype, None)
    started = time.monotonic()
    base = comfy.model_base.SDXL(config, device=device)
    with torch.no_grad():
        for name, parameter in base.diffusion_model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.02)
            else:  # norms as they start, so that values stay in range
                parameter.fill_(float(name.endswith("weight")))
    model = comfy.model_patcher.ModelPatcher(base, load_device=device, offload_device=device)
    print(f"SDXL, {sum(p.numel() for p in base.parameters()) / 1e9:.2f} G parameters, {dtype}, made in {time.monotonic() - started:.0f} s")
    described = StoryRows(Cast((("Mia",),) * 4), tuple(range(4)), (None,) * 4, ({"Mia": (2, 3, 4)},) * 4, (0,) * 4)
    size = {"width": options.size, "height": options.size, KEY: described}
    conditioning = [[torch.randn(4, 77, 2048), {"pooled_output": torch.randn(4, 1280), **size}]]
    latent = {"samples": torch.zeros(4, 4, options.size // 8, options.size // 8)}
    nets = {"plain": model}
    for subject in options.subjects:
        nets[subject] = apply(model, Options(mode="batch", schedule="always", sampling_rate=options.rate, subject=subject))
    # At CFG 1 a step is one pass of the net over the four panels. From the second step on the characters are known.
    ways = {name: (lambda net=net: sample(net, conditioning, conditioning, latent, 1, 2, 1.0)) for name, net in nets.items()}
    seconds = time_in_turns(ways, options.repeats)
    print(f"4 panels of {options.size} x {options.size}, rate {options.rate}, two steps, of the time of plain batch sampling:")
    for subject in options.subjects:
        print(f"subject {subject}: {shown(ratio(seconds[subject], seconds['plain']))}")
    return 0


SDXL = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4],
    "transformer_depth_middle": 10, "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "num_head_channels": 64, "num_heads": -1,
    "num_classes": "sequential", "legacy": False, "use_spatial_transformer": True, "conv_resample": True,
}


if __name__ == "__main__":
    sys.exit(main())
