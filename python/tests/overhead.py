# SPDX-License-Identifier: Apache-2.0
"""What Python costs: the same 500 texts classified by the program and by the package, in turns.

    GPTJT=build/gptjt GPTJT_LIBRARY=build/libgptjt.so PYTHONPATH=python python3 python/tests/overhead.py [MODEL]

Each process loads the model, classifies, and ends; Python's start and the import of numpy are reported apart, since
they do not grow with the work. Times are of the processor as well as of the clock: a busy machine disturbs the latter."""

import csv
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from support import TINY

ROWS, PAIRS = 500, 7
LABELS = "sadness,joy,love,anger,fear,surprise"
WORDS = "i feel so happy and thankful today but the room was cold and nobody came to see me at all".split()
IMPORT = "import gptjt"
CLASSIFY = """
import csv, sys, gptjt
with open(sys.argv[2], newline="") as f:
    texts = [row["text"] for row in csv.DictReader(f)]
results = gptjt.classify(texts, sys.argv[4].split(","), model=sys.argv[1])
with open(sys.argv[3], "w", newline="") as f:
    out = csv.writer(f, lineterminator="\\n")
    out.writerow(["text", "label", "probability", *(f"p({label})" for label in results[0].probabilities)])
    for text, r in zip(texts, results):
        out.writerow([text, r.label, f"{r.probability:.6g}", *(f"{p:.6g}" for p in r.probabilities.values())])
"""


def timed(command):
    """Seconds by the clock, and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    model = sys.argv[1] if len(sys.argv) > 1 else TINY
    with tempfile.TemporaryDirectory() as d:
        rows, ours, theirs = (os.path.join(d, name) for name in ("rows.csv", "ours.csv", "theirs.csv"))
        with open(rows, "w", newline="") as f:
            csv.writer(f).writerows([["text"]] + [[" ".join((WORDS[i % len(WORDS):] + WORDS) * 3)[:200 + i % 50]]
                                                  for i in range(ROWS)])
        program = [os.environ["GPTJT"], "classify", "-m", model, "--labels", LABELS, "-i", rows, "-o", theirs,
                   "--quiet"]
        package = [sys.executable, "-c", CLASSIFY, model, rows, ours, LABELS]
        pairs = []
        for i in range(PAIRS):
            if os.path.exists(theirs):
                os.remove(theirs)
            alone = timed([sys.executable, "-c", IMPORT])
            first, second = (package, program) if i % 2 else (program, package)
            a, b = timed(first), timed(second)
            pairs.append((a, b, alone) if not i % 2 else (b, a, alone))
            print("program {0[0]:.3f} s ({0[1]:.3f} s of the processor), package {1[0]:.3f} s ({1[1]:.3f} s), "
                  "of it import {2[0]:.3f} s ({2[1]:.3f} s)".format(*pairs[-1]))
        with open(ours) as f, open(theirs) as g:
            labels = [[row["label"] for row in csv.DictReader(file)] for file in (f, g)]
        assert labels[0] == labels[1] and len(labels[0]) == ROWS, "not the same labels"
    for kind, name in ((0, "clock"), (1, "processor")):
        without, whole = (statistics.median((b[kind] - c[kind] * less) / a[kind] - 1 for a, b, c in pairs)
                          for less in (1, 0))
        print(f"{name}: {without:+.2%} without the import, {whole:+.2%} with it (medians of {PAIRS} pairs)")


if __name__ == "__main__":
    main()
