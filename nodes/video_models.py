"""What the host's video models need for transitions: `Fabula_TwoWaySVD`, `Fabula_ApplyMotionToWan`, `Fabula_KeyframePairs`."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.motion_predictor import check_transitions
from ..host.motion_wan import apply_motion_to_wan
from ..host.two_way_svd import two_way_svd
from ..motion.two_way import FUSIONS
from .choices import check_choices
from .motion import CATEGORY
from .types import MotionType


class TwoWaySVD(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_TwoWaySVD",
            display_name="Two-Way SVD",
            category=CATEGORY,
            description="Stable Video Diffusion keeps to the end picture too: each step is predicted forwards from the start and backwards from the end. Sampling "
            "takes twice as long.",
            inputs=[
                io.Model.Input(
                    "model", tooltip="An SVD model. The sampler's positive and negative come from Motion To SVD. Each step takes twice as long with this node.",
                ),
                io.Combo.Input(
                    "fusion", options=list(FUSIONS),
                    tooltip="How the share of the backward prediction grows from the first frame to the last. smooth: frames near an end keep closer to its picture.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For the sampler.")],
        )

    @classmethod
    def execute(cls, model, fusion: str) -> io.NodeOutput:
        check_choices(cls, fusion=fusion)
        return io.NodeOutput(two_way_svd(model, fusion))


class ApplyMotionToWan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_ApplyMotionToWan",
            display_name="Apply Motion To Wan",
            category=CATEGORY,
            is_experimental=True,
            description="Predicted motion for the image-to-video models of Wan 2.1: each latent frame reads what CLIP would see in its own frames, in the place of "
            "the start picture for all.",
            inputs=[
                io.Model.Input("model", tooltip="An image-to-video model of Wan 2.1: I2V, FLF2V or Fun-InP."),
                MotionType.Input("motion", tooltip="From Predict Motion, space penultimate, 4n + 1 frames: as many as the video has."),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For the sampler; one a transition.")],
        )

    @classmethod
    def execute(cls, model, motion) -> io.NodeOutput:
        return io.NodeOutput(apply_motion_to_wan(model, motion))


class KeyframePairs(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_KeyframePairs",
            display_name="Keyframe Pairs",
            category=CATEGORY,
            description="The start picture and the end picture of each transition between keyframes, for nodes that take a start and an end image.",
            inputs=[io.Image.Input("keyframes", tooltip="The pictures that the film goes through, at least two.")],
            outputs=[
                io.Image.Output(display_name="start", is_output_list=True, tooltip="A list, one picture a transition: what follows is done for each."),
                io.Image.Output(display_name="end", is_output_list=True, tooltip="A list, one picture a transition."),
            ],
        )

    @classmethod
    def execute(cls, keyframes) -> io.NodeOutput:
        check_transitions("Fabula_KeyframePairs", keyframes, 2)
        pictures = list(keyframes[..., :3].split(1))
        return io.NodeOutput(pictures[:-1], pictures[1:])
