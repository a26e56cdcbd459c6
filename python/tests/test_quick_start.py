# SPDX-License-Identifier: Apache-2.0
"""The two quick starts of GPT-JT's model card, as they are written there but for the import."""

import ast
import unittest

from support import cli, hub_cache, main, run_quick_start

NAME = "togethercomputer/GPT-JT-6B-v1"
PROMPT = '"I love this!" Is it positive? A:'


class QuickStart(unittest.TestCase):
    def test_pipeline_shows_what_the_program_prints(self):
        with hub_cache():
            _, shown = run_quick_start("pipeline.py")
            printed = cli("generate", "-m", NAME, "-p", PROMPT, "--return-full-text", "--quiet")
        self.assertEqual(ast.literal_eval(shown), [{"generated_text": printed[:-1]}])
        self.assertTrue(printed.startswith(PROMPT) and len(printed) > len(PROMPT) + 2)

    def test_model_and_tokenizer_continue_as_the_program_does(self):
        with hub_cache():
            names, shown = run_quick_start("model.py")
            printed = cli("generate", "-m", NAME, "-p", PROMPT, "--return-full-text", "--quiet")
        tokenizer, model = names["tokenizer"], names["model"]
        self.assertEqual(shown, "")
        self.assertEqual(model.prompt_mask, "prefix")
        for kind in ("np", None):
            inputs = tokenizer(PROMPT, return_tensors=kind)
            out = model.generate(**inputs, max_new_tokens=20)
            self.assertEqual(tokenizer.decode(out[0], skip_special_tokens=True), printed[:-1])


if __name__ == "__main__":
    main()
