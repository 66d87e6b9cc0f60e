"""Workflows for SDXL checkpoints of the user's own."""

from __future__ import annotations

from .downloads import PHOTOMAKER, SDXL
from .graph import BLUE, BROWN, GREEN, PURPLE, Group, Node, Workflow
from .parts import STORY_WIDTH, draw_group, models_group, page_group, save_panels, story_group

SIZE = (1024, 1024)
NEGATIVE = "blurry, lowres, deformed hands, text, watermark"
MIA = "[Mia] a young woman with short ginger hair and round glasses, wearing a green raincoat and yellow boots"
ANY = "Any SDXL checkpoint, LoRA or sampler will do; so will SD1.5 at 512 x 512."
LESS = "Less memory: a smaller *tile_size* (Consistent Attention), or smaller pictures (Encode Story)."


def checkpoint(workflow: Workflow) -> tuple[Group, Node]:
    group = models_group(workflow)
    return group, group.add("CheckpointLoaderSimple", "Load Checkpoint", ckpt_name=SDXL)


def sdxl_story() -> Workflow:
    w = Workflow("sdxl_story")
    models, loaded = checkpoint(w)
    panels = """[Mia] finds an old map in a dusty attic # It fell out of a book.
[Mia] studies the map at a kitchen table, morning light # "North of the lighthouse", it said.
[Mia] walks along a stormy beach towards a lighthouse # So north she went.
[Mia] climbs a spiral staircase with a lantern # Two hundred and twelve steps.
[NC] a small wooden chest on a window sill, the sea behind it # And there it stood.
[Mia] laughs, an open chest in her arms, sunset over the sea # Mia: "It is full of maps!\""""
    story, encoded = story_group(w, MIA, panels, SIZE, loaded[1], "Comic book", NEGATIVE, 600)
    drawing, _, pictures = draw_group(w, "Drawing", loaded[0], encoded, loaded[2])
    save_panels(drawing, pictures[0])
    page_group(w, pictures[0], story, page_width=1600, font_size=34)
    models.files(LESS, ANY)
    models.note("**Six panels, one Mia.** One character a line, one panel a line; what follows the *#* is the caption, *Mia: \"...\"* in it a balloon, *[NC]* a panel without her. Her first three panels are the anchors: all others look at these.", first=True)
    return w


def sdxl_two_characters() -> Workflow:
    w = Workflow("sdxl_two_characters")
    models, loaded = checkpoint(w)
    characters = f"""{MIA}
[Tom] an old man with a white beard, wearing a navy blue sweater and a captain's hat"""
    panels = """[Mia] waits at a bus stop in the rain # The bus did not come.
[Tom] steers a small red boat across a harbour # But Tom did.
[Mia] waves from a wooden pier # Mia: "Ahoy!"
[Tom] throws a rope, close-up # Tom: "Can you catch?"
[Mia] and [Tom] sail together under a rainbow # Nobody takes the bus any more.
[Mia] and [Tom] eat soup in a tiny cabin, lamplight # Tom: "More?" Mia: "Always.\""""
    story, encoded = story_group(w, characters, panels, SIZE, loaded[1], "Comic book", NEGATIVE, 600, id_length=2)
    drawing, _, pictures = draw_group(w, "Drawing", loaded[0], encoded, loaded[2], id_length=2)
    save_panels(drawing, pictures[0])
    page_group(w, pictures[0], story, layout="classic", page_width=1800, font_size=30)
    models.files(LESS, ANY)
    models.note("**Two characters, alone and together.** In mode *anchors* each needs panels of its own; *id_length* says how many of them hold its looks (2 here, the same number in Encode Story and Consistent Attention). In a panel of both, each one's tokens go only to where that one stands.", first=True)
    return w


LONG_STORY = """## in an attic full of boxes, dust in the light
[Mia] opens a trunk # One rainy Sunday
[Mia] unfolds a yellowed map # Mia found a map.
[NC] a hand-drawn map of an island, close-up # It had no name on it.
## in a small kitchen with blue tiles
[Mia] compares the map with an atlas # No island looked like it,
[Mia] asks her cat # and nobody knew. Mia: "Do you?"
[Mia] packs a rucksack # So she packed for three days.
## at a fishing harbour in the morning fog
[Mia] talks to the gulls # The harbour was empty.
[Mia] finds a rowing boat # Almost empty.
[Mia] pushes a boat into the water # Mia: "Only borrowed."
## on the open sea
[Mia] rows, small under a huge sky # She rowed all day
[Mia] sleeps in the boat under the stars # and drifted all night.
[NC] a whale beside a small boat, seen from above # She was not alone.
[Mia] shouts for joy, land ahead # Mia: "Land!"
## on a tropical beach
[Mia] jumps out of the boat # The sand was warm.
[Mia] follows footprints in the sand # And somebody had been here before.
[NC] footprints that lead into a jungle # Not long before.
## in a green jungle, sunbeams
[Mia] climbs over roots # The path went up
[Mia] crosses a rope bridge # and over,
[Mia] looks behind a waterfall # and through.
## in a cave lit by candles
[Mia] finds a wooden chest # There it was.
[Mia] lifts the lid, golden light on her face # It was not locked.
[NC] an open chest full of rolled maps # Maps. Hundreds of maps.
[Mia] laughs # Each of another island.
[Mia] chooses a map # Mia: "Next Sunday, then.\""""


