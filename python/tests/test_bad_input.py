# SPDX-License-Identifier: Apache-2.0
"""What nobody should hand in: an exception each, and a model that works afterwards."""

import os
import tempfile
import unittest

import numpy as np

from support import CURRENCY, TINY, main

import gptjt
from gptjt import AutoModelForCausalLM, AutoTokenizer, pipeline

WRONG = (None, 1, 1.5, b"bytes", object(), {"a": 1}, [None], [b"a"], [1.5], [[1]])


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = AutoModelForCausalLM.from_pretrained(TINY)
        cls.tokenizer = AutoTokenizer.from_pretrained(TINY)
        cls.pipe = pipeline(model=cls.model)
        cls.expected = cls.model.complete([CURRENCY])[0][0].tokens.tolist()

    def tearDown(self):
        self.assertEqual(self.model.complete([CURRENCY])[0][0].tokens.tolist(), self.expected)

    def refused(self, function, *arguments, errors=(TypeError, ValueError), **kwargs):
        with self.assertRaises(errors, msg=f"{arguments} {kwargs}"):
            function(*arguments, **kwargs)

    def test_wrong_types(self):
        for value in WRONG:
            self.refused(self.pipe, value)
            self.refused(self.model.classify, value, ["a", "b"])
            self.refused(self.model.score, value, " a")
            self.refused(self.model.score, "a", value)
            self.refused(lambda v: list(self.model.stream(v)), value)
            self.refused(self.model.complete, [value])
            if value is not None:
                self.refused(self.model.classify, "a", value)
                self.refused(self.model.classify, "a", ["a", "b"], instruction=value)
                self.refused(self.model.classify, "a", ["a", "b"], shots=value)
                self.refused(self.model.classify, "a", ["a", "b"], fields=value)
                self.refused(self.model.complete, ["a"], stop=value)
                self.refused(self.model.complete, ["a"], on_token=value)
                self.refused(self.model.classify, "a", ["a", "b"], progress=value)
                self.refused(self.model.complete, ["a"], prompt_mask=value)
            if not isinstance(value, (bytes, int)):
                self.refused(self.tokenizer.decode, value)
            self.refused(self.tokenizer, value)
            self.refused(self.tokenizer.encode_ids, value)
        for value in (None, "text", object(), [[1, 2], [3]], [[[1]]], np.zeros((1, 1, 1), int), [True], ["a"], [1.5]):
            self.refused(self.model.generate, value)
            self.refused(self.model, value)
        self.refused(self.model.generate, [[1, 2]], attention_mask=[[1]])

    def test_wrong_numbers(self):
        for name, values in {"max_new_tokens": (-1, 2**31, 2**70, "3", 1.5, True), "top_k": (-1, 2**40, "a"),
                             "temperature": (-1.0, float("nan"), float("inf"), "hot"), "top_p": (0.0, 2.0, -1, "x"),
                             "typical_p": (0.0, 2.0), "repetition_penalty": (0.0, -1.0, float("nan")),
                             "num_return_sequences": (0, -1, 10**9, 1.0), "seed": (-1, 2**64, "a"),
                             "do_sample": (1, "yes"), "presence_penalty": (float("inf"),),
                             "logit_bias": ([1], {1: "a"}, {-1: 0.0}, {2**40: 1.0}, {1: float("nan")}),
                             "max_length": (1, -1, 2**40), "stop": ([""], "", ["a\0b"], [1])}.items():
            for value in values:
                self.refused(self.model.complete, [CURRENCY], **{name: value})
        self.refused(self.model.complete, [CURRENCY], logit_bias={4096: 1.0})
        self.refused(self.model, [[1, 2]], n_prefix=3)
        self.refused(self.model, [[1, 2]], n_prefix=-1)

    def test_ids_that_are_none(self):
        for ids in ([-1], [4096], [2**31], [2**40], [-2**63], []):
            self.refused(self.model.complete, [ids])
            self.refused(self.model.generate, [ids])
            self.refused(self.model, [ids])
            self.refused(self.model.score, ids, [1])
            self.refused(self.model.score, [1], ids)
        self.refused(self.tokenizer.decode, [2**31 - 1])
        self.refused(self.tokenizer.decode, [-1])
        self.assertEqual(self.tokenizer.decode([]), "")

    def test_text_that_is_none(self):
        self.refused(self.pipe, "")
        self.refused(self.pipe, "\ud800")
        self.refused(self.model.classify, "\ud800", ["a", "b"])
        self.refused(self.model.classify, "a\0b", ["a", "b"])
        self.refused(self.model.classify, "a", ["a", "b\0"])
        self.refused(self.model.classify, ["a", None, "b"], ["a", "b"])
        self.refused(self.model.classify, ["a", float("nan")], ["a", "b"])
        self.refused(self.model.classify, {"x": "a"}, ["a", "b"], fields=["y"])
        self.refused(self.model.classify, [("a",)], ["a", "b"], fields=["x", "y"])
        self.refused(self.model.classify, "a", ["a", "b"], fields=[])
        self.refused(self.model.classify, "a", ["a", "b"], shots=[("a", "b", "c")])
        self.refused(self.model.classify, "a", ["a", "b"], normalize="words")
        self.refused(self.model.score_many, ["ab"])
        self.refused(self.model.score_many, [("a",)])

    def test_huge_lists(self):
        self.refused(self.model.complete, [np.ones(5_000_000, np.int64)])
        self.refused(self.pipe, "word " * 300_000)
        self.refused(self.model.score, [1] * 600, [1])
        self.refused(self.model.score, [1], np.ones(2_000_000, np.int32))
        self.refused(self.model, [[1] * 513])
        self.refused(self.model.complete, [CURRENCY], max_new_tokens=2**31 - 1)
        self.refused(self.model.complete, [CURRENCY], num_return_sequences=1024)  # greedy: all the same
        labels = [f"label {i}" for i in range(3000)]
        self.assertEqual(len(self.model.classify("a", labels, list_labels=False).probabilities), 3000)
        self.refused(self.model.classify, "a", labels)  # their list leaves no room
        self.assertEqual(len(self.model.score_many([([1], [2])] * 20_000)), 20_000)
        long = "a b " * 500_000
        self.assertEqual(self.tokenizer.decode(self.tokenizer.encode(long)), long)

    def test_models_that_are_none(self):
        for name in ("", "/nonexistent", "owner/none", "a/b/c", "x\0y", __file__, 1, b"x", [TINY],
                     TINY + "/config.json"):
            for load in (AutoModelForCausalLM.from_pretrained, AutoTokenizer.from_pretrained):
                self.refused(load, name, errors=(TypeError, ValueError, OSError))
        with tempfile.TemporaryDirectory() as d:
            self.refused(AutoModelForCausalLM.from_pretrained, d, errors=gptjt.FileError)
            for config in ("", "{", "[]", '{"model_type": "gpt2"}'):
                with open(os.path.join(d, "config.json"), "w") as f:
                    f.write(config)
                self.refused(AutoModelForCausalLM.from_pretrained, d, errors=gptjt.GptjtError)
        for kwargs in ({"weights": "q3"}, {"compute": "fp64"}, {"threads": -1}, {"threads": 2**40}, {"cpu": "z80"},
                       {"cpu": 1}, {"adapter": "/nonexistent"}, {"adapter": 1}, {"prompt_mask": "both"},
                       {"prompt_mask": 1}, {"device": "tpu"}, {"device": True}, {"revision": 1},
                       {"weights": "q8", "torch_dtype": "float16"}, {"wieghts": "q8"}):
            self.refused(AutoModelForCausalLM.from_pretrained, TINY, errors=(TypeError, ValueError, OSError,
                                                                             NotImplementedError), **kwargs)

    def test_what_is_closed(self):
        model = AutoModelForCausalLM.from_pretrained(TINY)
        model.close()
        model.close()
        for call in (lambda: model.complete(["a"]), lambda: model.score("a", "b"), lambda: model([[1]]),
                     lambda: model.classify("a", ["a", "b"]), lambda: model.generate([1]), lambda: model.info,
                     lambda: list(model.stream("a"))):
            self.refused(call, errors=gptjt.ClosedError)
        with self.model.classifier(["a", "b"]) as classifier:
            classifier(["a"])
        self.refused(classifier, ["a"], errors=gptjt.ClosedError)
        self.refused(classifier.prompt, "a", errors=gptjt.ClosedError)
        classifier.close()

    def test_a_classifier_outlives_its_model(self):
        model = AutoModelForCausalLM.from_pretrained(TINY, threads=1)
        with model.classifier(["a", "b"]) as classifier:
            expected = classifier(["x"])
            model.close()
            self.assertEqual(classifier(["x"]), expected)

    def test_exceptions_in_callbacks(self):
        class Mine(BaseException):
            pass

        def throw(*arguments):
            raise Mine("from within")

        for call in (lambda: self.model.complete([CURRENCY] * 3, on_token=throw),
                     lambda: self.model.generate([1, 2], on_token=throw),
                     lambda: self.model.score_many([("a b c", " d")] * 50, progress=throw),
                     lambda: self.model.classify(["a"] * 50, ["a", "b"], progress=throw),
                     lambda: self.model.classify(["a"], ["a", "b"], calibrate=True, progress=throw)):
            with self.assertRaisesRegex(Mine, "from within"):
                call()

    def test_callbacks_may_call_the_model(self):
        inner = []

        def nested(i, token):
            if not inner:
                inner.append(self.model.complete([CURRENCY])[0][0].tokens.tolist())

        self.model.complete(["a"], on_token=nested, max_new_tokens=3)
        self.assertEqual(inner, [self.expected])


if __name__ == "__main__":
    main()
