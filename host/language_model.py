"""Causal language models in models/LLM: folders as `transformers` reads them. A model is loaded for one run of a node and then
dropped, since the pictures need the memory.

Weights are read from safetensors alone, no code of a folder is run, and nothing is fetched from a network.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
import torch
import transformers
from safetensors import SafetensorError

FOLDER = "LLM"
TOP_P = 0.95  # of the probability: the tokens that share the rest are never drawn
_ROLES = {"user": "Task", "assistant": "Answer"}  # in the prompt of a model that has no chat template

log = logging.getLogger(__name__)


def register() -> None:
    """Adds models/LLM; folders that the user's extra_model_paths.yaml or another pack has named stay."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def names() -> list[str]:
    """The folders in models/LLM, at any depth, that hold a model as safetensors."""
    return sorted(name for name, path in _folders().items() if _has_safetensors(path))


def find(node: str, name: str) -> Path:
    """The folder of a model. Raises: ValueError where it is not there or is of no kind that is read."""
    path = _folders().get(name)
    if path is None:
        there = ", ".join(names()) or "none. Put the folder of an instruct model there, with its config.json and *.safetensors"
        raise ValueError(f"{node}: input 'model_name' is {name!r}, which is no model in models/{FOLDER}. There are: {there}.")
    if not _has_safetensors(path):
        raise ValueError(
            f"{node}: input 'model_name': {name} has no *.safetensors, and weights in other files can hold code that runs when they are "
            "read. Convert them to safetensors, or choose a folder that has them."
        )
    for file in ("config.json", "tokenizer_config.json"):
        config = _read_json(node, name, path / file)
        if "auto_map" in config:
            raise ValueError(
                f"{node}: input 'model_name': {name} asks to run code of its own (auto_map in {file}), which Fabula never does. Choose a "
                "model that transformers knows by itself; if it does know this one, delete auto_map from the file."
            )
        if "quantization_config" in config:
            raise ValueError(
                f"{node}: input 'model_name': {name} is quantised (quantization_config in {file}), which needs libraries beyond the "
                "host's. Choose the folder of its plain weights, or a smaller model."
            )
    return path


def _folders() -> dict[str, Path]:
    """The folders that hold a config.json, by their name in models/LLM. The host lists files, not folders, and of a name that
    several packs share perhaps only files with the endings that one of them has asked for."""
    found: dict[str, Path] = {}
    for root in folder_paths.get_folder_paths(FOLDER):
        for file in folder_paths.recursive_search(root, [".git"])[0]:
            folder, name = os.path.split(file)
            if name == "config.json" and folder:
                found.setdefault(folder, Path(root, folder))
    return found


def _has_safetensors(path: Path) -> bool:
    return any(path.glob("*.safetensors"))


