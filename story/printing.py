"""A story as a script again: parsing what is printed gives the same story."""

from __future__ import annotations

from .model import Character, Panel, Story
from .options import print_options
from .speech import print_speech


def print_story(story: Story) -> tuple[str, str]:
    """The texts `characters` and `panels`, from which `parse_story` makes this story."""
    lines, scene = [], ""
    for panel in story.panels:
        if panel.scene != scene:
            lines.append(f"## {panel.scene}".rstrip())
            scene = panel.scene
        lines.append(_print_panel(panel, story))
    # A # in a description is no note as long as another follows.
    people = (f"[{each.tag}] {each.description}{_print_aliases(each)}{' #' if '#' in each.description else ''}" for each in story.characters)
    return "\n".join(people), "\n".join(lines)


def _print_aliases(character: Character) -> str:
    return f' alias="{", ".join(character.aliases)}"' if character.aliases else ""


def _print_panel(panel: Panel, story: Story) -> str:
    prompt = panel.prompt.removesuffix(f", {panel.scene}") if panel.scene else panel.prompt
    for mention in reversed(panel.mentions):
        prompt = f"{prompt[:mention.start]}[{mention.tag}]{prompt[mention.end:]}"
    caption = panel.caption
    for character in story.characters:
        if "#" in character.tag:  # only in brackets a name's # is no beginning of a caption
            caption = caption.replace(character.tag, f"[{character.tag}]")
    return " ".join([*(["[NC]"] if panel.alone else []), prompt, *print_options(panel.options), "#", caption, *map(print_speech, panel.speech)]).rstrip()
