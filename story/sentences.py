"""Prose as sentences. A quotation is never parted, nor is it parted from the words that say who speaks."""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from .speech import CURLY_QUOTED, DOUBLE_QUOTED, QUOTE_MARKS, TURNED_QUOTED
from .text import clean, is_wide, says_something, split_lines
from .words import ABBREVIATIONS, ATTRIBUTION, COMMON, SCRIPTS, TITLE_END

# As in a script, and one that is open at a paragraph's end since the next goes on with it. Single straight quotes only where no
# apostrophe is taken for one: at the start of a word, and behind the stop with which speech ends.
QUOTATION = re.compile(
    rf"{DOUBLE_QUOTED}|(?<!\S)(?=[\u00bb\u201d]\S)(?:{TURNED_QUOTED})|{CURLY_QUOTED}|\u201c[^\u201c\u201d]*\Z|"
    r"(?<![^\s(\u2013\u2014])'(?=\S)[^']*(?:(?<=\w)'[^']*)*(?<=[.,!?\u2026\u2013\u2014-])'(?!\w)"
)
QUOTES = f"{QUOTE_MARKS}\u2018\u2019"
_ENDS = ".!?\u2026\u3002\uff01\uff1f\uff0e"
_END = re.compile(rf"[{re.escape(_ENDS)}][\"'\u201d\u2019\u300d\u300f\u00bb)\]]*\Z")
_SENTENCE_GOES_ON = re.compile("[\\s\u2013\u2014\u2026]*(?:[,;\uff0c\u3001\uff1b]|\u3068|\u3063\u3066)")
_CORNERED = ("\u300d", "\u300f")
_PARTICLE = tuple("\u3068\u3063\u3092\u304c\u306f\u306e\u306b\u3067\u3082\u3078\u3060\u306a")  # behind a Japanese word in quotes
_HEADING = re.compile(r"#{1,6}(?: |\Z)")
_PLAIN_END = re.compile(r"[.!?\u2026]+[)'\u2019]*(?=\s)|[\u3002\uff01\uff1f\uff0e]+[\uff09)]*|\u2026{2,}(?!\w)")
_PORTION = re.compile("(?s).{800}[^\u3002\uff01\uff1f]*[\u3002\uff01\uff1f]+|.+")
_LAST_WORD = re.compile(r"(\w+)\Z")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sentence:
    """text: cleaned. opens: 2 for the first of a section (a heading, or a line such as * * * above it), 1 for the first of any other
    paragraph, else 0."""

    text: str
    opens: int


def read_sentences(text: str) -> tuple[list[Sentence], str]:
    """The sentences of a text, and its language as a two-letter code. Sentences without a letter or a digit belong to the one before."""
    language = guess_language(text)
    split = sentence_splitter()
    found = []
    for paragraph, opens in _paragraphs(text):
        for number, sentence in enumerate(_sentences(paragraph, language, split)):
            found.append(Sentence(sentence, 0 if number else opens))
    return found, language


def guess_language(text: str) -> str:
    """By its script, where one kana in ten Han is Japanese; in Latin letters by the most common words, English where there are none."""
    counts = {code: len(re.findall(f"[{letters}]", text)) for code, letters in SCRIPTS.items()}
    if counts["ja"] and counts["ja"] * 10 >= counts["zh"]:
        counts["ja"] += counts["zh"]
    most = max(counts, key=counts.__getitem__)
    if counts[most] * 3 >= sum(map(str.isalpha, text)) > 0:
        return most
    words = re.findall(r"\w+", text[:20_000].casefold())
    votes = {code: sum(word in common for word in words) for code, common in COMMON.items()}
    return max(votes, key=votes.__getitem__)


def _paragraphs(text: str) -> Iterator[tuple[str, int]]:
    """Each paragraph on one line, with what it opens. Lines are paragraphs, unless most of them end within a sentence: then the
    text is wrapped, and blank lines part it."""
    lines = [clean(line) for line in split_lines(text)]
    ends = [bool(_END.search(line)) for line, after in pairwise(lines) if says_something(line) and says_something(after)]
    wrapped = 2 * sum(ends) < len(ends)
    held: list[str] = []
    opens = 2
    for line in (*lines, ""):
        heading = bool(_HEADING.match(line))
        if held and (not wrapped or heading or not says_something(line)):
            yield _unwrap(held), opens
            held, opens = [], 1
        line = line.lstrip("#").strip() if heading else line
        if not says_something(line):
            opens = 2 if line or heading else opens
        elif heading:
            yield line, 2
            opens = 1
        else:
            held.append(line)


