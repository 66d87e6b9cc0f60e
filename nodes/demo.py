"""The embedded demo's models: `Fabula_LoadDemo`."""

from __future__ import annotations

from comfy_api.latest import io


class LoadDemo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_LoadDemo",
            display_name="Load Fabula Demo",
            category="Fabula/demo",
            description="The tiny models that come with Fabula: a cartoon world at 256 x 256, to try everything without a "
            "download. For pictures of your own use your SDXL checkpoint.",
            inputs=[],
            outputs=[
                io.Model.Output(display_name="model", tooltip="A tiny SDXL, v-prediction."),
                io.Clip.Output(display_name="clip", tooltip="Its two text encoders."),
                io.Vae.Output(display_name="vae", tooltip="Its VAE."),
                io.ClipVision.Output(display_name="clip_vision", tooltip="A tiny CLIP vision model, for Predict Motion."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        from ..demo import models  # only here: should a host's internals move, the other nodes still load

        return io.NodeOutput(models.load_model(), models.load_clip(), models.load_vae(), models.load_clip_vision())
