"""From photos to the same person in every panel: `Fabula_LoadPhotoMaker`, `Fabula_CharacterReference`, `Fabula_FaceEmbeds`, `Fabula_EncodeIdentity`."""

from __future__ import annotations

from comfy_api.latest import io

from ..host import face_embeds as faces
from ..host import id_encoder, identity_story
from ..host.encode_story import Rows, chosen_panels, empty_latents
from ..host.references import add_reference
from ..identity.faces import CHOICES
from .choices import check_choices
from .types import FaceEmbedsType, IdEncoderType, ReferencesType, StoryType

CATEGORY = "Fabula/identity"


class LoadPhotoMaker(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_LoadPhotoMaker",
            display_name="Load PhotoMaker",
            category=CATEGORY,
            description="Loads PhotoMaker V1 or V2: its encoder, and the LoRA in the same file into the model.",
            inputs=[
                io.Model.Input("model", tooltip="An SDXL checkpoint's model."),
                io.Combo.Input(
                    "photomaker_name", options=id_encoder.names(),
                    tooltip="A file of models/photomaker, such as photomaker-v1.bin or photomaker-v2.bin. The one of the demo fits the demo's model only.",
                ),
                io.Float.Input("lora_strength", default=1.0, min=-2.0, max=4.0, step=0.05, tooltip="1: as the authors have it. 0: without the LoRA."),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="With the LoRA."),
                IdEncoderType.Output(display_name="id_encoder", tooltip="For Encode Identity."),
            ],
        )

    @classmethod
    def execute(cls, model, photomaker_name: str, lora_strength: float) -> io.NodeOutput:
        encoder, checkpoint = id_encoder.load_photomaker(photomaker_name)
        return io.NodeOutput(id_encoder.apply_lora(model, checkpoint, lora_strength), encoder)


class CharacterReference(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_CharacterReference",
            display_name="Character Reference",
            category=CATEGORY,
            description="Photos of one character. Chain one node for each.",
            inputs=[
                io.String.Input("character", default="", tooltip="The name that stands in square brackets in the story."),
                io.Image.Input("images", tooltip="One or more photos, the face large in each. They are cropped to their middle square."),
                FaceEmbedsType.Input(
                    "face_embeds", optional=True,
                    tooltip="For PhotoMaker V2: the embedding of the face in each photo, (photos, 512), from Face Embeds or another pack. V1 needs none.",
                ),
                ReferencesType.Input("references", optional=True, tooltip="The photos of other characters, from another Character Reference."),
                io.Float.Input(
                    "strength", optional=True, default=1.0, min=0.0, max=2.0, step=0.05,
                    tooltip="How much of the person: 0 leaves the words alone, 1 is PhotoMaker's own, above it is exaggerated.",
                ),
            ],
            outputs=[ReferencesType.Output(display_name="references", tooltip="For Encode Identity, or the next Character Reference.")],
        )

    @classmethod
    def execute(cls, character: str, images, face_embeds=None, references=None, strength: float = 1.0) -> io.NodeOutput:
        return io.NodeOutput(add_reference(references, character, images, face_embeds, strength))


class FaceEmbeds(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_FaceEmbeds",
            display_name="Face Embeds",
            category=CATEGORY,
            description="Face embeddings for PhotoMaker V2, by insightface if you have it installed. The models of insightface's pack buffalo_l are "
            "licensed for non-commercial research only.",
            inputs=[
                io.Image.Input("images", tooltip="Photos of one person."),
                io.Combo.Input("face", options=list(CHOICES), tooltip="Which face of a photo: highest score is PhotoMaker's own choice."),
                io.Int.Input("index", default=0, min=0, max=99, tooltip="With face index: which face, from the left, the first is 0."),
                io.Combo.Input("without_face", options=["refuse", "skip"], tooltip="What to do with a photo in which no face is found."),
                io.MultiType.Input(
                    "insightface", types=[io.Custom("INSIGHTFACE"), io.Custom("FACEANALYSIS")], optional=True,
                    tooltip="The FaceAnalysis that another pack loads (of buffalo_l). Empty: the models in models/insightface/models/buffalo_l.",
                ),
            ],
            outputs=[
                FaceEmbedsType.Output(display_name="face_embeds", tooltip="(photos, 512), as the recogniser gives them, not normalised."),
                io.Image.Output(display_name="images", tooltip="The photos that have a face, for Character Reference."),
            ],
        )

    @classmethod
    def execute(cls, images, face: str, index: int, without_face: str, insightface=None) -> io.NodeOutput:
        check_choices(cls, face=face, without_face=without_face)
        return io.NodeOutput(*faces.embed_faces(images, face, index, without_face == "skip", insightface))


class EncodeIdentity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Fabula_EncodeIdentity",
            display_name="Encode Identity",
            category=CATEGORY,
            description="Encodes a story as Encode Story does, with the persons of the photos in their characters' words.",
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of your SDXL checkpoint."),
                IdEncoderType.Input("id_encoder", tooltip="From Load PhotoMaker."),
                ReferencesType.Input("references", tooltip="From Character Reference."),
                StoryType.Input("story", tooltip="From Story. A character with photos has the trigger word behind its class word: [Mia] a woman img, red coat."),
                io.String.Input("trigger_word", default="img", tooltip="The word behind which the photos stand. It is not in the prompts that the model sees."),
                io.Float.Input(
                    "style_strength", default=20.0, min=0.0, max=100.0, step=1.0,
                    tooltip="Percent of the steps that go by the words alone, before the photos join: more gives the words and the style more to say.",
                ),
                io.Int.Input("width", default=1024, min=64, max=8192, step=8, tooltip="Width of a panel in pixels."),
                io.Int.Input("height", default=1024, min=64, max=8192, step=8, tooltip="Height of a panel in pixels."),
                io.Sigmas.Input(
                    "sigmas", optional=True,
                    tooltip="The sampling's own, as from BasicScheduler: the photos then join at exactly the step that PhotoMaker would choose, at most step 30. "
                    "Without it the switch follows the noise level and may be some steps off.",
                ),
                io.Int.Input("images_per_panel", optional=True, default=1, min=1, max=64, tooltip="As in Encode Story: pictures of each panel to pick from."),
                io.String.Input("panels", optional=True, default="", tooltip="As in Encode Story: only these panels, such as 4,7-9. Empty: all of them."),
                io.Int.Input("id_length", optional=True, default=3, min=1, max=16, tooltip="With panels: how many anchors of each character to put ahead."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The words first, then the persons: for the sampler."),
                io.Conditioning.Output(display_name="text only", tooltip="The words alone, without the trigger word: to compare, or for a merge of your own."),
                io.Conditioning.Output(display_name="negative", tooltip="One row a panel."),
                io.Latent.Output(display_name="latent", tooltip="One empty latent a panel."),
            ],
        )

    @classmethod
    def execute(cls, clip, id_encoder, references, story, trigger_word: str, style_strength: float, width: int, height: int, sigmas=None,
                images_per_panel: int = 1, panels: str = "", id_length: int = 3) -> io.NodeOutput:
        node = identity_story.NODE
        chosen = chosen_panels(story, panels, id_length, node)
        latent = empty_latents(chosen, width, height, images_per_panel, len(story.panels), node)  # first: it checks the size
        rows = Rows(story, chosen, width, height, images_per_panel)
        merged, text_only, negative = identity_story.encode_identity(clip, id_encoder, references, trigger_word, rows)
        return io.NodeOutput(identity_story.delayed(text_only, merged, style_strength, sigmas), text_only, negative, latent)
