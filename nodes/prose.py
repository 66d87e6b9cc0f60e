"""From a narrative to the panels of a story: `Fabula_SplitStory`."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.prompt_tokens import token_counter
from ..story.moments import estimate_tokens
from ..story.prose import split_story
from .story import CHARACTERS

TEXT = """Mia found an old map under her bed. "Look!" she said. She put on her coat and ran into the forest.
The next morning, she came to a lake and sat down to read the map again."""


class SplitStory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_SplitStory",
            display_name="Split Story",
            category="Fabula/story",
            description="Cuts a narrative into panels: who is in each, what to draw, what is said. Read the result, and correct it.",
            inputs=[
                io.String.Input(
                    "text", multiline=True, default=TEXT,
                    tooltip="A narrative in English, Chinese or Japanese. It is cut at blank lines and phrases such as 'The next morning' "
                    "rather than elsewhere. What stands in quotes becomes speech.",
                ),
                io.Int.Input(
                    "max_panels", default=6, min=1, max=200,
                    tooltip="How many panels at most: fewer only where the text has fewer sentences.",
                ),
                io.String.Input(
                    "characters", optional=True, multiline=True, default=CHARACTERS,
                    tooltip='As in Story, one a line: [Mia] a girl with ginger hair, red coat alias="Mimi". They are found by name, alias, '
                    "what they are (the girl) and pronoun, and become tags. Connect the same text to Story.",
                ),
                io.Clip.Input(
                    "clip", optional=True,
                    tooltip="Counts tokens as your text encoder does: a prompt stays under 75 with its descriptions. Without it they are "
                    "estimated, rather too high.",
                ),
            ],
            outputs=[io.String.Output(display_name="panels", tooltip="One panel a line, for Story's panels.")],
        )

    @classmethod
    def execute(cls, text: str, max_panels: int, characters: str = "", clip=None) -> io.NodeOutput:
        try:
            return io.NodeOutput(split_story(text, max_panels, characters, token_counter(clip) or estimate_tokens))
        except ValueError as error:
            raise ValueError(f"Fabula_SplitStory: {error}") from error
