"""Words for the pictures of the demo world.

A caption leaves attributes out at random, so that "a girl" alone is ambiguous and a model must decide for itself
what she wears: what consistent self-attention then has to keep.
"""

from __future__ import annotations

from random import Random

from .world import Character, Picture

ACTION_WORDS: dict[str, tuple[str, ...]] = {
    "waving": ("waving", "waving hello", "waves", "waving her hand", "waving his hand", "says hello"),
    "running": ("running", "runs", "running fast"),
    "sitting": ("sitting", "sitting on a bench", "sits", "sitting down", "resting on a bench"),
    "jumping": ("jumping", "jumps", "jumping for joy", "jumping high"),
    "reading": ("reading a book", "reading", "reads a book", "reading a story"),
    "balloon": ("holding a balloon", "with a red balloon", "holding a red balloon", "carrying a balloon"),
}
PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "forest": ("in the forest", "in a forest", "in the woods", "under the trees", "through the forest"),
    "beach": ("on the beach", "on a beach", "by the sea", "at the seaside", "under a palm"),
    "city": ("in the city", "in the street", "in town", "in a city street", "between the houses"),
    "mountains": ("in the mountains", "in the snowy mountains", "on a mountain", "below the mountains"),
    "desert": ("in the desert", "in a desert", "among the cactus", "in the dunes"),
    "meadow": ("in a meadow", "in the meadow", "in the countryside", "near a farm house", "in a field of flowers"),
    "library": ("in the library", "in a library", "in front of the bookshelves", "among the books"),
    "bedroom": ("in the bedroom", "in a bedroom", "at home", "in her room", "in his room"),
}
TIME_WORDS: dict[str, tuple[str, ...]] = {
    "day": ("by day", "in the morning", "on a bright day", "in daylight"),
    "sunset": ("at sunset", "in the evening", "at dusk"),
    "night": ("at night", "by night", "under the moon", "at midnight"),
}
WEATHER_WORDS: dict[str, tuple[str, ...]] = {
    "clear": ("clear sky", "good weather"),
    "rain": ("in the rain", "it is raining", "rainy weather", "on a rainy day"),
    "snow": ("in the snow", "it is snowing", "snow falls", "on a snowy day"),
}
PLURAL = {"girl": "girls", "boy": "boys", "woman": "women", "man": "men", "old woman": "old women", "old man": "old men"}
# Words that people write around these and that should not surprise the text encoders.
FILLER = (
    "a an the and of in on at to with is are her his its she he they then while for from into over under very cute little young "
    "small tall happy cartoon comic style picture story drawing colours bright one two who looks image panel book photo of best quality "
    "bad blurry low quality ugly text watermark wearing wears dressed dress coat shirt trousers shoes hat cap beanie scarf beard hair skin"
)


def article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _keep(rng: Random, said: float) -> bool:
    return rng.random() < said


def character_words(who: Character, rng: Random, said: float, plural: bool = False) -> str:
    """Describes `who`; each attribute is named with probability `said`, and its colour is sometimes left out too."""
    kind = PLURAL[who.kind] if plural else article(who.kind)
    parts: list[str] = []
    hair = [w for w in (who.hair_style if _keep(rng, said) else "", who.hair if _keep(rng, said) else "") if w]
    if hair:
        parts.append("with " + " ".join(hair) + " hair")
    if _keep(rng, said * 0.7):
        parts.append(f"{who.skin} skin")
    clothes: list[str] = []
    if _keep(rng, said):
        clothes.append(article(f"{who.top} {who.outfit}" if _keep(rng, 0.85) else who.outfit))
    if who.outfit != "dress" and _keep(rng, said):
        clothes.append(f"{who.bottom} trousers")
    if _keep(rng, said):
        clothes.append(f"{who.shoes} shoes")
    if who.hat == "none":
        if _keep(rng, said * 0.3):
            clothes.append("no hat")
    elif _keep(rng, said):
        hat = f"{who.hat_colour} {who.hat}" if _keep(rng, 0.85) else who.hat
        clothes.append(article(hat) + (" and scarf" if _keep(rng, 0.6) else ""))
    if who.beard and _keep(rng, said):
        parts.append("a beard")
    rng.shuffle(clothes)
    if clothes:
        parts.append(rng.choice(("wearing ", "in ", "")) + ", ".join(clothes))
    rng.shuffle(parts)
    return ", ".join([kind, *parts])


def scene_words(picture: Picture, rng: Random) -> str:
    """Where, when and in which weather."""
    words = [rng.choice(PLACE_WORDS[picture.place])] if _keep(rng, 0.95) else []
    if _keep(rng, 0.55 if picture.time == "day" else 0.9):
        words.append(rng.choice(TIME_WORDS[picture.time]))
    if _keep(rng, 0.1 if picture.weather == "clear" else 0.9):
        words.append(rng.choice(WEATHER_WORDS[picture.weather]))
    if _keep(rng, 0.25):
        rng.shuffle(words)
    return ", ".join(words) if _keep(rng, 0.5) else " ".join(words)


def _action(figure, rng: Random) -> str:
    return rng.choice(ACTION_WORDS[figure.action]) if _keep(rng, 0.95) else ""


def _said(rng: Random) -> float:
    """How talkative a caption is: often silent about the clothes, sometimes complete."""
    return rng.choice((0.0, 0.0, 0.3, 0.5, 0.7, 1.0))


def _join(rng: Random, *phrases: str) -> str:
    return rng.choice((", ", ", ", " ")).join(p for p in phrases if p)


def caption(pictures: tuple[Picture, ...], rng: Random) -> str:
    """A caption for one picture, or for the panels of a strip that all show one character."""
    first = pictures[0]
    lead = rng.choice(("", "", "", "cartoon of ", "a picture of "))
    said = _said(rng)
    if len(pictures) > 1:
        who = character_words(first.figures[0].character, rng, said)
        panels = [_join(rng, _action(p.figures[0], rng), scene_words(p, rng)) for p in pictures]
        return f"comic strip of {who}, " + ", then ".join(panels)
    if len(first.figures) == 1:
        who = character_words(first.figures[0].character, rng, said)
        action, scene = _action(first.figures[0], rng), scene_words(first, rng)
        if _keep(rng, 0.12):
            return _join(rng, scene, who, action)
        return lead + _join(rng, who, _join(rng, action, scene))
    a, b = first.figures
    scene = scene_words(first, rng)
    if a.character == b.character:
        return lead + _join(rng, "two twin " + character_words(a.character, rng, said, plural=True), f"{_action(a, rng)} and {_action(b, rng)}", scene)
    who = " and ".join(_join(rng, character_words(f.character, rng, min(said, 0.5)), _action(f, rng)) for f in (a, b))
    return lead + _join(rng, who, scene)
