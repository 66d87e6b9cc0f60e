"""Workflows of the embedded models: they run at once, on any machine."""

from __future__ import annotations

from .graph import BLUE, BROWN, GREEN, GREY, PURPLE, Group, Node, Output, Workflow
from .parts import STORY_WIDTH, animate, models_group, predict, save_panels, story_group

STORY = """[Mia] waving in the forest by day # Mia leaves the old forest.
[Mia] running on the beach at sunset # She runs along the sea,
[Mia] sitting in the city at night # rests where the lights are,
[Mia] reading a book in the library # reads all that she can find,
[Mia] jumping in the mountains in the snow # jumps for joy in the snow
[Mia] holding a balloon in a meadow by day # and comes home with a gift."""
SIZE = (256, 256)
SAMPLING = {"steps": 30, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
WORLD = """The embedded model is tiny and draws a **cartoon world** of its own, 256 x 256. It knows

- a girl, a boy, a woman, a man, an old woman, an old man
- in the forest, on the beach, in the city, in the library, in the mountains, in a meadow, in the bedroom, in the desert
- waving, running, sitting, reading a book, jumping, holding a balloon
- by day, at sunset, at night, in the snow, in the rain"""


def start(workflow: Workflow, text: str) -> tuple[Group, Node]:
    group = models_group(workflow)
    group.note(text)
    return group, group.add("Fabula_LoadDemo", "Load Fabula Demo")


def draw(group: Group, title: str, model: Output, encoded: Node, seed: int = 1, **sampling) -> Node:
    return group.add("KSampler", title, model=model, positive=encoded[0], negative=encoded[1], latent_image=encoded[2], seed=seed, **{**SAMPLING, **sampling})


def demo_story() -> Workflow:
    w = Workflow("demo_story")
    models, demo = start(w, "**A story, drawn twice**: with consistent attention she stays the same, without it each panel has a girl of its own. Press Run: it takes half a minute on a CPU, and needs no download.")
    models.note(WORLD)
    model, clip, vae = demo[0], demo[1], demo[2]
    story, encoded = story_group(w, "[Mia] a girl", STORY, SIZE, clip, tall=420)
    w.columns[-1][0].note("One character a line, one panel a line; what follows the *#* is the caption on the page. The help of the Story node (select it, then the i above it) has all of the language.")
    with_ = w.group("With consistent attention", PURPLE)
    patch = with_.add("Fabula_ConsistentAttention", "Consistent Attention", model=model)
    without = w.group("Without, to compare", GREY, below=True)
    plain = draw(without, "Without", model, encoded)
    drawn = draw(with_, "With consistent attention", patch[0], encoded)
    plain_pictures = without.add("VAEDecode", "Decode, without", samples=plain[0], vae=vae)
    pictures = with_.add("VAEDecode", "Decode, with", samples=drawn[0], vae=vae)
    saved = w.group("Panels", BROWN, 420)
    saved_plain = w.group("Panels without", GREY, 420, below=True)
    saved_plain.add("SaveImage", "Panels, without", images=plain_pictures[0], filename_prefix="fabula/without")
    saved.add("SaveImage", "Panels, with", images=pictures[0], filename_prefix="fabula/with")
    pages = w.group("Page", BROWN, 460)
    page = pages.add("Fabula_ComicPage", "Comic Page", images=pictures[0], layout="grid", page_width=1200, font="(built-in)", font_size=26, story=story[0])
    pages.add("SaveImage", "Page", images=page[0], filename_prefix="fabula/page")
    return w


PAGES_STORY = """## in the forest by day
[Mia] waving # Mia leaves the old forest. Mia: "Today I shall find him!"
[Mia] running # She runs
##
[Mia] running on the beach at sunset # along the sea,
[Mia] sitting in the city at night # rests where the lights are. Mia: "Where can he be?"
[Tom] sitting in the mountains in the snow crop=4:3 # Somebody sits in the snow.
[Tom] waving in the mountains in the snow # He stands up. Tom: "Hello!" Mia: "Tom!"
[Mia] jumping in the mountains in the snow # Mia jumps for joy.
[Tom] reading a book in the library # Tom reads to her all winter long. Tom: "Once there was a girl who ran to the sea ..." Mia: "That is me!"
[Mia] reading a book in the library # Then she reads to him.
[Tom] sitting in the city at night # Tom has to go.
[Mia] holding a balloon in a meadow by day # In spring she comes home with a gift,
[Tom] jumping in a meadow by day # and who is there? Tom: "Surprise!\""""


def demo_pages() -> Workflow:
    w = Workflow("demo_pages")
    _, demo = start(w, "**Seven layouts** of one story: twelve panels of two characters, with speech, a scene (*##*) and a wide picture (*crop=4:3*). About half a minute on a CPU.")
    story, encoded = story_group(w, "[Mia] a girl\n[Tom] a man", PAGES_STORY, SIZE, demo[1], tall=620)
    drawing = w.group("Drawing", PURPLE)
    patch = drawing.add("Fabula_ConsistentAttention", "Consistent Attention", model=demo[0])
    drawn = draw(drawing, "Draw the panels", patch[0], encoded)
    pictures = drawing.add("VAEDecode", "VAE Decode", samples=drawn[0], vae=demo[2])
    layouts = [
        ("grid", 960, 24, {}), ("classic", 1200, 20, {}), ("four panel", 800, 24, {}), ("manga", 960, 24, {"seed": 3, "shadow": True}),
        ("webtoon", 480, 20, {}), ("storyboard", 1000, 20, {}), ("free", 960, 24, {"rows": "2,1,3", "captions": "outlined", "shadow": True}),
    ]
    for number, (layout, width, font_size, more) in enumerate(layouts):
        group = w.group(layout.capitalize(), BROWN, 400, below=number % 2 == 1)
        page = group.add("Fabula_ComicPage", f"Comic Page: {layout}", images=pictures[0], layout=layout, page_width=width, font="(built-in)", font_size=font_size, story=story[0], **more)
        group.add("SaveImage", f"Save {layout}", 640, images=page[0], filename_prefix=f"fabula/{layout.replace(' ', '_')}")
    return w


def demo_two_characters() -> Workflow:
    w = Workflow("demo_two_characters")
    models, demo = start(w, "**Two characters in one story**, alone and together. In mode *anchors* each needs panels of its own (here two each): these hold what it looks like. A panel of both sees both, each one's tokens only where that one is.")
    models.note(WORLD)
    panels = """[Mia] waving in a meadow by day # Mia has a plan.
[Bob] sitting in the city at night # Bob has none.
[Mia] running on the beach at sunset # She runs to tell him.
[Bob] reading a book in the library # He finds it in a book.
[Mia] and [Bob] jumping in the mountains in the snow # Together they go. Mia: "Higher!"
[Mia] and [Bob] holding a balloon in the forest by day # And nobody has seen them since."""
    story, encoded = story_group(w, "[Mia] a girl\n[Bob] a man", panels, SIZE, demo[1], tall=420)
    drawing = w.group("Drawing", PURPLE)
    patch = drawing.add("Fabula_ConsistentAttention", "Consistent Attention", model=demo[0])
    drawn = draw(drawing, "Draw the panels", patch[0], encoded)
    pictures = drawing.add("VAEDecode", "VAE Decode", samples=drawn[0], vae=demo[2])
    pages = w.group("Panels and page", BROWN, 420)
    save_panels(pages, pictures[0], "fabula/two_characters")
    page = pages.add("Fabula_ComicPage", "Comic Page", images=pictures[0], layout="grid", page_width=1200, font="(built-in)", font_size=26, story=story[0])
    pages.add("SaveImage", "Page", images=page[0], filename_prefix="fabula/two_characters_page")
    return w


PERSONS = {
    "Mia": ("a girl, with long ginger hair, light skin, wearing a red coat, blue trousers, yellow shoes, a green beanie and scarf", "mia"),
    "Tom": ("an old man, with short grey hair, tan skin, a beard, wearing a purple coat, orange trousers, white shoes, a yellow cap and scarf", "tom"),
}


def demo_identity() -> Workflow:
    w = Workflow("demo_identity")
    models, demo = start(w, "**The same persons from pictures.** Two characters are drawn first, to stand in for photos; then a story whose words say only *a girl img* and *an old man img*. Compare: words alone, with the pictures, and with consistent attention on top.")
    loaded = models.add("Fabula_LoadPhotoMaker", "Load PhotoMaker", model=demo[0], photomaker_name="fabula_demo_photomaker.safetensors")
    references, photos = None, []
    for name, (looks, stem) in PERSONS.items():
        group = w.group(f"Pictures of {name}, in place of photos", GREY, 400)
        story = group.add("Fabula_Story", f"What {name} looks like", 330, characters=f"[{name}] {looks}", panels=f"[{name}] waving in a meadow by day\n[{name}] sitting in the bedroom")
        encoded = group.add("Fabula_EncodeStory", "Encode Story", clip=demo[1], story=story[0], width=256, height=256)
        patch = group.add("Fabula_ConsistentAttention", "Consistent Attention", model=demo[0], mode="batch")
        drawn = draw(group, "Draw the reference", patch[0], encoded, seed=5)
        pictures = group.add("VAEDecode", "VAE Decode", samples=drawn[0], vae=demo[2])
        group.add("SaveImage", "Save the reference", images=pictures[0], filename_prefix=f"fabula/{stem}")
        photos.append((name, pictures))
    group = w.group("Story with persons", GREEN, STORY_WIDTH)
    for name, pictures in photos:
        chained = {} if references is None else {"references": references}
        references = group.add("Fabula_CharacterReference", name, character=name, images=pictures[0], **chained)[0]
    panels = """[Mia] waving in the forest by day
[Mia] running on the beach at sunset
[Tom] sitting in the city at night
[Tom] reading a book in the library
[Mia] jumping in the mountains in the snow
[NC] in a meadow by day"""
    story = group.add("Fabula_Story", "Story", 380, characters="[Mia] a girl img\n[Tom] an old man img", panels=panels)
    sigmas = group.add("BasicScheduler", "Sigmas", model=loaded[0], scheduler="normal", steps=30, denoise=1.0)
    encoded = group.add(
        "Fabula_EncodeIdentity", "Encode Identity", clip=demo[1], id_encoder=loaded[1], references=references, story=story[0], style_strength=10.0, width=256, height=256, sigmas=sigmas[0],
    )
    sampler = group.add("KSamplerSelect", "Sampler", sampler_name="euler")
    patched = group.add("Fabula_ConsistentAttention", "Consistent Attention", model=loaded[0])
    for number, (title, model, positive, stem) in enumerate((
        ("Words alone", demo[0], encoded[1], "words"), ("With the photos", loaded[0], encoded[0], "identity"), ("With the photos and consistent attention", patched[0], encoded[0], "both"),
    )):
        group = w.group(title, GREY if number == 0 else PURPLE, 420)
        drawn = group.add(
            "SamplerCustom", title, model=model, add_noise=True, noise_seed=1, cfg=4.0, positive=positive, negative=encoded[2], sampler=sampler[0], sigmas=sigmas[0], latent_image=encoded[3],
        )
        pictures = group.add("VAEDecode", "VAE Decode", samples=drawn[0], vae=demo[2])
        group.add("SaveImage", f"Save {stem}", images=pictures[0], filename_prefix=f"fabula/{stem}")
    return w


def demo_film() -> Workflow:
    w = Workflow("demo_film")
    _, demo = start(w, "**From a story to a film.** Four panels are keyframes; what CLIP would see between two of them is predicted, and a motion module draws it: three transitions, 37 frames, one or two minutes on a CPU.")
    model, clip, vae, vision = (demo[slot] for slot in range(4))
    story, encoded = story_group(w, "[Mia] a girl", STORY, SIZE, clip, tall=420)
    drawing = w.group("Keyframes", PURPLE)
    patch = drawing.add("Fabula_ConsistentAttention", "Consistent Attention", model=model)
    drawn = draw(drawing, "With consistent attention", patch[0], encoded)
    pictures = drawing.add("VAEDecode", "Decode, with", samples=drawn[0], vae=vae)
    keyframes = drawing.add("ImageFromBatch", "Keyframes: the first four panels", image=pictures[0], batch_index=0, length=4)[0]
    motion = w.group("Motion", BLUE)
    predicted = predict(motion, "fabula_demo_predictor.safetensors", vision, keyframes, 13, "penultimate")
    applied = animate(motion, model, predicted, "fabula_demo_motion.safetensors", "fabula_demo_image_prompt.safetensors")
    alike = motion.add("Fabula_ConsistentAttention", "The frames of a transition stay alike", model=applied, mode="batch")
    between = w.group("Transitions", PURPLE)
    texts = [
        between.add(
            "CLIPTextEncodeSDXL", title, clip=clip, width=256, height=256, crop_w=0, crop_h=0, target_width=256, target_height=256, text_g=text, text_l=text,
        )
        for title, text in (("What is in all frames", "a girl"), ("Negative", ""))
    ]
    held = between.add("Fabula_TransitionLatents", "Transition Latents", vae=vae, keyframes=keyframes, frames=13)
    frames = between.add(
        "KSampler", "Draw the transitions", model=alike[0], positive=texts[0][0], negative=texts[1][0], latent_image=held[0], seed=1, **{**SAMPLING, "steps": 12, "cfg": 2.0},
    )
    frames = between.add("VAEDecode", "Decode the transitions", samples=frames[0], vae=vae)
    film = w.group("Film", BROWN, 420)
    joined = film.add("Fabula_JoinTransitions", "Join Transitions", transitions=frames[0], keyframes=keyframes)
    captioned = film.add("Fabula_CaptionFilm", "Caption Film", frames=joined[0], story=story[0], fps=12.0, mode="burnt in", font_size=0, panels="1-4")
    film.add("SaveVideo", "Save Video", video=captioned[0], filename_prefix="fabula/story", format="mp4", codec="h264")
    return w


WORKFLOWS = (demo_story, demo_two_characters, demo_identity, demo_pages, demo_film)
