# SPDX-License-Identifier: Apache-2.0
"""The model's calls: against the program, against the goldens, against each other."""

import json
import os
import struct
import unittest

import numpy as np

from support import CURRENCY, GOLDENS, MICRO, TINY, as_printed, cli, cli_json, main

from gptjt import AutoModelForCausalLM, AutoTokenizer, LimitError


def tensors(path):
    """The tensors of a safetensors file of fp32, int32 and int64."""
    with open(path, "rb") as f:
        length = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(length))
        body = f.read()
    kinds = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32}
    return {name: np.frombuffer(body[slice(*h["data_offsets"])], kinds[h["dtype"]]).reshape(h["shape"])
            for name, h in header.items() if name != "__metadata__"}


NAMES = ("micro-a", "micro-b", "micro-c")


def open_golden(name):
    return AutoModelForCausalLM.from_pretrained(os.path.join(GOLDENS, name, "bin-fp16-prefix"), compute="fp32")


class Goldens(unittest.TestCase):
    def test_logits_are_within_3e_5_of_float64_truth(self):
        for name in NAMES:
            model = open_golden(name)
            golden = tensors(os.path.join(GOLDENS, name, "logits.safetensors"))
            for key, truth in golden.items():
                case, kind, *_ = key.split(".")
                if kind == "ids":
                    continue
                how = {"n_prefix": int(kind[6:])} if case == "score" else {"prompt_mask": kind}
                logits = model(golden[case + ".ids"], **how).logits[0]
                self.assertLess(np.abs(logits - truth).max(), 3e-5, (name, key))

    def test_greedy_continuations_are_those_of_transformers(self):
        for name in NAMES:
            model = open_golden(name)
            with open(os.path.join(GOLDENS, name, "greedy.json")) as f:
                cases = json.load(f)
            for case in cases:
                prompt, expected = case["prompt"], case["continuation"]
                out = model.generate([prompt], max_new_tokens=len(expected), prompt_mask=case["mask"])
                self.assertEqual(out.tolist(), [prompt + expected], (name, case["mask"]))


