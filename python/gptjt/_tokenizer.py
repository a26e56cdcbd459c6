# SPDX-License-Identifier: Apache-2.0
"""The tokenizer, under the names that transformers has for what it does."""

from __future__ import annotations

import ctypes
from typing import Any, Iterable, Optional, Sequence, Union

import numpy as np

from . import _values
from ._engine import find_model
from ._library import lib, take_text
from ._parameters import check_rest

_END = "<|endoftext|>"
_NOT_BUILT = {"text_pair": "one text at a time is encoded", "text_target": "one text at a time is encoded",
              "is_split_into_words": "give whole texts", "return_offsets_mapping": "not built",
              "return_overflowing_tokens": "not built", "return_special_tokens_mask": "not built",
              "return_token_type_ids": "the model has no token types", "stride": "not built",
              "pad_to_multiple_of": "not built"}
_LOADING = {"cache_dir": "set HF_HUB_CACHE", "subfolder": "give the directory", "tokenizer_file": "give a directory",
            "add_prefix_space": "write the space", "add_bos_token": "write <|endoftext|>"}
_LOADING_NEUTRAL = {"use_fast": (True, False), "trust_remote_code": (True, False), "local_files_only": (True, False),
                    "padding_side": ("left", "right"), "truncation_side": ("left", "right")}


