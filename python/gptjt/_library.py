# SPDX-License-Identifier: Apache-2.0
"""libgptjt.so as include/gptjt.h declares it: structs and functions under the names they have there."""

from __future__ import annotations

import ctypes
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, c_bool, c_char_p, c_double, c_float, c_int, c_int32, c_int64,
                    c_size_t, c_uint64, c_void_p)
from typing import TYPE_CHECKING, Any

from ._errors import BY_STATUS, GptjtError

VERSION = "0.1.0"  # of the header that the structs below are those of


class EngineOptions(Structure):
    _fields_ = [("prompt_mask", c_int), ("weights", c_int), ("compute", c_int), ("threads", c_int), ("cpu", c_char_p),
                ("adapter", c_char_p), ("device", c_char_p)]


class HfDefaults(Structure):
    _fields_ = [("present", c_bool), ("do_sample", c_bool), ("temperature", c_double), ("top_p", c_double),
                ("repetition_penalty", c_double), ("top_k", c_int), ("max_length", c_int), ("max_new_tokens", c_int)]


class Info(Structure):
    _fields_ = [("name", c_char_p), ("vocab_size", c_int), ("n_positions", c_int), ("n_layers", c_int),
                ("n_embd", c_int), ("n_heads", c_int), ("eos_token_id", c_int32), ("prompt_mask", c_int),
                ("prompt_mask_reason", c_char_p), ("prompt_mask_guessed", c_bool), ("weights", c_char_p),
                ("compute", c_char_p), ("cpu", c_char_p), ("device", c_char_p), ("threads", c_int), ("n_ranks", c_int),
                ("n_ranks_here", c_int), ("parameters", c_int64), ("weight_bytes", c_int64),
                ("hf_defaults", HfDefaults)]


class Top(Structure):
    _fields_ = [("id", c_int32), ("logprob", c_float)]


class Token(Structure):
    _fields_ = [("sequence", c_int), ("index", c_size_t), ("id", c_int32), ("logprob", c_float), ("top", POINTER(Top)),
                ("n_top", c_int), ("text", c_void_p), ("text_len", c_size_t), ("last", c_bool), ("finish", c_int)]


class Bias(Structure):
    _fields_ = [("id", c_int32), ("bias", c_float)]


ProgressFn = CFUNCTYPE(c_bool, c_void_p, c_size_t, c_size_t)
ClassifyFn = ProgressFn
TokenFn = CFUNCTYPE(c_bool, c_void_p, POINTER(Token))
LogitsFn = CFUNCTYPE(c_bool, c_void_p, c_size_t, c_void_p)


class GenerateRequest(Structure):
    _fields_ = [("prompt", c_void_p), ("n_prompt", c_size_t), ("prompt_mask", c_int), ("max_new_tokens", c_int),
                ("num_return_sequences", c_int), ("do_sample", c_bool), ("temperature", c_double), ("top_k", c_int),
                ("top_p", c_double), ("typical_p", c_double), ("repetition_penalty", c_double),
                ("presence_penalty", c_double), ("frequency_penalty", c_double), ("logit_bias", POINTER(Bias)),
                ("n_logit_bias", c_int), ("seed", c_uint64), ("stop", POINTER(c_char_p)), ("n_stop", c_int),
                ("n_top", c_int), ("n_scored", c_size_t), ("on_prompt", c_void_p), ("on_token", TokenFn),
                ("user", c_void_p)]


class Completion(Structure):
    _fields_ = [("tokens", POINTER(c_int32)), ("logprobs", POINTER(c_float)), ("top", POINTER(Top)),
                ("n_tokens", c_size_t), ("n_top", c_int), ("text", c_void_p), ("text_len", c_size_t),
                ("finish", c_int)]


class Generation(Structure):
    _fields_ = [("completions", POINTER(Completion)), ("n", c_int), ("prompt_logprobs", POINTER(c_float)),
                ("prompt_top", POINTER(Top)), ("n_scored", c_size_t), ("n_top", c_int), ("n_reused", c_size_t),
                ("prefill_s", c_double), ("decode_s", c_double)]


class Span(Structure):
    _fields_ = [("ids", c_void_p), ("n", c_size_t)]


class Score(Structure):
    _fields_ = [("logprobs", POINTER(c_float)), ("top", POINTER(Top)), ("n", c_size_t), ("n_top", c_int),
                ("total", c_double), ("greedy", c_bool)]


class ScoreRequest(Structure):
    _fields_ = [("prompt", Span), ("prompt_mask", c_int), ("continuations", POINTER(Span)), ("n", c_size_t),
                ("n_top", c_int)]


class Shot(Structure):
    _fields_ = [("values", POINTER(c_char_p)), ("label", c_char_p)]


class ClassifierOptions(Structure):
    _fields_ = [("labels", POINTER(c_char_p)), ("n_labels", c_int), ("instruction", c_char_p), ("list_labels", c_bool),
                ("label_name", c_char_p), ("text_name", c_char_p), ("fields", POINTER(c_char_p)), ("n_fields", c_int),
                ("shots", POINTER(Shot)), ("n_shots", c_int),
                ("shots_file", c_char_p), ("normalize", c_int), ("calibrate", c_bool),
                ("content_free", c_char_p), ("prompt_mask", c_int), ("progress", ClassifyFn), ("user", c_void_p)]