class Calls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = AutoModelForCausalLM.from_pretrained(TINY)
        cls.tokenizer = AutoTokenizer.from_pretrained(TINY)

    def test_score_is_that_of_the_program(self):
        for mask in ("prefix", "causal"):
            theirs = cli_json("score", "-m", TINY, "-p", CURRENCY, "-c", " Indian Rupee", "--prompt-mask", mask)
            ours = self.model.score(CURRENCY, " Indian Rupee", prompt_mask=mask)
            self.assertEqual(as_printed(ours.log_likelihood), theirs["log_likelihood"])
            self.assertEqual(ours.greedy, theirs["greedy"])
            self.assertEqual(ours.tokens.tolist(), theirs["tokens"])
            np.testing.assert_allclose(ours.logprobs, theirs["logprobs"], rtol=1e-6)

    def test_many_scores_have_the_bits_of_each_alone(self):
        pairs = [(CURRENCY, " Indian Rupee"), ("a", " b c d"), (CURRENCY, "\n"), ([1, 2, 3], [4])]
        told = []
        together = self.model.score_many(pairs, progress=lambda done, total: told.append((done, total)))
        self.assertEqual([s.log_likelihood for s in together],
                         [self.model.score(*pair).log_likelihood for pair in pairs])
        self.assertTrue(told and all(done <= total for done, total in told))
        self.assertEqual(self.model.score_many([]), [])

    def test_the_mask_of_a_call_is_that_of_a_model(self):
        causal = AutoModelForCausalLM.from_pretrained(TINY, prompt_mask="causal")
        self.assertEqual((self.model.prompt_mask, causal.prompt_mask), ("prefix", "causal"))
        ids = self.tokenizer(CURRENCY, return_tensors="np").input_ids
        np.testing.assert_array_equal(causal(ids).logits, self.model(ids, prompt_mask="causal").logits)
        self.assertGreater(np.abs(causal(ids).logits - self.model(ids).logits).max(), 0.1)
        self.assertNotEqual(self.model.score("a b", " c").log_likelihood, causal.score("a b", " c").log_likelihood)
        self.assertEqual(causal.score("a b", " c", prompt_mask="prefix").log_likelihood,
                         self.model.score("a b", " c").log_likelihood)

    def test_padding_changes_nothing(self):
        self.tokenizer.pad_token = self.tokenizer.eos_token
        for side in ("left", "right"):
            self.tokenizer.padding_side = side
            both = self.tokenizer([CURRENCY, "a"], padding=True, return_tensors="np")
            logits = self.model(**both).logits
            for row, mask, found in zip(both.input_ids, both.attention_mask, logits):
                alone = self.model(row[mask == 1]).logits[0]
                np.testing.assert_array_equal(found[mask == 1], alone)
                self.assertFalse(found[mask == 0].any())
        self.tokenizer.padding_side = "left"
        both = self.tokenizer([CURRENCY, "India"], padding=True, return_tensors="np")
        out = self.model.generate(**both, max_new_tokens=4)
        self.assertEqual(out[0, -4:].tolist(), self.model.complete([CURRENCY], max_new_tokens=4)[0][0].tokens.tolist())
        with self.assertRaisesRegex(NotImplementedError, "hole"):
            self.model([[1, 2, 3]], attention_mask=[[1, 0, 1]])

    def test_sampling_repeats_with_its_seed(self):
        def sample(seed):
            return self.model.generate(self.tokenizer(CURRENCY).input_ids, do_sample=True, temperature=5.0, top_k=0,
                                       num_return_sequences=3, max_new_tokens=8, seed=seed)
        self.assertEqual(sample(1).shape[0], 3)
        np.testing.assert_array_equal(sample(1), sample(1))
        self.assertNotEqual(sample(1).tolist(), sample(2).tolist())
        theirs = cli_json("generate", "-m", TINY, "-p", CURRENCY, "--do-sample", "--temperature", "5", "--top-k", "0",
                          "--max-new-tokens", "8", "--seed", "1")
        ours = self.model.complete([CURRENCY], do_sample=True, temperature=5.0, top_k=0, max_new_tokens=8, seed=1)
        self.assertEqual(ours[0][0].tokens.tolist(), theirs["tokens"])
        np.testing.assert_allclose(ours[0][0].logprobs, theirs["logprobs"], rtol=1e-6)
        self.assertEqual(ours[0][0].finish_reason, theirs["finish_reason"])

    def test_a_stream_is_the_text_in_pieces(self):
        whole = self.model.complete([CURRENCY], stop="\n")[0][0].text
        pieces = list(self.model.stream(CURRENCY, stop="\n"))
        self.assertEqual("".join(pieces), whole)
        self.assertGreater(len(pieces), 1)
        self.assertEqual("".join(self.model.stream(CURRENCY, max_new_tokens=20)),
                         self.model.complete([CURRENCY])[0][0].text)
        for _ in range(20):  # left in the middle: the model is free for others
            stream = self.model.stream(CURRENCY, max_new_tokens=400)
            next(stream)
            stream.close()
        with self.assertRaises(LimitError):
            list(self.model.stream(CURRENCY, max_new_tokens=600))

    def test_tokens_are_told_as_they_come(self):
        told = []
        out = self.model.complete([CURRENCY, "a"], on_token=lambda i, token: told.append((i, token)), max_new_tokens=5)
        for i in (0, 1):
            tokens = [t for k, t in told if k == i]
            self.assertEqual([t.id for t in tokens], out[i][0].tokens.tolist())
            self.assertEqual([t.index for t in tokens], list(range(len(tokens))))
            self.assertEqual([t.finish_reason for t in tokens], [None] * (len(tokens) - 1) + [out[i][0].finish_reason])
            np.testing.assert_array_equal([np.float32(t.logprob) for t in tokens], out[i][0].logprobs)

    def test_without_a_tokenizer_ids_are_enough(self):
        model = AutoModelForCausalLM.from_pretrained(MICRO)
        printed = cli("generate", "-m", MICRO, "--ids", "1,2,3", "--max-new-tokens", "5", "--quiet")
        self.assertEqual([int(t) for t in printed.split()], model.generate([1, 2, 3], max_new_tokens=5)[0, 3:].tolist())
        self.assertEqual("".join(model.stream([1, 2, 3], max_new_tokens=5)).split(), printed.split())
        self.assertIsNone(model.complete([[1, 2, 3]])[0][0].text)
        self.assertEqual(model.score([1, 2], [3]).tokens.tolist(), [3])

    def test_logit_bias_penalties_and_lengths_reach_the_library(self):
        first = self.model.complete([CURRENCY], max_new_tokens=1)[0][0].tokens[0]
        banned = self.model.complete([CURRENCY], max_new_tokens=1, logit_bias={int(first): -100.0})[0][0].tokens[0]
        self.assertNotEqual(first, banned)
        n = len(self.tokenizer(CURRENCY).input_ids)
        self.assertEqual(self.model.generate(self.tokenizer(CURRENCY).input_ids, max_length=n + 3).shape, (1, n + 3))
        with self.assertRaisesRegex(ValueError, "max_length is 3 and counts the prompt in"):
            self.model.complete([CURRENCY], max_length=3)
        theirs = cli("generate", "-m", TINY, "-p", CURRENCY, "--repetition-penalty", "3", "--presence-penalty", "1",
                     "--frequency-penalty", "1", "--max-new-tokens", "30", "--quiet")
        ours = self.model.complete([CURRENCY], repetition_penalty=3.0, presence_penalty=1.0, frequency_penalty=1.0,
                                   max_new_tokens=30)[0][0].text
        self.assertEqual(ours, theirs[:-1])


if __name__ == "__main__":
    main()
