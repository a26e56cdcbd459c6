# SPDX-License-Identifier: Apache-2.0
"""What callers hand in, checked before the library sees it: a number that does not fit in a C type would be cut off
there in silence."""

from __future__ import annotations

import ctypes
import math
import numbers
import os
from typing import Any, Mapping, Optional, Sequence, Union

import numpy as np

INT_MAX = 2**31 - 1
MASKS = {None: 0, "auto": 0, "prefix": 1, "causal": 2}
MASK_NAMES = {1: "prefix", 2: "causal"}


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {type(value).__name__}, not str")
    return value


def c_string(name: str, value: Any) -> bytes:
    encoded = text(name, value).encode("utf-8")
    if b"\0" in encoded:
        raise ValueError(f"{name}: a NUL character in {value[:40]!r}")
    return encoded


def path(name: str, value: Any) -> bytes:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} is {type(value).__name__}, not str or a path")
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise ValueError(f"{name}: a NUL character in it")
    return encoded


def integer(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {type(value).__name__}, not int")
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, not within {low} and {high}")
    return int(value)


def number(name: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {type(value).__name__}, not a number")
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {type(value).__name__}, not bool")
    return bool(value)


def choice(name: str, value: Any, choices: dict) -> int:
    try:
        return choices[value]
    except (KeyError, TypeError):
        named = ", ".join(repr(c) for c in choices if c is not None)
        raise ValueError(f"{name} is {value!r}, not one of {named}") from None


def mask(value: Optional[str]) -> int:
    return choice("prompt_mask", value, MASKS)


def texts(name: str, value: Any) -> list[str]:
    """A list of strings; a single one is not taken for the list of its characters."""
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} is {type(value).__name__}, not a list of str")
    return [text(f"{name}[{i}]", v) for i, v in enumerate(value)]


def is_torch(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach")


def array(name: str, value: Any) -> np.ndarray:
    """Integers of any shape, from lists, numpy or torch."""
    if is_torch(value):
        value = value.detach().cpu().numpy()
    try:
        a = np.asarray(value)
    except ValueError:
        raise ValueError(f"{name}: rows of different lengths; pad them, and give attention_mask") from None
    if a.size == 0:
        a = a.astype(np.int64)
    if a.dtype.kind not in "iu":
        raise TypeError(f"{name} does not hold integers but {a.dtype}")
    return a


def ids(name: str, value: Any) -> np.ndarray:
    """Token ids as the library takes them: int32, contiguous, one row."""
    a = array(name, value)
    if a.ndim != 1:
        raise ValueError(f"{name} has {a.ndim} dimensions, not one")
    if a.size and (a.min() < 0 or a.max() > INT_MAX):
        bad = a[(a < 0) | (a > INT_MAX)][0]
        raise ValueError(f"{name}: {bad} is not a token id")
    return np.ascontiguousarray(a, dtype=np.int32)


def c_strings(values: Sequence[bytes]) -> ctypes.Array:
    return (ctypes.c_char_p * max(len(values), 1))(*values)


PathLike = Union[str, "os.PathLike[str]"]
