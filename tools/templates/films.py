"""Workflows from a story to a film, with video models of the user's own."""

from __future__ import annotations

from .downloads import (
    IMAGE_ENCODER, IMAGE_PROMPT, LTX, LTX_TEXT, MOTION_V3, SD15, SDXL, SVD, WAN_FLF, WAN_TEXT, WAN_VAE, WAN_VISION, Download,
)
from .graph import BLUE, BROWN, PURPLE, Group, Node, Output, Workflow
from .parts import animate, draw_group, models_group, predict, story_group

GIRL = "a girl with short ginger hair, wearing a red coat"
STORY = """[Mia] stands at a garden gate, waving # Mia leaves
[Mia] walks along a forest path # and walks
[Mia] stands on a hill above the sea # until she sees the sea.
[Mia] sits on a beach, looking at the waves # There she stays."""
NEGATIVE = "blurry, lowres, deformed hands, text, watermark"
OWN = "Pictures of your own in place of the story: a batch of them into Resize; then Create Video (the host's) in place of Caption Film."


def story_to_keyframes(workflow: Workflow, picture: Download, size: tuple[int, int], film: tuple[int, int]) -> tuple[Group, Node, Node, Output]:
    """A story of four panels, drawn by a checkpoint and cut to the film's size: (models, checkpoint, story, keyframes)."""
    models = models_group(workflow, 400)
    checkpoint = models.add("CheckpointLoaderSimple", "Load Checkpoint (pictures)", ckpt_name=picture)
    story, encoded = story_group(workflow, f"[Mia] {GIRL}", STORY, size, checkpoint[1], "Pixar/Disney Character", NEGATIVE, 480)
    drawing, _, pictures = draw_group(workflow, "Keyframes", checkpoint[0], encoded, checkpoint[2], cfg=6.0)
    width, height = film
    keyframes = drawing.add("ImageScale", "Resize", image=pictures[0], upscale_method="lanczos", width=width, height=height, crop="center")
    drawing.add("PreviewImage", "The keyframes", images=keyframes[0])
    return models, checkpoint, story, keyframes[0]


def film_group(workflow: Workflow, transitions: Output, keyframes: Output, story: Node, fps: float, prefix: str, match_colours: bool) -> None:
    group = workflow.group("Film", BROWN, 420)
    joined = group.add("Fabula_JoinTransitions", "Join Transitions", transitions=transitions, keyframes=keyframes, match_colours=match_colours)
    captioned = group.add("Fabula_CaptionFilm", "Caption Film", frames=joined[0], story=story[0], fps=fps, mode="subtitles")
    group.add("SaveVideo", "Save Video", video=captioned[0], filename_prefix=prefix, format="auto", codec="auto")


def film_animatediff() -> Workflow:
    w = Workflow("film_animatediff")
    models, loaded, story, keyframes = story_to_keyframes(w, SD15, (512, 512), (512, 512))
    vision = models.add("CLIPVisionLoader", "Load CLIP Vision", clip_name=IMAGE_ENCODER)
    motion = w.group("Motion", BLUE)
    predicted = predict(motion, "linear", vision[0], keyframes, 16, "penultimate")
    applied = animate(motion, loaded[0], predicted, MOTION_V3, IMAGE_PROMPT)
    between = w.group("Transitions", PURPLE)
    texts = [between.add("CLIPTextEncode", title, clip=loaded[1], text=text) for title, text in (("What is in all frames", GIRL), ("Negative", "blurry, distorted"))]
    held = between.add("Fabula_TransitionLatents", "Transition Latents", vae=loaded[2], keyframes=keyframes, frames=16)
    drawn = between.add(
        "KSampler", "Draw the transitions", model=applied, positive=texts[0][0], negative=texts[1][0], latent_image=held[0],
        seed=1, steps=25, cfg=7.5, sampler_name="euler", scheduler="normal", denoise=1.0,
    )
    frames = between.add("VAEDecode", "VAE Decode", samples=drawn[0], vae=loaded[2])
    film_group(w, frames[0], keyframes, story, 8.0, "fabula/film_animatediff", False)
    models.files("CLIP vision is published as *model.safetensors*: give it the name above.", OWN)
    models.note("**The paper's own decoder**: AnimateDiff joins the frames, and each attends to its own predicted image tokens. *linear* needs no file; a predictor that you have trained goes into *models/fabula_motion*.", first=True)
    return w


