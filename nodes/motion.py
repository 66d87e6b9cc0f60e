"""From keyframes to one film: `Fabula_LoadMotionPredictor`, `Fabula_PredictMotion`, `Fabula_TransitionLatents`, `Fabula_MotionToSVD`,
`Fabula_TrainMotionPredictor`, `Fabula_PlanTransitions`, `Fabula_JoinTransitions`."""

from __future__ import annotations

from functools import partial

from comfy_api.latest import io, ui

from ..host import image_prompt_file, motion_predictor
from ..host.motion_predictor import predict_motion
from ..host.images import to_pixels
from ..host.motion_svd import motion_to_svd
from ..host.motion_training import Run, train_predictor, videos_now
from ..host.transition_latents import transition_latents
from ..motion.joining import join, one_batch
from ..motion.predictor import SPACES
from ..motion.timeline import DECODERS, film_frames, nearest_length
from ..motion.training import Settings
from .choices import check_choices
from .types import MotionType, PredictorType

CATEGORY = "Fabula/motion"


class LoadMotionPredictor(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_LoadMotionPredictor",
            display_name="Load Motion Predictor",
            category=CATEGORY,
            description="What says how the pictures change between two keyframes: an interpolation, or a trained semantic motion predictor.",
            inputs=[
                io.Combo.Input(
                    "predictor_name", options=motion_predictor.names(),
                    tooltip="linear, slerp and eased need no file. Trained ones lie in models/fabula_motion.",
                ),
            ],
            outputs=[PredictorType.Output(display_name="predictor", tooltip="For Predict Motion.")],
        )

    @classmethod
    def fingerprint_inputs(cls, predictor_name: str) -> float:
        return motion_predictor.changed(predictor_name)

    @classmethod
    def execute(cls, predictor_name: str) -> io.NodeOutput:
        return io.NodeOutput(motion_predictor.load_predictor("Fabula_LoadMotionPredictor", predictor_name))


class PredictMotion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_PredictMotion",
            display_name="Predict Motion",
            category=CATEGORY,
            description="What CLIP would see in each frame between the keyframes: StoryDiffusion's motion in semantic space.",
            inputs=[
                PredictorType.Input("predictor", tooltip="From Load Motion Predictor."),
                io.ClipVision.Input("clip_vision", tooltip="The CLIP vision model that the decoder knows: ViT-H for SVD."),
                io.Image.Input("keyframes", tooltip="The pictures that the film goes through, such as the panels of a story; at least two."),
                io.Int.Input("frames", default=16, min=2, max=4096, tooltip="Frames of a transition, its two keyframes included."),
                io.Float.Input("strength", default=1.0, min=0.0, max=4.0, step=0.05, tooltip="0: linear interpolation. 1: what the predictor says."),
                io.Combo.Input(
                    "space", options=list(SPACES), optional=True, default=SPACES[0],
                    tooltip="Which of CLIP's features: pooled, one a picture, is what SVD reads; penultimate what IP-Adapter plus and full and Wan read; projected are an image prompt's own tokens.",
                ),
                io.Combo.Input(
                    "image_prompt_name", options=["", *image_prompt_file.names()], optional=True, default="",
                    tooltip="For the space projected: the IP-Adapter in models/ipadapter whose tokens are predicted.",
                ),
            ],
            outputs=[
                MotionType.Output(display_name="motion", is_output_list=True, tooltip="A list, one a transition: what follows is done for each."),
                io.Int.Output(display_name="total", tooltip="Frames of the whole film."),
            ],
        )

    @classmethod
    def execute(cls, predictor, clip_vision, keyframes, frames: int, strength: float, space: str = SPACES[0], image_prompt_name: str = "") -> io.NodeOutput:
        check_choices(cls, space=space, image_prompt_name=image_prompt_name)
        motion = predict_motion("Fabula_PredictMotion", predictor, clip_vision, keyframes, frames, strength, space, image_prompt_name)
        return io.NodeOutput(motion, film_frames(len(keyframes), frames))


class TransitionLatents(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_TransitionLatents",
            display_name="Transition Latents",
            category=CATEGORY,
            description="Latents of the transitions between keyframes, a frame a row: the keyframes stay, the frames between are drawn.",
            inputs=[
                io.Vae.Input("vae", tooltip="Of the checkpoint that draws the frames."),
                io.Image.Input("keyframes", tooltip="The pictures that the film goes through, at least two."),
                io.Int.Input("frames", default=16, min=2, max=4096, tooltip="Frames of a transition, its two keyframes included."),
            ],
            outputs=[io.Latent.Output(display_name="latent", is_output_list=True, tooltip="A list, one a transition, for the sampler.")],
        )

    @classmethod
    def execute(cls, vae, keyframes, frames: int) -> io.NodeOutput:
        return io.NodeOutput(transition_latents("Fabula_TransitionLatents", vae, keyframes, frames))


