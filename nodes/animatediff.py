"""The paper's decoder: `Fabula_LoadMotionModule`, `Fabula_ApplyMotion`."""

from __future__ import annotations

from comfy_api.latest import io

from ..host import image_prompt_file, motion_module
from ..host.image_prompt import MODES, apply_to_each
from .choices import check_choices
from .motion import CATEGORY
from .types import MotionType


class LoadMotionModule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_LoadMotionModule",
            display_name="Load Motion Module",
            category=CATEGORY,
            description="Makes an image checkpoint draw clips: AnimateDiff's motion module joins the frames, which are the rows of the latent.",
            inputs=[
                io.Model.Input("model", tooltip="A checkpoint of the family that the motion module was made for: SD1.5 or SDXL."),
                io.Combo.Input("motion_module_name", options=motion_module.names(), tooltip="A motion module of AnimateDiff, v1, v2, v3 or SDXL, in models/animatediff_models."),
                io.Int.Input(
                    "context_length", default=16, min=0, max=64, optional=True,
                    tooltip="Clips with more frames are seen in windows of this many; 16 is what AnimateDiff was trained with. 0: no windows.",
                ),
                io.Int.Input("context_overlap", default=4, min=0, max=63, optional=True, tooltip="Frames that neighbouring windows share: more, and they join more smoothly."),
                io.Combo.Input(
                    "beta_schedule", options=list(motion_module.SCHEDULES), optional=True, default="auto",
                    tooltip="The noise that the motion module was trained with. auto: AnimateDiff's for the family, or what the file says.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For Apply Motion, or a sampler: the rows of its latent are the frames of one clip.")],
        )

    @classmethod
    def execute(cls, model, motion_module_name: str, context_length: int = 16, context_overlap: int = 4, beta_schedule: str = "auto") -> io.NodeOutput:
        check_choices(cls, beta_schedule=beta_schedule)
        return io.NodeOutput(motion_module.load_motion_module(model, motion_module_name, context_length, context_overlap, beta_schedule))


class ApplyMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_ApplyMotion",
            display_name="Apply Motion",
            category=CATEGORY,
            description="Each frame attends to what was predicted for it, beside the text: the decoder of StoryDiffusion's motion predictor.",
            is_input_list=True,
            inputs=[
                io.Model.Input("model", tooltip="From Load Motion Module, or a model that another pack animates."),
                MotionType.Input("motion", tooltip="From Predict Motion, in the space that the image prompt reads: pooled for the base kind, penultimate for plus and full; or projected."),
                io.Combo.Input("image_prompt_name", options=image_prompt_file.names(), tooltip="An IP-Adapter of the model's family, base, plus or full, in models/ipadapter."),
                io.Float.Input("weight", default=1.0, min=0.0, max=5.0, step=0.05, tooltip="How much the frames listen to their pictures beside the text. 0: not at all."),
                io.Combo.Input(
                    "mode", options=list(MODES), optional=True, default=MODES[0],
                    tooltip="decoupled: two attentions added, as IP-Adapter was trained. one softmax: text and pictures together, as the paper writes it.",
                ),
                io.Float.Input("start_percent", default=0.0, min=0.0, max=1.0, step=0.01, optional=True, tooltip="From which part of the sampling on."),
                io.Float.Input("end_percent", default=1.0, min=0.0, max=1.0, step=0.01, optional=True, tooltip="Up to which part of the sampling."),
            ],
            outputs=[io.Model.Output(display_name="model", is_output_list=True, tooltip="For the sampler, with the latents of Transition Latents: one model a transition.")],
        )

    @classmethod
    def execute(cls, model, motion, image_prompt_name, weight, mode=(MODES[0],), start_percent=(0.0,), end_percent=(1.0,)) -> io.NodeOutput:
        for each in mode:
            check_choices(cls, mode=each)
        return io.NodeOutput(apply_to_each(model, motion, image_prompt_name, weight, mode, start_percent, end_percent))
