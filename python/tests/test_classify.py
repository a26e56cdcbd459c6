# SPDX-License-Identifier: Apache-2.0
"""classify(): the program's prompt byte for byte, and its numbers."""

import csv
import io
import os
import sys
import tempfile
import types
import unittest

from support import TINY, as_printed, cli, cli_json, main

import gptjt
from gptjt import AutoModelForCausalLM, classify

LABELS = ["sadness", "joy", "love", "anger", "fear", "surprise"]
INSTRUCTION = "The task is to label the post's emotion as sadness, joy, love, anger, fear, or surprise."
SHOTS = [("I'm feeling quite sad and sorry for myself but ill snap out of it", "sadness"),
         ("I am just feeling cranky and blue.", "anger")]
TEXTS = ["I can have for a treat or if i am feeling festive.", "i feel so happy and thankful today", "ü, \"x\"",
         "x" * 3000]


class Classify(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = AutoModelForCausalLM.from_pretrained(TINY)
        cls.directory = tempfile.TemporaryDirectory()
        cls.shots = os.path.join(cls.directory.name, "shots.csv")
        with open(cls.shots, "w", newline="") as f:
            csv.writer(f).writerows([("text", "label"), *SHOTS])

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def settings(self):
        """The same ones for both."""
        every = [(["--labels", ",".join(LABELS)], {"labels": LABELS})]
        every.append((["--labels", ",".join(LABELS), "--instruction", INSTRUCTION, "--shots", self.shots],
                      {"labels": LABELS, "instruction": INSTRUCTION, "shots": SHOTS}))
        every.append((["--shots", self.shots, "--no-list-labels", "--text-name", "Input", "--label-name", "Output"],
                      {"shots": self.shots, "list_labels": False, "text_name": "Input", "label_name": "Output"}))
        every.append((["--labels", "a,b b", "--normalize", "length", "--calibrate", "--content-free", "-",
                       "--prompt-mask", "causal"],
                      {"labels": ["a", "b b"], "normalize": "length", "calibrate": True, "content_free": "-",
                       "prompt_mask": "causal"}))
        return every

    def test_prompts_are_the_programs_byte_for_byte(self):
        for options, kwargs in self.settings():
            for text in TEXTS:
                shown = cli("classify", "-m", TINY, *options, "-p", text, "--show-prompt")
                with self.model.classifier(**kwargs) as classifier:
                    self.assertEqual(classifier.prompt(text) + "\n", shown)

    def test_numbers_are_the_programs(self):
        for options, kwargs in self.settings():
            results = self.model.classify(TEXTS, **kwargs)
            for text, ours in zip(TEXTS, results):
                theirs = cli_json("classify", "-m", TINY, *options, "-p", text)
                self.assertEqual(ours.label, theirs["label"])
                for found, printed in ((ours.probabilities, theirs["probabilities"]),
                                       (ours.log_likelihoods, theirs["log_likelihoods"])):
                    self.assertEqual({label: as_printed(x) for label, x in found.items()}, printed)
                self.assertEqual(ours.prompt_tokens, theirs["prompt_tokens"])
                self.assertEqual(ours.probability, ours.probabilities[ours.label])
            self.assertGreater(results[3].n_dropped, 0)

    def test_several_fields(self):
        rows = [{"Title": "a", "Body": "b", "other": 1}, {"Body": "d", "Title": "c"}]
        path = os.path.join(self.directory.name, "rows.csv")
        with open(path, "w", newline="") as f:
            csv.writer(f).writerows([("Title", "Body"), ("a", "b"), ("c", "d")])
        printed = list(csv.DictReader(io.StringIO(
            cli("classify", "-m", TINY, "-i", path, "--fields", "Title,Body", "--labels", "a,b", "--quiet"))))
        for texts in (rows, [("a", "b"), ("c", "d")]):
            for ours, theirs in zip(self.model.classify(texts, ["a", "b"], fields=["Title", "Body"]), printed):
                self.assertEqual(ours.label, theirs["label"])
                self.assertAlmostEqual(ours.probability, float(theirs["probability"]), 6)

    def test_shapes(self):
        one = classify("I love this!", ["yes", "no"], model=TINY)
        self.assertIsInstance(one, gptjt.Classification)
        self.assertEqual(classify(("I love this!",), ["yes", "no"], model=self.model), [one])
        self.assertEqual(classify([], ["yes", "no"], model=self.model), [])
        self.assertEqual(list(one.probabilities), ["yes", "no"])

    def test_a_pandas_column(self):
        try:
            import pandas
        except ImportError:
            pandas = fake_pandas()
        column = pandas.Series(TEXTS, index=[3, 1, 4, 2])
        table = self.model.classify(column, LABELS)
        results = self.model.classify(TEXTS, LABELS)
        self.assertEqual(list(table.columns), ["label", "probability", *(f"p({label})" for label in LABELS)])
        self.assertEqual(list(table.index), [3, 1, 4, 2])
        self.assertEqual(list(table["label"]), [r.label for r in results])
        self.assertEqual(list(table["p(joy)"]), [r.probabilities["joy"] for r in results])

    def test_progress_is_told(self):
        told = []
        self.model.classify(TEXTS * 20, ["a", "b"], progress=lambda done, total: told.append((done, total)))
        self.assertEqual(told[-1], (80, 80))
        self.assertEqual(sorted(told), told)

    def test_errors_are_the_librarys(self):
        for labels, message in ((["a"], "two or more"), (["a", "a"], 'labels: "a" is given twice'),
                                (["a", " b"], "white space"), (["a", ""], "one is empty"), (None, "which labels")):
            with self.assertRaisesRegex(gptjt.ArgumentError, message):
                self.model.classify("x", labels)
        with self.assertRaisesRegex(gptjt.ArgumentError, 'the label "c" of number 1 is not one of the labels'):
            self.model.classify("x", ["a", "b"], shots=[("x", "c")])
        with self.assertRaisesRegex(gptjt.FileError, "/nonexistent.csv"):
            self.model.classify("x", ["a", "b"], shots="/nonexistent.csv")
        with self.assertRaisesRegex(gptjt.LimitError, "text 1: the prompt does not fit"):
            self.model.classify(["x", "y"], ["a", "b"], instruction="z " * 3000)


def fake_pandas():
    """What classify() needs of it, where it is not installed."""
    module = types.ModuleType("pandas")

    class Series(list):
        def __init__(self, values, index):
            super().__init__(values)
            self.index = index

    class DataFrame(dict):
        def __init__(self, columns, index):
            super().__init__(columns)
            self.columns, self.index = list(columns), index

    Series.__module__ = DataFrame.__module__ = "pandas"
    module.Series, module.DataFrame = Series, DataFrame
    sys.modules["pandas"] = module
    return module


if __name__ == "__main__":
    main()