class Classification(Structure):
    _fields_ = [("best", c_int), ("n_shots", c_int), ("prompt_tokens", c_size_t), ("n_dropped", c_size_t)]


# By their names in gptjt.h, without "struct gptjt_".
STRUCTS = {"engine_options": EngineOptions, "hf_defaults": HfDefaults, "info": Info, "top": Top, "token": Token,
           "bias": Bias, "generate_request": GenerateRequest, "completion": Completion, "generation": Generation,
           "span": Span, "score": Score, "score_request": ScoreRequest, "shot": Shot,
           "classifier_options": ClassifierOptions, "classification": Classification}

# Result (_STATUS: an enum gptjt_status, of which all but OK are raised) and arguments, without "gptjt_".
_STATUS = "status"
_FUNCTIONS = {
    "version": (c_char_p, []),
    "error": (c_char_p, []),
    "tokenizer_open": (_STATUS, [POINTER(c_void_p), c_char_p]),
    "tokenizer_close": (None, [c_void_p]),
    "encode": (_STATUS, [c_void_p, c_char_p, c_size_t, c_bool, POINTER(c_void_p), POINTER(c_size_t)]),
    "decode": (_STATUS, [c_void_p, c_void_p, c_size_t, POINTER(c_void_p), POINTER(c_size_t)]),
    "tokenizer_size": (c_int32, [c_void_p]),
    "tokenizer_find": (c_int32, [c_void_p, c_char_p]),
    "free": (None, [c_void_p]),
    "find_model": (_STATUS, [POINTER(c_void_p), c_char_p]),
    "engine_options_init": (None, [POINTER(EngineOptions)]),
    "engine_open": (_STATUS, [POINTER(c_void_p), c_char_p, POINTER(EngineOptions)]),
    "engine_close": (None, [c_void_p]),
    "engine_tokenizer": (c_void_p, [c_void_p]),
    "engine_info": (None, [c_void_p, POINTER(Info)]),
    "session_create": (_STATUS, [POINTER(c_void_p), c_void_p, c_size_t]),
    "session_close": (None, [c_void_p]),
    "session_set_progress": (None, [c_void_p, ProgressFn, c_void_p]),
    "tokens_needed": (c_size_t, [c_size_t, c_size_t, c_size_t]),
    "tokens_for_many": (c_size_t, [c_void_p, c_size_t]),
    "finish_name": (c_char_p, [c_int]),
    "generate_init": (None, [POINTER(GenerateRequest)]),
    "generate_many": (_STATUS, [c_void_p, POINTER(GenerateRequest), c_size_t, POINTER(Generation)]),
    "generation_free": (None, [POINTER(Generation)]),
    "score_many": (_STATUS, [c_void_p, POINTER(ScoreRequest), c_size_t, POINTER(Score)]),
    "scores_free": (None, [POINTER(Score), c_size_t]),
    "classifier_options_init": (None, [POINTER(ClassifierOptions)]),
    "classifier_open": (_STATUS, [POINTER(c_void_p), c_void_p, POINTER(ClassifierOptions)]),
    "classifier_close": (None, [c_void_p]),
    "classifier_labels": (c_int, [c_void_p, POINTER(POINTER(c_char_p))]),
    "classifier_prompt": (_STATUS, [c_void_p, POINTER(c_char_p), POINTER(c_void_p), POINTER(c_size_t)]),
    "classify": (_STATUS, [c_void_p, POINTER(c_char_p), c_size_t, POINTER(Classification), c_void_p, c_void_p]),
    "logits": (_STATUS, [c_void_p, Span, c_size_t, LogitsFn, c_void_p]),
}


def _checked(status: int, function: object, arguments: object) -> None:
    if status:
        raise BY_STATUS.get(status, GptjtError)(last_error())


class _Functions:
    """The functions, without "gptjt_"; those that return a status raise instead. Python's lock is released in them."""

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, "gptjt_" + name)
            function.argtypes = arguments
            if result == _STATUS:
                function.restype = c_int
                function.errcheck = _checked
            else:
                function.restype = result
            setattr(self, name, function)


def take_text(text: c_void_p, n: int = -1) -> bytes:
    """A copy of an owned text, which is freed; n -1: up to its NUL."""
    try:
        return ctypes.string_at(text.value or 0, n)
    finally:
        lib.free(text)


def last_error() -> str:
    return lib.error().decode("utf-8", "replace")


def _load() -> _Functions:
    """$GPTJT_LIBRARY, the library of this package, or the one that the system has."""
    inside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libgptjt.so")
    path = os.environ.get("GPTJT_LIBRARY") or (inside if os.path.exists(inside) else "libgptjt.so.0")
    try:
        functions = _Functions(path)
    except (OSError, AttributeError) as e:
        raise ImportError(f"gptjt: {path} cannot be used: {e}") from None
    version = functions.version().decode()
    if version != VERSION:
        raise ImportError(f"gptjt: {path} is version {version}, this package is for {VERSION}")
    return functions


lib = _load()
