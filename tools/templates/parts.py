"""What several workflows have in common: a story that is encoded, drawn and put on pages."""

from __future__ import annotations

from .downloads import Download
from .graph import BLUE, BROWN, GREEN, PURPLE, Group, Node, Output, Workflow

STORY_WIDTH = 520


def story_group(workflow: Workflow, characters: str | Output, panels: str | Output, size: tuple[int, int], clip: Output, style: str = "(No style)", negative: str = "", tall: int = 560, **encode) -> tuple[Node, Node]:
    """The story and its prompts: (Story, Encode Story)."""
    group = workflow.group("Story", GREEN, STORY_WIDTH)
    story = group.add("Fabula_Story", "Story", tall, characters=characters, panels=panels, style=style, negative=negative)
    width, height = size
    return story, group.add("Fabula_EncodeStory", "Encode Story", clip=clip, story=story[0], width=width, height=height, **encode)


def draw_group(workflow: Workflow, title: str, model: Output, encoded: Node, vae: Output, *, steps: int = 30, cfg: float = 6.0, sampler: str = "dpmpp_2m", scheduler: str = "karras", seed: int = 1, **consistent) -> tuple[Group, Node, Node]:
    """The panels, drawn with consistent attention: (group, the sampler, the pictures)."""
    group = workflow.group(title, PURPLE)
    patch = group.add("Fabula_ConsistentAttention", "Consistent Attention", model=model, **consistent)
    sampler_node = group.add(
        "KSampler", "Draw the panels", model=patch[0], positive=encoded[0], negative=encoded[1], latent_image=encoded[2],
        seed=seed, steps=steps, cfg=cfg, sampler_name=sampler, scheduler=scheduler, denoise=1.0,
    )
    return group, sampler_node, group.add("VAEDecode", "VAE Decode", samples=sampler_node[0], vae=vae)


def save_panels(group: Group, images: Output, prefix: str = "fabula/panel") -> Node:
    return group.add("SaveImage", "Save the panels", images=images, filename_prefix=prefix)


def page_group(workflow: Workflow, images: Output, story: Node, *, file_format: str = "png", prefix: str = "fabula/comic", layout: str = "grid", page_width: int = 1600, font_size: int = 32, **page) -> Group:
    """Comic pages of the panels, saved; their pictures are shown too."""
    group = workflow.group("Pages", BROWN, 420)
    pages = group.add("Fabula_ComicPage", "Comic Page", images=images, layout=layout, page_width=page_width, font="(built-in)", font_size=font_size, seed=0, story=story[0], **page)
    group.add("Fabula_SaveComic", "Save Comic", pages=pages[0], filename_prefix=prefix, format=file_format)
    return group


def models_group(workflow: Workflow, width: int = 360) -> Group:
    return workflow.group("Models", BLUE, width)


def predict(group: Group, predictor: str, clip_vision: Output, keyframes: Output, frames: int, space: str) -> Output:
    """The motion between keyframes."""
    loaded = group.add("Fabula_LoadMotionPredictor", "Load Motion Predictor", predictor_name=predictor)
    return group.add("Fabula_PredictMotion", "Predict Motion", predictor=loaded[0], clip_vision=clip_vision, keyframes=keyframes, frames=frames, space=space)[0]


def animate(group: Group, model: Output, motion: Output, module: str | Download, image_prompt: str | Download) -> Output:
    """A model that draws the frames of that motion."""
    loaded = group.add("Fabula_LoadMotionModule", "Load Motion Module", model=model, motion_module_name=module)
    return group.add("Fabula_ApplyMotion", "Apply Motion", model=loaded[0], motion=motion, image_prompt_name=image_prompt, weight=1.0)[0]
