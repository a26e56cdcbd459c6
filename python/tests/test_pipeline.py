# SPDX-License-Identifier: Apache-2.0
"""pipeline("text-generation"): transformers' shapes, the program's text."""

import os
import unittest

from support import CURRENCY, TINY, cli, main

import gptjt
from gptjt import pipeline


class Pipeline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pipe = pipeline("text-generation", model=TINY)

    def test_shapes(self):
        one = self.pipe(CURRENCY, max_new_tokens=3)
        self.assertEqual([list(a) for a in one], [["generated_text"]])
        self.assertTrue(one[0]["generated_text"].startswith(CURRENCY))
        many = self.pipe([CURRENCY, "a"], max_new_tokens=3)
        self.assertEqual(many[0], one)
        self.assertEqual([len(answers) for answers in many], [1, 1])
        several = self.pipe([CURRENCY], do_sample=True, num_return_sequences=3, seed=1)
        self.assertEqual([len(answers) for answers in several], [3])
        self.assertEqual(self.pipe([]), [])
        short = self.pipe(CURRENCY, max_new_tokens=3, return_full_text=False)[0]["generated_text"]
        self.assertEqual(CURRENCY + short, one[0]["generated_text"])
        ids = self.pipe(CURRENCY, max_new_tokens=3, return_tensors=True)[0]["generated_token_ids"]
        self.assertEqual(self.pipe.tokenizer.decode(ids), one[0]["generated_text"])

    def test_text_is_that_of_the_program(self):
        for mask in ("prefix", "causal"):
            printed = cli("generate", "-m", TINY, "-p", CURRENCY, "--prompt-mask", mask, "--stop", "\n", "--quiet")
            answer = self.pipe(CURRENCY, prompt_mask=mask, stop="\n", return_full_text=False)
            self.assertEqual(answer, [{"generated_text": printed[:-1]}])

    def test_batches_change_nothing(self):
        prompts = [CURRENCY, "a", "The task is", "b c"] * 3
        together = self.pipe(prompts)
        self.assertEqual(self.pipe(prompts, batch_size=5), together)
        self.assertEqual([self.pipe(p) for p in prompts], together)

    def test_parameters_given_to_pipeline_are_defaults(self):
        pipe = pipeline(model=TINY, max_new_tokens=2, return_full_text=False, prompt_mask="causal")
        self.assertEqual(pipe.model.prompt_mask, "causal")
        expected = self.pipe(CURRENCY, max_new_tokens=2, return_full_text=False, prompt_mask="causal")
        self.assertEqual(pipe(CURRENCY), expected)
        self.assertNotEqual(pipe(CURRENCY, max_new_tokens=3), expected)
        self.assertEqual(pipeline(model=pipe.model, tokenizer=TINY)(CURRENCY, max_new_tokens=2),
                         [{"generated_text": CURRENCY + expected[0]["generated_text"]}])

    def test_prompts_too_long_lose_their_beginning_when_asked(self):
        long = "a b c d " * 400
        with self.assertRaises(gptjt.LimitError):
            self.pipe(long)
        answer = self.pipe(long, handle_long_generation="hole", return_full_text=False)[0]["generated_text"]
        self.assertEqual(answer, cli("generate", "-m", TINY, "-p", long, "--truncate", "left", "--quiet")[:-1])

    def test_the_shipped_model_is_the_default(self):
        self.assertEqual(pipeline()(CURRENCY), self.pipe(CURRENCY))
        os.environ["GPTJT_MODEL"] = "/nonexistent"
        try:
            with self.assertRaisesRegex(gptjt.FileError, "^/nonexistent: no such directory$"):
                pipeline()
        finally:
            del os.environ["GPTJT_MODEL"]

    def test_what_is_not_built_is_named(self):
        for name, value in {"num_beams": 4, "penalty_alpha": 0.6, "no_repeat_ngram_size": 2, "bad_words_ids": [[1]],
                            "min_new_tokens": 3, "streamer": object(), "prefix": "x", "max_time": 1.0,
                            "clean_up_tokenization_spaces": True, "eos_token_id": 1}.items():
            with self.assertRaisesRegex(NotImplementedError, name):
                self.pipe(CURRENCY, **{name: value})
        self.pipe(CURRENCY, num_beams=1, use_cache=True, min_length=0, max_new_tokens=1, length_penalty=1.0,
                  clean_up_tokenization_spaces=False, bad_words_ids=None)
        with self.assertRaisesRegex(TypeError, "did you mean 'temperature'"):
            self.pipe(CURRENCY, temprature=1.0)
        with self.assertRaisesRegex(NotImplementedError, "'zero-shot-classification'"):
            pipeline("zero-shot-classification", model=TINY)
        for name, value in {"load_in_8bit": True, "device_map": "auto", "torch_dtype": "int8", "device": 3}.items():
            with self.assertRaisesRegex(NotImplementedError, name):
                pipeline(model=TINY, **{name: value})

    def test_weights_and_dtypes(self):
        for kwargs, expected in (({"torch_dtype": "float32"}, "fp32"), ({"weights": "q8"}, "q8"), ({}, "fp16")):
            self.assertEqual(pipeline(model=TINY, **kwargs).model.info["weights"], expected)


if __name__ == "__main__":
    main()
