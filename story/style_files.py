"""Styles of the users' own, in the two kinds of files that they already have: Automatic1111's `styles.csv` (name, prompt,
negative_prompt) and the JSON of SDXL Prompt Styler (a list of objects with these keys)."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from .styles import PLACE, Style

SUFFIXES = {".csv", ".json"}


def read_styles(path: Path) -> dict[str, Style]:
    """The styles of one file, in its order. A prompt without `{prompt}` is put after the panel's own, as Automatic1111 does.

    Raises: ValueError, with the file's name and what to do, for a file that cannot be read as one of the two kinds.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = json.loads(text) if path.suffix.lower() == ".json" else list(csv.DictReader(io.StringIO(text)))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise ValueError(f"{path.name} cannot be read as styles ({error}). Save it as UTF-8, as .csv or .json.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path.name} is no list of styles. Write a list of objects with name, prompt and negative_prompt.")
    styles = {}
    for number, row in enumerate(rows, start=1):
        name, prompt, negative = ((row.get(key) or "") for key in ("name", "prompt", "negative_prompt"))
        if not all(isinstance(value, str) for value in (name, prompt, negative)):
            raise ValueError(f"{path.name}, style {number}: name, prompt and negative_prompt must be texts.")
        if not name.strip():
            raise ValueError(f"{path.name}, style {number} has no name. A .csv begins with the line: name,prompt,negative_prompt.")
        if path.suffix.lower() == ".csv" and (row.get("prompt") is None or any(row.get(None) or ())):
            what = "no comma" if row.get("prompt") is None else "more commas than its first line"
            remedy = "Write name,prompt,negative_prompt, and texts with commas in quotes."
            raise ValueError(f'{path.name}, style "{name.strip()}": its line has {what}. {remedy}')
        if prompt.count(PLACE) > 1:
            raise ValueError(f'{path.name}, style "{name.strip()}" has {PLACE} more than once. Leave one of them.')
        template = prompt.strip() if PLACE in prompt else ", ".join(part for part in (PLACE, prompt.strip(" ,")) if part)
        styles[name.strip()] = Style(template, negative.strip())
    return styles
