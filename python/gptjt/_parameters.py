# SPDX-License-Identifier: Apache-2.0
"""Parameters of transformers' generate(): which are taken, which are not built, and how they become a request."""

from __future__ import annotations

import ctypes
import dataclasses
import difflib
import random
from typing import Any, Callable, Iterable, Mapping, Optional

import numpy as np

from . import _values
from ._library import Bias, GenerateRequest, lib

_BEAMS = "there is no beam search; decoding is greedy or sampled"
_WORDS = "choosing words by hand is not built; single tokens: logit_bias={id: -100.0}"
NOT_BUILT = {
    "num_beams": _BEAMS, "num_beam_groups": _BEAMS, "diversity_penalty": _BEAMS, "length_penalty": _BEAMS,
    "early_stopping": _BEAMS, "constraints": _BEAMS, "force_words_ids": _BEAMS,
    "penalty_alpha": "contrastive search is not built", "dola_layers": "not built",
    "assistant_model": "speculative decoding is not built", "prompt_lookup_num_tokens": "not built",
    "min_length": "a minimum length is not built", "min_new_tokens": "a minimum length is not built",
    "max_time": "output that depends on the machine's speed cannot be repeated",
    "no_repeat_ngram_size": "use repetition_penalty", "encoder_no_repeat_ngram_size": "the model has no encoder",
    "encoder_repetition_penalty": "the model has no encoder", "epsilon_cutoff": "use top_p, top_k or typical_p",
    "eta_cutoff": "use top_p, top_k or typical_p", "min_p": "use top_p, top_k or typical_p",
    "bad_words_ids": _WORDS, "sequence_bias": _WORDS, "suppress_tokens": _WORDS, "begin_suppress_tokens": _WORDS,
    "forced_bos_token_id": _WORDS, "forced_eos_token_id": _WORDS, "exponential_decay_length_penalty": "not built",
    "guidance_scale": "classifier-free guidance is not built", "low_memory": "not built",
    "renormalize_logits": "probabilities always sum to one", "remove_invalid_values": "NaN is an error",
    "logits_processor": "not built", "stopping_criteria": "use stop", "prefix_allowed_tokens_fn": "not built",
    "generation_config": "give the parameters themselves", "streamer": "use model.stream()",
    "output_scores": "use model.score()", "output_logits": "call the model", "output_attentions": "not built",
    "output_hidden_states": "not built", "return_dict_in_generate": "not built", "inputs_embeds": "not built",
    "past_key_values": "sessions keep what can be reused", "synced_gpus": "not built",
    "negative_prompt_ids": "not built", "position_ids": "positions are those of the tokens",
    "head_mask": "not built", "token_type_ids": "not built", "labels": "training is `gptjt train`",
    "decoder_start_token_id": "the model has no encoder", "watermarking_config": "not built",
    "cache_implementation": "not built",
}
# Values that ask for nothing.
NEUTRAL: dict[str, tuple] = {
    "num_beams": (1,), "num_beam_groups": (1,), "diversity_penalty": (0.0,), "length_penalty": (1.0,),
    "early_stopping": (False,), "min_length": (0,), "min_new_tokens": (0,), "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,), "epsilon_cutoff": (0.0,), "eta_cutoff": (0.0,), "min_p": (0.0,),
    "renormalize_logits": (False, True), "remove_invalid_values": (False,), "output_scores": (False,),
    "output_logits": (False,), "output_attentions": (False,), "output_hidden_states": (False,),
    "return_dict_in_generate": (False,), "synced_gpus": (False,), "use_cache": (True,), "return_dict": (True,),
    "guidance_scale": (1.0,), "low_memory": (False,),
}


def check_rest(what: str, given: Mapping[str, Any], not_built: Mapping[str, str],
               neutral: Mapping[str, tuple], known: Iterable[str] = ()) -> None:
    """Parameters that are not ours: those of transformers are refused by name, others are a slip of the pen."""
    for name, value in given.items():
        if value is None and (name in not_built or name in neutral):
            continue
        if name in neutral and any(value is v or (type(value) in (int, float, bool, str) and value == v)
                                   for v in neutral[name]):
            continue
        if name in not_built:
            raise NotImplementedError(f"{what}: {name}={value!r:.60}: {not_built[name]}")
        if name in neutral:
            raise NotImplementedError(f"{what}: {name}={value!r:.60} is not built")
        near = difflib.get_close_matches(name, [*not_built, *neutral, *known], 1)
        raise TypeError(f"{what} got an unexpected keyword argument '{name}'" +
                        (f"; did you mean '{near[0]}'?" if near else ""))


