"""One self-attention layer at SDXL's real sizes, shared in four ways: `python3 bench/attention.py`.

- plain: every panel's own tokens.
- fabula: this pack, on projected keys and values.
- mask: all panels as one sequence with a mask over (panels x tokens) squared, as the official app does.
- re-projecting gather: every panel projects the tokens that it sees, as the official low-memory app does.
- bare: attention alone, on keys and values of Fabula's length that are there already.

The three projections count for all but `bare`. Times are ratios, round by round in one process; memory is the most that
live tensors hold beyond weights and input; of all 36 layers, the most of any.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable

from side_by_side import in_host, machine, peak_bytes, ratio, shown, time_in_turns

WITH_MEMORY = ("plain", "fabula", "mask", "reprojecting")
LAYERS = {"1024 x 1280": (1024, 1280, 20, 30), "4096 x 640": (4096, 640, 10, 6)}  # tokens, channels, heads; layers in SDXL


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.3, 0.5, 1.0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: float32 on a CPU, float16 on CUDA")
    options = parser.parse_args()
    in_host()
    return run(options)


def run(options: argparse.Namespace) -> int:
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = getattr(torch, options.dtype or ("float16" if device.type == "cuda" else "float32"))
    print(f"{machine()}, {dtype}, {options.repeats} rounds; medians with 95 % intervals over rounds. 36 layers: all of SDXL's up blocks, from the medians")
    print("| layer | panels | rate | fabula / plain | fabula / mask | reprojecting / mask | attend + gather / bare | MB plain | MB fabula | MB mask | MB reprojecting |")
    print("|---" * 11 + "|")
    for panels in options.panels:
        for rate in options.rates:
            seconds: dict[str, float] = {}
            megabytes: dict[str, float] = {}
            for name, (tokens, channels, heads, layers) in LAYERS.items():
                ways = make_ways(panels, tokens, channels, heads, rate, device, dtype)
                check_alike(ways)
                times = time_in_turns(ways, options.repeats)
                peaks = {way: peak_bytes(ways[way]) / 1e6 for way in WITH_MEMORY}
                print_row(name, panels, rate, lambda a, b: shown(ratio(times[a], times[b])), peaks)
                for way, values in times.items():
                    seconds[way] = seconds.get(way, 0.0) + layers * statistics.median(values)
                megabytes = {way: max(peak, megabytes.get(way, 0.0)) for way, peak in peaks.items()}
            print_row("36 layers", panels, rate, lambda a, b: f"{seconds[a] / seconds[b]:.2f}", megabytes)
    return 0


def print_row(name: str, panels: int, rate: float, compared: Callable[[str, str], str], megabytes: dict[str, float]) -> None:
    pairs = (("fabula", "plain"), ("fabula", "mask"), ("reprojecting", "mask"), ("gather and attend", "bare"))
    cells = [name, str(panels), f"{rate:g}", *(compared(a, b) for a, b in pairs), *(f"{each:.0f}" for each in megabytes.values())]
    print("| " + " | ".join(cells) + " |", flush=True)


def check_alike(ways: dict) -> None:
    """All three ways to share must give the same pictures, or their times mean nothing."""
    import torch

    with torch.inference_mode():
        fabula = ways["fabula"]().float()
        for name in ("mask", "reprojecting"):
            other = ways[name]().float().view_as(fabula)
            if (fabula - other).abs().max() > 0.02 * fabula.std():
                raise SystemExit(f"{name} gives another result than fabula: the bench compares different things.")


def make_ways(panels: int, tokens: int, channels: int, heads: int, rate: float, device, dtype) -> dict:
    import torch
    from fabula.attention.cast import Cast
    from fabula.attention.sharing import attend_shared, group_views, whole_rows
    from fabula.attention.tiles import together
    from fabula.attention.tokens import sample_tokens

    torch.manual_seed(0)
    hidden = torch.randn(panels, tokens, channels, device=device, dtype=dtype)
    to_q, to_k, to_v = (torch.randn(channels, channels, device=device, dtype=dtype) / channels**0.5 for _ in range(3))
    sources = together(Cast.nameless(panels), range(panels)).sources
    drawn = [sample_tokens(tokens, rate, 0, 1, panel) for panel in range(panels)]
    groups = group_views(whole_rows(sources, drawn, tokens), tokens, 1, device)
    index = groups[0].index
    flat = hidden.view(-1, channels)
    seen = torch.zeros(panels, panels * tokens, dtype=torch.bool, device=device).scatter_(1, index, True)

    def attend(q, k, v, mask=None):
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)

    def masked():
        mask = seen.repeat_interleave(tokens, 0)  # the official app makes it anew in every step
        q, k, v = (flat[None] @ w for w in (to_q, to_k, to_v))
        return attend(q, k, v, mask[None, None])

    def reprojecting():
        # One panel after the other, as there.
        rows = []
        for panel in range(panels):
            context = flat[index[panel]][None]
            rows.append(attend(hidden[panel:panel + 1] @ to_q, context @ to_k, context @ to_v))
        return torch.cat(rows)

    q, k, v = (hidden @ w for w in (to_q, to_k, to_v))
    long_k, long_v = (t.view(-1, channels)[index.flatten()].view(panels, -1, channels) for t in (k, v))
    return {
        "plain": lambda: attend(hidden @ to_q, hidden @ to_k, hidden @ to_v),
        "fabula": lambda: attend_shared(hidden @ to_q, hidden @ to_k, hidden @ to_v, groups, 1, attend),
        "mask": masked,
        "reprojecting": reprojecting,
        "gather and attend": lambda: attend_shared(q, k, v, groups, 1, attend),
        "bare": lambda: attend(q, long_k, long_v),
    }


if __name__ == "__main__":
    sys.exit(main())