def film_svd() -> Workflow:
    w = Workflow("film_svd")
    models, _, story, keyframes = story_to_keyframes(w, SDXL, (1024, 576), (1024, 576))
    loaded = models.add("ImageOnlyCheckpointLoader", "Load Checkpoint (SVD)", ckpt_name=SVD)
    motion = w.group("Motion", BLUE)
    predicted = predict(motion, "linear", loaded[1], keyframes, 14, "pooled")
    conditioning = motion.add(
        "Fabula_MotionToSVD", "Motion To SVD", motion=predicted, vae=loaded[2], keyframes=keyframes, width=1024, height=576, fps=6, motion_bucket_id=127, augmentation_level=0.0,
    )
    two_way = motion.add("Fabula_TwoWaySVD", "Two-Way SVD", model=loaded[0], fusion="linear")
    between = w.group("Transitions", PURPLE)
    guided = between.add("VideoTriangleCFGGuidance", "Guidance: strongest in the middle", model=two_way[0], min_cfg=1.0)
    drawn = between.add(
        "KSampler", "Draw the transitions", model=guided[0], positive=conditioning[0], negative=conditioning[1], latent_image=conditioning[2],
        seed=1, steps=20, cfg=2.5, sampler_name="euler", scheduler="karras", denoise=1.0,
    )
    frames = between.add("VAEDecode", "VAE Decode", samples=drawn[0], vae=loaded[2])
    film_group(w, frames[0], keyframes, story, 10.0, "fabula/film_svd", True)
    models.files(OWN)
    models.note("**Stable Video Diffusion between pictures.** Each frame gets its own predicted row of CLIP; Two-Way SVD predicts every step from both ends (in twice the time), so that the clip arrives at its end picture.", first=True)
    return w


def film_wan_flf() -> Workflow:
    w = Workflow("film_wan_flf")
    size = (1280, 720)
    models, _, story, keyframes = story_to_keyframes(w, SDXL, (1280, 720), size)
    unet = models.add("UNETLoader", "Load Diffusion Model (Wan)", unet_name=WAN_FLF, weight_dtype="default")
    text = models.add("CLIPLoader", "Load CLIP (Wan)", clip_name=WAN_TEXT, type="wan")
    vae = models.add("VAELoader", "Load VAE (Wan)", vae_name=WAN_VAE)
    vision = models.add("CLIPVisionLoader", "Load CLIP Vision", clip_name=WAN_VISION)
    motion = w.group("Pairs and words", BLUE)
    texts = [
        motion.add("CLIPTextEncode", title, clip=text[0], text=words)
        for title, words in (
            ("What happens in all transitions", f"{GIRL}, walks through the pictures of a storybook, smooth camera"),
            ("Negative", "blurry, static, worst quality, jpeg artifacts, subtitles, deformed hands"),
        )
    ]
    plan = motion.add("Fabula_PlanTransitions", "Plan Transitions", keyframes=keyframes, seconds=3.0, fps=16.0, decoder="Wan (4n + 1)")
    pairs = motion.add("Fabula_KeyframePairs", "Keyframe Pairs", keyframes=keyframes)
    ends = [motion.add("CLIPVisionEncode", f"See the {name} picture", clip_vision=vision[0], image=pairs[slot], crop="none") for slot, name in enumerate(("start", "end"))]
    between = w.group("Transitions", PURPLE)
    conditioning = between.add(
        "WanFirstLastFrameToVideo", "First and last frame", positive=texts[0][0], negative=texts[1][0], vae=vae[0], width=size[0], height=size[1], length=plan[0], batch_size=1,
        clip_vision_start_image=ends[0][0], clip_vision_end_image=ends[1][0], start_image=pairs[0], end_image=pairs[1],
    )
    shifted = between.add("ModelSamplingSD3", "Shift", model=unet[0], shift=8.0)
    drawn = between.add(
        "KSampler", "Draw the transitions", model=shifted[0], positive=conditioning[0], negative=conditioning[1], latent_image=conditioning[2],
        seed=1, steps=20, cfg=3.0, sampler_name="uni_pc", scheduler="simple", denoise=1.0,
    )
    frames = between.add("VAEDecode", "VAE Decode", samples=drawn[0], vae=vae[0])
    film_group(w, frames[0], keyframes, story, 16.0, "fabula/film_wan", True)
    models.files(OWN)
    models.note("**Wan 2.1 from first to last frame**, once for each pair of keyframes: Plan Transitions chooses a length that Wan can draw, Keyframe Pairs gives the pictures as lists, and ComfyUI itself runs the sampler for each pair.", first=True)
    return w


