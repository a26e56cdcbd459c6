# SPDX-License-Identifier: Apache-2.0
"""The tokenizer: the program's ids, both ways, padding, and transformers' names."""

import unittest

import numpy as np

from support import TINY, cli_json, main

from gptjt import AutoTokenizer

TEXTS = ["Indian Rupee", " two  spaces\n\nand lines", "é ü 日本 \U0001f600", "a<|endoftext|>b", "", "\0nul"]


class Tokenizer(unittest.TestCase):
    def setUp(self):
        self.tokenizer = AutoTokenizer.from_pretrained(TINY)

    def test_ids_are_those_of_the_program(self):
        for text in TEXTS[:4]:
            self.assertEqual(self.tokenizer(text).input_ids, cli_json("tokenize", "-m", TINY, "-p", text)["ids"], text)

    def test_texts_come_back(self):
        for text in TEXTS:
            ids = self.tokenizer.encode(text)
            self.assertEqual(self.tokenizer.decode(ids), text)
            self.assertEqual(self.tokenizer.batch_decode([ids, np.array(ids)]), [text, text])

    def test_added_tokens_are_known(self):
        end = self.tokenizer.eos_token_id
        self.assertEqual(end, self.tokenizer.convert_tokens_to_ids("<|endoftext|>"))
        self.assertEqual(self.tokenizer("<|endoftext|>").input_ids, [end])
        self.assertGreater(len(self.tokenizer.encode_ids("<|endoftext|>", added_tokens=False)), 1)
        extra = self.tokenizer.convert_tokens_to_ids("<|extratoken_1|>")
        self.assertEqual(self.tokenizer("a<|extratoken_1|>").input_ids[-1], extra)
        self.assertEqual(self.tokenizer.decode([extra, end], skip_special_tokens=True), "<|extratoken_1|>")
        self.assertIsNone(self.tokenizer.convert_tokens_to_ids("<|nothing|>"))
        self.assertGreater(len(self.tokenizer), end)

    def test_shapes(self):
        one = self.tokenizer("Indian Rupee")
        self.assertEqual(one["attention_mask"], [1] * len(one.input_ids))
        array = self.tokenizer("Indian Rupee", return_tensors="np")
        self.assertEqual(array.input_ids.tolist(), [one.input_ids])
        self.assertEqual(array.input_ids.dtype, np.int64)
        many = self.tokenizer(["Indian Rupee", "a"])
        self.assertEqual([len(row) for row in many.input_ids], [len(one.input_ids), 1])
        with self.assertRaisesRegex(ValueError, "different lengths"):
            self.tokenizer(["Indian Rupee", "a"], return_tensors="np")

    def test_padding_and_truncation(self):
        with self.assertRaisesRegex(ValueError, "no padding token"):
            self.tokenizer(["Indian Rupee", "a"], padding=True)
        self.tokenizer.pad_token = self.tokenizer.eos_token
        both = self.tokenizer(["Indian Rupee", "a"], padding=True, return_tensors="np")
        self.assertEqual(both.attention_mask[1].tolist(), [1] + [0] * (both.input_ids.shape[1] - 1))
        self.assertEqual(both.input_ids[1, 1], self.tokenizer.eos_token_id)
        self.tokenizer.padding_side = "left"
        left = self.tokenizer(["Indian Rupee", "a"], padding="max_length", max_length=6, return_tensors="np")
        self.assertEqual(left.attention_mask[1].tolist(), [0] * 5 + [1])
        whole = self.tokenizer("Indian Rupee").input_ids
        self.assertEqual(self.tokenizer("Indian Rupee", truncation=True, max_length=2).input_ids, whole[:2])
        with self.assertRaisesRegex(ValueError, "max_length"):
            self.tokenizer("a", truncation=True)

    def test_what_is_not_built_is_named(self):
        for name in ("text_pair", "return_offsets_mapping", "is_split_into_words"):
            with self.assertRaisesRegex(NotImplementedError, name):
                self.tokenizer("a", **{name: "b"})
        with self.assertRaisesRegex(NotImplementedError, "'tf'"):
            self.tokenizer("a", return_tensors="tf")
        with self.assertRaisesRegex(TypeError, "did you mean 'is_split_into_words'"):
            self.tokenizer("a", is_split_into_wrds=True)

    def test_bytes_that_are_no_text(self):
        first = self.tokenizer.encode("é")
        if len(first) > 1:  # a token of half a character
            self.assertEqual(self.tokenizer.decode(first[:1]), "\ufffd")
        self.assertEqual(self.tokenizer.decode_bytes(first), "é".encode())


if __name__ == "__main__":
    main()