def _read_json(node: str, name: str, path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{node}: input 'model_name': {path.name} of {name} cannot be read ({error}). Download it again.") from error
    return config if isinstance(config, dict) else {}


class LanguageModel:
    """A loaded model; a `with` block frees it at its end, also on an error or an interrupt.

    seed: of all that it draws, by a generator of its own on the CPU.
    Raises: ValueError, as `find` does, and where transformers cannot read the folder.
    """

    def __init__(self, node: str, name: str, seed: int) -> None:
        path = str(find(node, name))
        device = comfy.model_management.text_encoder_device()
        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            with torch.random.fork_rng(devices=[]):  # a model may draw weights before it reads those of the file
                self._tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
                self._model, report = transformers.AutoModelForCausalLM.from_pretrained(
                    path, use_safetensors=True, torch_dtype=_dtype(device), output_loading_info=True, **options,
                )
        except (OSError, ValueError, ImportError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError) as error:
            raise ValueError(
                f"{node}: input 'model_name': transformers {transformers.__version__} cannot read {name} as a language model ({error}). "
                "Choose a complete folder of an instruct model, or update transformers if the model is newer."
            ) from error
        if report["missing_keys"]:
            missing = ", ".join(sorted(report["missing_keys"])[:3])
            raise ValueError(
                f"{node}: input 'model_name': the files of {name} lack weights ({missing}). It is no language model, or not complete: "
                "download it again, or choose another folder."
            )
        self._device = _make_room(name, self._model, device)
        self._model.to(self._device).eval()
        self._generator = torch.Generator().manual_seed(seed)

    def __enter__(self) -> LanguageModel:
        return self

    def __exit__(self, *_: object) -> None:
        self._model.to("meta")  # frees the weights also while a traceback still holds the model
        comfy.model_management.soft_empty_cache()

    def encode(self, messages: list[dict[str, str]]) -> torch.Tensor:
        """The tokens, (1, tokens), of a conversation in which the model speaks next: messages with a `role`, user or assistant in
        turn, and a `content`."""
        plain = self._tokenizer.chat_template is None
        if plain:
            text = "".join(f"{_ROLES[each['role']]}:\n{each['content']}\n\n" for each in messages) + f"{_ROLES['assistant']}:\n"
        else:
            # enable_thinking: templates of models that can do without long thoughts know it, others ignore it.
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)
        return self._tokenizer(text, add_special_tokens=plain, return_tensors="pt")["input_ids"].to(self._device)

    def room(self, prompt: torch.Tensor) -> int:
        """How many tokens the model can read behind a prompt; below 0 where it cannot even read that."""
        config = getattr(self._model.config, "text_config", self._model.config)
        longest = getattr(config, "max_position_embeddings", None) or sys.maxsize
        return longest - prompt.shape[1]

    def answer(self, prompt: torch.Tensor, max_new_tokens: int, temperature: float, is_finished: Callable[[str], bool]) -> str:
        """What the model says behind a prompt. It ends by itself, after `max_new_tokens`, or where `is_finished` says so of its text.

        temperature: 0 takes the likeliest token each time; the higher, the freer. Raises: what the host raises for an interrupt.
        """
        progress = comfy.utils.ProgressBar(max_new_tokens)
        start = prompt.shape[1]

        def stop(tokens: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
            comfy.model_management.throw_exception_if_processing_interrupted()
            progress.update_absolute(tokens.shape[1] - start)
            # Only a bracket can finish an answer: all of it need not be read after each token.
            done = "}" in self._decode(tokens[0, -1:]) and is_finished(self._decode(tokens[0, start:]))
            return torch.full((len(tokens),), done, device=tokens.device)

        settings = self._model.generation_config
        ends = settings.eos_token_id if isinstance(settings.eos_token_id, list) else [settings.eos_token_id]
        ends = sorted({end for end in (*ends, self._tokenizer.eos_token_id) if end is not None})
        settings.update(do_sample=False, num_beams=1, temperature=1.0, top_p=1.0, top_k=50)  # the drawing is ours: `_Draw`
        tokens = self._model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=max_new_tokens, eos_token_id=ends or None,
            pad_token_id=ends[0] if ends else 0, stopping_criteria=transformers.StoppingCriteriaList([stop]),
            logits_processor=transformers.LogitsProcessorList([_Draw(temperature, self._generator)] if temperature > 0 else []),
        )
        return self._decode(tokens[0, start:])

    def _decode(self, tokens: torch.Tensor) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class _Draw:
    """Draws the next token, and leaves it as the only one possible. `generate` itself draws with the global generator, which
    other nodes use as well."""

    def __init__(self, temperature: float, generator: torch.Generator) -> None:
        self._temperature, self._generator = temperature, generator

    def __call__(self, tokens: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """scores: (1, vocabulary)."""
        likely, candidates = torch.softmax(scores[0].float() / self._temperature, dim=-1).sort(descending=True)
        sums = likely.cumsum(-1)
        last = min(int((sums < TOP_P).sum()), len(sums) - 1)
        point = torch.rand((), generator=self._generator).to(sums) * sums[last]
        drawn = candidates[min(int(torch.searchsorted(sums, point)), last)]
        only = torch.full_like(scores, -torch.inf)
        only[0, drawn] = 0
        return only


def _dtype(device: torch.device) -> torch.dtype:
    if comfy.model_management.should_use_bf16(device):
        return torch.bfloat16
    return torch.float16 if comfy.model_management.should_use_fp16(device, prioritize_performance=False) else torch.float32


def _make_room(name: str, model: torch.nn.Module, device: torch.device) -> torch.device:
    """Where the model can stand: on the device, from which the host takes its own models, or else on the CPU."""
    size = sum(each.numel() * each.element_size() for each in model.parameters()) + comfy.model_management.minimum_inference_memory()
    comfy.model_management.free_memory(size, device)
    if device.type != "cpu" and comfy.model_management.get_free_memory(device) < size:
        log.warning("%s needs %.1f GB, more than %s has: it runs on the CPU, which takes long.", name, size / 1e9, device)
        return torch.device("cpu")
    return device
