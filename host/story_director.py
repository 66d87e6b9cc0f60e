"""A language model as the story's director: asked for a script, and asked again where its answer is refused."""

from __future__ import annotations

import logging

from ..story.cast import parse_characters
from ..story.director import AnswerError, Script, ask, ask_again, is_finished, read_answer
from ..story.model import Character, Mistake, StoryError
from .language_model import LanguageModel

TRIES = 3
LEAST_ROOM = 64  # tokens: no answer is shorter
SHOWN_ANSWER = 500  # characters of an answer that was refused

log = logging.getLogger(__name__)


def direct(node: str, model_name: str, text: str, max_panels: int, seed: int, max_new_tokens: int, temperature: float,
           characters: str, language: str) -> Script:
    """The script that a model of models/LLM makes of an idea or prose.

    characters: lines of the script's grammar, who the story is about. language: of captions and speech; empty: the text's.
    Raises: ValueError for an input that cannot be used, and where every answer of the model was refused.
    """
    if not text.strip():
        raise ValueError(f"{node}: input 'text' is empty. Write an idea, or the prose that the story shall tell.")
    given = _given(node, characters)
    question = {"role": "user", "content": ask(text.strip(), max_panels, given, language.strip())}
    messages, answer, refused = [question], "", AnswerError([])
    with LanguageModel(node, model_name, seed) as model:
        for _ in range(TRIES):
            prompt = model.encode(messages)
            room = model.room(prompt)
            if room < LEAST_ROOM and answer:
                break
            if room < LEAST_ROOM:
                length = prompt.shape[1]
                raise ValueError(
                    f"{node}: input 'text': the request has {length} tokens, and {model_name} reads at most {length + room}, its answer "
                    "included. Shorten the text, or choose a model that reads more."
                )
            answer = model.answer(prompt, min(max_new_tokens, room), temperature, is_finished)
            try:
                script = read_answer(answer, max_panels, given)
            except AnswerError as error:
                refused = error
                log.info("%s: an answer of %s is refused:\n%s", node, model_name, error)
                messages = [question, {"role": "assistant", "content": answer}, {"role": "user", "content": ask_again(error)}]
                continue
            if script.cut:
                log.warning(
                    "%s: the answer ended before the story did, and only its finished panels are kept. Raise input 'max_new_tokens' "
                    "(%d), or ask for fewer panels.", node, max_new_tokens,
                )
            return script
    raise ValueError(
        f"{node}: input 'model_name': {model_name}, asked up to {TRIES} times, has made no script of input 'text'. Choose a larger "
        "instruct model, raise 'max_new_tokens', or ask for fewer panels. What is wrong with its last answer:\n"
        f"{refused}\nThe answer begins: {answer[:SHOWN_ANSWER]}"
    )


def _given(node: str, characters: str) -> list[Character]:
    mistakes: list[Mistake] = []
    given = parse_characters(characters, mistakes)
    if mistakes:
        raise ValueError(f"{node} cannot read the characters.\n{StoryError(mistakes)}")
    return given