class BatchEncoding(dict):
    """input_ids and attention_mask, as items and as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to(self, device: Any) -> "BatchEncoding":
        """Moves tensors of torch; anything else stays."""
        return BatchEncoding({k: v.to(device) if _values.is_torch(v) else v for k, v in self.items()})


class Tokenizer:
    """Text to token ids and back. May be used by several threads at once."""

    def __init__(self, directory: bytes) -> None:
        self._handle = ctypes.c_void_p()
        lib.tokenizer_open(ctypes.byref(self._handle), directory)
        self.name_or_path = directory.decode("utf-8", "replace")
        self.padding_side = "right"
        self.truncation_side = "right"
        self.model_max_length: Optional[int] = None
        end = lib.tokenizer_find(self._handle, _END.encode())
        self.eos_token: Optional[str] = _END if end >= 0 else None
        self.eos_token_id: Optional[int] = end if end >= 0 else None
        self.bos_token, self.bos_token_id = self.eos_token, self.eos_token_id
        self._pad_token: Optional[str] = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Optional[_values.PathLike] = None, *,
                        revision: Optional[str] = None, **kwargs: Any) -> "Tokenizer":
        """Of a directory, or of OWNER/NAME in the Hugging Face cache; without either of the default model."""
        check_rest("from_pretrained", kwargs, _LOADING, _LOADING_NEUTRAL)
        tokenizer = cls(find_model(model_name(pretrained_model_name_or_path, revision)))
        for name in ("padding_side", "truncation_side"):
            if kwargs.get(name):
                setattr(tokenizer, name, kwargs[name])
        return tokenizer

    def __del__(self, lib=lib) -> None:  # a name that is still there when Python ends
        if getattr(self, "_handle", None):
            lib.tokenizer_close(self._handle)

    def __len__(self) -> int:
        return lib.tokenizer_size(self._handle)

    @property
    def vocab_size(self) -> int:
        return len(self)

    @property
    def pad_token(self) -> Optional[str]:
        return self._pad_token

    @pad_token.setter
    def pad_token(self, token: Optional[str]) -> None:
        if token is not None and self.convert_tokens_to_ids(token) is None:
            raise ValueError(f"pad_token: {token!r} is not in the vocabulary")
        self._pad_token = token

    @property
    def pad_token_id(self) -> Optional[int]:
        return None if self._pad_token is None else self.convert_tokens_to_ids(self._pad_token)

    def convert_tokens_to_ids(self, token: str) -> Optional[int]:
        """The id of an added token, or of a whole entry of the vocabulary by its text; None if there is none."""
        found = lib.tokenizer_find(self._handle, _values.c_string("token", token))
        return found if found >= 0 else None

    def encode_ids(self, text: str, added_tokens: bool = True) -> np.ndarray:
        """The ids of a text, int32. added_tokens: <|endoftext|> and its like are matched, not spelled."""
        encoded = _values.text("text", text).encode("utf-8")
        found, n = ctypes.c_void_p(), ctypes.c_size_t()
        lib.encode(self._handle, encoded, len(encoded), added_tokens, ctypes.byref(found), ctypes.byref(n))
        try:
            if not n.value:
                return np.empty(0, np.int32)
            return np.ctypeslib.as_array(ctypes.cast(found, ctypes.POINTER(ctypes.c_int32)), (n.value,)).copy()
        finally:
            lib.free(found)

    def encode(self, text: str, add_special_tokens: bool = True, return_tensors: Optional[str] = None,
               **kwargs: Any) -> Any:
        return self(text, add_special_tokens=add_special_tokens, return_tensors=return_tensors, **kwargs).input_ids

    def __call__(self, text: Union[str, Sequence[str]], add_special_tokens: bool = True,
                 padding: Union[bool, str, None] = False, truncation: Union[bool, str, None] = False,
                 max_length: Optional[int] = None, return_tensors: Optional[str] = None,
                 return_attention_mask: Optional[bool] = True, **kwargs: Any) -> BatchEncoding:
        check_rest("tokenizer", kwargs, _NOT_BUILT, {"verbose": (True, False)})
        single = isinstance(text, str)
        texts: list[str] = [text] if isinstance(text, str) else _values.texts("text", text)
        rows: Any = [self.encode_ids(t).tolist() for t in texts]
        if truncation not in (False, None, "do_not_truncate"):
            rows = [self._truncated(row, max_length) for row in rows]
        masks: Any = [[1] * len(row) for row in rows]
        if padding not in (False, None, "do_not_pad"):
            rows, masks = self._padded(rows, masks, padding, max_length)
        if single and return_tensors is None:
            rows, masks = rows[0], masks[0]
        out = BatchEncoding(input_ids=as_tensors(rows, return_tensors))
        if return_attention_mask in (True, None):
            out["attention_mask"] = as_tensors(masks, return_tensors)
        return out

    def _truncated(self, row: list[int], max_length: Optional[int]) -> list[int]:
        length = self.model_max_length if max_length is None else max_length
        if length is None:
            raise ValueError("truncation: to what length? give max_length")
        length = _values.integer("max_length", length, 1, _values.INT_MAX)
        return row[-length:] if self.truncation_side == "left" else row[:length]

    def _padded(self, rows: list, masks: list, padding: Union[bool, str, None], max_length: Optional[int]) -> tuple:
        if self.pad_token_id is None:
            raise ValueError("padding: there is no padding token; set tokenizer.pad_token = tokenizer.eos_token")
        if padding not in (True, "longest", "max_length"):
            raise ValueError(f"padding is {padding!r}, not True, False, 'longest' or 'max_length'")
        width = max((len(row) for row in rows), default=0)
        if padding == "max_length":
            width = max(width, _values.integer("max_length", max_length, 1, _values.INT_MAX))
        gaps = [width - len(row) for row in rows]
        left = self.padding_side == "left"
        fill = [[self.pad_token_id] * gap for gap in gaps]
        rows = [f + row if left else row + f for f, row in zip(fill, rows)]
        masks = [[0] * gap + mask if left else mask + [0] * gap for gap, mask in zip(gaps, masks)]
        return rows, masks

    def decode_bytes(self, token_ids: Any) -> bytes:
        """The exact bytes, which need not be UTF-8."""
        ids = _values.ids("token_ids", token_ids)
        found, n = ctypes.c_void_p(), ctypes.c_size_t()
        lib.decode(self._handle, ids.ctypes.data, len(ids), ctypes.byref(found), ctypes.byref(n))
        return take_text(found, n.value)

    def decode(self, token_ids: Any, skip_special_tokens: bool = False,
               clean_up_tokenization_spaces: Optional[bool] = None, **kwargs: Any) -> str:
        """Bytes that are not UTF-8 become U+FFFD. skip_special_tokens leaves <|endoftext|> out."""
        check_rest("decode", {"clean_up_tokenization_spaces": clean_up_tokenization_spaces, **kwargs},
                   {"clean_up_tokenization_spaces": "text comes out as the model wrote it"},
                   {"clean_up_tokenization_spaces": (False,)})
        if isinstance(token_ids, (int, np.integer)):
            token_ids = [token_ids]
        ids = _values.ids("token_ids", token_ids)
        if skip_special_tokens and self.eos_token_id is not None:
            ids = ids[ids != self.eos_token_id]
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def batch_decode(self, sequences: Iterable[Any], **kwargs: Any) -> list[str]:
        return [self.decode(ids, **kwargs) for ids in sequences]


def as_tensors(rows: Any, kind: Optional[str]) -> Any:
    """Lists as they are, or "np" or "pt"."""
    if kind is None:
        return rows
    if kind not in ("np", "pt"):
        raise NotImplementedError(f"return_tensors={kind!r}: not built; 'np' and 'pt' are")
    if rows and len({len(row) for row in rows}) > 1:
        raise ValueError("the texts have different lengths: give padding=True, or no return_tensors")
    array = np.array(rows, dtype=np.int64).reshape(len(rows), -1)
    if kind == "np":
        return array
    import torch
    return torch.from_numpy(array)


def model_name(name: Optional[_values.PathLike], revision: Optional[str]) -> Optional[bytes]:
    if name is None:
        return None
    encoded = _values.path("model", name)
    return encoded if revision is None else encoded + b"@" + _values.c_string("revision", revision)


class AutoTokenizer:
    """As in transformers: from_pretrained() makes a Tokenizer."""

    from_pretrained = Tokenizer.from_pretrained
