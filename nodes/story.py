"""From a written story to conditioning: `Fabula_Story`, `Fabula_EncodeStory`."""

from __future__ import annotations

from comfy_api.latest import io

from ..host import folders
from ..host.encode_story import chosen_panels, empty_latents, encode_story
from ..story.script import parse_story
from ..story.styles import NO_STYLE, find_style
from .types import StoryType

CHARACTERS = "[Mia] a girl with ginger hair, red coat, blue trousers"
PANELS = """[Mia] waving in the forest # Mia found a map.
[Mia] running through the city # She ran all day.
[Mia] reading a book in the library # And learned what it meant."""


class StoryScript(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_Story",
            display_name="Story",
            category="Fabula/story",
            description="Reads a story: who is in it, and one line a panel.",
            inputs=[
                io.String.Input(
                    "characters", multiline=True, default=CHARACTERS,
                    tooltip="One character a line: [Name] what the model shall draw. Lines that begin with // are skipped.",
                ),
                io.String.Input(
                    "panels", multiline=True, default=PANELS,
                    tooltip="One panel a line: [Name] what happens # caption. Without a # the line is its own caption. [NC]: nobody "
                    "is in it. ## a harbour at dusk: the scene of the panels below. Ahead of the #, for this panel alone: seed=7, "
                    'style="Line art", negative="crowd", prompt_2="..." for SDXL\'s second text encoder.',
                ),
                io.Combo.Input(
                    "style", options=list(folders.styles()), default=NO_STYLE,
                    tooltip="Words put around every panel's prompt. Your own: .csv or .json files in models/fabula_styles.",
                ),
                io.String.Input("negative", multiline=True, default="", tooltip="What no panel shall show. The style adds its own."),
            ],
            outputs=[
                StoryType.Output(display_name="story", tooltip="The story, for the other Fabula nodes."),
                io.Int.Output(display_name="panel count", tooltip="How many panels the story has."),
                io.String.Output(display_name="captions", tooltip="The captions, one a line."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return repr(folders.styles())  # a style's words may have changed

    @classmethod
    def execute(cls, characters: str, panels: str, style: str, negative: str) -> io.NodeOutput:
        try:
            styles = folders.styles()
            find_style(style, styles)  # a name that comes over a link has not been checked by the host
            story = parse_story(characters, panels, style, negative, styles)
        except ValueError as error:
            raise ValueError(f"Fabula_Story cannot read the story.\n{error}") from error
        return io.NodeOutput(story, len(story.panels), "\n".join(story.captions))


class EncodeStory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_EncodeStory",
            display_name="Encode Story",
            category="Fabula/story",
            description="Encodes every panel of a story as one row, with an empty latent for each.",
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of your checkpoint."),
                StoryType.Input("story", tooltip="From Story."),
                io.Int.Input("width", default=1024, min=64, max=8192, step=8, tooltip="Width of a panel in pixels."),
                io.Int.Input("height", default=1024, min=64, max=8192, step=8, tooltip="Height of a panel in pixels."),
                io.String.Input(
                    "panels", optional=True, default="",
                    tooltip="Only these panels, such as 4,7-9, with the anchors of their characters ahead. Empty: all of them.",
                ),
                io.Int.Input(
                    "id_length", optional=True, default=3, min=1, max=16,
                    tooltip="With panels: how many anchors of each character to put ahead, as in Consistent Attention.",
                ),
                io.Int.Input(
                    "images_per_panel", optional=True, default=1, min=1, max=64,
                    tooltip="Pictures of each panel, one after the other, to pick from. All first ones are one telling of the story, all "
                    "second ones another.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="One row a panel."),
                io.Conditioning.Output(display_name="negative", tooltip="One row a panel."),
                io.Latent.Output(display_name="latent", tooltip="One empty latent a panel, for the sampler."),
            ],
        )

    @classmethod
    def execute(cls, clip, story, width: int, height: int, panels: str = "", id_length: int = 3,
                images_per_panel: int = 1) -> io.NodeOutput:
        chosen = chosen_panels(story, panels, id_length)
        latent = empty_latents(chosen, width, height, images_per_panel, len(story.panels))  # first: it checks the size
        return io.NodeOutput(*encode_story(clip, story, width, height, chosen, images_per_panel), latent)
