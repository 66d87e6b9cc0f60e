"""The same characters in every panel: `Fabula_ConsistentAttention`."""

from __future__ import annotations

from comfy_api.latest import io

from ..attention.schedule import SCHEDULES
from ..host.consistent_attention import MODES, SUBJECTS, Options, apply
from .choices import check_choices
from .types import CharacterType


class ConsistentAttention(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_ConsistentAttention",
            display_name="Consistent Attention",
            category="Fabula/consistency",
            description="Consistent self-attention (StoryDiffusion): while they are drawn, the panels see each other's "
            "characters. No training, any sampler. Place it between the checkpoint and the sampler.",
            inputs=[
                io.Model.Input("model", tooltip="An SDXL or SD1.5 model."),
                io.Float.Input(
                    "sampling_rate", default=0.5, min=0.0, max=1.0, step=0.05,
                    tooltip="Share of another panel's tokens that a panel sees. More is more alike and slower; 0.5 is the paper's.",
                ),
                io.Int.Input(
                    "id_length", default=3, min=1, max=16,
                    tooltip="Mode anchors: the first so many panels that show a character alone are its anchors, which its "
                    "other panels see.",
                ),
                io.Combo.Input(
                    "mode", options=list(MODES), default=MODES[0],
                    tooltip="anchors: every panel sees the anchors of its characters; for stories of any length. window: panels see "
                    "their neighbours, tile_size at a time (slow, the paper's). batch: every panel sees every other one, all at once.",
                ),
                io.Int.Input(
                    "tile_size", default=4, min=1, max=64,
                    tooltip="Panels denoised at once. anchors: beside the anchors. window: the width of the window. batch does not use it.",
                ),
                io.Combo.Input(
                    "schedule", options=list(SCHEDULES), default="always",
                    tooltip="storydiffusion: off in the first step, then each layer on with probability 0.7, from step 20 "
                    "on 0.9, as the official code does. always: every layer in every step.",
                ),
                io.Float.Input("start_percent", default=0.0, min=0.0, max=1.0, step=0.01, tooltip="Where in the sampling it begins."),
                io.Float.Input("end_percent", default=1.0, min=0.0, max=1.0, step=0.01, tooltip="Where in the sampling it ends."),
                io.Int.Input("seed", default=0, min=0, max=2**63 - 1, control_after_generate=False, tooltip="Which tokens and layers are drawn."),
                io.Float.Input(
                    "coarse_rate", optional=True, default=-1.0, min=-1.0, max=1.0, step=0.05,
                    tooltip="Sampling rate of the layers of the lowest resolution; below 0 it is sampling_rate.",
                ),
                io.Float.Input(
                    "fine_rate", optional=True, default=-1.0, min=-1.0, max=1.0, step=0.05,
                    tooltip="Sampling rate of all other layers; below 0 it is sampling_rate.",
                ),
                CharacterType.Input(
                    "character", optional=True,
                    tooltip="A saved or pictured character: its pictures are the anchors of the story's character of that name. "
                    "For two of them, put two of these nodes in a row.",
                ),
                io.Mask.Input(
                    "subject_masks", optional=True,
                    tooltip="Where the character is: one mask a panel, one for each character of each panel, or one for all. Only these "
                    "tokens are shared, so that places do not mix. Goes before 'subject'.",
                ),
                io.Combo.Input(
                    "subject", options=list(SUBJECTS), optional=True, default=SUBJECTS[0],
                    tooltip="auto: shares the character and not the place, found by where the picture attends to the words that describe it. "
                    "off: shares all of a panel, as the paper does.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For the sampler.")],
        )

    @classmethod
    def execute(cls, model, sampling_rate: float, id_length: int, mode: str, tile_size: int, schedule: str, start_percent: float,
                end_percent: float, seed: int, coarse_rate: float = -1.0, fine_rate: float = -1.0, character=None,
                subject_masks=None, subject: str = SUBJECTS[0]) -> io.NodeOutput:
        check_choices(cls, mode=mode, schedule=schedule, subject=subject)
        return io.NodeOutput(apply(model, Options(
            mode=mode, sampling_rate=sampling_rate, coarse_rate=None if coarse_rate < 0 else coarse_rate,
            fine_rate=None if fine_rate < 0 else fine_rate, id_length=id_length, tile_size=tile_size, schedule=schedule,
            start_percent=start_percent, end_percent=end_percent, seed=seed, character=character,
            subject_masks=subject_masks, subject=subject,
        )))
