"""The story script: what a user types into the `characters` and `panels` fields, read into a `Story`.

Characters, one a line:      [Bob] a man with a grey beard, blue coat   # a note, not sent to the model
Panels, one a line:          [Bob] feeds the ducks in a park # Every morning Bob feeds the ducks.
                             [NC] an empty bench in the rain
                             ## a harbour at dusk
                             [Bob] looks at the boats seed=7 negative="people, crowd" # Evening came. Bob: "At last."

A line of `##` is a scene: its text ends the prompts of all panels under it, up to the next; a bare `##` ends it. What a panel
has of its own (`options.py`) stands ahead of the `#`. Blank lines and lines that begin with `//` are skipped in both. The grammar is that of StoryDiffusion's
demo, with one difference: what it drops in silence is a mistake here.
All mistakes are collected first and raised together, so that a user corrects a story in one go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .cast import Cast, parse_characters
from .model import Mention, Mistake, Panel, Story, StoryError
from .options import find_options
from .speech import misspelt_speakers, take_speech
from .styles import STYLES, Style
from .text import BRACKETS, TAG, caption_start, clean, is_no_character, join, lines, plain_tags, says_something, split_caption

SCENE = "##"


def parse_story(characters: str, panels: str, style: str, negative: str, styles: Mapping[str, Style] = STYLES) -> Story:
    """Read both texts into a Story; raises StoryError with all mistakes of both. The story's own style is kept as it is; those
    of single panels must be in `styles`."""
    mistakes: list[Mistake] = []
    cast = Cast(parse_characters(characters, mistakes))
    parsed = _parse_panels(panels, cast, styles, mistakes)
    if mistakes:
        raise StoryError(mistakes)
    return Story(cast.characters, parsed, style.strip(), clean(negative), styles)


def _parse_panels(text: str, cast: Cast, styles: Collection[str], mistakes: list[Mistake]) -> tuple[Panel, ...]:
    panels: list[Panel] = []
    scene = ""
    for line_number, line in lines(text, "panels", mistakes):
        if line.startswith(SCENE):
            scene = line.lstrip("#").strip()
            if any(bracket in scene for bracket in BRACKETS):
                remedy = "Write where and when it is, ## a harbour at dusk, and the characters in the panels under it."
                mistakes.append(Mistake("panels", line_number, line, "a scene has no tags", remedy))
        else:
            panels.append(_parse_panel(len(panels) + 1, line_number, line, scene, cast, styles, mistakes))
    if not panels and not any(mistake.input_name == "panels" for mistake in mistakes):
        tag = next((character.tag for character in cast.characters), "NC")
        remedy = f"Write one panel a line, for example: [{tag}] feeds the ducks in a park # Morning."
        mistakes.append(Mistake("panels", 0, "", "the story has no panels", remedy))
    return tuple(panels)


def _parse_panel(number: int, line_number: int, line: str, scene: str, cast: Cast, styles: Collection[str],
                 mistakes: list[Mistake]) -> Panel:

    def wrong(message: str, remedy: str) -> None:
        mistakes.append(Mistake("panels", line_number, line, message, remedy))

    silent, speech = take_speech(line, cast.speech, cast.find, cast.hint, wrong)
    for called, name in misspelt_speakers(silent, cast.nearly):
        wrong(f'nobody is called "{called}"', f'Did you mean {name}: "..."? If not, write a comma in place of the colon.')
    silent = plain_tags(silent)
    bare, options = find_options(silent, caption_start(silent), styles, wrong)
    script, caption = split_caption(clean(bare))
    alone, reported = False, set()
    names: dict[str, None] = {}  # a set that keeps its order
    mentions: list[Mention] = []
    prompt, end = "", 0
    for match in TAG.finditer(script):
        prompt, end = join(prompt, script[end:match.start()]), match.end()
        tag = match[1].strip()
        character = cast.find(tag)
        if not tag:
            wrong("the brackets are empty", "Write a character's name between them, or delete them.")
        elif is_no_character(tag):
            alone = True
        elif character is None:
            if tag not in reported:
                wrong(f"no character is called [{tag}]", cast.hint(tag))
            reported.add(tag)
        else:
            names[character.tag] = None
            prompt = join(prompt, character.description)
            mentions.append(Mention(character.tag, len(prompt) - len(character.description), len(prompt)))
    # Spaces are taken off the end only: the text began with none, and the mentions count from its start.
    prompt = join(prompt, script[end:]).rstrip()

    left = TAG.sub(" ", script)
    if any(bracket in left for bracket in BRACKETS):
        wrong("a square bracket has no partner", "Write a tag as [Name].")
    elif left == script and (name := cast.written.search(script)):  # without any tag, the model would draw somebody else
        remedy = f"Write [{name[0]}], or [NC] at the start if nobody of the cast is in the picture."
        wrong(f'"{name[0]}" is a character\'s name without brackets', remedy)
    if alone and (names or reported):
        wrong("[NC] stands beside a character's tag", "Delete [NC], or the character's tag.")
    if not says_something(left):
        wrong("the panel has no text for the picture", "Describe what happens, before the # if there is one.")
    caption = _plain_caption(script if caption is None else caption, cast)
    prompt = ", ".join(part for part in (prompt, scene) if part)
    return Panel(number, prompt, caption, tuple(names), line_number, tuple(mentions), alone, scene, options, speech)


def _plain_caption(text: str, cast: Cast) -> str:
    """A caption as it is read: characters by name without brackets, no [NC]; other brackets are the author's own."""
    caption, end = "", 0
    for match in TAG.finditer(text):
        tag = match[1].strip()
        shown = "" if is_no_character(tag) else tag if cast.find(tag) else match[0]
        caption = join(join(caption, text[end:match.start()], read=True), shown, read=True)
        end = match.end()
    return join(caption, text[end:], read=True).strip()
