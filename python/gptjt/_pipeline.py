# SPDX-License-Identifier: Apache-2.0
"""pipeline("text-generation") with transformers' parameters and shapes."""

from __future__ import annotations

from typing import Any, Optional, Union

from . import _values
from ._model import Model
from ._parameters import GenerateParameters
from ._tokenizer import Tokenizer

_LOADING = ("prompt_mask", "weights", "torch_dtype", "compute", "device", "threads", "cpu", "adapter", "revision",
            "trust_remote_code", "device_map", "load_in_8bit", "load_in_4bit", "quantization_config")
_NOT_BUILT = {"clean_up_tokenization_spaces": "text comes out as the model wrote it",
                  "prefix": "write the text at the beginning of the prompt; for the mask use prompt_mask",
                  "truncation": "give handle_long_generation='hole', which keeps the prompt's end",
                  "num_workers": "there is nothing to load"}


class TextGenerationPipeline:
    """Made by pipeline()."""

    task = "text-generation"

    def __init__(self, model: Model, tokenizer: Optional[Tokenizer], defaults: dict) -> None:
        self.model = model
        self.tokenizer = tokenizer if tokenizer is not None else model.tokenizer
        self._defaults = defaults
        self._read(defaults)

    def _read(self, given: dict) -> tuple[GenerateParameters, dict]:
        """Parameters of the model, and those of the answer's shape."""
        given = dict(given)
        shape = {"return_full_text": True, "return_text": True, "return_tensors": False,
                 "handle_long_generation": None, "batch_size": None}
        for name in shape:
            value = given.pop(name, None)
            if value is not None:
                shape[name] = value
        for name in ("return_full_text", "return_text", "return_tensors"):
            _values.flag(name, shape[name])
        if shape["handle_long_generation"] not in (None, "hole"):
            raise ValueError(f"handle_long_generation is {shape['handle_long_generation']!r}, not None or 'hole'")
        if shape["batch_size"] is not None:
            _values.integer("batch_size", shape["batch_size"], 1, _values.INT_MAX)
        for name, reason in _NOT_BUILT.items():
            if given.pop(name, None) not in (None, False, "", 0):
                raise NotImplementedError(f"pipeline: {name}: {reason}")
        return GenerateParameters.read("pipeline", given), shape

    def __call__(self, text_inputs: Union[str, list[str]], **kwargs: Any) -> list:
        """One list of {"generated_text"} for a prompt; a list of those for a list of prompts."""
        p, shape = self._read({**self._defaults, **kwargs})
        single = isinstance(text_inputs, str)
        prompts = [text_inputs] if isinstance(text_inputs, str) else _values.texts("text_inputs", text_inputs)
        rows = [self.model.ids_of("the prompt", self.tokenizer.encode_ids(prompt)) for prompt in prompts]
        if shape["handle_long_generation"] == "hole":
            rows = [keep_last(row, self.model.engine.info.n_positions - p.new_tokens(len(row))) for row in rows]
        size = shape["batch_size"] or max(len(rows), 1)
        results = [c for i in range(0, len(rows), size) for c in self.model._generate(rows[i:i + size], p)]
        answers = [[self._answer(prompt, row, c, shape) for c in completions]
                   for prompt, row, completions in zip(prompts, rows, results)]
        return answers[0] if single else answers

    def _answer(self, prompt: str, row: Any, completion: Any, shape: dict) -> dict:
        if shape["return_tensors"]:
            return {"generated_token_ids": row.tolist() + completion.tokens.tolist()}
        if not shape["return_text"]:
            return {}
        return {"generated_text": (prompt if shape["return_full_text"] else "") + completion.text}


def keep_last(ids: Any, room: int) -> Any:
    """The end of a prompt that is too long for the window."""
    if room < 1:
        raise ValueError("max_new_tokens leaves no room for a prompt in the model's window")
    return ids[-room:]


def pipeline(task: Optional[str] = None, model: Union[None, str, Model] = None,
             tokenizer: Union[None, str, Tokenizer] = None, **kwargs: Any) -> TextGenerationPipeline:
    """The only task is "text-generation". model: a directory, OWNER/NAME in the Hugging Face cache, a Model; None: the
    model that ships with gptjt. Parameters of from_pretrained() are taken here, too, and those of a call as its
    defaults."""
    if task not in (None, "text-generation"):
        raise NotImplementedError(f"pipeline: task {task!r} is not built, 'text-generation' is; see gptjt.classify()")
    loading = {name: kwargs.pop(name) for name in _LOADING if name in kwargs}
    loading.update(kwargs.pop("model_kwargs", None) or {})
    if not isinstance(model, Model):
        model = Model.from_pretrained(model, **loading)
    elif any(value is not None for value in loading.values()):
        raise TypeError(f"pipeline: {next(iter(loading))} goes with a model's name; this model is open already")
    if tokenizer is not None and not isinstance(tokenizer, Tokenizer):
        tokenizer = Tokenizer.from_pretrained(tokenizer)
    return TextGenerationPipeline(model, tokenizer, kwargs)
