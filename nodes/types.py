"""Socket types of Fabula's own."""

from __future__ import annotations

from comfy_api.latest import io

StoryType = io.Custom("FABULA_STORY")
CharacterType = io.Custom("FABULA_CHARACTER")
IdEncoderType = io.Custom("FABULA_ID_ENCODER")
ReferencesType = io.Custom("FABULA_REFERENCES")
FaceEmbedsType = io.Custom("FACE_EMBEDS")  # (photos, width) tensors; the name that the packs around insightface use
PredictorType = io.Custom("FABULA_PREDICTOR")
MotionType = io.Custom("FABULA_MOTION")
