"""From keyframes to one film: `Fabula_PlanTransitions`, `Fabula_JoinTransitions`."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..motion.joining import join
from ..motion.timeline import DECODERS, film_frames, nearest_length
from .choices import check_choices

CATEGORY = "Fabula/motion"


class PlanTransitions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_PlanTransitions",
            display_name="Plan Transitions",
            category=CATEGORY,
            description="How many frames each transition between the keyframes has, for a video model that allows only some lengths, and how long the "
            "film becomes.",
            inputs=[
                io.Image.Input("keyframes", tooltip="The pictures that the film goes through, at least two."),
                io.Float.Input("seconds", default=3.0, min=0.1, max=600.0, step=0.1, tooltip="How long a transition shall be; the nearest length that the model allows is taken."),
                io.Float.Input("fps", default=16.0, min=1.0, max=120.0, step=1.0, tooltip="Frames a second of the film: what the video model was made for, such as 16 for Wan."),
                io.Combo.Input("decoder", options=list(DECODERS), tooltip="The video model that draws the frames between."),
            ],
            outputs=[
                io.Int.Output(display_name="frames", tooltip="Frames of a transition, its two keyframes included: the length of the video model's node."),
                io.Int.Output(display_name="total", tooltip="Frames of the whole film."),
                io.Float.Output(display_name="total seconds", tooltip="How long the film is."),
            ],
        )

    @classmethod
    def execute(cls, keyframes, seconds: float, fps: float, decoder: str) -> io.NodeOutput:
        check_choices(cls, decoder=decoder)
        frames = nearest_length(seconds * fps + 1, decoder)  # n steps of time lie between n + 1 frames
        try:
            total = film_frames(len(keyframes), frames)
        except ValueError as error:
            raise ValueError(f"Fabula_PlanTransitions: input {error}") from error
        return io.NodeOutput(frames, total, total / fps)


class JoinTransitions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_JoinTransitions",
            display_name="Join Transitions",
            category=CATEGORY,
            description="Joins transitions into one film in which each keyframe is shown once. Create Video and Save Video make a file of it.",
            is_input_list=True,
            inputs=[
                io.Image.Input("transitions", tooltip="The frames of each transition, its keyframes first and last: a list, or one batch."),
                io.Image.Input("keyframes", optional=True, tooltip="The pictures themselves, of the transitions' size: they take their own places, exactly as they are."),
                io.Boolean.Input(
                    "match_colours", optional=True, default=False,
                    tooltip="With keyframes: undoes the drift of colour within each transition. The keyframes stay as they are.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="frames", tooltip="The film."),
                io.Int.Output(display_name="count", tooltip="How many frames it has."),
            ],
        )

    @classmethod
    def execute(cls, transitions, keyframes=None, match_colours=(False,)) -> io.NodeOutput:
        pictures = None if not keyframes or keyframes[0] is None else torch.cat(list(keyframes))
        try:
            film = join(transitions, pictures, match_colours[0])
        except ValueError as error:
            raise ValueError(f"Fabula_JoinTransitions: input {error}") from error
        return io.NodeOutput(film, len(film))
