"""The prompts of a story with photos: which trigger word belongs to whom, and each panel's tokens with its class tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from comfy.sd import CLIP

from ..identity.class_tokens import Frame, TriggerError, content, expand, find_triggers, lay_out, places
from ..story.model import Panel
from .prompt_tokens import split_breaks

NODE = "Fabula_EncodeIdentity"
MOST_COPIES = 75  # of a class token: a whole chunk


@dataclass(frozen=True)
class Prompt:
    """tokens: encoder to chunks. runs: for each trigger in turn, where its class tokens lie in the chunks laid end to end."""

    tokens: dict[str, list]
    runs: list[list[int]]


class TriggerReader:
    """A CLIP's tokens around a trigger word.

    Raises: ValueError for a trigger word that is no word.
    """

    def __init__(self, clip: CLIP, trigger_word: str) -> None:
        self._clip = clip
        self.word = trigger_word.strip()
        tokenizers = {encoder: getattr(clip.tokenizer, f"clip_{encoder}") for encoder in clip.tokenize("")}
        self._frames = {encoder: Frame(own.start_token, own.end_token, own.pad_token, own.max_length) for encoder, own in tokenizers.items()}
        self._vocabularies = {encoder: own.inv_vocab for encoder, own in tokenizers.items()}
        self._triggers = {encoder: own.tokenizer(self.word)["input_ids"][1:-1] for encoder, own in tokenizers.items()}
        self._main = "l" if "l" in tokenizers else next(iter(tokenizers))
        if not self.word or any(letter.isspace() for letter in self.word) or not self.word.isalnum():
            raise ValueError(f"{NODE}: input 'trigger_word' is {trigger_word!r}, which is no single word. Write one such as img.")

    def count(self, text: str) -> int:
        """How many triggers a text has, as words of their own."""
        frame = self._frames[self._main]
        return sum(len(self._find(content(self._clip.tokenize(part)[self._main], frame), self._main)) for part in split_breaks(text))

    def read(self, text: str, copies: Sequence[int]) -> Prompt:
        """A text's tokens without its triggers, and the class token of each as often as `copies` says.

        Raises: TriggerError for a trigger without a class word.
        """
        tokens: dict[str, list] = {encoder: [] for encoder in self._frames}
        runs: list[list[int]] = []
        for part in split_breaks(text):
            encoded = self._clip.tokenize(part)
            before = len(tokens[self._main])
            own: list[range] = []
            count = len(self._find(content(encoded[self._main], self._frames[self._main]), self._main))
            for encoder, chunks in encoded.items():
                if count:
                    frame, vocabulary = self._frames[encoder], self._vocabularies[encoder]
                    expanded, own = expand(
                        content(chunks, frame), self._triggers[encoder], copies[len(runs):len(runs) + count], _ends_word(vocabulary), _is_word(vocabulary),
                    )
                    chunks = lay_out(expanded, frame)
                tokens[encoder] += chunks
            runs += [places(run, self._frames[self._main], before) for run in own]
        return Prompt(tokens, runs)

    def _find(self, tokens: Sequence, encoder: str) -> list[int]:
        return find_triggers(tokens, self._triggers[encoder], _ends_word(self._vocabularies[encoder]))


def owners(reader: TriggerReader, panel: Panel, prompt: str, referenced: Mapping[str, int]) -> list[str]:
    """The character of each trigger in a panel's styled prompt, in turn.

    Args:
        referenced: the characters that have photos, each with its number of identity tokens.

    Raises: ValueError for a trigger of nobody, of somebody without photos, twice in a description, or missing in one.
    """
    start = max(prompt.find(panel.prompt), 0)
    found: list[str] = []
    for mention in panel.mentions:
        before, after = (reader.count(prompt[:start + at]) for at in (mention.start, mention.end))
        own = after - before
        has_photos = mention.tag in referenced
        if own != has_photos:
            raise ValueError(f"{NODE}: panel {panel.number} of input 'story': {_describe(mention.tag, own, has_photos, reader.word)}")
        if before != len(found):
            raise ValueError(_stray(panel, reader.word))
        found += [mention.tag] * own
    if reader.count(prompt) != len(found):
        raise ValueError(_stray(panel, reader.word))
    for name, tokens in referenced.items():
        if name in found and tokens > MOST_COPIES:
            raise ValueError(f"{NODE}: input 'references': the photos of [{name}] take {tokens} tokens of the prompt, {MOST_COPIES} at most. Give fewer.")
    return found


def class_word_error(panel: Panel, word: str, error: TriggerError) -> ValueError:
    return ValueError(
        f'{NODE}: panel {panel.number} of input \'story\': the trigger word "{word}" needs a class word ahead of it, but {error}. '
        f'Write the description like this: [Name] a woman {word}, red coat.'
    )


def _describe(name: str, triggers: int, has_photos: bool, word: str) -> str:
    if not has_photos:
        return f'[{name}] has the trigger word "{word}" but no photos. Connect a Fabula_CharacterReference for it, or delete the word.'
    if not triggers:
        return f'[{name}] has photos, but its description lacks the trigger word. Write it behind the class word: [{name}] a woman {word}, red coat.'
    return f'[{name}] has the trigger word "{word}" {triggers} times. Leave the one behind the class word.'


def _stray(panel: Panel, word: str) -> str:
    return (
        f'{NODE}: panel {panel.number} of input \'story\' has the trigger word "{word}" outside of its characters\' descriptions. Write it into the '
        f"description of the character that has photos, or choose another trigger_word."
    )


def _ends_word(vocabulary: Mapping[int, str]):
    return lambda token: vocabulary.get(token, "").endswith("</w>")


def _is_word(vocabulary: Mapping[int, str]):
    return lambda token: any(letter.isalnum() for letter in vocabulary.get(token, "").removesuffix("</w>"))