def sdxl_long_story() -> Workflow:
    w = Workflow("sdxl_long_story")
    models, loaded = checkpoint(w)
    story, encoded = story_group(w, MIA, LONG_STORY, (768, 768), loaded[1], "Comic book", NEGATIVE, 900)
    drawing, _, pictures = draw_group(w, "Drawing", loaded[0], encoded, loaded[2])
    save_panels(drawing, pictures[0], "fabula/long/panel")
    page_group(w, pictures[0], story, file_format="pdf", prefix="fabula/long/comic", page_width=1800, font_size=32)
    models.files(LESS, ANY)
    models.note("**24 panels in the memory of one tile**: *tile_size* panels are denoised at once, with the anchors beside them. A longer story takes longer, and no more memory. *##* is a scene: it ends the prompts of the panels below. Redraw a few: write *4,7-9* into *panels* of Encode Story, or *seed=7* into a panel's line; the others stay bit for bit what they are.", first=True)
    return w


def sdxl_identity() -> Workflow:
    w = Workflow("sdxl_identity")
    models, loaded = checkpoint(w)
    photomaker = models.add("Fabula_LoadPhotoMaker", "Load PhotoMaker", model=loaded[0], photomaker_name=PHOTOMAKER)
    photos = w.group("Photos", BLUE, 340)
    mia = [photos.add("LoadImage", f"Photo {number} of Mia", image=f"mia_{number}.png")[0] for number in (1, 2)]
    both = photos.add("ImageBatch", "Both photos of Mia", image1=mia[0], image2=mia[1])
    tom = photos.add("LoadImage", "Photo of Tom", image="tom_1.png")[0]
    group = w.group("Story with persons", GREEN, STORY_WIDTH)
    references = group.add("Fabula_CharacterReference", "Mia", character="Mia", images=both[0])
    references = group.add("Fabula_CharacterReference", "Tom", character="Tom", images=tom, references=references[0])
    panels = """[Mia] reads a letter in a sunny cafe # A letter from Tom.
[Mia] runs through a railway station # The train would not wait.
[Tom] waits on a platform, snow falls # Neither would he.
[Tom] holds up a paper sign, laughing # Tom: "Over here!"
[Mia] looks out of a train window at night # Mia: "There he is.\""""
    story = group.add(
        "Fabula_Story", "Story", 480, characters="[Mia] a woman img, long dark coat\n[Tom] a man img, red scarf", panels=panels, style="Photographic", negative=NEGATIVE,
    )
    sigmas = group.add("BasicScheduler", "Sigmas", model=photomaker[0], scheduler="karras", steps=30, denoise=1.0)
    encoded = group.add(
        "Fabula_EncodeIdentity", "Encode Identity", clip=loaded[1], id_encoder=photomaker[1], references=references[0], story=story[0], width=1024, height=1024, sigmas=sigmas[0], id_length=2,
    )
    drawing = w.group("Drawing", PURPLE)
    patch = drawing.add("Fabula_ConsistentAttention", "Consistent Attention", model=photomaker[0], id_length=2)
    sampler = drawing.add("KSamplerSelect", "Sampler", sampler_name="dpmpp_2m")
    drawn = drawing.add(
        "SamplerCustom", "Draw the panels", model=patch[0], add_noise=True, noise_seed=1, cfg=5.0, positive=encoded[0], negative=encoded[2],
        sampler=sampler[0], sigmas=sigmas[0], latent_image=encoded[3],
    )
    pictures = drawing.add("VAEDecode", "VAE Decode", samples=drawn[0], vae=loaded[2])
    save_panels(drawing, pictures[0], "fabula/identity")
    page_group(w, pictures[0], story, page_width=1600, font_size=34, prefix="fabula/identity_comic")
    models.files("Less memory: a smaller *tile_size* (Consistent Attention), or smaller pictures (Encode Identity). Any SDXL checkpoint will do; PhotoMaker is for SDXL alone.")
    models.note("**The persons of your photos.** Choose your own in the Load Image nodes: the face shall fill much of the picture, and two to four of a person are better than one. *img* behind the class word (*a woman img*) is where they go in. *style_strength*: higher, and the style of the words comes through more; lower, and the likeness does. PhotoMaker V2 (*photomaker-v2.bin*) needs Face Embeds between photo and reference.", first=True)
    return w


