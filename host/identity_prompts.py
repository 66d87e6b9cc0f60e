"""The prompts of a story with photos: whose each trigger word is, and each panel's tokens with its class tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from comfy.sd import CLIP

from ..identity.class_tokens import Expansion, Frame, TriggerError, expand, find_triggers, lay_out
from ..story.model import Panel
from .prompt_tokens import flatten, join_parts, pad_chunks, tokenize_parts
from .prompt_words import Words

NODE = "Fabula_EncodeIdentity"
_EMBEDDING = re.compile(r"embedding:\S+")
MOST_COPIES = 75  # of a class token: a whole chunk


@dataclass(frozen=True)
class Prompt:
    """tokens: encoder to chunks. words: character to the places of its description in the chunks laid end to end. runs: the class tokens of each
    trigger in turn, whose they are and their places."""

    tokens: dict[str, list]
    words: Words
    runs: tuple[tuple[str, tuple[int, ...]], ...] = ()


class TriggerReader:
    """A CLIP's tokens around a trigger word.

    Raises: ValueError for a trigger word that is no word.
    """

    def __init__(self, clip: CLIP, trigger_word: str) -> None:
        self.word = trigger_word.strip()
        if not self.word.isalnum() or self.word == "BREAK":
            raise ValueError(f"{NODE}: input 'trigger_word' is {trigger_word!r}, which is no single word. Write one such as img.")
        self._clip = clip
        tokenizers = {encoder: getattr(clip.tokenizer, f"clip_{encoder}") for encoder in clip.tokenize("")}
        self._frames = {encoder: Frame(own.start_token, own.end_token, own.pad_token, own.max_length, own.max_word_length) for encoder, own in tokenizers.items()}
        self._tokenizers = tokenizers
        self._triggers = {encoder: self._ids(chunks, encoder) for encoder, chunks in clip.tokenize(self.word).items()}
        self._main = "l" if "l" in tokenizers else next(iter(tokenizers))  # the one whose places `find_words` gives

    def read(self, panel: Panel, text: str, words: Words, copies: Mapping[str, int]) -> Prompt:
        """A panel's styled prompt without its triggers, and each one's class token as often as `copies` says of its character.

        Args:
            words: where the prompt, its triggers still in it, describes whom.
            copies: of all characters that have photos.

        Raises: ValueError for a trigger of nobody, of somebody without photos, twice in a description, missing in one, or without a class word.
        """
        tokenized = tokenize_parts(self._clip, text, return_word_ids=True)
        self._check_words(panel, text, tokenized)
        parts, runs, moved, chunks = [], [], {}, 0
        for part in tokenized:
            new = sum(len(each[self._main]) for each in parts)
            read, own_runs, own_moved = self._read_part(panel, part, words, copies, chunks, new)
            parts.append(read)
            runs += own_runs
            moved.update(own_moved)
            chunks += len(part[self._main])
        self._check(panel, [name for name, _ in runs], copies)
        kept = {name: tuple(new for place in own for new in moved[place]) for name, own in words.items()}
        return Prompt(join_parts(parts), kept, tuple(runs))

    def _check_words(self, panel: Panel, text: str, parts: Sequence[dict[str, list]]) -> None:
        """CLIP takes digits and signs off a word, so that the tokens of img2 begin with the trigger's."""
        triggers = sum(len(self._find(part[self._main], self._main)[2]) for part in parts)
        whole = len(re.findall(rf"(?<!\w){re.escape(self.word)}(?!\w)", _EMBEDDING.sub(" ", text), re.IGNORECASE))
        if triggers != whole:
            raise ValueError(
                f'{NODE}: panel {panel.number} of input \'story\' has the trigger word "{self.word}" as a part of another word, such as {self.word}2. Write that word '
                "otherwise, or choose another trigger_word."
            )

    def _read_part(self, panel: Panel, part: dict[str, list], words: Words, copies: Mapping[str, int], old: int, new: int):
        """What stands between two BREAKs: its chunks, its runs, and where the tokens of each place have gone. old, new: chunks ahead of it."""
        main = self._frames[self._main]
        _, local, starts = self._find(part[self._main], self._main)
        where = [old * main.length + place for place in local]
        if not starts:
            plain = {encoder: [[pair[:2] for pair in chunk] for chunk in own] for encoder, own in part.items()}
            return plain, [], {place: (place + (new - old) * main.length,) for place in where}
        owners = [self._owner(panel, words, where, start) for start in starts]
        counts = [copies.get(name, 1) for name in owners]
        expanded = {encoder: self._expand(panel, chunks, encoder, counts) for encoder, chunks in part.items()}
        if any(each.runs != expanded[self._main].runs for each in expanded.values()):
            raise ValueError(
                f"{NODE}: panel {panel.number} of input 'story': an embedding ahead of the trigger word has more tokens in one text encoder than in the other. "
                "Write the embedding behind it."
            )
        laid = {encoder: lay_out(each.tokens, self._frames[encoder]) for encoder, each in expanded.items()}
        found = [new * main.length + place for place in laid[self._main][1]]
        runs = [(name, tuple(found[at] for at in run)) for name, run in zip(owners, expanded[self._main].runs)]
        moved = {place: tuple(found[at] for at in run) for place, run in zip(where, expanded[self._main].moved)}
        chunks = {encoder: own for encoder, (own, _) in laid.items()}
        pad_chunks(self._clip, chunks)
        return chunks, runs, moved

    def _expand(self, panel: Panel, chunks: Sequence, encoder: str, counts: Sequence[int]) -> Expansion:
        flat, _, starts = self._find(chunks, encoder)
        try:
            return expand(flat, starts, len(self._triggers[encoder]), counts, self._ends_word(encoder), self._is_word(encoder))
        except TriggerError as error:
            raise self._class_word_error(panel, str(error)) from error

    def _find(self, chunks: Sequence, encoder: str) -> tuple[list[tuple], list[int], list[int]]:
        """The tokens of chunks, their places, and at which of them triggers begin."""
        flat, places = flatten(chunks, self._frames[encoder].end)
        return flat, places, find_triggers(flat, self._triggers[encoder], self._ends_word(encoder))

    def _owner(self, panel: Panel, words: Words, where: Sequence[int], start: int) -> str:
        """Whose description the trigger at `start` stands in."""
        owner = next((name for name, own in words.items() if where[start] in own), None)
        if owner is None:
            raise ValueError(
                f'{NODE}: panel {panel.number} of input \'story\' has the trigger word "{self.word}" outside of its characters\' descriptions. Write it into the '
                "description of the character that has photos, or choose another trigger_word."
            )
        if start == 0 or where[start - 1] not in words[owner]:
            raise self._class_word_error(panel, f"[{owner}] begins with it")
        return owner

    def _check(self, panel: Panel, owners: Sequence[str], copies: Mapping[str, int]) -> None:
        said = [mention.tag for mention in panel.mentions]
        for name in dict.fromkeys(said):
            triggers = owners.count(name)
            wanted = said.count(name) if name in copies else 0
            if triggers == wanted:
                continue
            if name not in copies:
                problem = f'[{name}] has the trigger word "{self.word}" but no photos. Connect a Fabula_CharacterReference for it, or delete the word.'
            elif triggers < wanted:
                problem = f'[{name}] has photos, but its description lacks the trigger word. Write it behind the class word: [{name}] a woman {self.word}, red coat.'
            else:
                problem = f'[{name}] has the trigger word "{self.word}" more than once. Leave the one behind the class word.'
            raise ValueError(f"{NODE}: panel {panel.number} of input 'story': {problem}")

    def _class_word_error(self, panel: Panel, problem: str) -> ValueError:
        return ValueError(
            f'{NODE}: panel {panel.number} of input \'story\': the trigger word "{self.word}" needs a class word ahead of it, but {problem}. '
            f"Write the description like this: [Name] a woman {self.word}, red coat."
        )

    def _ids(self, chunks: Sequence, encoder: str) -> list:
        return [token for token, *_ in flatten(chunks, self._frames[encoder].end)[0]]

    def _ends_word(self, encoder: str) -> Callable[[int], bool]:
        return lambda token: self._tokenizers[encoder].inv_vocab.get(token, "").endswith("</w>")

    def _is_word(self, encoder: str) -> Callable[[Sequence[int]], bool]:
        """Of the ids of a whole word: whether it has anything but marks. Read as text: a mark beyond ASCII is several tokens of bytes."""
        return lambda ids: any(unicodedata.category(sign)[0] not in "PZC" for sign in self._tokenizers[encoder].tokenizer.decode(list(ids)).strip())
