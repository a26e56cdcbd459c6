# SPDX-License-Identifier: Apache-2.0
"""The model: generate, stream, score, logits, classify."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import queue
import threading
import warnings
from typing import Any, Callable, Iterable, Iterator, Optional, Sequence, Union

import numpy as np

from . import _classify, _values
from ._calls import Watch, run
from ._engine import Engine, find_model, open_engine
from ._errors import ClosedError
from ._library import (Generation, GenerateRequest, LogitsFn, Score as CScore, ScoreRequest, Span, TokenFn, lib)
from ._parameters import NEUTRAL, NOT_BUILT, GenerateParameters, Request, check_rest
from ._tokenizer import BatchEncoding, Tokenizer, model_name

Prompt = Union[str, Sequence[int], np.ndarray]

_WEIGHTS = {None: 0, "auto": 0, "fp32": 1, "fp16": 2, "bf16": 3, "q8": 4, "q4": 5}
_DTYPES = {None: None, "auto": None, "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_COMPUTE = {None: 0, "auto": 0, "fp32": 1, "bf16": 2, "int8": 3}
_LOADING = {
    "load_in_8bit": "give weights='q8'", "load_in_4bit": "give weights='q4'",
    "quantization_config": "give weights='q8' or 'q4'", "device_map": "give device", "max_memory": "not built",
    "cache_dir": "set HF_HUB_CACHE", "subfolder": "give the directory", "config": "it is read from the directory",
    "state_dict": "give a directory", "from_tf": "not built", "from_flax": "not built", "variant": "give the directory",
    "attn_implementation": "there is one", "offload_folder": "weights are mapped from their files",
}
_LOADING_NEUTRAL = {
    "low_cpu_mem_usage": (True, False), "trust_remote_code": (True, False), "local_files_only": (True, False),
    "use_safetensors": (True, False), "load_in_8bit": (False,), "load_in_4bit": (False,), "device_map": ("cpu",),
}


@dataclasses.dataclass
class Token:
    """A new token, as on_token is told it."""

    sequence: int
    index: int
    id: int
    logprob: float
    text: Optional[str]  # what became printable with it; None without a tokenizer
    finish_reason: Optional[str]  # of a sequence's last token: "length", "eos_token", "stop_sequence"


@dataclasses.dataclass
class Completion:
    """What follows a prompt."""

    text: Optional[str]  # without stop string and <|endoftext|>; None without a tokenizer
    tokens: np.ndarray  # a final <|endoftext|> included
    logprobs: np.ndarray
    finish_reason: str


@dataclasses.dataclass
class Score:
    """How likely a continuation is after its prompt."""

    log_likelihood: float
    greedy: bool  # every token is the most likely one at its place
    tokens: np.ndarray
    logprobs: np.ndarray


def _device(value: Any) -> Optional[str]:
    """cpu or cuda, as strings, torch.device, or the number that pipeline() takes: -1 is the CPU."""
    if value is None or isinstance(value, bool):
        if value is None:
            return None
        raise TypeError("device is bool, not str")
    if isinstance(value, int):
        if value not in (-1, 0):
            raise NotImplementedError(f"device={value}: one GPU is used, number 0")
        return "cpu" if value < 0 else "cuda"
    name = str(value)
    return "cuda" if name == "cuda:0" else name


def _weights(weights: Optional[str], torch_dtype: Any) -> int:
    name = None if torch_dtype is None else str(torch_dtype)
    if name is not None and name.startswith("torch."):
        name = name[len("torch."):]
    if name not in _DTYPES:
        raise NotImplementedError(f"torch_dtype={torch_dtype!r}: not built; float32, float16 and bfloat16 are")
    if weights is not None and _DTYPES[name] is not None:
        raise TypeError("give weights or torch_dtype, not both")
    return _values.choice("weights", weights or _DTYPES[name], _WEIGHTS)


def _floats(pointer: Any, n: int) -> np.ndarray:
    return np.ctypeslib.as_array(pointer, (n,)).copy() if n else np.empty(0, np.float32)


def _text_of(address: Optional[int], length: int) -> Optional[str]:
    return None if address is None else ctypes.string_at(address, length).decode("utf-8", "replace")


def _token(t: Any) -> Token:
    return Token(t.sequence, t.index, t.id, t.logprob, _text_of(t.text, t.text_len),
                 lib.finish_name(t.finish).decode() if t.last else None)


def _completions(g: Generation) -> list[Completion]:
    out = []
    for c in g.completions[:g.n]:
        tokens = np.ctypeslib.as_array(c.tokens, (c.n_tokens,)).copy() if c.n_tokens else np.empty(0, np.int32)
        out.append(Completion(_text_of(c.text, c.text_len), tokens, _floats(c.logprobs, c.n_tokens),
                              lib.finish_name(c.finish).decode()))
    return out


class Model:
    """Weights and how to run them. May be used by several threads at once; weights are shared by all models of the same
    directory and settings, whatever their prompt_mask."""

    def __init__(self, directory: bytes, settings: dict, prompt_mask: Optional[str], name: Optional[str]) -> None:
        mask = _values.mask(prompt_mask)
        self._engine: Optional[Engine] = open_engine(directory, settings, mask)
        self._mask = mask
        self._directory = directory
        self._tokenizer: Optional[Tokenizer] = None
        info = self._engine.info
        self.name_or_path = name or info.name.decode("utf-8", "replace")
        self.prompt_mask = _values.MASK_NAMES[mask or info.prompt_mask]
        self.prompt_mask_reason = "as requested" if mask else info.prompt_mask_reason.decode("utf-8", "replace")
        if not mask and info.prompt_mask_guessed:
            warnings.warn(f"prompt mask: {self.prompt_mask} ({self.prompt_mask_reason}); choose with "
                          "prompt_mask='prefix' or 'causal'", stacklevel=3)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Optional[_values.PathLike] = None, *,
                        prompt_mask: Optional[str] = None, weights: Optional[str] = None, torch_dtype: Any = None,
                        compute: Optional[str] = None, device: Any = None, threads: int = 0,
                        cpu: Optional[str] = None, adapter: Optional[_values.PathLike] = None,
                        revision: Optional[str] = None, **kwargs: Any) -> "Model":
        """Of a directory, or of OWNER/NAME in the Hugging Face cache; without either the default model."""
        check_rest("from_pretrained", kwargs, _LOADING, _LOADING_NEUTRAL)
        name = model_name(pretrained_model_name_or_path, revision)
        on = _device(device)
        settings: dict[str, Any] = {"weights": _weights(weights, torch_dtype),
                                    "compute": _values.choice("compute", compute, _COMPUTE),
                                    "threads": _values.integer("threads", threads, 0, _values.INT_MAX)}
        for key, value in (("cpu", cpu), ("device", on)):
            if value is not None:
                settings[key] = _values.c_string(key, value)
        if adapter is not None:
            settings["adapter"] = _values.path("adapter", adapter)
        return cls(find_model(name), settings, prompt_mask, name.decode("utf-8", "replace") if name else None)

    # ---- What it is ----

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise ClosedError("the model is closed")
        self._engine.handle  # of this process
        return self._engine

    @property
    def tokenizer(self) -> Tokenizer:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self._directory)
        return self._tokenizer

    @property
    def info(self) -> dict:
        """What the library says about the model: sizes, window, weights, threads, ..."""
        info = self.engine.info
        out = {}
        for name in (field[0] for field in info._fields_):
            value = getattr(info, name)
            if name not in ("prompt_mask", "prompt_mask_reason", "prompt_mask_guessed", "hf_defaults"):
                out[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return out

    def __repr__(self) -> str:
        return f"<gptjt.Model {self.name_or_path!r}, prompt_mask {self.prompt_mask!r}>"

    def close(self) -> None:
        """Gives up this object's share of the weights; calls that are running end as they would have."""
        self._engine = None

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def eval(self) -> "Model":
        return self

    def to(self, device: Any) -> "Model":
        """A model stays where it was opened; asking for that place is no error."""
        here = self.engine.info.device.decode()
        if _device(device) != here:
            raise NotImplementedError(f"to({device!r}): the model is on {here}; give device to from_pretrained()")
        return self

    # ---- Helpers of the calls below ----

    def mask_of(self, prompt_mask: Optional[str]) -> int:
        return _values.mask(prompt_mask) or self._mask

    def ids_of(self, what: str, value: Prompt) -> np.ndarray:
        ids = self.tokenizer.encode_ids(value) if isinstance(value, str) else _values.ids(what, value)
        size = self.engine.info.vocab_size
        if not len(ids):
            raise ValueError(f"{what} is empty")
        if ids.max() >= size:
            raise ValueError(f"{what}: token {ids.max()} is not in the vocabulary of 0..{size - 1}")
        return ids

    def _rows(self, input_ids: Any, attention_mask: Any) -> tuple[np.ndarray, list[np.ndarray]]:
        """input_ids [B, T], and which positions of each row are no padding."""
        ids = _values.array("input_ids", input_ids)
        ids = ids[None, :] if ids.ndim == 1 else ids
        if ids.ndim != 2:
            raise ValueError(f"input_ids has {ids.ndim} dimensions, not one or two")
        if attention_mask is None:
            return ids, [np.arange(ids.shape[1]) for _ in ids]
        mask = _values.array("attention_mask", attention_mask)
        mask = mask[None, :] if mask.ndim == 1 else mask
        if mask.shape != ids.shape:
            raise ValueError(f"attention_mask is {mask.shape}, input_ids {ids.shape}")
        places = [np.flatnonzero(m) for m in mask]
        for i, p in enumerate(places):
            if len(p) and p[-1] - p[0] + 1 != len(p):
                raise NotImplementedError(f"attention_mask: row {i} has a hole; padding is at the ends")
        return ids, places

    # ---- Generate ----

    def complete(self, prompts: Sequence[Prompt], on_token: Optional[Callable[[int, Token], object]] = None,
                 **kwargs: Any) -> list[list[Completion]]:
        """For each prompt its num_return_sequences continuations. on_token: called with the prompt's index and each
        token, in the thread that computes; what it raises ends the call."""
        p = GenerateParameters.read("complete", kwargs)
        rows = [self.ids_of(f"prompts[{i}]", prompt) for i, prompt in enumerate(prompts)]
        return self._generate(rows, p, on_token)

    def _generate(self, rows: Sequence[np.ndarray], p: GenerateParameters,
                  on_token: Optional[Callable[[int, Token], object]] = None,
                  watch: Optional[Watch] = None) -> list[list[Completion]]:
        engine, mask = self.engine, self.mask_of(p.prompt_mask)
        watch = watch or Watch()
        if on_token is not None and not callable(on_token):
            raise TypeError(f"on_token is {type(on_token).__name__}, not callable")
        if p.eos_token_id not in (None, engine.info.eos_token_id):
            raise NotImplementedError(f"eos_token_id={p.eos_token_id!r}: the model's own is "
                                      f"{engine.info.eos_token_id}; use stop")

        def told(i: int) -> Any:
            if on_token is None:
                return TokenFn(lambda user, token: watch.go_on())
            return TokenFn(lambda user, token: watch.ask(lambda: on_token(i, _token(token.contents))))

        requests = [Request(row, p, mask, told(i)) for i, row in enumerate(rows)]
        n = len(requests)
        if not n:
            return []

        def work() -> list[list[Completion]]:
            most = max(r.tokens for r in requests)
            tokens = lib.tokens_for_many(engine.handle, most) if n > 1 else most
            out = (Generation * n)()
            with engine.session(tokens, watch) as session:
                lib.generate_many(session, (GenerateRequest * n)(*(r.c for r in requests)), n, out)
            try:
                return [_completions(g) for g in out]
            finally:
                for g in out:
                    lib.generation_free(ctypes.byref(g))

        return run(watch, work)

    def generate(self, input_ids: Any = None, attention_mask: Any = None,
                 on_token: Optional[Callable[[int, Token], object]] = None, **kwargs: Any) -> Any:
        """Token ids [B * num_return_sequences, T + new], prompts included, int64 of numpy, or of torch where the input
        is; rows that end earlier are filled with pad_token_id, or <|endoftext|>."""
        if input_ids is None:
            input_ids = kwargs.pop("inputs", None)
        p = GenerateParameters.read("generate", kwargs)
        ids, places = self._rows(input_ids, attention_mask)
        rows = [self.ids_of("input_ids", row[place]) for row, place in zip(ids, places)]
        results = self._generate(rows, p, on_token)
        fill = p.pad_token_id if p.pad_token_id is not None else max(self.engine.info.eos_token_id, 0)
        news = [(row, c.tokens) for row, completions in zip(ids, results) for c in completions]
        width = ids.shape[1] + max((len(tokens) for _, tokens in news), default=0)
        out = np.full((len(news), width), fill, np.int64)
        for i, (row, tokens) in enumerate(news):
            out[i, :len(row)] = row
            out[i, len(row):len(row) + len(tokens)] = tokens
        return _like(input_ids, out)

    def stream(self, prompt: Prompt, **kwargs: Any) -> Iterator[str]:
        """The continuation, piece by piece as it is made; without a tokenizer the ids as text. Leaving the loop stops
        the model."""
        p = GenerateParameters.read("stream", kwargs)
        if p.num_return_sequences != 1:
            raise NotImplementedError(f"stream: num_return_sequences={p.num_return_sequences!r}: one is streamed")
        row = self.ids_of("prompt", prompt)
        return self._stream(row, p)

    def _stream(self, row: np.ndarray, p: GenerateParameters) -> Iterator[str]:
        pieces: queue.SimpleQueue = queue.SimpleQueue()
        watch, told = Watch(), []
        end = object()

        def on_token(i: int, token: Token) -> None:
            piece = f"{token.id} " if token.text is None else token.text
            told.append(piece)
            if piece:
                pieces.put(piece)

        def work() -> None:
            try:
                completion = self._generate([row], p, on_token, watch)[0][0]
                text = "".join(told) if completion.text is None else completion.text
                pieces.put(text[len("".join(told)):])  # a character that was cut off by the end
                pieces.put(end)
            except BaseException as e:
                pieces.put(e)

        threading.Thread(target=work, name="gptjt stream").start()
        try:
            while True:
                piece = pieces.get()
                if piece is end:
                    return
                if isinstance(piece, BaseException):
                    raise piece
                if piece:
                    yield piece
        finally:
            watch.stopped = True

    # ---- Score ----

    def score(self, prompt: Prompt, continuation: Prompt, prompt_mask: Optional[str] = None) -> Score:
        """How likely a continuation is, of which the prompt sees nothing. Both are tokenised by themselves: begin the
        continuation with the space between them."""
        return self.score_many([(prompt, continuation)], prompt_mask)[0]

    def score_many(self, pairs: Iterable[tuple[Prompt, Prompt]], prompt_mask: Optional[str] = None,
                   progress: Optional[Callable[[int, int], object]] = None) -> list[Score]:
        """The same for pairs of prompt and continuation, through the model together. progress: called with tokens done
        and in all, in the thread that computes."""
        engine, mask, watch = self.engine, self.mask_of(prompt_mask), Watch()
        rows = []
        for i, pair in enumerate(pairs):
            if isinstance(pair, (str, bytes)) or len(pair) != 2:
                raise TypeError(f"pairs[{i}] is not a pair of prompt and continuation")
            rows.append((self.ids_of(f"prompt {i}", pair[0]), self.ids_of(f"continuation {i}", pair[1])))
        n = len(rows)
        if not n:
            return []
        spans = (Span * n)(*(Span(after.ctypes.data, len(after)) for _, after in rows))
        requests = (ScoreRequest * n)()
        for i, (before, _) in enumerate(rows):
            requests[i] = ScoreRequest(Span(before.ctypes.data, len(before)), mask,
                                       ctypes.cast(ctypes.byref(spans, i * ctypes.sizeof(Span)), ctypes.POINTER(Span)),
                                       1, 0)

        def work() -> list[Score]:
            most = max(lib.tokens_needed(len(before), 1, len(after)) for before, after in rows)
            out = (CScore * n)()
            with engine.session(lib.tokens_for_many(engine.handle, most) if n > 1 else most, watch,
                                progress) as session:
                lib.score_many(session, requests, n, out)
            try:
                return [Score(s.total, s.greedy, after, _floats(s.logprobs, s.n)) for s, (_, after) in zip(out, rows)]
            finally:
                lib.scores_free(out, n)

        return run(watch, work)

    # ---- Logits ----

    def __call__(self, input_ids: Any = None, attention_mask: Any = None, prompt_mask: Optional[str] = None,
                 n_prefix: Optional[int] = None, **kwargs: Any) -> BatchEncoding:
        """logits [B, T, V], float32 of numpy, or of torch where the input is; 0 at padding. Rows are prompts: in prefix
        mode all tokens see each other. n_prefix: only so many of the first do, whatever the mask."""
        check_rest("the model", kwargs, NOT_BUILT, NEUTRAL)
        engine, watch = self.engine, Watch()
        prefix = _values.MASK_NAMES[self.mask_of(prompt_mask) or engine.info.prompt_mask] == "prefix"
        ids, places = self._rows(input_ids, attention_mask)
        rows = [self.ids_of("input_ids", row[place]) for row, place in zip(ids, places)]
        if n_prefix is not None:
            _values.integer("n_prefix", n_prefix, 0, ids.shape[1])
        V = engine.info.vocab_size
        logits = np.zeros((*ids.shape, V), np.float32)

        def work() -> None:
            for row, place, out in zip(rows, places, logits):
                start = out.ctypes.data + int(place[0]) * V * 4
                keep = LogitsFn(lambda user, position, at: watch.ask(ctypes.memmove, start + position * V * 4, at,
                                                                     V * 4))
                seen = min(n_prefix, len(row)) if n_prefix is not None else len(row) if prefix else 0
                with engine.session(lib.tokens_needed(len(row), 1, 0), watch) as session:
                    lib.logits(session, Span(row.ctypes.data, len(row)), seen, keep, None)

        run(watch, work)
        return BatchEncoding(logits=_like(input_ids, logits))

    # ---- Classify ----

    def classify(self, texts: Any, labels: Optional[Sequence[str]] = None, **kwargs: Any) -> Any:
        """gptjt.classify() with this model."""
        return _classify.classify(self, texts, labels, **kwargs)

    @contextlib.contextmanager
    def classifier(self, labels: Optional[Sequence[str]] = None, **kwargs: Any) -> Iterator["_classify.Classifier"]:
        """The same for several calls, and for a look at prompts."""
        c = _classify.Classifier(self, labels, **kwargs)
        try:
            yield c
        finally:
            c.close()


def _like(given: Any, array: np.ndarray) -> Any:
    """In torch where the caller is."""
    if not _values.is_torch(given):
        return array
    import torch
    return torch.from_numpy(array).to(given.device)


class AutoModelForCausalLM:
    """As in transformers: from_pretrained() makes a Model."""

    from_pretrained = Model.from_pretrained
