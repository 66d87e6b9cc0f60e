"""The nodes that ComfyUI shows."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..host import folders, id_encoder, language_model, script_check
from .animatediff import ApplyMotion, LoadMotionModule
from .character import LoadCharacter, PictureCharacter, SaveCharacter
from .comic import ComicPage, SaveComic
from .consistency import ConsistentAttention
from .demo import LoadDemo
from .director import StoryDirector
from .film import CaptionFilm
from .identity import CharacterReference, EncodeIdentity, FaceEmbeds, LoadPhotoMaker
from .motion import (
    JoinTransitions, LoadMotionPredictor, MotionToSVD, PlanTransitions, PredictMotion, TrainMotionPredictor, TransitionLatents,
)
from .prose import SplitStory
from .story import EncodeStory, StoryScript
from .video_models import ApplyMotionToWan, KeyframePairs, TwoWaySVD


class FabulaExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        # Not in `on_load`, which hosts before 0.14 never call.
        folders.register()
        id_encoder.register()
        language_model.register()
        script_check.register()
        return [
            StoryScript, SplitStory, StoryDirector, EncodeStory, ConsistentAttention, SaveCharacter, LoadCharacter, PictureCharacter,
            LoadPhotoMaker, CharacterReference, FaceEmbeds, EncodeIdentity, ComicPage, SaveComic,
            LoadMotionPredictor, PredictMotion, TransitionLatents, MotionToSVD, TrainMotionPredictor, PlanTransitions, JoinTransitions,
            LoadMotionModule, ApplyMotion, TwoWaySVD, ApplyMotionToWan, KeyframePairs, CaptionFilm, LoadDemo,
        ]