class MotionToSVD(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_MotionToSVD",
            display_name="Motion To SVD",
            category=CATEGORY,
            description="Predicted motion for Stable Video Diffusion: each frame gets its own row of what it shows.",
            inputs=[
                MotionType.Input("motion", tooltip="From Predict Motion, space pooled."),
                io.Vae.Input("vae", tooltip="Of the SVD checkpoint."),
                io.Image.Input("keyframes", tooltip="The same keyframes as Predict Motion's."),
                io.Int.Input("width", default=1024, min=16, max=8192, step=8, tooltip="Width of the film in pixels."),
                io.Int.Input("height", default=576, min=16, max=8192, step=8, tooltip="Height of the film in pixels."),
                io.Int.Input("fps", default=6, min=1, max=1024, tooltip="What SVD is told: frames a second."),
                io.Int.Input("motion_bucket_id", default=127, min=1, max=1023, tooltip="How much shall move."),
                io.Float.Input("augmentation_level", default=0.0, min=0.0, max=10.0, step=0.01, tooltip="Noise on the keyframes: more, and the film keeps less to them."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="One row a frame."),
                io.Conditioning.Output(display_name="negative", tooltip="One row a frame."),
                io.Latent.Output(display_name="latent", tooltip="Empty, one row a frame."),
            ],
        )

    @classmethod
    def execute(cls, motion, vae, keyframes, width: int, height: int, fps: int, motion_bucket_id: int, augmentation_level: float) -> io.NodeOutput:
        return io.NodeOutput(*motion_to_svd(motion, vae, keyframes, width, height, fps, motion_bucket_id, augmentation_level))


class TrainMotionPredictor(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_TrainMotionPredictor",
            display_name="Train Motion Predictor",
            category=CATEGORY,
            description="Trains a motion predictor on a folder of your videos, keeps it in models/fabula_motion, and says whether it is better than linear interpolation.",
            inputs=[
                io.String.Input("clips_folder", default="", tooltip="A folder of videos: in ComfyUI's input folder, or with its whole path."),
                io.ClipVision.Input("clip_vision", tooltip="The CLIP vision model whose features it shall predict: ViT-H for SVD."),
                io.Int.Input("steps", default=2000, min=1, max=1_000_000, tooltip="Training steps. An interrupted run goes on where it was."),
                io.String.Input("filename_prefix", default="motion", tooltip="The file's name; a number is added, nothing is overwritten."),
                io.Int.Input("frames", default=16, min=3, max=256, optional=True, tooltip="Frames of a window that is cut from a video."),
                io.Float.Input("fps", default=4.0, min=0.5, max=60.0, step=0.5, optional=True, tooltip="Frames a second that are looked at: 16 at 4 a second are four seconds."),
                io.Combo.Input(
                    "space", options=list(SPACES), optional=True, default=SPACES[0],
                    tooltip="Which of CLIP's features: pooled for SVD, penultimate for IP-Adapter plus and Wan; projected are an image prompt's own tokens, which are fewer.",
                ),
                io.Int.Input("batch_size", default=16, min=1, max=1024, optional=True, tooltip="Windows a step."),
                io.Float.Input("learning_rate", default=1e-4, min=1e-7, max=1e-1, step=1e-6, optional=True, tooltip="Of AdamW; 1e-4 is the paper's."),
                io.Int.Input("width", default=1024, min=16, max=4096, optional=True, tooltip="Of the transformer; 1024 is the paper's. Smaller for few videos."),
                io.Int.Input("layers", default=8, min=1, max=48, optional=True, tooltip="Of the transformer; 8 is the paper's."),
                io.Int.Input("heads", default=16, min=1, max=64, optional=True, tooltip="Of the transformer; they must divide its width."),
                io.Int.Input("seed", default=0, min=0, max=2**31 - 1, optional=True, control_after_generate=False, tooltip="Of the start, of what is drawn, and of what is held out."),
                io.Boolean.Input("bf16", default=False, optional=True, tooltip="Multiplies in bf16: about twice as fast, less memory; graphics cards since about 2020 have it."),
                io.Combo.Input(
                    "image_prompt_name", options=["", *image_prompt_file.names()], optional=True, default="",
                    tooltip="For the space projected: the IP-Adapter in models/ipadapter whose tokens are learned.",
                ),
            ],
            outputs=[
                PredictorType.Output(display_name="predictor", tooltip="For Predict Motion."),
                io.Image.Output(display_name="loss", tooltip="The loss as a picture."),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, clips_folder: str = "", **_) -> list[str]:
        return videos_now(clips_folder)  # a video that was added is trained on

    @classmethod
    def execute(cls, clips_folder: str, clip_vision, steps: int, filename_prefix: str, frames: int = 16, fps: float = 4.0,
                space: str = SPACES[0], batch_size: int = 16, learning_rate: float = 1e-4, width: int = 1024, layers: int = 8,
                heads: int = 16, seed: int = 0, bf16: bool = False, image_prompt_name: str = "") -> io.NodeOutput:
        check_choices(cls, space=space, image_prompt_name=image_prompt_name)
        settings = Settings(steps=steps, batch=batch_size, rate=learning_rate, seed=seed, bf16=bf16)
        run = partial(Run, frames=frames, fps=fps, width=width, layers=layers, heads=heads, settings=settings)
        predictor, loss, text = train_predictor(clip_vision, space, image_prompt_name, clips_folder, run, filename_prefix)
        return io.NodeOutput(predictor, to_pixels([loss]), ui=ui.PreviewText(text))


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
        # A film has no alpha, which some nodes' pictures have.
        clips, given = ([each[..., :3] for each in images or () if each is not None] for images in (transitions, keyframes))
        try:
            film = join(clips, one_batch(given) if given else None, match_colours[0])
        except ValueError as error:
            raise ValueError(f"Fabula_JoinTransitions: input {error}") from error
        return io.NodeOutput(film, len(film))
