"""A story's words in its film: `Fabula_CaptionFilm`."""

from __future__ import annotations

from comfy_api.latest import InputImpl, Types, io

from ..host import folders
from ..host.caption_film import MODES, NODE, SubtitledVideo, burn, read_film
from ..motion.captions import to_srt
from .choices import check_choices
from .motion import CATEGORY
from .types import StoryType


class CaptionFilm(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_CaptionFilm",
            display_name="Caption Film",
            category=CATEGORY,
            description="Puts a story's captions and speech into its film, each while its panel is shown: as subtitles in the file, or drawn into the frames. "
            "Save Video makes the file.",
            inputs=[
                io.Image.Input("frames", tooltip="The film, such as Join Transitions gives it."),
                StoryType.Input("story", tooltip="The story whose panels the keyframes are."),
                io.Float.Input("fps", default=16.0, min=0.1, max=240.0, step=0.01, tooltip="Frames a second of the film."),
                io.Combo.Input(
                    "mode", options=list(MODES), default=MODES[0],
                    tooltip="subtitles: a track in the file, which players show and can switch off; web browsers do not show it. burnt in: drawn into the frames.",
                ),
                io.Combo.Input("font", optional=True, options=folders.font_names(), tooltip="burnt in: the font. Put .ttf and .otf files into models/fabula_fonts. "
                               "What it has not is drawn with the others there."),
                io.Int.Input("font_size", optional=True, default=0, min=0, max=400, tooltip="burnt in: size of the letters in pixels; they become smaller where "
                             "there is no room. 0: by the film's size."),
                io.String.Input("panels", optional=True, default="", tooltip="Which panels the keyframes are, in order, such as 1-4,6. Empty: all of the story."),
                io.String.Input(
                    "places", optional=True, default="",
                    tooltip="For transitions of different lengths: the frame, from 0, at which each keyframe stands, such as 0, 13, 40. Empty: all are as long.",
                ),
                io.Audio.Input("audio", optional=True, tooltip="The film's sound."),
            ],
            outputs=[
                io.Video.Output(display_name="video", tooltip="For Save Video."),
                io.Image.Output(display_name="frames", tooltip="The film's frames: burnt in with their words, else as they came."),
                io.String.Output(display_name="srt", tooltip="The words with their times, as a SubRip file."),
            ],
        )

    @classmethod
    def execute(cls, frames, story, fps: float, mode: str, font: str | None = None, font_size: int = 0, panels: str = "", places: str = "",
                audio=None) -> io.NodeOutput:
        check_choices(cls, mode=mode)
        film = read_film(frames, story, fps, panels, places)
        cues = film.cues()
        if mode == "burnt in":
            try:
                face = folders.typeface(font or folders.font_names()[0])
            except ValueError as error:
                raise ValueError(f"{NODE}: {error}") from error
            frames = burn(film, face, font_size)
        components = Types.VideoComponents(images=frames[..., :3], audio=audio, frame_rate=film.fps)
        video = SubtitledVideo(components, cues) if mode == "subtitles" else InputImpl.VideoFromComponents(components)
        return io.NodeOutput(video, frames, to_srt(cues))
