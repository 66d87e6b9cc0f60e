"""JSON as language models write it: within other text, with comments, trailing commas, curly or single quotes, or cut off.

Whatever JSON allows is read as JSON reads it. What is damaged beyond that is refused, never guessed at.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

_DEEPEST = 12  # lists and objects within each other; more is no script, and would end in a RecursionError
_TRIES = 100  # opening braces that are tried: each may cost a walk to the end of the text
_SHOWN = 30  # characters quoted in an error

# A comma says nothing that the next value does not say. A comment may be cut off, too.
_GAP = re.compile(r"(?:[\s,\ufeff]+|//[^\n]*|/\*.*?(?:\*/|\Z)|/\Z)*", re.DOTALL)
_COLONS = ":\uff1a"
_BARE_KEY = re.compile(r"[A-Za-z_]\w*")
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_WORD = re.compile(rf"(?:(-?[0-9][0-9.eE+-]*)|{'|'.join(_WORDS)})(?!\w)")
# A quote ends a string where JSON goes on after it; any other is a quote or an apostrophe within the text.
_BEHIND_STRING = r"\s*(?:\Z|[}\]:\uff1a]|,\s*(?:\Z|[\"'\u201c\u201d{\[}\]/0-9-]|true|false|null)|[\r\n]\s*[\"\u201c])"
_STRINGS = {
    opening: re.compile(rf"[{opening}]((?:[^\\{closing}]|\\.|[{closing}](?!{_BEHIND_STRING}))*)([{closing}]?)", re.DOTALL)
    for opening, closing in (('"', '"'), ("\u201c", '"\u201c\u201d'), ("\u201d", '"\u201c\u201d'), ("'", "'"))
}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def find_object(text: str, key: str) -> tuple[dict[str, Any], bool]:
    """The first object of a text that has `key`, and whether the text ends before it does.

    Of an object that is cut off all finished members are there; of its lists the finished items alone. A number is a float.

    Raises: ValueError, with what is wrong, where there is none.
    """
    first_error = ""
    for brace in itertools.islice(re.finditer(r"\{", text), _TRIES):
        reader = _Reader(text, brace.start())
        try:
            found = reader.value()
        except ValueError as error:
            first_error = first_error or str(error)
            continue
        if key in found:
            return found, reader.cut
        if reader.cut:
            first_error = first_error or f'the answer ends ahead of "{key}"'
    raise ValueError(first_error or f'the answer holds no JSON object with "{key}"')


class _Reader:
    """Reads the value at `at`. `cut` is set where the text ends too early; every container then ends with what it has."""

    def __init__(self, text: str, at: int) -> None:
        self._text, self._at = text, at
        self.cut = False

    def value(self, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"the answer has more than {_DEEPEST} brackets within each other")
        first = self._text[self._at]
        if first == "{":
            return self._object(depth)
        if first == "[":
            return self._list(depth)
        return self._string(first) if first in _STRINGS else self._word()

    def _object(self, depth: int) -> dict[str, Any]:
        found = {}
        self._at += 1
        while self._has_more("}"):
            key = self._key()
            if not self._skip():
                break
            if self._text[self._at] not in _COLONS:
                raise self._unreadable("a colon after a key")
            self._at += 1
            if not self._skip():
                break
            value = self.value(depth + 1)
            if not self.cut or isinstance(value, (dict, list)):
                found[key] = value
        return found

    def _list(self, depth: int) -> list[Any]:
        found = []
        self._at += 1
        while self._has_more("]"):
            value = self.value(depth + 1)
            if not self.cut:
                found.append(value)
        return found

    def _has_more(self, close: str) -> bool:
        """Whether an item follows. The other kind of bracket ends a container, too: its own was forgotten."""
        if not self._skip():
            return False
        if self._text[self._at] not in "}]":
            return True
        if self._text[self._at] == close:
            self._at += 1
        return False

    def _skip(self) -> bool:
        """Goes on to where something stands; false where the text ends."""
        self._at = _GAP.match(self._text, self._at).end()
        self.cut = self.cut or self._at == len(self._text)
        return not self.cut

    def _key(self) -> str:
        first = self._text[self._at]
        if first in _STRINGS:
            return self._string(first)
        match = _BARE_KEY.match(self._text, self._at)
        if not match:
            raise self._unreadable("a key in quotes")
        self._at = match.end()
        return match[0]

    def _string(self, quote: str) -> str:
        match = _STRINGS[quote].match(self._text, self._at)
        self._at = match.end()
        self.cut = not match[2]
        # A pair of escapes may make one character; half a pair is none, and could not be written to a file.
        text = _ESCAPE.sub(_unescape, match[1])
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _word(self) -> bool | float | None:
        match = _WORD.match(self._text, self._at)
        if not match:
            if any(word.startswith(self._text[self._at:]) for word in _WORDS):
                self._at, self.cut = len(self._text), True
                return None
            raise self._unreadable("a value")
        self._at = match.end()
        try:
            return _WORDS[match[0]] if match[1] is None else float(match[1])
        except ValueError:
            raise self._unreadable("a number") from None

    def _unreadable(self, wanted: str) -> ValueError:
        around = " ".join(self._text[max(0, self._at - _SHOWN):self._at + _SHOWN].split())
        return ValueError(f"the answer is no JSON: {wanted} is missing at: {around}")


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)
