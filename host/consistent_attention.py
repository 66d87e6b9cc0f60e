"""Consistent self-attention as one patch of a MODEL, under any sampler of the host."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy.sampler_helpers import prepare_mask

from ..attention.cast import Cast
from ..attention.state import Run, Settings
from ..attention.subject import AttendedSubjects, MaskedSubjects, Subjects
from ..attention.tiles import plan, together
from . import attention_patch
from .held_characters import Batch, HeldCharacter, join
from .panel_masks import mask_of_each
from .panel_noise import reseed
from .panel_tiles import place, sample_tiles
from .panel_variants import sample_variants
from .panel_windows import WindowedDenoiser
from .story_rows import StoryRows, rows_of
from .word_attention import watch, words_by_entry

KEY = "fabula_consistent_attention"
NODE = "Fabula_ConsistentAttention"
MODES = ("anchors", "window", "batch")
SUBJECTS = ("auto", "off")
# A zero-terminal-SNR schedule starts at a sigma of thousands; some schedulers leave its first step out.
_FROM_NOISE = 14.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """The node's inputs. `coarse_rate` and `fine_rate`: None where `sampling_rate` holds for all layers."""

    mode: str = "anchors"
    sampling_rate: float = 0.5
    coarse_rate: float | None = None
    fine_rate: float | None = None
    id_length: int = 3
    tile_size: int = 4
    schedule: str = "always"
    start_percent: float = 0.0
    end_percent: float = 1.0
    seed: int = 0
    character: HeldCharacter | None = None
    subject_masks: torch.Tensor | None = None
    subject: str = "auto"

    def __deepcopy__(self, memo) -> Options:
        return self  # cloning a model copies its options, before 0.14 with all tensors in them

    def settings(self, model_sampling, story: StoryRows, attended: AttendedSubjects) -> Settings:
        """In sigmas of the model's own schedule, asked only now: nodes after ours may have replaced it."""
        return Settings(
            coarse_rate=self.sampling_rate if self.coarse_rate is None else self.coarse_rate,
            fine_rate=self.sampling_rate if self.fine_rate is None else self.fine_rate,
            schedule=self.schedule, seed=self.seed,
            start_sigma=float(model_sampling.percent_to_sigma(self.start_percent)),
            end_sigma=float(model_sampling.percent_to_sigma(self.end_percent)),
            subjects=self._subjects(story, attended),
        )

    def _subjects(self, story: StoryRows, attended: AttendedSubjects) -> Subjects | None:
        """Masks of the user's go first. Where no words are known, the conditioning is not of Fabula_EncodeStory."""
        if self.subject_masks is None:
            return attended if self.subject == "auto" and any(story.words) else None
        masks = self.subject_masks.reshape(-1, *self.subject_masks.shape[-2:]).cpu()
        panels = [(panel, story.cast.panels[panel]) for panel in story.panels]
        return MaskedSubjects(mask_of_each(masks, panels, NODE, "subject_masks"))


def apply(model: ModelPatcher, options: Options) -> ModelPatcher:
    """A clone of `model` whose up-block self-attention sees sampled tokens of the story's other panels.

    Applied more than once, with ranges of percent of their own, the first one whose range holds the current step acts.

    Raises: ValueError where `model` is not a UNet with self-attention blocks, where the range is empty, or where the
    nodes of a chain would cut the story up in different ways.
    """
    net = model.get_model_object("diffusion_model")
    if not attention_patch.walk(net):
        raise ValueError(f"{NODE}: input 'model' is {attention_patch.refusal(net)}. Load an SDXL or SD1.5 checkpoint.")
    if options.start_percent >= options.end_percent:
        raise ValueError(
            f"{NODE}: input 'start_percent' is {options.start_percent:g} and 'end_percent' is {options.end_percent:g}, so it "
            "would never act. Let 'start_percent' be the smaller one; to switch the node off, bypass it."
        )
    patched = model.clone()
    chain = (*patched.model_options["transformer_options"].get(KEY, ()), options)
    for name in ("mode", "id_length", "tile_size"):
        if len({getattr(each, name) for each in chain}) > 1:
            values = " and ".join(str(getattr(each, name)) for each in chain)
            raise ValueError(
                f"{NODE}: input '{name}' is {values} in nodes that follow each other on one model. Give all of them the same "
                f"'{name}': rate, schedule and percent may differ."
            )
    patched.model_options["transformer_options"][KEY] = chain
    patched.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, _outer_sample)
    return patched


def _outer_sample(executor, noise: torch.Tensor, latent_image: torch.Tensor, sampler, sigmas: torch.Tensor,
                  denoise_mask: torch.Tensor | None = None, callback=None, disable_pbar: bool = False, seed: int | None = None, **kwargs):
    _check_latents(noise, latent_image)
    story = rows_of(executor.class_obj.conds, len(noise), NODE)
    if denoise_mask is not None:
        denoise_mask = _one_channel_mask(denoise_mask, noise, executor.class_obj.model_patcher.load_device)
    arguments = (story, noise, latent_image, sampler, sigmas, denoise_mask, callback, disable_pbar, seed)
    if any(story.variants):
        return sample_variants(executor, _sample_story, *arguments, **kwargs)
    return _sample_story(executor, *arguments, **kwargs)