def film_ltx() -> Workflow:
    w = Workflow("film_ltx")
    size = (768, 512)
    models, _, story, keyframes = story_to_keyframes(w, SDXL, (1152, 768), size)
    loaded = models.add("CheckpointLoaderSimple", "Load Checkpoint (LTX)", ckpt_name=LTX)
    text = models.add("CLIPLoader", "Load CLIP (LTX)", clip_name=LTX_TEXT, type="ltxv")
    motion = w.group("Pairs and words", BLUE)
    texts = [
        motion.add("CLIPTextEncode", title, clip=text[0], text=words)
        for title, words in (
            ("What happens in all transitions", f"{GIRL.capitalize()}, walks through the pictures of a storybook. The camera follows her smoothly, the light is soft, the colours are warm."),
            ("Negative", "low quality, worst quality, deformed, distorted, motion smear, motion artifacts"),
        )
    ]
    conditioning = motion.add("LTXVConditioning", "Frame rate", positive=texts[0][0], negative=texts[1][0], frame_rate=24.0)
    plan = motion.add("Fabula_PlanTransitions", "Plan Transitions", keyframes=keyframes, seconds=3.0, fps=24.0, decoder="LTX (8n + 1)")
    pairs = motion.add("Fabula_KeyframePairs", "Keyframe Pairs", keyframes=keyframes)
    ends = [motion.add("LTXVPreprocess", f"Prepare the {name} picture", image=pairs[slot], img_compression=25) for slot, name in enumerate(("start", "end"))]
    guides = w.group("Guides", BLUE)
    empty = guides.add("EmptyLTXVLatentVideo", "Empty film", width=size[0], height=size[1], length=plan[0], batch_size=1)
    first = guides.add(
        "LTXVAddGuide", "The start picture", positive=conditioning[0], negative=conditioning[1], vae=loaded[2], latent=empty[0], image=ends[0][0], frame_idx=0, strength=1.0,
    )
    last = guides.add("LTXVAddGuide", "The end picture", positive=first[0], negative=first[1], vae=loaded[2], latent=first[2], image=ends[1][0], frame_idx=-1, strength=1.0)
    between = w.group("Transitions", PURPLE)
    sigmas = between.add("LTXVScheduler", "Sigmas", steps=30, max_shift=2.05, base_shift=0.95, stretch=True, terminal=0.1, latent=empty[0])
    sampler = between.add("KSamplerSelect", "Sampler", sampler_name="euler")
    drawn = between.add(
        "SamplerCustom", "Draw the transitions", model=loaded[0], add_noise=True, noise_seed=1, cfg=3.0, positive=last[0], negative=last[1], sampler=sampler[0], sigmas=sigmas[0], latent_image=last[2],
    )
    cropped = between.add("LTXVCropGuides", "Take the guides out", positive=last[0], negative=last[1], latent=drawn[0])
    frames = between.add("VAEDecode", "VAE Decode", samples=cropped[2], vae=loaded[2])
    film_group(w, frames[0], keyframes, story, 24.0, "fabula/film_ltx", True)
    models.files(OWN)
    models.note("**LTX-Video with a guide at each end**, once for each pair of keyframes. Small and fast.", first=True)
    return w


WORKFLOWS = (film_svd, film_animatediff, film_wan_flf, film_ltx)
