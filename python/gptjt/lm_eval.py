# SPDX-License-Identifier: Apache-2.0
"""lm-evaluation-harness on gptjt, with the prompt mask that a checkpoint was trained for.

    python -m gptjt.lm_eval --model gptjt --model_args pretrained=DIR,prompt_mask=prefix --tasks ...

is the harness's own command, which finds no models outside itself; importing this module registers "gptjt" for
programs that call lm_eval.simple_evaluate(). The prompt is the context of a request: all of it sees all of it in prefix
mode, and a continuation is never part of it."""

from __future__ import annotations

import logging
from typing import Any, Iterator, Optional, Union

from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from ._errors import UnsupportedError
from ._model import Model
from ._pipeline import keep_last

_TOGETHER = 64  # requests a call, with batch_size=auto: enough to fill a processor, few enough for a bar that moves
_log = logging.getLogger(__name__)
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


@register_model("gptjt")
class GptjtLM(TemplateLM):
    """model_args: pretrained (default: as for the program), prompt_mask, weights, compute, threads, cpu, adapter,
    revision, max_gen_toks. Without prompt_mask it is the checkpoint's own, and text in rolling windows is causal."""

    def __init__(self, pretrained: Optional[str] = None, prompt_mask: Optional[str] = None,
                 batch_size: Union[int, str, None] = None, max_batch_size: Optional[int] = None,
                 max_gen_toks: int = 256, device: Optional[str] = None, **kwargs: Any) -> None:
        super().__init__()
        try:
            self.model = Model.from_pretrained(pretrained, prompt_mask=prompt_mask, device=device, **kwargs)
        except UnsupportedError as e:
            if not str(device).startswith("cuda"):  # which the harness asks for unasked
                raise
            _log.warning("%s; the CPU computes", e)
            self.model = Model.from_pretrained(pretrained, prompt_mask=prompt_mask, device="cpu", **kwargs)
        self.tokenizer = self.model.tokenizer
        self._mask = prompt_mask
        self._together = max_batch_size or _TOGETHER if batch_size in (None, "auto") else int(str(batch_size))
        self._max_gen_toks = max_gen_toks
        if self._together < 1:
            raise ValueError(f"batch_size is {batch_size}, not 'auto' or above 0")

    @property
    def eot_token_id(self) -> int:
        end = self.model.info["eos_token_id"]
        if end < 0:
            raise ValueError("the model has no <|endoftext|> to begin a text with")
        return end

    @property
    def max_length(self) -> int:
        return self.model.info["n_positions"]

    @property
    def tokenizer_name(self) -> str:
        return self.model.name_or_path.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: Optional[bool] = None, **kwargs: Any) -> list[int]:
        return self.tokenizer.encode_ids(string).tolist()

    def _groups(self, items: list, what: str, disable_tqdm: bool) -> Iterator[list]:
        with tqdm(total=len(items), desc=what, disable=disable_tqdm) as bar:
            for i in range(0, len(items), self._together):
                yield items[i:i + self._together]
                bar.update(len(items[i:i + self._together]))

    def _scores(self, pairs: list, mask: Optional[str]) -> list:
        """Contexts too long for the window lose their beginning."""
        room = self.max_length
        return self.model.score_many([(keep_last(before, max(room - len(after), 1)), after) for before, after in pairs],
                                     mask)

    def _loglikelihood_tokens(self, requests: list, disable_tqdm: bool = False, **kwargs: Any) -> list:
        answers = []
        for group in self._groups(requests, "gptjt: log-likelihoods", disable_tqdm):
            for (texts, _, _), s in zip(group, self._scores([r[1:] for r in group], self._mask)):
                answers.append((s.log_likelihood, s.greedy))
                if texts is not None:
                    self.cache_hook.add_partial("loglikelihood", texts, answers[-1])
        return answers

    def loglikelihood_rolling(self, requests: list, disable_tqdm: bool = False) -> list[float]:
        answers = []
        for group in self._groups([r.args[0] for r in requests], "gptjt: rolling log-likelihoods", disable_tqdm):
            windows = [(i, make_disjoint_window(w)) for i, text in enumerate(group) for w in get_rolling_token_windows(
                self.tok_encode(text), self.eot_token_id, self.max_length - 1, context_len=1)]
            sums = [0.0] * len(group)
            for (i, _), s in zip(windows, self._scores([w for _, w in windows], self._mask or "causal")):
                sums[i] += s.log_likelihood
            for text, total in zip(group, sums):
                self.cache_hook.add_partial("loglikelihood_rolling", (text,), total)
            answers += sums
        return answers

    def generate_until(self, requests: list, disable_tqdm: bool = False) -> list[str]:
        answers: dict[int, str] = {}
        alike: dict[str, list[int]] = {}  # requests by how they are to be answered
        for i, request in enumerate(requests):
            alike.setdefault(repr(sorted(request.args[1].items())), []).append(i)
        for places in alike.values():
            given = requests[places[0]].args[1]
            kwargs = self._generate_kwargs(given)
            room = self.max_length - kwargs["max_new_tokens"]
            for group in self._groups(places, "gptjt: texts", disable_tqdm):
                prompts = [keep_last(self.tokenizer.encode_ids(requests[i].args[0]), room) for i in group]
                for i, completions in zip(group, self.model.complete(prompts, prompt_mask=self._mask, **kwargs)):
                    answers[i] = completions[0].text or ""
                    self.cache_hook.add_partial("generate_until", (requests[i].args[0], given), answers[i])
        return [answers[i] for i in range(len(requests))]

    def _generate_kwargs(self, given: dict) -> dict:
        """The harness's parameters under our names; what it leaves open is greedy."""
        kwargs = dict(given)
        until = kwargs.pop("until", None) or []
        kwargs["stop"] = [s for s in ([until] if isinstance(until, str) else until) if s]
        lengths = [n for n in (kwargs.pop(name, None) for name in _LENGTHS) if n is not None]
        kwargs["max_new_tokens"] = lengths[0] if lengths else self._max_gen_toks
        return kwargs


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate
    cli_evaluate()
