"""Trains the demo's identity encoder and its LoRA: drawings of a character in, class tokens out, in PhotoMaker V1's layout.

First the encoder learns to see: what a character wears must be readable off its identity tokens. Then it learns to tell. The diffusion model
and its text encoders stay as they are: what they predict for a prompt that says everything of the character is the teacher, and the prompt
that says "a girl" alone, with the identity tokens in it, has to predict the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ..host.demo_models import identity_module, size_embedding, training_sigmas
from ..identity.encoder import Sizes
from ..identity.preprocessing import crop_photo, normalise
from . import sizes, workers
from .captions import ACTION_WORDS, article, scene_words
from .checkpoint import Checkpoint
from .drawing import draw_picture
from .train import Net, plain_attention
from .workers import DEVICE
from .world import CLOTH, HAIR, HAIR_STYLES, HATS, SKIN, Character, random_character, random_figure, random_scene

CHARACTERS = 3000
PHOTOS = 3  # of each character; one picture more shows it with something else on, and says so
SEEING_STEPS, SEEING_BATCH = 1500, 96
BATCH = 24
MOST_PHOTOS = 3  # stacked in one prompt
PLAIN = 0.06  # of the batches have no photos: there the LoRA shall change nothing
SEEING = 0.002  # what reading the character off its tokens counts beside the teacher
LABELS = {
    "skin": tuple(SKIN), "hair_style": HAIR_STYLES, "hair": tuple(HAIR), "outfit": ("shirt", "coat", "dress"), "top": tuple(CLOTH), "bottom": tuple(CLOTH),
    "shoes": tuple(CLOTH), "hat": HATS, "hat_colour": tuple(CLOTH), "beard": (False, True),
}
UNSEEN = -100  # a label that a drawing does not show


@dataclass(frozen=True)
class Prompt:
    """What is said of a picture: of the character in full, of the class alone with what differs from the photos, and what it does where."""

    full: str
    kind: str
    changed: str
    scene: str


def full_words(who: Character) -> str:
    """Everything that there is to say of a character but its kind."""
    clothes = [f"{article(who.top)} {who.outfit}"]
    if who.outfit != "dress":
        clothes.append(f"{who.bottom} trousers")
    clothes.append(f"{who.shoes} shoes")
    clothes.append("no hat" if who.hat == "none" else f"{article(who.hat_colour)} {who.hat} and scarf")
    parts = [f"with {who.hair_style} {who.hair} hair", f"{who.skin} skin", *(["a beard"] if who.beard else []), "wearing " + ", ".join(clothes)]
    return ", ".join(parts)


def dress_anew(who: Character, rng: Random) -> tuple[Character, str]:
    """The character with one thing exchanged, now and then for the same, and the words for it."""
    colour = rng.choice(tuple(CLOTH))
    part = rng.choice(("top", "shoes", "hat", *(["bottom"] if who.outfit != "dress" else [])))
    if part == "top":
        return replace(who, top=colour), f"{article(colour)} {who.outfit}"
    if part == "shoes":
        return replace(who, shoes=colour), f"{colour} shoes"
    if part == "bottom":
        return replace(who, bottom=colour), f"{colour} trousers"
    hat = rng.choice([hat for hat in HATS if hat != "none"])
    return replace(who, hat=hat, hat_colour=colour), f"{article(colour)} {hat} and scarf"


def labels_of(who: Character) -> list[int]:
    unseen = {"bottom": who.outfit == "dress", "hat_colour": who.hat == "none"}
    return [UNSEEN if unseen.get(name) else values.index(getattr(who, name)) for name, values in LABELS.items()]


def draw_pool(count: int, seed: int, path: Path, encode) -> tuple[Tensor, Tensor, Tensor, list[list[Prompt]]]:
    """`count` characters: latents (characters, pictures, 4, 32, 32), photos (characters, pictures, 3, size, size) uint8, labels (characters, LABELS),
    and what is said of each picture."""
    rng, image_size = Random(f"identity {seed}"), Sizes(**sizes.IDENTITY).image_size
    prompts, pictures, labels = [], [], []
    for _ in range(count):
        who = random_character(rng)
        labels.append(labels_of(who))
        other, changed = dress_anew(who, rng)
        own = [random_scene(rng, (random_figure(rng, each),)) for each in (*[who] * PHOTOS, other)]
        pictures.append(own)
        prompts.append([
            Prompt(full_words(picture.figures[0].character), who.kind, changed if number == PHOTOS else "",
                   f"{rng.choice(ACTION_WORDS[picture.figures[0].action])} {scene_words(picture, rng)}")
            for number, picture in enumerate(own)
        ])
    if not path.exists():
        latents, photos = [], []
        for number, own in enumerate(pictures):
            drawn = [draw_picture(picture)[0] for picture in own]
            latents.append(encode(torch.stack([torch.from_numpy(np.array(each)).permute(2, 0, 1) for each in drawn]).float() / 127.5 - 1).half())
            photos.append(torch.stack([torch.from_numpy(np.array(crop_photo(each, image_size))).permute(2, 0, 1) for each in drawn]))
            if number % 500 == 499:
                print(f"{number + 1} of {count} characters drawn", flush=True)
        save_file({"latents": torch.stack(latents).contiguous(), "photos": torch.stack(photos).contiguous()}, path)
    pool = load_file(path)
    return pool["latents"], pool["photos"], torch.tensor(labels), prompts


class Lora(nn.Module):
    """Rank-`rank` updates of every attention layer of a UNet, added while it runs; all zero at the start."""

    def __init__(self, unet: nn.Module, rank: int) -> None:
        super().__init__()
        self.names = [name for name, layer in unet.named_modules() if isinstance(layer, nn.Linear) and (".attn1.to_" in name or ".attn2.to_" in name)]
        layers = [unet.get_submodule(name) for name in self.names]
        self.down = nn.ModuleList(nn.Linear(layer.in_features, rank, bias=False) for layer in layers)
        self.up = nn.ModuleList(nn.Linear(rank, layer.out_features, bias=False) for layer in layers)
        self.on = True
        for up in self.up:
            nn.init.zeros_(up.weight)
        for layer, down, up in zip(layers, self.down, self.up):
            layer.register_forward_hook(lambda _, inputs, output, down=down, up=up: output + up(down(inputs[0])) if self.on else output)


class Sight(nn.Module):
    """Reads what a character wears off its identity tokens; only a help for training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, len(values)) for values in LABELS.values())

    def forward(self, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (photos, width), labels (photos, LABELS): the sum of the losses, and the share of labels that are read right."""
        logits = [head(tokens.float()) for head in self.heads]
        loss = sum(F.cross_entropy(each, labels[:, number], ignore_index=UNSEEN) for number, each in enumerate(logits))
        right = torch.stack([each.argmax(1) for each in logits], dim=1) == labels
        return loss, right[labels != UNSEEN].float().mean()


class Texts:
    """Prompts as rows of the small token table, and where their class words stand."""

    def __init__(self, tokenizer, rows: Tensor) -> None:
        self._tokenizer, self._rows = tokenizer, rows

    def encode(self, texts: list[str]) -> tuple[Tensor, list[int]]:
        """(texts, 2, 77) rows and each one's length, end included."""
        tokens = torch.stack([self._tokens(text) for text in texts])
        return self._rows[tokens], ((tokens[:, 0] == 49407).int().argmax(-1) + 1).tolist()

    def _tokens(self, text: str) -> Tensor:
        found = self._tokenizer.tokenize_with_weights(text)
        return torch.tensor([[int(token) for token, _ in found[key][0]] for key in "lg"])

    def class_word(self, kind: str) -> int:
        """Where the last word of "a girl" stands, behind the start token."""
        return len(article(kind).split())


def student_text(prompt: Prompt, copies: int) -> str:
    words = article(prompt.kind).split()
    who = " ".join([*words[:-1], *[words[-1]] * copies])
    return ", ".join(part for part in (who, prompt.changed) if part) + " " + prompt.scene


def teacher_text(prompt: Prompt) -> str:
    return f"{article(prompt.kind)}, {prompt.full}, {prompt.scene}"


@dataclass(frozen=True)
class Batch:
    """target: latents. photos: (batch, n, 3, size, size) of the same character, none of them the target. labels: (batch, LABELS)."""

    target: Tensor
    photos: Tensor
    labels: Tensor
    said: list[Prompt]


def batches(latents: Tensor, photos: Tensor, labels: Tensor, prompts: list[list[Prompt]], generator: torch.Generator) -> Iterator[Batch]:
    """For ever."""
    while True:
        n = int(torch.randint(1, MOST_PHOTOS + 1, (1,), generator=generator))
        who = torch.randint(len(latents), (BATCH,), generator=generator)
        target = torch.randint(photos.shape[1], (BATCH,), generator=generator)
        others = torch.stack([_others(at, n, generator) for at in target.tolist()])
        said = [prompts[w][t] for w, t in zip(who.tolist(), target.tolist())]
        yield Batch(latents[who, target].float(), photos[who[:, None], others], labels[who], said)


def _others(target: int, n: int, generator: torch.Generator) -> Tensor:
    there = torch.tensor([photo for photo in range(PHOTOS) if photo != target])
    return there[torch.randperm(2 * len(there), generator=generator)[:n] % len(there)]


def roughen(photos: Tensor, generator: torch.Generator) -> Tensor:
    """(photos, 3, size, size) uint8, ready for the encoder: noisy, and of another brightness each."""
    noise = 8 * torch.randn(photos.shape, generator=generator) + 6 * torch.randn(len(photos), 1, 1, 1, generator=generator)
    return normalise(photos + noise).to(DEVICE)


def train(folder: Path, net: Net, texts: Texts, encode, steps: int, seed: int = 1, rate: float = 1e-3, characters: int = CHARACTERS,
          on_save=None) -> None:
    """Trains until `steps`, resuming from `folder`/identity.pt. `on_save(encoder, lora, steps, minutes)` is called with each checkpoint."""
    pool = draw_pool(characters, seed, folder / f"identity_pool_{seed}_{characters}.safetensors", encode)
    torch.manual_seed(seed)
    encoder = identity_module(Sizes(**sizes.IDENTITY))
    net.to(DEVICE).requires_grad_(False).eval()
    trained = nn.ModuleDict({"encoder": encoder, "lora": Lora(net.unet, sizes.LORA_RANK), "sight": Sight(encoder.sizes.width)}).to(DEVICE)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
    checkpoint = Checkpoint(folder / "identity.pt", trained=trained, optimiser=optimiser)
    generator = torch.Generator().manual_seed(seed + 1000 * checkpoint.steps)
    if not checkpoint.steps:
        learn_to_see(trained, pool[1], pool[2], rate, generator)
    start, distances, read = checkpoint.steps, [], []
    for step, batch in zip(range(start, steps), batches(*pool, generator)):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * min(1.0, (steps - step) / (steps / 2))
        plain = float(torch.rand(1, generator=generator)) < PLAIN
        distance, seeing, right = step_losses(net, trained, texts, batch, plain, generator)
        optimiser.zero_grad(set_to_none=True)
        (distance + SEEING * seeing).backward()
        nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimiser.step()
        if not plain:
            distances.append(distance.item())
            read.append(float(right))
        if step % 50 == 49:
            print(f"step {step + 1}/{steps}: {sum(distances) / len(distances):.5f} from the teacher, {sum(read) / len(read):.3f} read right, "
                  f"{checkpoint.minutes} min", flush=True)
            distances, read = [], []
        if step % 250 == 249 or step == steps - 1:
            checkpoint.save(step + 1)
            if on_save:
                on_save(encoder, trained["lora"], step + 1, checkpoint.minutes)


def learn_to_see(trained: nn.ModuleDict, photos: Tensor, labels: Tensor, rate: float, generator: torch.Generator) -> None:
    encoder, sight = trained["encoder"], trained["sight"]
    optimiser = torch.optim.AdamW([*encoder.parameters(), *sight.parameters()], lr=rate, weight_decay=0.01)
    for step in range(SEEING_STEPS):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100) * min(1.0, (SEEING_STEPS - step) / (SEEING_STEPS / 2))
        who = torch.randint(len(photos), (SEEING_BATCH,), generator=generator)
        which = torch.randint(PHOTOS, (SEEING_BATCH,), generator=generator)
        with workers.half_precision():
            tokens = encoder(roughen(photos[who, which], generator))[:, 0]
        loss, right = sight(tokens, labels[who].to(DEVICE))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % 100 == 99:
            print(f"seeing, step {step + 1}/{SEEING_STEPS}: {loss.item():.3f}, {float(right):.3f} read right", flush=True)