def _unwrap(lines: list[str]) -> str:
    unspaced = (is_wide(a[-1]) or is_wide(b[0]) for a, b in pairwise(lines))
    return lines[0] + "".join(line if touching else f" {line}" for line, touching in zip(lines[1:], unspaced))


def _sentences(paragraph: str, language: str, split: Callable[[str, str], list[str]]) -> list[str]:
    pieces: list[tuple[str, bool]] = []  # text, and whether it is a quotation
    end = 0
    for match in QUOTATION.finditer(paragraph):
        pieces += [(piece, False) for piece in split(paragraph[end:match.start()], language)]
        pieces.append((match[0], True))
        end = match.end()
    pieces += [(piece, False) for piece in split(paragraph[end:], language)]
    pieces = _without_blanks(pieces)
    found: list[list[str]] = []
    for number, (piece, _) in enumerate(pieces):
        empty = not says_something(piece) or found and not any(map(says_something, found[-1]))
        if found and (empty or _belongs(pieces, number, len(found[-1]) == 1)):
            found[-1].append(piece)
        else:
            found.append([piece])
    return [sentence for parts in found if (sentence := "".join(parts).strip())]


def _without_blanks(pieces: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """White space is no piece of its own, but the end of the one before."""
    found: list[tuple[str, bool]] = []
    for text, quoted in pieces:
        if found and not text.strip():
            found[-1] = (found[-1][0] + text, found[-1][1])
        else:
            found.append((text, quoted))
    return found


def _belongs(pieces: list[tuple[str, bool]], number: int, first: bool) -> bool:
    """Whether a piece is of the same sentence as that before it, which is the `first` of it or not."""
    (before, after_quotation), (piece, quoted) = pieces[number - 1:number + 1]
    ended = bool(_END.search(before.rstrip()))
    if quoted or not after_quotation:
        return quoted and not after_quotation and not ended
    if first and before.rstrip().endswith(_CORNERED) and not piece.startswith(_PARTICLE):
        ended = True  # Japanese speech ends without a full stop
    if number + 1 < len(pieces) and pieces[number + 1][1]:
        if piece.rstrip().endswith((",", "\uff0c")):
            return True  # in the midst of speech: "Look!" Mia raised the map, "I found it."
        if piece.rstrip().endswith((":", "\uff1a")):
            return not ended  # it says who speaks next
    begins = next(filter(str.isalnum, piece), "")
    return not ended or begins.islower() or bool(_SENTENCE_GOES_ON.match(piece) or ATTRIBUTION.match(piece))


@functools.cache
def sentence_splitter() -> Callable[[str, str], list[str]]:
    """The library's splitter where it is installed, else our own, with a warning the first time."""
    try:
        import sentencex
    except ImportError:
        log.warning(
            "Fabula_SplitStory: sentences are split by a simple rule, which takes some abbreviations for the end of a sentence. For better "
            "ones: pip install sentencex"
        )
        return _split_plainly

    def split(text: str, language: str) -> list[str]:
        # Quotes that were never closed make it slow, and so does a long text in Chinese or Japanese.
        masked = re.sub(f"[{QUOTES}]", " ", text)
        return _cut(text, _with_titles(piece for part in _PORTION.findall(masked) for piece in sentencex.segment(language, part)))

    return split


def _with_titles(pieces: Iterable[str]) -> list[str]:
    """The pieces, joined behind the title of a name: the library takes "Dr. Who" for two sentences."""
    found: list[str] = []
    for piece in pieces:
        if found and TITLE_END.search(found[-1][-8:]):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def _cut(text: str, pieces: list[str]) -> list[str]:
    """`text` in pieces as long as `pieces`, whose characters it has in the same places."""
    ends = [0]
    for piece in pieces:
        ends.append(ends[-1] + len(piece))
    return [text[start:end] for start, end in pairwise([*ends[:-1], len(text)])]


def _split_plainly(text: str, language: str) -> list[str]:
    found, start = [], 0
    for match in _PLAIN_END.finditer(text):
        word = _LAST_WORD.search(text, max(start, match.start() - 12), match.start())
        short = word and (word[1].casefold() in ABBREVIATIONS or len(word[1]) == 1 and word[1].isupper() and word[1] != "I")
        if match[0] == "." and short or text[match.end():match.end() + 2].strip()[:1].islower():
            continue
        found.append(text[start:match.end()])
        start = match.end()
    return [piece for piece in (*found, text[start:]) if piece]
