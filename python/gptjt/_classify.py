# SPDX-License-Identifier: Apache-2.0
"""Label probabilities by few-shot prompts: the library's classifier, for Python's tables of texts."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import threading
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Sequence

import numpy as np

from . import _values
from ._calls import Watch, run
from ._errors import ClosedError
from ._library import Classification as CClassification, ClassifierOptions, ClassifyFn, Shot, lib, take_text

if TYPE_CHECKING:
    from ._model import Model

_NORMALIZE = {None: 0, "none": 0, "length": 1}


@dataclasses.dataclass
class Classification:
    """What the model makes of a text."""

    label: str
    probability: float
    probabilities: dict[str, float]
    log_likelihoods: dict[str, float]
    prompt_tokens: int
    n_shots: int  # that the prompt had room for
    n_dropped: int  # tokens cut from the end of the text


def _values_of(name: str, text: Any, fields: Optional[Sequence[str]]) -> list[str]:
    """The parts of a text: itself, or those that fields name."""
    if fields is None:
        return [_values.text(name, text)]
    if isinstance(text, Mapping):
        missing = [f for f in fields if f not in text]
        if missing:
            raise ValueError(f"{name} has no {missing[0]!r}")
        return [_values.text(f"{name}[{f!r}]", text[f]) for f in fields]
    parts = _values.texts(name, text)
    if len(parts) != len(fields):
        raise ValueError(f"{name} has {len(parts)} parts, not the {len(fields)} of fields")
    return parts


class Classifier:
    """Labels, shots and how to ask; one thread's at a time."""

    def __init__(self, model: "Model", labels: Optional[Sequence[str]] = None, *, instruction: Optional[str] = None,
                 shots: Any = None, text_name: str = "Text", fields: Optional[Sequence[str]] = None,
                 label_name: str = "Label", list_labels: bool = True, normalize: Optional[str] = None,
                 calibrate: bool = False, content_free: str = "N/A", prompt_mask: Optional[str] = None,
                 progress: Optional[Callable[[int, int], object]] = None) -> None:
        if progress is not None and not callable(progress):
            raise TypeError(f"progress is {type(progress).__name__}, not callable")
        self._handle = ctypes.c_void_p()
        self._engine = model.engine
        self._fields = None if fields is None else _values.texts("fields", fields)
        self._watch = Watch()
        self._lock = threading.Lock()  # of a call that was left by a second Ctrl-C, too
        self._kept: list = []  # what the options point to
        o = self._options = ClassifierOptions()
        lib.classifier_options_init(ctypes.byref(o))
        if labels is not None:
            o.labels, o.n_labels = self._strings("labels", _values.texts("labels", labels))
        if self._fields is not None:
            if not self._fields:
                raise ValueError("fields is empty")
            o.fields, o.n_fields = self._strings("fields", self._fields)
        o.text_name = _values.c_string("text_name", text_name)
        o.label_name = _values.c_string("label_name", label_name)
        o.content_free = _values.c_string("content_free", content_free)
        o.list_labels = _values.flag("list_labels", list_labels)
        o.calibrate = _values.flag("calibrate", calibrate)
        o.normalize = _values.choice("normalize", normalize, _NORMALIZE)
        o.prompt_mask = model.mask_of(prompt_mask)
        if instruction is not None:
            o.instruction = _values.c_string("instruction", instruction)
        if isinstance(shots, (str, os.PathLike)):
            o.shots_file = _values.path("shots", shots)
        elif shots is not None:
            o.shots, o.n_shots = self._shots(shots)
        o.progress = ClassifyFn(
            lambda user, done, total: self._watch.ask(progress, done, total) if progress else self._watch.go_on())
        self._n_values = len(self._fields or [text_name])
        run(self._watch, self._open)
        found = ctypes.POINTER(ctypes.c_char_p)()
        n = lib.classifier_labels(self._handle, ctypes.byref(found))
        self.labels = [label.decode() for label in found[:n]]

    def _strings(self, name: str, values: Sequence[str]) -> tuple[Any, int]:
        array = _values.c_strings([_values.c_string(name, v) for v in values])
        self._kept.append(array)
        return array, len(values)

    def _shots(self, shots: Any) -> tuple[Any, int]:
        if isinstance(shots, (bytes, Mapping)) or not hasattr(shots, "__iter__"):
            raise TypeError(f"shots is {type(shots).__name__}, not a list of (text, label) or the path of a file")
        shots = list(shots)
        array = (Shot * max(len(shots), 1))()
        for i, shot in enumerate(shots):
            if isinstance(shot, (str, bytes, Mapping)) or not hasattr(shot, "__len__") or len(shot) != 2:
                raise TypeError(f"shots[{i}] is not a pair of text and label")
            values, _ = self._strings(f"shots[{i}]", _values_of(f"shots[{i}]", shot[0], self._fields))
            array[i] = Shot(values, _values.c_string(f"shots[{i}]", shot[1]))
        return array, len(shots)

    def _open(self) -> None:
        lib.classifier_open(ctypes.byref(self._handle), self._engine.handle, ctypes.byref(self._options))
        self._engine.add_classifier(self._handle)

    def close(self) -> None:
        with self._lock:
            if self._handle:
                self._engine.close_classifier(self._handle)
            self._handle = ctypes.c_void_p()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()

    def _checked(self) -> ctypes.c_void_p:
        if not self._handle:
            raise ClosedError("the classifier is closed")
        self._engine.handle  # of this process
        return self._handle

    def prompt(self, text: Any) -> str:
        """The prompt that would be scored for a text."""
        array = _values.c_strings([_values.c_string("text", v) for v in _values_of("text", text, self._fields)])
        found, n = ctypes.c_void_p(), ctypes.c_size_t()
        with self._lock:
            lib.classifier_prompt(self._checked(), array, ctypes.byref(found), ctypes.byref(n))
        return take_text(found, n.value).decode("utf-8", "replace")

    def __call__(self, texts: Sequence[Any]) -> list[Classification]:
        values = [_values.c_string(f"texts[{i}]", v) for i, text in enumerate(texts)
                  for v in _values_of(f"texts[{i}]", text, self._fields)]
        n, n_labels = len(values) // self._n_values, len(self.labels)
        array = _values.c_strings(values)
        out = (CClassification * max(n, 1))()
        p, S = np.empty((n, n_labels)), np.empty((n, n_labels))
        watch = Watch()

        def work() -> None:
            with self._lock:
                self._watch = watch
                lib.classify(self._checked(), array, n, out, p.ctypes.data, S.ctypes.data)

        run(watch, work)
        return [Classification(self.labels[c.best], float(p[i, c.best]), dict(zip(self.labels, p[i].tolist())),
                               dict(zip(self.labels, S[i].tolist())), c.prompt_tokens, c.n_shots, c.n_dropped)
                for i, c in enumerate(out[:n])]


def _frame(texts: Any, results: Sequence[Classification], labels: Sequence[str]) -> Any:
    """As the program writes it into a csv file: label, probability, p(A), p(B), ..."""
    import pandas
    columns = {"label": [r.label for r in results], "probability": [r.probability for r in results]}
    for label in labels:
        columns[f"p({label})"] = [r.probabilities[label] for r in results]
    return pandas.DataFrame(columns, index=texts.index)


def classify(model: "Model", texts: Any, labels: Optional[Sequence[str]] = None, **kwargs: Any) -> Any:
    is_pandas = type(texts).__module__.split(".")[0] == "pandas" and hasattr(texts, "index")
    single = isinstance(texts, (str, Mapping))
    if is_pandas and hasattr(texts, "columns"):
        rows: Any = texts.to_dict("records")
    elif single:
        rows = [texts]
    elif isinstance(texts, bytes) or not hasattr(texts, "__iter__"):
        raise TypeError(f"texts is {type(texts).__name__}, not str, a list of str or a pandas column")
    else:
        rows = list(texts)
    c = Classifier(model, labels, **kwargs)
    try:
        results = c(rows)
        if is_pandas:
            return _frame(texts, results, c.labels)
        return results[0] if single else results
    finally:
        c.close()