def _sample_story(executor, story: StoryRows, noise: torch.Tensor, latent_image: torch.Tensor, sampler, sigmas: torch.Tensor,
                  denoise_mask: torch.Tensor | None, callback, disable_pbar: bool, seed: int | None, **kwargs) -> torch.Tensor:
    """One picture of each panel."""
    guider = executor.class_obj
    # The host has made these options for this one run, and drops them after it.
    transformer_options = guider.model_options["transformer_options"]
    chain: tuple[Options, ...] = transformer_options[KEY]
    layers = attention_patch.walk(guider.model_patcher.get_model_object("diffusion_model"))
    sampling = guider.model_patcher.get_model_object("model_sampling")
    from_noise = float(sigmas[0]) >= 0.9 * min(float(sampling.sigma_max), _FROM_NOISE)
    attended = AttendedSubjects()  # one for all nodes of a chain
    settings = [each.settings(sampling, story, attended) for each in chain]
    run = Run(settings, sigmas.cpu(), from_noise, attention_patch.coarse_blocks(layers))
    size = tuple(noise.shape[-2:])
    attention_patch.install(transformer_options, run, layers, size)
    first = chain[0]
    device = guider.model_patcher.load_device
    batch = Batch(story, len(noise), guider.conds, reseed(noise, story.seeds), latent_image, denoise_mask)
    held = {id(each.character): each.character.first(first.id_length) for each in chain if each.character is not None}
    batch = join(batch, list(held.values()), seed or 0, device, NODE)
    guider.conds, story = batch.conds, batch.story
    if run.attended is not None:
        words = words_by_entry((entry for entries in guider.conds.values() for entry in entries), story)
        watch(transformer_options, run, layers, size, words)
    rest = (disable_pbar, seed)
    if first.mode == "anchors":
        row_of = {panel: row for row, panel in enumerate(story.panels)}
        _check_anchors(story.cast, first.id_length, row_of)
        tiles = place(plan(story.cast, first.id_length, first.tile_size), row_of, story.cast.story_panels)
        return sample_tiles(
            executor, run, tiles, batch.panels, _noise_keys(story, seed), batch.noise, batch.latent_image, sampler, sigmas,
            batch.denoise_mask, callback, *rest, **kwargs,
        )
    if first.mode == "window":
        windowed = WindowedDenoiser(run, story.cast, story.panels, first.tile_size)
        attention_patch.add_calc_cond_batch(transformer_options, windowed)
    else:
        run.scene = together(story.cast, story.panels)
    if "latent_shapes" in kwargs:
        kwargs["latent_shapes"] = [batch.latent_image.shape]
    sampled = executor(
        batch.noise, batch.latent_image, sampler, sigmas, batch.denoise_mask, batch.only_panels(callback), *rest, **kwargs,
    )
    return sampled[:batch.panels]


def _one_channel_mask(mask: torch.Tensor, noise: torch.Tensor, device: torch.device) -> torch.Tensor:
    """(rows, 1, height, width) in latent pixels, whether the host has prepared the mask already (since 0.6) or will."""
    if mask.ndim == 4:
        mask = mask[:, :1]
    return prepare_mask(mask, noise.shape, device)[:, :1]


def _noise_keys(story: StoryRows, seed: int | None) -> list[tuple[int, ...]]:
    """For each panel of the story, what the noise drawn while sampling it depends on."""
    variant = max(story.variants)  # the same in all rows; saved characters have none
    keys = [(seed or 0, panel, *([variant] if variant else [])) for panel in range(len(story.cast.panels))]
    for panel, own in zip(story.panels, story.seeds):
        if own is not None:
            keys[panel] = (own,)
    return keys


def _check_latents(noise: torch.Tensor, latent_image: torch.Tensor) -> None:
    if noise.ndim != 4:
        raise ValueError(
            f"{NODE}: the sampler's input 'latent_image' is of shape {tuple(latent_image.shape)}: a video, not pictures. Give it "
            "one latent a panel, such as the LATENT of Fabula_EncodeStory."
        )
    if not torch.isfinite(latent_image).all():
        raise ValueError(
            f"{NODE}: the sampler's input 'latent_image' holds values that are not numbers (NaN or infinite). The picture or "
            "the VAE that it comes from is broken; an SDXL VAE in half precision does this: start ComfyUI with --fp32-vae."
        )


def _check_anchors(cast: Cast, id_length: int, row_of: dict[int, int]) -> None:
    for character, anchors in cast.anchors(id_length).items():
        named = f"[{character}]" if character else "the story"
        shown = any(character in cast.panels[panel] for panel in row_of)
        if shown and not anchors:
            raise ValueError(
                f"{NODE}: {named} is never alone in a panel, but mode 'anchors' takes a character from panels that show nobody "
                f"else. Add such a panel to the input 'panels' of Fabula_Story, connect a saved one to input 'character', or set input "
                "'mode' to 'batch' or 'window'."
            )
        missing = [panel + 1 for panel in anchors if panel not in row_of]
        if shown and missing:
            raise ValueError(
                f"{NODE}: input 'id_length' is {id_length}, so {named} also needs panel {', '.join(map(str, missing))} of the "
                "story among the latents. Set input 'id_length' of Fabula_EncodeStory to the same number."
            )
        saved = bool(anchors) and anchors[0] not in cast.story_panels
        if character and not saved and len(anchors) < id_length and len(anchors) < sum(character in names for names in cast.panels):
            log.warning("%s: %s is alone in %d panel(s) only, fewer than 'id_length' %d; these are its anchors.",
                        NODE, named, len(anchors), id_length)
