# SPDX-License-Identifier: Apache-2.0
"""Long calls: stopped by Ctrl-C, from several threads at once, beside a fork; and how much memory weights take."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from support import CURRENCY, TINY, cli, main

import gptjt
from gptjt import AutoModelForCausalLM

TEXTS = ["a text of some words"] * 4000
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")


class Stopping(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs begin without
        cls.model = AutoModelForCausalLM.from_pretrained(TINY)

    def interrupted(self, call):
        """Sends this process what Ctrl-C does, when the call runs; how long it took to end, in seconds."""
        sent = []

        def send():
            time.sleep(0.3)
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        sender = threading.Thread(target=send)
        sender.start()
        with self.assertRaises(KeyboardInterrupt):
            call()
        took = time.monotonic() - sent[0]
        sender.join()
        return took

    def test_ctrl_c_stops_every_call(self):
        whole = self.model.complete([CURRENCY])[0][0].tokens.tolist()
        calls = {
            "classify": lambda: self.model.classify(TEXTS, ["positive", "negative"]),
            "complete": lambda: self.model.complete([CURRENCY] * 2000, max_new_tokens=400),
            "score": lambda: self.model.score_many([("a b c d e f g", " h i j k")] * 20000),
            "logits": lambda: self.model([list(range(1, 500))] * 150),
            "stream": lambda: [list(self.model.stream(CURRENCY, max_new_tokens=400)) for _ in range(1000)],
        }
        for name, call in calls.items():
            with self.subTest(name):
                took = self.interrupted(call)
                self.assertLess(took, 600 if SANITIZED else 20)
                self.assertEqual(self.model.complete([CURRENCY])[0][0].tokens.tolist(), whole)

    def test_any_signal_handler_may_raise(self):
        class Alarm(Exception):
            pass

        def ring(number, frame):
            raise Alarm

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            with self.assertRaises(Alarm):
                self.model.classify(TEXTS, ["a", "b"])
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_other_threads_run_while_the_library_computes(self):
        counted = [0]
        done = threading.Event()

        def count():
            while not done.is_set():
                counted[0] += 1
                time.sleep(0.001)

        counter = threading.Thread(target=count)
        counter.start()
        began = time.monotonic()
        self.model.classify(TEXTS[:400], ["positive", "negative"])
        took = time.monotonic() - began
        done.set()
        counter.join()
        self.assertGreater(counted[0], took * 20)


class Threads(unittest.TestCase):
    def test_calls_from_several_threads_have_the_results_of_each_alone(self):
        model = AutoModelForCausalLM.from_pretrained(TINY)
        prompts = [CURRENCY, "The task is to label", "a b c", "Input: x\nOutput:"]
        alone = [model.complete([p], max_new_tokens=30)[0][0].tokens.tolist() for p in prompts]
        likelihood = model.score(CURRENCY, " Indian Rupee").log_likelihood
        wrong = []

        def work(i):
            for _ in range(5):
                if model.complete([prompts[i]], max_new_tokens=30)[0][0].tokens.tolist() != alone[i]:
                    wrong.append(i)
                if model.score(CURRENCY, " Indian Rupee").log_likelihood != likelihood:
                    wrong.append("score")
                try:
                    model.score("", "x")
                    wrong.append("no error")
                except ValueError as e:
                    if "prompt 0 is empty" not in str(e):
                        wrong.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(prompts))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def test_a_classifier_is_used_by_one_thread_after_the_other(self):
        model = AutoModelForCausalLM.from_pretrained(TINY)
        with model.classifier(["positive", "negative"]) as classifier:
            expected = classifier(TEXTS[:8])
            results = []
            threads = [threading.Thread(target=lambda: results.append(classifier(TEXTS[:8]))) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        self.assertEqual(results, [expected] * 4)


@unittest.skipUnless(hasattr(os, "fork"), "no fork")
class Fork(unittest.TestCase):
    def in_child(self, function):
        """What a forked process writes; it ends without Python's own clearing up."""
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                text = repr(function())
            except BaseException as e:
                text = f"{type(e).__name__}: {e}"
            os.write(write, text.encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as f:
            text = f.read().decode()
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        return text

    def test_a_model_opened_before_a_fork_is_refused_after_it(self):
        model = AutoModelForCausalLM.from_pretrained(TINY)
        expected = model.complete([CURRENCY])[0][0].tokens.tolist()
        with model.classifier(["a", "b"]) as classifier:
            for call in (lambda: model.complete([CURRENCY]), lambda: model.score("a", "b"), lambda: model([1, 2]),
                         lambda: model.classify("a", ["a", "b"]), lambda: classifier(["a"]),
                         lambda: list(model.stream("a")), lambda: model.info):
                self.assertRegex(self.in_child(call), "^ClosedError: the model was opened in another process")

        def again():
            nonlocal model
            model = None
            gc.collect()  # nothing of the parent's is closed
            other = AutoModelForCausalLM.from_pretrained(TINY)
            return other.complete([CURRENCY])[0][0].tokens.tolist()

        self.assertEqual(self.in_child(again), repr(expected))
        self.assertEqual(model.complete([CURRENCY])[0][0].tokens.tolist(), expected)


MEMORY = """
import sys
import gptjt

def megabytes():
    with open("/proc/self/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Pss:")) / 1024

first = gptjt.AutoModelForCausalLM.from_pretrained(sys.argv[1], weights="fp32")
first.complete([[1, 2, 3]])
before = megabytes()
others = [gptjt.AutoModelForCausalLM.from_pretrained(sys.argv[1], weights="fp32", prompt_mask=mask)
          for mask in ("prefix", "causal", None) for _ in range(10)]
others += [gptjt.pipeline(model=sys.argv[1], weights="fp32") for _ in range(10)]
for other in others[:30]:
    other.complete([[1, 2, 3]])
print(first.info["weight_bytes"] / 2**20, megabytes() - before)
"""


class Memory(unittest.TestCase):
    @unittest.skipUnless(os.path.exists("/proc/self/smaps_rollup"), "no /proc")
    @unittest.skipIf(SANITIZED, "AddressSanitizer keeps what is freed")
    def test_weights_are_in_memory_once(self):
        with tempfile.TemporaryDirectory() as d:
            model = os.path.join(d, "model")
            cli("synth", "--preset", "125m", "--n-layer", "3", "--tokenizer", TINY, "-o", model, "--quiet")
            printed = subprocess.run([sys.executable, "-c", MEMORY, model], capture_output=True, text=True, check=True)
        weights, more = map(float, printed.stdout.split())
        self.assertGreater(weights, 70)
        self.assertLess(more, weights / 10)

    def test_the_last_object_frees_them(self):
        from gptjt import _engine
        model = AutoModelForCausalLM.from_pretrained(TINY, threads=1)
        other = AutoModelForCausalLM.from_pretrained(TINY, threads=1)
        keys = [k for k in _engine._engines if dict(k[2])["threads"] == 1]
        self.assertEqual(len(keys), 1)
        model.close()
        other.complete([CURRENCY])
        del other
        gc.collect()
        self.assertNotIn(keys[0], _engine._engines)
        with self.assertRaisesRegex(gptjt.ClosedError, "the model is closed"):
            model.complete([CURRENCY])


if __name__ == "__main__":
    main()
