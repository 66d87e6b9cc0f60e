"""From an idea to a script: `Fabula_StoryDirector`."""

from __future__ import annotations

from comfy_api.latest import io

from ..host import language_model
from ..host.story_director import direct


class StoryDirector(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_StoryDirector",
            display_name="Story Director",
            category="Fabula/story",
            description="Lets a language model on your own machine write the script of a story, for the two texts of Story. It is an "
            "instruct model for transformers: a folder in models/LLM with its config.json and *.safetensors.",
            inputs=[
                io.Combo.Input(
                    "model_name", options=language_model.names(),
                    tooltip="A folder in models/LLM that holds an instruct model as safetensors.",
                ),
                io.String.Input(
                    "text", multiline=True, default="", tooltip="An idea in one sentence, or the prose that the story shall tell.",
                ),
                io.Int.Input("max_panels", default=6, min=1, max=64, tooltip="The story has at most so many panels."),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1, control_after_generate=True,
                    tooltip="Another seed, another telling. Without effect where temperature is 0.",
                ),
                io.Int.Input(
                    "max_new_tokens", default=2048, min=64, max=32768,
                    tooltip="How long the model's answer may get; a panel takes 100 to 150 tokens. Of an answer that is cut off the "
                    "finished panels are kept.",
                ),
                io.Float.Input(
                    "temperature", default=0.7, min=0.0, max=2.0, step=0.05,
                    tooltip="How freely the model tells. 0: always what it finds likeliest. Lower it where answers are refused.",
                ),
                io.String.Input(
                    "characters", multiline=True, optional=True, default="",
                    tooltip="Characters that the story is about, as in Story, one a line: [Name] what it looks like. The model may add "
                    "others.",
                ),
                io.String.Input(
                    "language", optional=True, default="",
                    tooltip="Language of captions and speech, such as German. Empty: the language of the text. Pictures are always "
                    "described in English.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="characters", tooltip="The characters, for Story."),
                io.String.Output(display_name="panels", tooltip="The panels, for Story."),
            ],
        )

    @classmethod
    def execute(cls, model_name: str, text: str, max_panels: int, seed: int, max_new_tokens: int, temperature: float,
                characters: str = "", language: str = "") -> io.NodeOutput:
        script = direct("Fabula_StoryDirector", model_name, text, max_panels, seed, max_new_tokens, temperature, characters, language)
        return io.NodeOutput(script.characters, script.panels)
