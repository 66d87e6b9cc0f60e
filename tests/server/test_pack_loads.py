"""The public contract: node ids and input names, which saved workflows and API callers rely on."""

import pytest

CONTRACT = {  # node id: (required inputs, optional inputs, outputs)
    "Fabula_Story": (["characters", "panels", "style", "negative"], [], ["FABULA_STORY", "INT", "STRING"]),
    "Fabula_EncodeStory": (["clip", "story", "width", "height"], ["panels", "id_length", "images_per_panel"], ["CONDITIONING", "CONDITIONING", "LATENT"]),
    "Fabula_ConsistentAttention": (
        ["model", "sampling_rate", "id_length", "mode", "tile_size", "schedule", "start_percent", "end_percent"]
        + ["seed"],
        ["coarse_rate", "fine_rate", "character", "subject_masks", "subject"],
        ["MODEL"],
    ),
    "Fabula_SaveCharacter": (["samples", "positive", "negative", "character", "filename_prefix"], ["images"], []),
    "Fabula_LoadCharacter": (["character_name"], [], ["FABULA_CHARACTER"]),
    "Fabula_PictureCharacter": (["vae", "images", "positive", "negative", "character"], [], ["FABULA_CHARACTER"]),
    "Fabula_ComicPage": (
        ["images", "layout", "page_width", "font", "font_size", "seed"],
        ["story", "captions", "paper", "dpi", "page_height", "rows", "gutter", "border", "text_direction", "shadow", "masks", "face_boxes"],
        ["IMAGE"],
    ),
    "Fabula_SaveComic": (["pages", "filename_prefix", "format"], ["dpi"], []),
    "Fabula_SplitStory": (["text", "max_panels"], ["characters", "clip"], ["STRING"]),
    "Fabula_StoryDirector": (
        ["model_name", "text", "max_panels", "seed", "max_new_tokens", "temperature"], ["characters", "language"], ["STRING", "STRING"],
    ),
    "Fabula_LoadPhotoMaker": (["model", "photomaker_name", "lora_strength"], [], ["MODEL", "FABULA_ID_ENCODER"]),
    "Fabula_CharacterReference": (["character", "images"], ["face_embeds", "references", "strength"], ["FABULA_REFERENCES"]),
    "Fabula_FaceEmbeds": (["images", "face", "index", "without_face"], ["insightface"], ["FACE_EMBEDS", "IMAGE"]),
    "Fabula_EncodeIdentity": (
        ["clip", "id_encoder", "references", "story", "trigger_word", "style_strength", "width", "height"],
        ["sigmas", "images_per_panel", "panels", "id_length"], ["CONDITIONING", "CONDITIONING", "CONDITIONING", "LATENT"],
    ),
    "Fabula_LoadMotionPredictor": (["predictor_name"], [], ["FABULA_PREDICTOR"]),
    "Fabula_PredictMotion": (["predictor", "clip_vision", "keyframes", "frames", "strength"], ["space", "image_prompt_name"], ["FABULA_MOTION", "INT"]),
    "Fabula_TransitionLatents": (["vae", "keyframes", "frames"], [], ["LATENT"]),
    "Fabula_MotionToSVD": (
        ["motion", "vae", "keyframes", "width", "height", "fps", "motion_bucket_id", "augmentation_level"], [], ["CONDITIONING", "CONDITIONING", "LATENT"],
    ),
    "Fabula_TrainMotionPredictor": (
        ["clips_folder", "clip_vision", "steps", "filename_prefix"],
        ["frames", "fps", "space", "batch_size", "learning_rate", "width", "layers", "heads", "seed", "bf16", "image_prompt_name"], ["FABULA_PREDICTOR", "IMAGE"],
    ),
    "Fabula_PlanTransitions": (["keyframes", "seconds", "fps", "decoder"], [], ["INT", "INT", "FLOAT"]),
    "Fabula_JoinTransitions": (["transitions"], ["keyframes", "match_colours"], ["IMAGE", "INT"]),
    "Fabula_CaptionFilm": (["frames", "story", "fps", "mode"], ["font", "font_size", "panels", "places", "audio"], ["VIDEO", "IMAGE", "STRING"]),
    "Fabula_TwoWaySVD": (["model", "fusion"], [], ["MODEL"]),
    "Fabula_ApplyMotionToWan": (["model", "motion"], [], ["MODEL"]),
    "Fabula_KeyframePairs": (["keyframes"], [], ["IMAGE", "IMAGE"]),
    "Fabula_LoadMotionModule": (["model", "motion_module_name"], ["context_length", "context_overlap", "beta_schedule"], ["MODEL"]),
    "Fabula_ApplyMotion": (["model", "motion", "image_prompt_name", "weight"], ["mode", "start_percent", "end_percent"], ["MODEL"]),
    "Fabula_LoadDemo": ([], [], ["MODEL", "CLIP", "VAE", "CLIP_VISION"]),
}


@pytest.mark.parametrize("node_id", CONTRACT)
def test_inputs_and_outputs_keep_their_names_and_order(server, node_id):
    required, optional, outputs = CONTRACT[node_id]
    info = server.get_json(f"/object_info/{node_id}")[node_id]
    assert list(info["input"].get("required", {})) == required
    # Optional inputs and outputs may be added at the end.
    assert list(info["input"].get("optional", {}))[: len(optional)] == optional
    assert info["output"][: len(outputs)] == outputs


@pytest.mark.parametrize("node_id", CONTRACT)
def test_every_input_and_output_has_a_tooltip(server, node_id):
    info = server.get_json(f"/object_info/{node_id}")[node_id]
    for kind in ("required", "optional"):
        for name, (_, options) in info["input"].get(kind, {}).items():
            assert options.get("tooltip"), name
    assert all(info["output_tooltips"]) and len(info["output_tooltips"]) == len(info["output"])


def test_the_server_answers_and_runs_on_the_device_that_torch_has(server):
    import torch

    stats = server.get_json("/system_stats")
    assert stats["system"]["comfyui_version"]
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    assert (stats["devices"][0]["type"] == "cpu") == (not accelerated)
