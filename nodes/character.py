"""Characters kept from one story to the next: `Fabula_SaveCharacter`, `Fabula_LoadCharacter`, `Fabula_PictureCharacter`."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..host import character_file, folders
from ..host.images import to_images
from .types import CharacterType

CATEGORY = "Fabula/consistency"


class SaveCharacter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_SaveCharacter",
            display_name="Save Character",
            category=CATEGORY,
            description="Saves a character of a finished story, so that other stories can go on with it: the latents and prompts of "
            "the panels that show nobody else. The file goes to models/fabula_characters.",
            inputs=[
                io.Latent.Input("samples", tooltip="What the sampler made of the story."),
                io.Conditioning.Input("positive", tooltip="The conditioning that it was made with, from Encode Story."),
                io.Conditioning.Input("negative", tooltip="The negative conditioning that it was made with."),
                io.String.Input("character", default="", tooltip="The character's name, without brackets. Empty: the story's only one."),
                io.String.Input("filename_prefix", default="character", tooltip="The file's name; a number is added, nothing is overwritten."),
                io.Image.Input("images", optional=True, tooltip="The decoded panels: the first that shows the character becomes the file's thumbnail."),
            ],
            outputs=[],
            hidden=[io.Hidden.prompt],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, samples, positive, negative, character: str, filename_prefix: str, images=None) -> io.NodeOutput:
        held, rows = character_file.from_run("Fabula_SaveCharacter", samples, positive, negative, character)
        thumbnail = None if images is None else to_images(images[rows[0]:rows[0] + 1] if len(images) > rows[0] else images[:1])[0]
        name = character_file.save("Fabula_SaveCharacter", held, filename_prefix, thumbnail, cls.hidden.prompt if cls.hidden else None)
        return io.NodeOutput(ui=ui.PreviewText(f"[{held.name}], {len(held.latents)} pictures: {name}"))


class LoadCharacter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_LoadCharacter",
            display_name="Load Character",
            category=CATEGORY,
            description="A character that Save Character has written: connect it to Consistent Attention, and give the story's character "
            "the same name.",
            inputs=[io.Combo.Input("character_name", options=folders.character_names(), tooltip="A file in models/fabula_characters.")],
            outputs=[CharacterType.Output(display_name="character", tooltip="For Consistent Attention.")],
        )

    @classmethod
    def fingerprint_inputs(cls, character_name: str) -> float:
        return folders.character_changed(character_name)

    @classmethod
    def execute(cls, character_name: str) -> io.NodeOutput:
        return io.NodeOutput(character_file.load("Fabula_LoadCharacter", character_name))


class PictureCharacter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_PictureCharacter",
            display_name="Picture Character",
            category=CATEGORY,
            description="A character from your own pictures: they become the anchors of the story's character of that name. They must "
            "have the size of the story's panels.",
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE of your checkpoint."),
                io.Image.Input("images", tooltip="One or more pictures that show the character alone, all of the panels' size."),
                io.Conditioning.Input("positive", tooltip="What the pictures show: one prompt for all of them, or one a picture."),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
                io.String.Input("character", default="", tooltip="The name that the story's tag has, without brackets."),
            ],
            outputs=[CharacterType.Output(display_name="character", tooltip="For Consistent Attention.")],
        )

    @classmethod
    def execute(cls, vae, images, positive, negative, character: str) -> io.NodeOutput:
        latents = vae.encode(images[:, :, :, :3])
        return io.NodeOutput(character_file.from_pictures("Fabula_PictureCharacter", latents, positive, negative, character))
