# SPDX-License-Identifier: Apache-2.0
"""gptjt: GPT-JT and other GPT-J models with the prompt mask they were trained for.

    from gptjt import pipeline, AutoTokenizer, AutoModelForCausalLM, classify

transformers' names and shapes over libgptjt.so; README.md has the table of defaults and differences."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Union

from ._classify import Classification, Classifier
from ._errors import (ArgumentError, CancelledError, ClosedError, FileError, FormatError, GptjtError, LimitError,
                      NumericError, OutOfMemoryError, UnsupportedError)
from ._library import VERSION as __version__
from ._model import AutoModelForCausalLM, Completion, Model, Score, Token
from ._pipeline import TextGenerationPipeline, pipeline
from ._tokenizer import AutoTokenizer, BatchEncoding, Tokenizer

__all__ = [
    "ArgumentError", "AutoModelForCausalLM", "AutoTokenizer", "BatchEncoding", "CancelledError", "Classification",
    "Classifier", "ClosedError", "Completion", "FileError", "FormatError", "GptjtError", "LimitError", "Model",
    "NumericError", "OutOfMemoryError", "Score", "TextGenerationPipeline", "Token", "Tokenizer", "UnsupportedError",
    "__version__", "classify", "pipeline",
]


def classify(texts: Any, labels: Optional[Sequence[str]] = None, *, model: Union[None, str, Model] = None,
             **kwargs: Any) -> Any:
    """Which of the labels the model expects for each text, by the prompt that `gptjt classify --show-prompt` shows.

    texts: a str gives a Classification, a list of them a list, a pandas column (or a frame, with fields) a frame with
    its index and the columns label, probability, p(A), p(B), ...
    labels: what to choose from; None: the labels of the shots.
    instruction, shots (pairs of text and label, or a csv or jsonl file), text_name, fields, label_name, list_labels,
    normalize ("length"), calibrate, content_free, prompt_mask: as the options of the command. progress: called with
    texts done and in all.
    model: a Model, which stays loaded, or what Model.from_pretrained() takes."""
    if not isinstance(model, Model):
        model = Model.from_pretrained(model)
    return model.classify(texts, labels, **kwargs)