def sdxl_character_save() -> Workflow:
    w = Workflow("sdxl_character_1_save")
    models, loaded = checkpoint(w)
    panels = """[Mia] full body, stands in front of a white wall
[Mia] portrait, smiles, in front of a white wall
[Mia] walks, seen from the side, in front of a white wall"""
    story, encoded = story_group(w, MIA, panels, SIZE, loaded[1], "Comic book", NEGATIVE, 520)
    drawing, drawn, pictures = draw_group(w, "Drawing", loaded[0], encoded, loaded[2])
    keeping = w.group("Keep her", BROWN, 420)
    keeping.add("PreviewImage", "Do you like her?", images=pictures[0])
    keeping.add(
        "Fabula_SaveCharacter", "Save Character", 120, samples=drawn[0], positive=encoded[0], negative=encoded[1], character="Mia", filename_prefix="mia", images=pictures[0],
    )
    models.files("The same checkpoint family and picture size in both workflows. Less memory: smaller pictures in both.", ANY)
    models.note("**A character for all your stories.** Draw her until you like her (change the seed), and she is kept in *models/fabula_characters* as *mia_00001_.safetensors*. Then open *sdxl_character_2_continue*.", first=True)
    return w


def sdxl_character_continue() -> Workflow:
    w = Workflow("sdxl_character_2_continue")
    models, loaded = checkpoint(w)
    kept = models.add("Fabula_LoadCharacter", "Load Character", character_name="mia_00001_.safetensors")
    panels = """[Mia] buys apples at a market # On Saturday
[Mia] rides a bicycle through a park in autumn # Mia went the long way home
[Mia] feeds ducks at a pond # and was late.
[Mia] bakes a cake in a small kitchen # Nobody minded."""
    story, encoded = story_group(w, MIA, panels, SIZE, loaded[1], "Comic book", NEGATIVE, 520)
    drawing, _, pictures = draw_group(w, "Drawing", loaded[0], encoded, loaded[2], character=kept[0])
    save_panels(drawing, pictures[0], "fabula/mia")
    page_group(w, pictures[0], story, prefix="fabula/mia_comic")
    models.files("The same checkpoint family and picture size in both workflows. Less memory: smaller pictures in both.", ANY)
    models.note("**She goes on.** The pictures that *sdxl_character_1_save* kept take part in every step, and the new panels look at them. If the file is not in the list, press R.", first=True)
    return w


PROSE = """Mia lived in a lighthouse. Every evening she climbed the stairs and lit the lamp.

One night the lamp would not burn. "Not tonight of all nights," said Mia. A storm came up over the sea, and far away a ship blew its horn.

She ran down to the cellar and found an old accordion. She carried it up to the balcony and played as loudly as she could. The captain heard the music and turned the ship away from the rocks.

In the morning the crew stood at her door with a new lamp. "We liked the music better," said the captain."""


def sdxl_prose_to_comic() -> Workflow:
    w = Workflow("sdxl_prose_to_comic")
    models, loaded = checkpoint(w)
    text = w.group("Prose", GREEN, STORY_WIDTH)
    cast = text.add("PrimitiveStringMultiline", "Characters", 120, value=f"{MIA}\n[Captain] an old sailor with a grey beard, wearing a dark blue coat alias=\"the captain\"")
    script = text.add("Fabula_SplitStory", "Split Story", 430, text=PROSE, max_panels=8, characters=cast[0])
    text.add("PreviewAny", "The script: read it", 260, source=script[0])
    story, encoded = story_group(w, cast[0], script[0], SIZE, loaded[1], "Comic book", NEGATIVE, 520)
    drawing, _, pictures = draw_group(w, "Drawing", loaded[0], encoded, loaded[2], mode="batch")
    save_panels(drawing, pictures[0], "fabula/book/panel")
    page_group(w, pictures[0], story, file_format="cbz", prefix="fabula/book/comic", layout="free", rows="2,1", page_width=1600, font_size=34)
    models.files("Less memory: smaller pictures (Encode Story). In mode *batch* all eight panels are drawn at once; where each character has panels alone, mode *anchors* draws *tile_size* at a time.", ANY)
    models.note("**From prose to a comic book.** Split Story cuts the text into panels: who is in each, what to draw, what is said. Read its script; to correct it, copy it into *panels* of Story. An instruct model writes richer prompts: Story Director. Mode *batch*, since prose does not promise anybody a panel alone.", first=True)
    return w


WORKFLOWS = (sdxl_story, sdxl_two_characters, sdxl_long_story, sdxl_identity, sdxl_character_save, sdxl_character_continue, sdxl_prose_to_comic)
