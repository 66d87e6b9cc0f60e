"""Where versions of ComfyUI differ in what Fabula or its tests have to do with: since when, how, and why it matters here.

The pack itself never asks for a version: it looks at what it is given, so that it runs where nobody has tried it. Tests ask `here(DIFFERENCE)`;
tests/host/test_host_differences.py holds each of them against the ComfyUI at hand, so that none can grow old unseen. What a version of the frontend
does differently is said where the browser's tests meet it.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

import host


class Difference(NamedTuple):
    since: str  # the first release that is so
    what: str  # is so since then
    reason: str  # why it stands here: what the pack, or a test, does about it


LAYERS_CAN_BE_INTERRUPTED = Difference(
    "0.3.66", "every layer of a net looks for an interrupt; before, sampling and long nodes alone do", "a training keeps the video that was just encoded whole, of which a test counts the windows",
)
LATENT_SHAPES = Difference(
    "0.3.67", "sampling hands the latents' shapes on, as `latent_shapes`", "consistent attention changes the number of rows, and has to change these with it where they are given",
)
WAN_VAE_OF_ANY_WIDTH = Difference(
    "0.3.75", "a Wan VAE's width is read from its file; before, it was 96", "a test has a small one; what our wheel calls 0.3.75 is a little newer than that release, and has it",
)
DOWNSCALE_IS_V3 = Difference("0.3.65", "Kohya's downscale is a V3 node", "tests call nodes of the host, whose V1 classes are called in another way")
FREEU_IS_V3 = Difference("0.4.0", "FreeU is a V3 node", DOWNSCALE_IS_V3.reason)
WINDOWS_TAKE_ONE_TIME = Difference(
    "0.4.0", "context windows look up the step by the first row's time; before, by all rows' at once, which fails", "a test samples as many rows as a film has frames",
)
WINDOWS_ASK_FOR_NOISE = Difference("0.4.0", "context windows have an input `freenoise`", "a test compares with sampling without windows, which has the noise as it is")
WINDOWS_ADD_A_FRAME = Difference(
    "0.21.0", "context windows add a frame of another window to each, unless `causal_window_fix` is off", "`host/frame_rows.py` gives it the tokens of its own frame",
)
MASK_IS_PREPARED = Difference(
    "0.6.0", "a noise mask reaches samplers' wrappers in the latents' size and channels; before, as it was drawn", "consistent attention takes one channel of either",
)
CHOICES_ARE_CHECKED = Difference(
    "0.8.0", "the queue refuses what a COMBO of a V3 node does not offer; before, it ran any text", "`nodes/choices.py` refuses it in the node; workflows are tested against the host's own check",
)
PROGRESS_IS_THROTTLED = Difference("0.9.2", "a progress bar passes on only some of what it is told", "tests count what it was told")
REQUESTS_IS_REQUIRED = Difference("0.11.0", "requirements.txt names `requests`, which earlier hosts import too", "`tools/environment.py` installs it in any case")
ON_LOAD_IS_CALLED = Difference("0.14.0", "a pack's `on_load` is awaited ahead of `get_node_list`", "`nodes/__init__.py` registers folders and routes in `get_node_list`, which all hosts call")
OPTIONS_ARE_SHARED = Difference(
    "0.14.0", "a model's clone holds the same objects in its options; before, copies of all but functions", "objects in transformer_options have a `__deepcopy__` that returns themselves",
)
MISSING_NODES_HAVE_A_TYPE = Difference(
    "0.12.0", "the queue refuses a node that it has not as `missing_node_type`, 'not found'; before, as `invalid_prompt`, 'does not exist'", "`tools/queue_story.py` shows either",
)
RINGS_ARE_REFUSED_BY_NAME = Difference("0.20.0", "the queue refuses a ring of links as `dependency_cycle`; before, as any error of validation", "docs/api.md lists what the queue answers")
PROMPT_IDS_ARE_UUIDS = Difference("0.25.0", "a prompt id that the client gives has to be a canonical UUID; before, any text", "`tools/queue_story.py` gives one, to cancel by")
CODEC_HAS_SETTINGS = Difference(
    "0.30.0", "Save Video's codec comes with settings, which go to `save_to` as further keywords; before, it was a text", "films with subtitles hand them on",
)

ALL = {name: value for name, value in globals().items() if isinstance(value, Difference)}


def here(difference: Difference) -> bool:
    """Whether the ComfyUI that the tests run on has it."""
    return version() >= numbers(difference.since)


@functools.cache
def version() -> tuple[int, ...]:
    text = (host.find_host() / "comfyui_version.py").read_text(encoding="utf-8")
    return numbers(re.search(r'__version__\s*=\s*"([0-9.]+)', text)[1])


def numbers(release: str) -> tuple[int, ...]:
    return tuple(int(each) for each in release.strip(".").split("."))