@dataclasses.dataclass
class GenerateParameters:
    """What model.generate(), model.stream() and the pipeline take, with the defaults. None: the default too."""

    max_new_tokens: Optional[int] = None  # 20
    max_length: Optional[int] = None  # counts the prompt in
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Optional[Mapping[int, float]] = None
    num_return_sequences: int = 1
    seed: Optional[int] = None
    stop: Any = None
    prompt_mask: Optional[str] = None
    eos_token_id: Optional[int] = None
    pad_token_id: Optional[int] = None

    @classmethod
    def read(cls, what: str, given: Mapping[str, Any]) -> "GenerateParameters":
        given = dict(given)
        for other in ("stop_strings", "stop_sequence"):
            if given.get(other) is not None:
                if given.get("stop") is not None:
                    raise TypeError(f"{what}: give stop or {other}, not both")
                given["stop"] = given[other]
            given.pop(other, None)
        fields: dict[str, Any] = {f.name: f.default for f in dataclasses.fields(cls)}
        check_rest(what, {k: v for k, v in given.items() if k not in fields}, NOT_BUILT, NEUTRAL, fields)
        return cls(**{k: given[k] if given.get(k) is not None else default for k, default in fields.items()})

    def new_tokens(self, n_prompt: int) -> int:
        if self.max_new_tokens is not None:
            return _values.integer("max_new_tokens", self.max_new_tokens, 0, _values.INT_MAX)
        if self.max_length is None:
            return 20
        left = _values.integer("max_length", self.max_length, 0, _values.INT_MAX) - n_prompt
        if left < 1:
            raise ValueError(f"max_length is {self.max_length} and counts the prompt in, which has {n_prompt} tokens; "
                             "give max_new_tokens")
        return left

    def stops(self) -> list[bytes]:
        if self.stop is None:
            return []
        given = [self.stop] if isinstance(self.stop, str) else _values.texts("stop", self.stop)
        return [_values.c_string("stop", s) for s in given]

    def biases(self) -> ctypes.Array:
        given = self.logit_bias or {}
        if not isinstance(given, Mapping):
            raise TypeError(f"logit_bias is {type(given).__name__}, not a dict of token ids and numbers")
        array = (Bias * max(len(given), 1))()
        for i, (token, bias) in enumerate(given.items()):
            array[i] = Bias(_values.integer("logit_bias", token, 0, _values.INT_MAX),
                            _values.number("logit_bias", bias))
        return array


class Request:
    """A gptjt_generate_request, and what it points to."""

    def __init__(self, prompt: np.ndarray, p: GenerateParameters, mask: int,
                 on_token: Optional[Callable] = None) -> None:
        self.prompt, self.stop, self.bias = prompt, p.stops(), p.biases()
        self.stop_array = _values.c_strings(self.stop)
        self.n_new = p.new_tokens(len(prompt))
        self.n_sequences = _values.integer("num_return_sequences", p.num_return_sequences, 1, 1024)
        seed = random.SystemRandom().getrandbits(53) if p.seed is None else p.seed
        r = self.c = GenerateRequest()
        lib.generate_init(ctypes.byref(r))
        r.prompt, r.n_prompt = prompt.ctypes.data, len(prompt)
        r.prompt_mask = mask
        r.max_new_tokens = self.n_new
        r.num_return_sequences = self.n_sequences
        r.do_sample = _values.flag("do_sample", p.do_sample)
        r.top_k = _values.integer("top_k", p.top_k, 0, _values.INT_MAX)
        for name in ("temperature", "top_p", "typical_p", "repetition_penalty", "presence_penalty",
                     "frequency_penalty"):
            setattr(r, name, _values.number(name, getattr(p, name)))
        r.logit_bias, r.n_logit_bias = self.bias, len(p.logit_bias or {})
        r.seed = _values.integer("seed", seed, 0, 2**63 - 1)
        r.stop, r.n_stop = self.stop_array, len(self.stop)
        if on_token:
            r.on_token = on_token

    @property
    def tokens(self) -> int:
        """K/V rows that it needs by itself."""
        return lib.tokens_needed(len(self.prompt), self.n_sequences, self.n_new)