def step_losses(net: Net, trained: nn.ModuleDict, texts: Texts, batch: Batch, plain: bool, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The distance from the teacher, the loss of reading the tokens, and the share of labels that are read right."""
    encoder, lora, count = trained["encoder"], trained["lora"], len(batch.target)
    sigmas = training_sigmas()
    # Nearer to the noise, where a picture's colours are decided.
    timestep = (len(sigmas) * torch.rand(count, generator=generator) ** 0.6).long().clamp_max(len(sigmas) - 1)
    sigma = sigmas[timestep][:, None, None, None]
    noisy = (batch.target + sigma * torch.randn(batch.target.shape, generator=generator)) * (sigma.square() + 1).rsqrt()
    copies = 1 if plain else batch.photos.shape[1]
    student = [student_text(each, copies) for each in batch.said]
    with workers.half_precision():
        lora.on = False
        with torch.no_grad():
            wanted = predict(net, noisy, timestep, *texts.encode(student if plain else [teacher_text(each) for each in batch.said]))
        lora.on = True
        tokens = encoder(roughen(batch.photos.flatten(0, 1), generator))
        places = [texts.class_word(each.kind) for each in batch.said]
        predicted = predict(net, noisy, timestep, *texts.encode(student), encoder, None if plain else tokens, places)
    seeing, right = trained["sight"](tokens[:, 0], batch.labels.repeat_interleave(batch.photos.shape[1], 0).to(DEVICE))
    return F.mse_loss(predicted.float(), wanted.float()), seeing, right


def predict(net: Net, noisy: Tensor, timestep: Tensor, rows: Tensor, lengths: list[int], encoder=None, identity: Tensor | None = None,
            places: list[int] | None = None) -> Tensor:
    """The UNet's v for prompts in whose class tokens, from `places` on, the identity tokens (batch x n, 1, width) are fused."""
    context, pooled = net.text(rows.to(DEVICE), lengths)
    if identity is not None:
        identity = identity.unflatten(0, (len(noisy), -1)).flatten(1, 2)
        at = torch.tensor(places, device=DEVICE)[:, None] + torch.arange(identity.shape[1], device=DEVICE)
        which = torch.arange(len(noisy), device=DEVICE)[:, None].expand_as(at)
        fused = encoder.fuse_module(context[which, at].flatten(0, 1).float(), identity.flatten(0, 1))
        context = context.index_put((which, at), fused.unflatten(0, at.shape).to(context.dtype))
    y = torch.cat([pooled, size_embedding(noisy.shape[-2] * 8, noisy.shape[-1] * 8).to(pooled).expand(len(pooled), -1)], dim=1)
    return net.unet(noisy.to(DEVICE), timestep.float().to(DEVICE), context, y, transformer_options={"optimized_attention_override": plain_attention})
